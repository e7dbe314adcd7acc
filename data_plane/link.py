"""The way to the control plane. In one process it is a pair of queues; between machines it will be the bus."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from proto.media import MediaCommand, MediaEvent
from proto.rest import IceServer


class Link(Protocol):
    """The node's end."""

    async def send(self, event: MediaEvent) -> None:
        """In order, and none is lost while the node lives; it may wait as long as that takes."""

    def commands(self) -> AsyncIterator[MediaCommand]: ...

    async def close(self, *, failed: bool) -> None:
        """The node is gone: nothing is sent after this. `failed`: not because it was asked to stop."""


@dataclass(frozen=True, slots=True)
class _End:
    """Of the events."""

    failed: bool


_Up = asyncio.Queue[MediaEvent | _End]


class LocalNodeEnd:
    def __init__(self, up: _Up, down: asyncio.Queue[MediaCommand]) -> None:
        self._up, self._down = up, down

    async def send(self, event: MediaEvent) -> None:
        await self._up.put(event)

    async def commands(self) -> AsyncIterator[MediaCommand]:
        while True:
            yield await self._down.get()

    async def close(self, *, failed: bool) -> None:
        await self._up.put(_End(failed))


class LocalControlEnd:
    """What the control plane holds of a node in its own process."""

    def __init__(self, node_id: str, signalling: str, up: _Up, down: asyncio.Queue[MediaCommand]) -> None:
        self.node_id, self.signalling = node_id, signalling
        self.stopped = False
        self.ice_servers: list[IceServer] = []
        self._up, self._down = up, down

    async def send(self, command: MediaCommand) -> None:
        await self._down.put(command)

    async def events(self) -> AsyncIterator[MediaEvent]:
        """Ends with the node; `stopped` then says whether it was meant to."""
        while not isinstance(event := await self._up.get(), _End):
            yield event
        self.stopped = not event.failed


def local_link(node_id: str, signalling: str) -> tuple[LocalControlEnd, LocalNodeEnd]:
    """Both ends of a link that cannot break. Unbounded: one process produces, the same one consumes."""
    up: _Up = asyncio.Queue()
    down: asyncio.Queue[MediaCommand] = asyncio.Queue()
    return LocalControlEnd(node_id, signalling, up, down), LocalNodeEnd(up, down)
