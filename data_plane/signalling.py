"""The signalling WebSocket (`proto.signalling`): a shell that decodes, calls the node, and sends what it is told to."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol
from uuid import UUID

import msgspec
import structlog
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from proto.media import EndReason
from proto.rest import Shared
from proto.signalling import (
    LOOKS_PER_WINDOW,
    MAX_FRAME,
    REFUSALS,
    Answer,
    Beat,
    Deafen,
    FromClient,
    FromNode,
    Ignore,
    Join,
    Leave,
    Mute,
    Offer,
    Refused,
    Resume,
    Share,
    Watch,
    Wish,
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
NORMAL, POLICY, REFUSED = 1000, 1008, 4000
GOING_AWAY = 1001  # what browsers say for a page that is closed: nobody will come again with its token

_decoder: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)
_encoder = msgspec.json.Encoder()
# How the socket of a client that went away ends.
_GONE = (WebSocketDisconnect, ConnectionError, TimeoutError)


def encode(frame: FromNode) -> str:
    return _encoder.encode(frame).decode()


class Refusal(Exception):
    """What a client asked and did not get. `code` is one of `proto.signalling.REFUSALS`."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.frame = Refused(code, f"{REFUSALS[code]}: {detail}" if detail else REFUSALS[code])


class Rooms(Protocol):
    """What the node does for a client."""

    def join(self, frame: Join, client: "Client") -> UUID: ...
    def resume(self, token: str, client: "Client") -> UUID: ...
    def offer(self, session_id: UUID, sdp: str) -> str: ...
    def mute(self, session_id: UUID, muted: bool) -> None: ...
    def deafen(self, session_id: UUID, deafened: bool) -> None: ...
    def ignore(self, session_id: UUID, csrcs: Sequence[int]) -> None: ...
    def share(self, session_id: UUID, sources: Sequence[Shared]) -> None: ...
    def watch(self, session_id: UUID, wishes: Sequence[Wish]) -> None: ...
    def leave(self, session_id: UUID, reason: EndReason) -> None: ...
    def detached(self, session_id: UUID, client: "Client") -> None: ...


class Client:
    """The outgoing half of one socket. `tell` never waits; a client that does not read is hung up on."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._over = False
        self._code = NORMAL

    @property
    def over(self) -> bool:
        return self._over

    def tell(self, text: str) -> None:
        """An encoded frame."""
        if self._over:
            return
        if self._queue.qsize() >= OUTGOING:
            self.hang_up()
            return
        self._queue.put_nowait(text)

    def hang_up(self, code: int = NORMAL) -> None:
        """Close the socket after what was told so far."""
        if not self._over:
            self._over, self._code = True, code
            self._queue.put_nowait(None)

    async def pump(self, websocket: WebSocket) -> None:
        """Until hung up. Raises TimeoutError when the client does not read."""
        while (text := await self._queue.get()) is not None:
            async with asyncio.timeout(SEND_WITHIN):
                await websocket.send_text(text)
        async with asyncio.timeout(SEND_WITHIN):
            await websocket.close(self._code)


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
            session_id = self._enter(frame, client)
        except Refusal as refusal:
            await _close(websocket, refusal.frame)
            return
        except TimeoutError:
            await websocket.close(POLICY, "no join")
            return
        pump = asyncio.create_task(client.pump(websocket))
        listen = asyncio.create_task(self._listen(websocket, client, session_id))
        try:
            # Whoever ends first ends the conversation: the node by hanging up, the client by going.
            await asyncio.wait((pump, listen), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._rooms.detached(session_id, client)
            client.hang_up()
            listen.cancel()
            await asyncio.wait((pump,), timeout=LAST_WORDS)
            pump.cancel()
            for ended in await asyncio.gather(pump, listen, return_exceptions=True):
                if isinstance(ended, Exception) and not isinstance(ended, _GONE):
                    log.error("signalling failed", session_id=str(session_id), exc_info=ended)
            log.info("signalling socket closed", session_id=str(session_id))

    def _enter(self, frame: FromClient, client: Client) -> UUID:
        """The session of this socket. Raises `Refusal`."""
        match frame:
            case Join():
                session_id = self._rooms.join(frame, client)
                log.info("voice session joined", session_id=str(session_id))
            case Resume(token):
                session_id = self._rooms.resume(token, client)
                log.info("voice session resumed", session_id=str(session_id))
            case _:
                raise Refusal("bad_frame", "the first frame is a join or a resume")
        return session_id

    async def _listen(self, websocket: WebSocket, client: Client, session_id: UUID) -> None:
        """Until the client has gone. One that breaks the rules has no stay any more."""
        try:
            await self._hear(websocket, client, session_id)
        except TimeoutError:
            return
        except WebSocketDisconnect as closed:
            if closed.code == GOING_AWAY and not client.over:
                self._rooms.leave(session_id, "left")
        except Refusal as refusal:
            client.tell(encode(refusal.frame))
            self._rooms.leave(session_id, "lost")

    async def _hear(self, websocket: WebSocket, client: Client, session_id: UUID) -> None:
        begun, frames, looks = monotonic(), 0, 0
        while True:
            async with asyncio.timeout(SILENCE):
                frame = await _next(websocket)
            if client.over:
                return  # the stay is over, or another socket's
            if monotonic() - begun > WINDOW:
                begun, frames, looks = monotonic(), 0, 0
            frames += 1
            looks += isinstance(frame, Share | Watch)
            if frames > FRAMES_PER_WINDOW or looks > LOOKS_PER_WINDOW:
                raise Refusal("bad_frame", "too many of them")
            match frame:
                case Beat():
                    client.tell(encode(frame))
                case Offer(sdp):
                    client.tell(encode(self._answer(session_id, sdp)))
                case Mute(muted):
                    self._rooms.mute(session_id, muted)
                case Deafen(deafened):
                    self._rooms.deafen(session_id, deafened)
                case Ignore(csrcs):
                    self._rooms.ignore(session_id, csrcs)
                case Share(sources):
                    self._share(client, session_id, sources)
                case Watch(wishes):
                    self._rooms.watch(session_id, wishes)
                case Leave():
                    self._rooms.leave(session_id, "left")
                    return
                case Join() | Resume():
                    raise Refusal("bad_frame", "this socket has joined")

    def _share(self, client: Client, session_id: UUID, sources: Sequence[Shared]) -> None:
        try:
            self._rooms.share(session_id, sources)
        except Refusal as refusal:
            client.tell(encode(refusal.frame))

    def _answer(self, session_id: UUID, sdp: str) -> Answer | Refused:
        try:
            return Answer(self._rooms.offer(session_id, sdp))
        except Refusal as refusal:
            return refusal.frame


async def _next(websocket: WebSocket) -> FromClient:
    """The next frame. Raises `Refusal`, `WebSocketDisconnect`."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    text = message.get("text")
    if text is None or len(text) > MAX_FRAME or len(text.encode(errors="replace")) > MAX_FRAME:
        raise Refusal("bad_frame", f"text frames of at most {MAX_FRAME // 1024} KiB")
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Refusal("bad_frame") from None


async def _close(websocket: WebSocket, frame: Refused) -> None:
    if websocket.application_state is WebSocketState.CONNECTED:
        await websocket.send_text(encode(frame))
        await websocket.close(REFUSED)
