"""The signalling WebSocket (`proto.signalling`): a shell that decodes, calls the node, and sends what it is told to."""

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Protocol
from uuid import UUID

import msgspec
import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from proto.signalling import (
    MAX_FRAME,
    REFUSALS,
    Beat,
    Ended,
    FromClient,
    FromNode,
    Join,
    Joined,
    Leave,
    Mute,
    Refused,
)

log = structlog.get_logger()

JOIN_WITHIN = 10  # seconds from the open socket to Join: longer than any client gathers its offer
SILENCE = 10  # seconds without a frame: twenty beats, and a laptop's lid closed
# Frames a second over ten seconds: four times what a client sends that beats twice a second and clicks wildly.
FRAMES_PER_WINDOW, WINDOW = 200, 10
# Frames waiting for a client that does not read; then it is gone. A room of hundreds arriving at once fits.
OUTGOING = 1024
SEND_WITHIN = 10  # seconds for one frame to leave: as long as a client may be silent
LAST_WORDS = 2  # seconds for what is still to be told when the stay is over
# RFC 6455 §7.4.1; 4000 and up are ours.
POLICY, REFUSED = 1008, 4000

_decoder: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)
_encoder = msgspec.json.Encoder()
# How the socket of a client that went away ends.
_GONE = (WebSocketDisconnect, ConnectionError, TimeoutError)


class Refusal(Exception):
    """A join that did not happen. `code` is one of `proto.signalling.REFUSALS`, of which those about stream keys never
    concern a WebSocket."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.frame = Refused(code, f"{REFUSALS[code]}: {detail}" if detail else REFUSALS[code])


class Rooms(Protocol):
    """What the node does for a client."""

    def join(self, frame: Join, client: "Client") -> Joined: ...
    def mute(self, session_id: UUID, muted: bool) -> None: ...
    def left(self, session_id: UUID) -> None: ...
    def lost(self, session_id: UUID) -> None: ...


class Client:
    """The outgoing half of one socket. `tell` never waits; a client that does not read is hung up on."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[FromNode | None] = asyncio.Queue()
        self._over = False

    def tell(self, frame: FromNode) -> None:
        if self._over:
            return
        if self._queue.qsize() >= OUTGOING:
            self.hang_up()
            return
        self._queue.put_nowait(frame)

    def hang_up(self) -> None:
        """Close the socket after what was told so far."""
        if not self._over:
            self._over = True
            self._queue.put_nowait(None)

    async def pump(self, websocket: WebSocket) -> None:
        """Until hung up. Raises TimeoutError when the client does not read."""
        while (frame := await self._queue.get()) is not None:
            async with asyncio.timeout(SEND_WITHIN):
                await websocket.send_text(_encoder.encode(frame).decode())
        async with asyncio.timeout(SEND_WITHIN):
            await websocket.close()


class Signalling:
    """The ASGI endpoint."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._sockets = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def sockets(self) -> int:
        """Open ones."""
        return self._sockets

    async def idle(self) -> None:
        """Returns when no socket is open."""
        await self._idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        self._sockets += 1
        self._idle.clear()
        try:
            # A socket that breaks is nothing unusual: whoever had one has been told of.
            with suppress(WebSocketDisconnect, ConnectionError):
                await websocket.accept()
                await self._converse(websocket)
        finally:
            self._sockets -= 1
            if self._sockets == 0:
                self._idle.set()

    async def _converse(self, websocket: WebSocket) -> None:
        client = Client()
        try:
            async with asyncio.timeout(JOIN_WITHIN):
                frame = await _next(websocket)
            if not isinstance(frame, Join):
                raise Refusal("bad_frame", "the first frame is a join")
            joined = self._rooms.join(frame, client)
        except Refusal as refusal:
            await _close(websocket, refusal.frame)
            return
        except TimeoutError:
            await websocket.close(POLICY, "no join")
            return
        session_id = joined.session_id
        log.info("voice session joined", session_id=str(session_id))
        client.tell(joined)
        pump = asyncio.create_task(client.pump(websocket))
        listen = asyncio.create_task(self._listen(websocket, client, session_id))
        try:
            # Whoever ends first ends the stay: the node by hanging up, the client by going.
            await asyncio.wait((pump, listen), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._rooms.lost(session_id)  # does nothing for a stay that has ended
            client.hang_up()
            listen.cancel()
            await asyncio.wait((pump,), timeout=LAST_WORDS)
            pump.cancel()
            for ended in await asyncio.gather(pump, listen, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, _GONE):
                    log.error("signalling failed", session_id=str(session_id), exc_info=ended)
            log.info("voice session over", session_id=str(session_id))

    async def _listen(self, websocket: WebSocket, client: Client, session_id: UUID) -> None:
        begun, frames = monotonic(), 0
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    frame = await _next(websocket)
            except (TimeoutError, WebSocketDisconnect):
                return
            except Refusal as refusal:
                client.tell(refusal.frame)
                return
            if monotonic() - begun > WINDOW:
                begun, frames = monotonic(), 0
            frames += 1
            if frames > FRAMES_PER_WINDOW:
                client.tell(Refusal("bad_frame", "too many of them").frame)
                return
            match frame:
                case Beat():
                    client.tell(frame)
                case Mute(muted):
                    self._rooms.mute(session_id, muted)
                case Leave():
                    self._rooms.left(session_id)
                    return
                case Join():
                    client.tell(Refusal("bad_frame", "this socket has joined").frame)
                    return


async def _next(websocket: WebSocket) -> FromClient:
    """The next frame. Raises `Refusal`, `WebSocketDisconnect`."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    text = message.get("text")
    if text is None or len(text) > MAX_FRAME or len(text.encode(errors="replace")) > MAX_FRAME:
        raise Refusal("bad_frame", "text frames of at most 64 KiB")
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Refusal("bad_frame") from None


async def _close(websocket: WebSocket, frame: Refused | Ended) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        await websocket.send_text(_encoder.encode(frame).decode())
        await websocket.close(REFUSED)
