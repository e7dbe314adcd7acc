"""The other end of the voice signalling: what a real node does once in a year is done here at will.

Media are answered by a second page of the browser, so that the page under test negotiates and connects in earnest. The
real node is met in tests/end_to_end.
"""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import jwt
from playwright.async_api import Page
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

ANSWER = """
async (offer) => {
  const far = new RTCPeerConnection();
  (window.connections ??= []).push(far);
  await far.setRemoteDescription({ type: "offer", sdp: offer });
  await far.setLocalDescription();
  if (far.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      far.onicegatheringstatechange = () => far.iceGatheringState === "complete" && resolve();
    });
  }
  return far.localDescription.sdp;
}
"""

# How loud the latest connection's microphone is, 0 to 1, after a moment.
LEVEL = """
async () => {
  const receiver = window.connections.at(-1).getReceivers()[0];
  const stats = [...(await receiver.getStats()).values()].find(({ type }) => type === "inbound-rtp");
  return stats?.audioLevel ?? 0;
}
"""


class Stay:
    """One client at the node. `frames` is what it said, beats left out."""

    def __init__(self, socket: WebSocket, join: dict[str, Any]) -> None:
        claims = jwt.decode(join["grant"], options={"verify_signature": False})
        self.session_id, self.user_id = claims["sid"], claims["sub"]
        self.channel_id = UUID(claims["room"])
        self.offer: str = join["offer"]
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self._socket = socket

    async def send(self, **frame: Any) -> None:
        await self._socket.send_json(frame)

    async def said(self, op: str) -> dict[str, Any]:
        """The next frame, which has to be an `op`."""
        async with asyncio.timeout(10):
            frame = await self.frames.get()
        assert frame["op"] == op, frame
        return frame

    def participant(self, csrc: int = 7, *, muted: bool = False) -> dict[str, Any]:
        return {"session_id": self.session_id, "user_id": self.user_id, "csrc": csrc, "muted": muted}

    async def hang_up(self) -> None:
        await self._socket.close()


class ScriptedNode:
    """`refusal`: what every join is answered with, if set. `silent`: beats are not returned."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._stays: asyncio.Queue[Stay] = asyncio.Queue()
        self.refusal: dict[str, str] | None = None
        self.silent = False
        self.others: list[dict[str, Any]] = []

    @property
    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute("/voice", self._serve)]

    async def next_stay(self) -> Stay:
        async with asyncio.timeout(15):
            return await self._stays.get()

    @staticmethod
    def somebody(user_id: str, csrc: int = 99, *, muted: bool = False) -> dict[str, Any]:
        return {"session_id": str(uuid4()), "user_id": user_id, "csrc": csrc, "muted": muted}

    async def microphone_level(self) -> float:
        return float(await self._page.evaluate(LEVEL))

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept()
        join = await socket.receive_json()
        if self.refusal is not None:
            await socket.send_json({"op": "refused", **self.refusal})
            await socket.close()
            return
        stay = Stay(socket, join)
        answer = await self._page.evaluate(ANSWER, stay.offer)
        await stay.send(
            op="joined",
            answer=answer,
            session_id=stay.session_id,
            csrc=7,
            participants=[stay.participant(), *self.others],
            heartbeat_ms=100,
        )
        self._stays.put_nowait(stay)
        with suppress(WebSocketDisconnect):
            while True:
                frame = await socket.receive_json()
                if frame["op"] != "beat":
                    stay.frames.put_nowait(frame)
                elif not self.silent:
                    await stay.send(**frame)
        stay.gone.set()
