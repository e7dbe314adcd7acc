"""The other end of the voice signalling: what a real node does once in a year is done here at will.

Media are answered by a second page of the browser, so that the page under test negotiates and connects in earnest. The
real node is met in tests/end_to_end.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
from playwright.async_api import Page
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

FAR_SIDE = Path(__file__).with_name("far_side.js").read_text()
OWN_CSRC = 7
SCREEN = 1000  # more than the csrc is what a screen_csrc is here


def fingerprint(offer: str) -> str:
    return attribute("fingerprint", offer)


def ufrag(offer: str) -> str:
    return attribute("ice-ufrag", offer)


def attribute(name: str, offer: str) -> str:
    found = re.search(rf"^a={name}:(\S.*?)\s*$", offer, re.MULTILINE)
    assert found is not None
    return found.group(1)


class Stay:
    """One client at the node. `frames` is what it said, beats left out; `gone`: its last socket has closed."""

    def __init__(self, page: Page, socket: WebSocket, join: dict[str, Any]) -> None:
        claims = jwt.decode(join["grant"], options={"verify_signature": False})
        self.session_id, self.user_id = claims["sid"], claims["sub"]
        self.channel_id = UUID(claims["room"])
        self.offer: str = join["offer"]
        self.token = str(uuid4())
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.socket = socket
        self._page = page

    async def send(self, **frame: Any) -> None:
        await self.socket.send_json(frame)

    async def said(self, op: str) -> dict[str, Any]:
        """The next frame, which has to be an `op`."""
        async with asyncio.timeout(10):
            frame = await self.frames.get()
        assert frame["op"] == op, frame
        return frame

    async def tells(self, op: str, **content: Any) -> dict[str, Any]:
        """The next frame that is an `op` with that content; what comes before it is passed over."""
        passed: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(10):
                while True:
                    frame = await self.frames.get()
                    if frame["op"] == op and frame.items() >= content.items():
                        return frame
                    passed.append(frame)
        except TimeoutError:
            raise AssertionError(f"waited for {op} {content}, got {passed}") from None

    def participant(self, csrc: int = OWN_CSRC, **how: Any) -> dict[str, Any]:
        return ScriptedNode.somebody(self.user_id, csrc, **how) | {"session_id": self.session_id}

    async def hang_up(self) -> None:
        await self.socket.close()

    async def answer(self, offer: str) -> str:
        """Of the connection with the offer's fingerprint, which restarts its ICE, or of a new one."""
        return str(await self._page.evaluate("([id, offer]) => answer(id, offer)", [fingerprint(offer), offer]))

    async def tone(self, slot: int, on: bool = True) -> None:
        """Sound, or nothing more, in a slot of the latest connection."""
        await self._page.evaluate("([slot, on]) => tone(slot, on)", [slot, on])

    async def picture(self, slot: int, colour: str, **how: Any) -> None:
        """A moving picture in a video slot of the latest connection: `text`, `width`, `height`."""
        await self._page.evaluate("([slot, how]) => picture(slot, how)", [slot, {"colour": colour, **how}])


class ScriptedNode:
    """How it behaves, for all that comes: `refusal` and `offer_refusal`, what joins and later offers are answered with,
    if set; `silent`: beats are not returned; `forgetful`: no stay can be resumed; `broken`: resumed stays have lost
    their transport; `open`: it answers at all; `slots`: the map of the room."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._stays: asyncio.Queue[Stay] = asyncio.Queue()
        self._by_token: dict[str, Stay] = {}
        self.refusal: dict[str, str] | None = None
        self.offer_refusal: dict[str, str] | None = None
        self.silent = self.forgetful = self.broken = False
        self.open = asyncio.Event()
        self.open.set()
        self.others: list[dict[str, Any]] = []
        self.slots: list[dict[str, Any]] = []

    @property
    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute("/voice", self._serve)]

    async def next_stay(self) -> Stay:
        async with asyncio.timeout(15):
            return await self._stays.get()

    @staticmethod
    def somebody(user_id: str, csrc: int = 99, **how: Any) -> dict[str, Any]:
        plain = dict.fromkeys(("muted", "deafened", "server_muted", "server_deafened"), False)
        who = {"session_id": str(uuid4()), "user_id": user_id, "csrc": csrc, "screen_csrc": SCREEN + csrc}
        return {**who, "sources": [], **plain, **how}

    async def microphone_heard(self) -> None:
        """Returns when sound comes from the latest connection's microphone."""
        async with asyncio.timeout(10):
            await self._page.evaluate("microphoneHeard()")

    def room(self, stay: Stay) -> dict[str, Any]:
        """What `joined` and `resumed` have in common."""
        self._by_token.pop(stay.token, None)
        stay.token = str(uuid4())
        self._by_token[stay.token] = stay
        return {
            "session_id": stay.session_id,
            "csrc": OWN_CSRC,
            "screen_csrc": SCREEN + OWN_CSRC,
            "participants": [stay.participant(), *self.others],
            "slots": self.slots,
            "videos": [],
            "token": stay.token,
        }

    async def _serve(self, socket: WebSocket) -> None:
        stay = None
        with suppress(WebSocketDisconnect):
            await socket.accept()
            first = await socket.receive_json()
            await self.open.wait()
            stay = await (self._joined(socket, first) if first["op"] == "join" else self._resumed(socket, first))
            if stay is None:
                await socket.close()
                return
            await self._listen(stay, socket)
        if stay and stay.socket is socket:
            stay.gone.set()

    async def _listen(self, stay: Stay, socket: WebSocket) -> None:
        while True:
            frame = await socket.receive_json()
            if frame["op"] != "beat":
                stay.frames.put_nowait(frame)
                if frame["op"] == "offer":
                    await self._answer(stay, frame["offer"])
            elif not self.silent:
                await socket.send_json(frame)

    async def _joined(self, socket: WebSocket, join: dict[str, Any]) -> Stay | None:
        if self.refusal is not None:
            await socket.send_json({"op": "refused", **self.refusal})
            return None
        stay = Stay(self._page, socket, join)
        answer = await stay.answer(stay.offer)
        await stay.send(op="joined", answer=answer, heartbeat_ms=100, **self.room(stay))
        self._stays.put_nowait(stay)
        return stay

    async def _resumed(self, socket: WebSocket, resume: dict[str, Any]) -> Stay | None:
        assert resume["op"] == "resume", resume
        stay = None if self.forgetful else self._by_token.get(resume["token"])
        if stay is None:
            await socket.send_json({"op": "refused", "code": "bad_token", "message": "there is no stay to resume"})
            return None
        stay.socket = socket
        stay.gone.clear()
        stay.frames.put_nowait(resume)
        await stay.send(op="resumed", channel_id=str(stay.channel_id), restart=self.broken, **self.room(stay))
        return stay

    async def _answer(self, stay: Stay, offer: str) -> None:
        if self.offer_refusal is not None:
            await stay.send(op="refused", **self.offer_refusal)
        else:
            await stay.send(op="answer", answer=await stay.answer(offer))
