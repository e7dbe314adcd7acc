"""What the tests share: a running control plane, people who use it, and the other end of the pipe to a media node."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx
import uvicorn
import websockets
from starlette.applications import Starlette

from control_plane.app import build
from control_plane.ratelimit import Rate
from control_plane.settings import Settings
from proto.media import MediaCommand, MediaEvent, SessionChanged, SessionEnded, SessionStarted
from proto.rest import IceServer

PASSWORD = "correct horse"
FAST = Rate(100_000, 1)


def settings_for(data_dir: Path, **changes: Any) -> Settings:
    free = dict.fromkeys(
        ("limit_accounts", "limit_messages", "limit_invites", "limit_creations", "limit_joins"),
        FAST,
    )
    return Settings(**{"data_dir": data_dir, "web_dir": data_dir / "web", **free, **changes})


@dataclass
class Pipe:
    """A `NodeLink` whose other end is the test: it reads commands and tells what happened."""

    node_id: str = "node-1"
    signalling: str = "/voice"
    ice_servers: Sequence[IceServer] = ()
    stopped: bool = False
    commands: asyncio.Queue[MediaCommand] = field(default_factory=asyncio.Queue)
    _events: asyncio.Queue[MediaEvent | None] = field(default_factory=asyncio.Queue)

    async def send(self, command: MediaCommand) -> None:
        await self.commands.put(command)

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    def start(self, admission: dict[str, Any], channel_id: str, user_id: str) -> None:
        self._events.put_nowait(SessionStarted(UUID(admission["session_id"]), UUID(channel_id), UUID(user_id)))

    def mute(self, admission: dict[str, Any], muted: bool) -> None:
        self._events.put_nowait(SessionChanged(UUID(admission["session_id"]), muted=muted))

    def end(self, admission: dict[str, Any], reason: Any) -> None:
        self._events.put_nowait(SessionEnded(UUID(admission["session_id"]), reason))

    def report(self, event: MediaEvent) -> None:
        self._events.put_nowait(event)

    def vanish(self) -> None:
        self._events.put_nowait(None)

    def stop(self) -> None:
        """As a node that was asked to."""
        self.stopped = True
        self._events.put_nowait(None)


@dataclass
class Person:
    http: httpx.AsyncClient
    user_id: str
    username: str
    token: str

    @classmethod
    async def sign_up(cls, http: httpx.AsyncClient, username: str) -> Self:
        answer = await http.post("/users", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        given = answer.json()
        return cls(http, given["user"]["user_id"], username, given["token"])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def ask(self, method: str, path: str, **how: Any) -> httpx.Response:
        return await self.http.request(method, path, headers=self.headers, **how)

    async def get(self, path: str, status: int = 200, **how: Any) -> Any:
        answer = await self.ask("GET", path, **how)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, status: int = 201) -> Any:
        answer = await self.ask("POST", path, **({} if body is None else {"json": body}))
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def does(self, method: str, path: str, body: Any = None, status: int = 204) -> Any:
        """What the answer says; None if it has no body."""
        answer = await self.ask(method, path, **({} if body is None else {"json": body}))
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def new_server(self, name: str = "Home") -> dict[str, Any]:
        server: dict[str, Any] = await self.post("/servers", {"name": name})
        return server

    async def channel(self, server: dict[str, Any], kind: str = "text") -> str:
        channels = await self.get(f"/servers/{server['server_id']}/channels")
        return str(next(each["channel_id"] for each in channels if each["type"] == kind))

    async def bring(self, guest: "Person", server: dict[str, Any]) -> None:
        invite = await self.post(f"/servers/{server['server_id']}/invite")
        await guest.post(f"/invites/{invite['code']}", status=200)

    async def say(self, channel_id: str, content: str, nonce: str | None = None) -> dict[str, Any]:
        body = {"content": content} | ({"nonce": nonce} if nonce else {})
        message: dict[str, Any] = await self.post(f"/channels/{channel_id}/messages", body)
        return message


class Gateway:
    """A client of the gateway that keeps what the contract asks of it: the highest n of each topic."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.cursors: dict[str, int] = {}
        self.session_id = ""
        self.s = 0

    async def send(self, op: int, d: Any = None) -> None:
        await self.socket.send(json.dumps({"op": op, "d": d}))

    async def frame(self) -> dict[str, Any]:
        """The next frame. Checks that `s` goes up by one and that each topic's `n` only rises."""
        async with asyncio.timeout(10):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        if frame["op"] == 0:
            self.s += 1
            assert frame["s"] == self.s
        if "topic" in frame:
            assert frame["n"] > self.cursors.get(frame["topic"], -1), "an event arrived twice"
            self.cursors[frame["topic"]] = frame["n"]
        return frame

    async def event(self, t: str) -> Any:
        """What the next dispatch says, which has to be a `t`."""
        frame = await self.frame()
        assert frame.get("t") == t, frame
        return frame["d"]

    async def identify(self, person: Person) -> Any:
        await self.send(2, {"token": person.token})
        ready = await self.event("READY")
        self.cursors = dict(ready["cursors"])
        self.session_id = ready["session_id"]
        return ready

    async def resume(self, person: Person, session_id: str, cursors: dict[str, int]) -> None:
        self.cursors = dict(cursors)
        await self.send(6, {"token": person.token, "session_id": session_id, "cursors": cursors})

    async def closed(self) -> int:
        """The code the server closes with; what comes before it is read and dropped."""
        async with asyncio.timeout(10):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.socket.recv()
            await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code


@dataclass
class Running:
    """The control plane behind a real server on a port of its own."""

    app: Starlette
    http: httpx.AsyncClient
    port: int
    pipe: Pipe

    async def sign_up(self, username: str) -> Person:
        return await Person.sign_up(self.http, username)

    @asynccontextmanager
    async def gateway(self, **how: Any) -> AsyncIterator[Gateway]:
        async with websockets.connect(f"ws://127.0.0.1:{self.port}/gateway", proxy=None, **how) as socket:
            gateway = Gateway(socket)
            hello = await gateway.frame()
            assert hello == {"op": 10, "d": {"heartbeat_interval": 41250}}
            yield gateway

    @asynccontextmanager
    async def online(self, person: Person) -> AsyncIterator[Gateway]:
        async with self.gateway() as gateway:
            await gateway.identify(person)
            yield gateway


@asynccontextmanager
async def running(settings: Settings, **how: Any) -> AsyncIterator[Running]:
    pipe = Pipe()
    app = build(settings, pipe, **how)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the server did not start"
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as http:
            yield Running(app, http, port, pipe)
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def in_process(settings: Settings, **how: Any) -> AsyncIterator[Running]:
    """The same without a socket."""
    pipe = Pipe()
    app = build(settings, pipe, **how)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(base_url="http://chorale.test", transport=transport) as http:
            yield Running(app, http, 0, pipe)
