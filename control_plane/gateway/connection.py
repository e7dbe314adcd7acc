"""One gateway socket: performs what the session decides, and decides nothing."""

import asyncio
import contextlib
import secrets
from collections import deque
from time import monotonic

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from control_plane.actions import accounts, gateway
from control_plane.context import Services
from control_plane.events import LogEvent, StateChange
from control_plane.gateway.hub import PAGE, Hub
from control_plane.session import (
    Authenticate,
    Close,
    Follow,
    Output,
    ReadGuild,
    ReadStanding,
    ReadVoiceStates,
    ReadWelcome,
    Replay,
    Send,
    Session,
)
from proto.gateway import CloseCode
from proto.ids import Topic, UserId

log = structlog.get_logger()

MAX_WAITING = 1024  # events a client may be behind before it is closed; it resumes by its cursors
SEND_SECONDS = 20.0  # a socket that takes nothing for so long is dead
CLOSE_SECONDS = 2.0  # for a client to take what is on the way and the code behind it


class Connection:
    """A `Follower`. One task runs it; what others give it waits in `_inbox`."""

    def __init__(self, socket: WebSocket, services: Services, hub: Hub) -> None:
        self._socket = socket
        self._services = services
        self._hub = hub
        self._session = Session(secrets.token_hex(16), monotonic())
        self._inbox: deque[LogEvent | StateChange] = deque()
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(1)  # while one is worked on, the socket is not read
        self._lost: Topic | None = None
        self._revoked = False
        self._awake = asyncio.Event()
        self._topics: set[Topic] = set()
        self._token_digest: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._too_slow = False

    # What the hub calls

    def pass_on(self, what: LogEvent | StateChange) -> None:
        if len(self._inbox) >= MAX_WAITING:
            if not self._too_slow and self._task is not None:
                self._too_slow = True
                self._task.cancel()
            return
        self._inbox.append(what)
        self._awake.set()

    def lose(self, topic: Topic) -> None:
        self._lost = topic
        self._awake.set()

    def revoke(self) -> None:
        self._revoked = True
        self._awake.set()

    # The task

    async def run(self) -> None:
        await self._socket.accept()
        self._hub.sessions += 1
        self._task = asyncio.create_task(self._serve(), name="gateway session")
        reading = asyncio.create_task(self._read(), name="gateway reader")
        try:
            await asyncio.wait((self._task, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self, self._topics, self._token_digest)
            self._hub.sessions -= 1
        try:
            await self._close_what_is_left()
        finally:
            reading.cancel()
            self._task.cancel()
            await asyncio.gather(self._task, reading, return_exceptions=True)

    async def _close_what_is_left(self) -> None:
        if self._task is None or not self._task.done():
            return  # the client is gone
        if self._too_slow:
            log.info("gateway session too slow", waiting=len(self._inbox))
            await self._close(CloseCode.UNKNOWN_ERROR, "too slow: resume")
        elif not self._task.cancelled() and (wrong := self._task.exception()) is not None:
            log.error("gateway session failed", exc_info=wrong)
            await self._close(CloseCode.UNKNOWN_ERROR, "our fault: resume")

    async def _read(self) -> None:
        """Ends when the client is gone."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await self._frames.put(message.get("text"))
            self._awake.set()

    async def _serve(self) -> None:
        try:
            await self._perform(self._session.opened())
            while True:
                await self._sleep()
                await self._perform(self._next())
        except (_Closed, WebSocketDisconnect):
            return
        except TimeoutError:
            self._too_slow = True

    async def _sleep(self) -> None:
        """Until there is something to do."""
        if self._inbox or not self._frames.empty():
            return
        self._awake.clear()
        if self._revoked or self._lost is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._session.deadline - monotonic())):
                await self._awake.wait()

    def _next(self) -> list[Output]:
        now = monotonic()
        if outputs := self._session.tick(now):
            return outputs
        if self._revoked:
            return self._session.revoked()
        if self._lost is not None:
            topic, self._lost = self._lost, None
            return self._session.lost(topic, now)
        if not self._frames.empty():
            return self._session.receive(self._frames.get_nowait(), now)
        if self._inbox:
            what = self._inbox.popleft()
            return self._session.deliver(what) if isinstance(what, LogEvent) else self._session.change(what)
        return []

    async def _perform(self, outputs: list[Output]) -> None:
        """In order; what an output leads to comes before what follows it."""
        waiting = deque(outputs)
        while waiting:
            output = waiting.popleft()
            if isinstance(output, Send):
                async with asyncio.timeout(SEND_SECONDS):
                    await self._socket.send_text(output.text)
            else:
                waiting.extendleft(reversed(await self._answer(output)))

    async def _answer(self, output: Output) -> list[Output]:
        session, services = self._session, self._services
        match output:
            case Close(code, reason):
                log.info("gateway session closed", code=int(code), reason=reason)
                await self._close(code, reason)
                raise _Closed
            case Authenticate(token):
                self._hub.leave(self, (), self._token_digest)
                # Joined before the token is looked up, so that no revocation falls in between.
                self._token_digest = accounts.digest(token)
                self._hub.join(self, self._token_digest)
                return session.authenticated(await accounts.user_of(services, token))
            case ReadWelcome(user):
                welcome = await gateway.read_welcome(services, UserId(user.user_id))
                return session.welcome(user, welcome.guilds, welcome.cursors)
            case ReadStanding(user, cursors):
                standing = await gateway.read_standing(services, UserId(user.user_id), cursors)
                return session.resume(output, standing.spans, standing.entered, monotonic())
            case ReadGuild(user, _, entered):
                guild = await gateway.read_guild(services, UserId(user.user_id), entered.server_id)
                return session.entered(output, guild)
            case Follow(topic, at):
                self._topics.add(topic)
                return session.behind(topic, self._hub.follow(self, topic, at))
            case Replay(topic, after):
                page = await gateway.read_log(services, topic, after=after, limit=PAGE)
                return session.replayed(topic, page, monotonic())
            case ReadVoiceStates(topics):
                return session.voice_states(gateway.read_voice_states(services, topics))
        return []

    async def _close(self, code: CloseCode, reason: str) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code, reason)


class _Closed(Exception):
    """The session has closed its socket."""
