"""What the tests of the media node share: a running one with the real engine, its control plane played by the test."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import msgspec
import uvicorn
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette

from data_plane.link import LocalControlEnd, local_link
from data_plane.node import SIGNALLING_PATH, Node
from data_plane.settings import NodeSettings
from proto.ice import IceConfig
from proto.media import GRANT_ALGORITHM, GRANT_SECONDS, Claims, MediaEvent
from proto.rest import Admission
from proto.signalling import MAX_FRAME, FromNode

NODE_ID = "node-1"
PATIENCE = 10  # seconds until something that should happen counts as never happening
GAUGES = ("rooms", "peers", "sources", "slots_held", "dtls_pending", "stays", "sockets")
OFFERS = Path(__file__).with_name("offers")

EventT = TypeVar("EventT", bound=MediaEvent)


def offer(name: str) -> str:
    """As the client of that name wrote it."""
    return (OFFERS / f"{name}.sdp").read_bytes().decode()


def claims(**changes: Any) -> Claims:
    now = int(time.time())
    given: dict[str, Any] = {
        "aud": NODE_ID,
        "sub": uuid4(),
        "room": uuid4(),
        "sid": uuid4(),
        "jti": uuid4().hex,
        "iat": now,
        "exp": now + GRANT_SECONDS,
        "video": True,
    }
    return Claims(**given | changes)


def sign(claims: Claims | dict[str, Any], key: Ed25519PrivateKey) -> str:
    return jwt.encode(msgspec.to_builtins(claims), key, algorithm=GRANT_ALGORITHM)


@dataclass
class Running:
    """A node behind a real server. `control` is the control plane's end of its link."""

    node: Node
    control: LocalControlEnd
    key: Ed25519PrivateKey
    http: str
    server: uvicorn.Server
    _events: AsyncIterator[MediaEvent] = field(init=False)

    def __post_init__(self) -> None:
        self._events = self.control.events()

    @property
    def url(self) -> str:
        return self.http.replace("http", "ws") + SIGNALLING_PATH

    def grant(self, **changes: Any) -> str:
        return sign(claims(**changes), self.key)

    def admission(self, **changes: Any) -> Admission:
        """`changes` to the claims of its grant: room, sub, sid."""
        admitted = claims(**changes)
        expires_at = datetime.fromtimestamp(admitted.exp, UTC)
        return Admission(admitted.sid, self.url, sign(admitted, self.key), expires_at)

    async def reported(self, kind: type[EventT]) -> EventT:
        """The next event for the control plane, which must be of that kind. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            event = await anext(self._events)
        assert isinstance(event, kind), event
        return event

    @property
    def gauges(self) -> dict[str, int]:
        counters = self.node.counters()
        return {name: counters[name] for name in GAUGES}

    async def freed(self) -> dict[str, int]:
        """The gauges once they are all zero, or after `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while any(self.gauges.values()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return self.gauges

    async def detached(self) -> None:
        """Returns when there are fewer sockets than stays. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while self.gauges["sockets"] >= self.gauges["stays"]:
                await asyncio.sleep(0.01)

    def may_resume_within(self, seconds: float) -> None:
        """In place of `RESUME_SECONDS`, for what breaks from now on."""
        self.node._directory._resume_seconds = seconds

    def small_buffers(self) -> None:
        """The kernel keeps little for clients that do not read, of those who come from now on."""
        self.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    @asynccontextmanager
    async def socket(self, *, receive_buffer: int | None = None) -> AsyncIterator["Socket"]:
        """`receive_buffer`: bytes that the kernel keeps for a client that does not read."""
        given = socket.socket()
        if receive_buffer is not None:
            given.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        given.setblocking(False)
        await asyncio.get_running_loop().sock_connect(given, ("127.0.0.1", urlsplit(self.http).port))
        async with websockets.connect(self.url, sock=given, max_size=None) as connection:
            yield Socket(connection)


class Socket:
    """The signalling WebSocket without a client behind it."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.raw = connection

    async def send(self, frame: Any) -> None:
        """Text as it is, anything else as JSON."""
        await self.raw.send(frame if isinstance(frame, str | bytes) else msgspec.json.encode(frame).decode())

    async def receive(self) -> FromNode:
        async with asyncio.timeout(PATIENCE):
            frame: FromNode = msgspec.json.decode(await self.raw.recv(), type=FromNode)
        return frame

    async def rest(self) -> list[FromNode]:
        """Everything up to the end of the socket. Raises TimeoutError if it does not end."""
        frames: list[FromNode] = []
        with suppress(websockets.ConnectionClosedError):  # by a code of ours, or without one
            async with asyncio.timeout(PATIENCE):
                async for text in self.raw:
                    frames.append(msgspec.json.decode(text, type=FromNode))
        return frames


class _Server(uvicorn.Server):
    """Says goodbye before its sockets close, as `chorale serve` should."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node
        self.started_up = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.started_up.set()

    async def shutdown(self, sockets: Any = None) -> None:
        await self._node.farewell()
        await super().shutdown(sockets)


@asynccontextmanager
async def running(settings: NodeSettings | None = None, *, ice: IceConfig | None = None) -> AsyncIterator[Running]:
    key = Ed25519PrivateKey.generate()
    control, link = local_link(NODE_ID, SIGNALLING_PATH)
    chosen = settings or NodeSettings(("127.0.0.1",))
    node = Node(chosen, node_id=NODE_ID, link=link, grant_key=key.public_key(), ice=ice)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with node.running():
            yield

    config = uvicorn.Config(
        Starlette(routes=list(node.routes()), lifespan=lifespan),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        ws_max_size=2 * MAX_FRAME,
        ws_ping_interval=None,
    )
    server = _Server(config, node)
    serving = asyncio.create_task(server._serve())  # `serve` takes the process's signals
    await asyncio.wait_for(server.started_up.wait(), PATIENCE)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Running(node, control, key, f"http://127.0.0.1:{port}", server)
    finally:
        server.should_exit = True
        await serving
