"""A NAT on loopback: what clients send to its port leaves from another, which can change in the middle of a call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

Address = tuple[str, int]


class _Port(asyncio.DatagramProtocol):
    """One UDP socket; what arrives goes to `arrived`."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport | None = None
        self.arrived: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue(1000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if not self.arrived.full():
            self.arrived.put_nowait((data, addr))

    def send(self, data: bytes, to: Address) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, to)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class Translator:
    """`port` is where clients send; `mappings` counts the ports from which it has reached the server."""

    def __init__(self, server: Address, inside: _Port) -> None:
        self._server, self._inside = server, inside
        self._outside: dict[Address, tuple[_Port, asyncio.Task[None]]] = {}  # by client
        assert inside.transport is not None
        self.port: int = inside.transport.get_extra_info("sockname")[1]
        self.mappings = 0

    async def run(self) -> None:
        while True:
            data, client = await self._inside.arrived.get()
            if client not in self._outside:
                self._outside[client] = await self._map(client)
            self._outside[client][0].send(data, self._server)

    async def _map(self, client: Address) -> tuple[_Port, asyncio.Task[None]]:
        _, port = await asyncio.get_running_loop().create_datagram_endpoint(_Port, ("127.0.0.1", 0))
        self.mappings += 1
        return port, asyncio.create_task(self._answer(port, client))

    async def _answer(self, port: _Port, client: Address) -> None:
        while True:
            data, _ = await port.arrived.get()
            self._inside.send(data, client)

    def rebind(self) -> None:
        """Forget every mapping: a client's next packet leaves from another port, and nothing comes in by the old."""
        for port, task in self._outside.values():
            port.close()
            task.cancel()
        self._outside.clear()


@asynccontextmanager
async def translator(server: Address) -> AsyncIterator[Translator]:
    _, inside = await asyncio.get_running_loop().create_datagram_endpoint(_Port, ("127.0.0.1", 0))
    nat = Translator(server, inside)
    running = asyncio.create_task(nat.run())
    try:
        yield nat
    finally:
        running.cancel()
        nat.rebind()
        inside.close()
