"""An ICE restart (RFC 8445 §9) for aiortc, which has none: another aioice connection under the same DTLS transport."""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress

import aioice
from aiortc import RTCIceTransport


class Paths:
    """All the ways on which one transport's datagrams have come and gone. Installed before the transport starts."""

    def __init__(self, transport: RTCIceTransport) -> None:
        self._now: aioice.Connection = transport._connection
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._pumps = [self._pump(self._now)]
        transport._recv, transport._send = self._recv, self._send

    async def _recv(self) -> bytes:
        data = await self._received.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        await self._now.send(data)

    def _pump(self, connection: aioice.Connection) -> "asyncio.Task[None]":
        async def pump() -> None:
            while connection._nominated.get(1) is None:
                await asyncio.sleep(0.01)  # its `recv` raises until it is connected
            with suppress(ConnectionError):
                while True:
                    self._received.put_nowait(await connection.recv())
            if connection is self._now:
                self._received.put_nowait(None)

        return asyncio.create_task(pump())

    async def gather(self) -> aioice.Connection:
        """A connection with new credentials and sockets."""
        connection = aioice.Connection(ice_controlling=True)
        await connection.gather_candidates()
        return connection

    async def switch(self, connection: aioice.Connection, answer: str) -> None:
        """Nominate a path with the credentials of `answer`, and close the sockets of the path before."""
        before = self._now
        connection.remote_is_lite = True
        connection.remote_username, connection.remote_password = _value(answer, "ice-ufrag"), _value(answer, "ice-pwd")
        for line in dict.fromkeys(re.findall(r"^a=candidate:([^\r\n]+)", answer, re.MULTILINE)):
            if " udp " in line:
                await connection.add_remote_candidate(aioice.Candidate.from_sdp(line))
        await connection.add_remote_candidate(None)
        await connection.connect()
        self._pumps.append(self._pump(connection))
        self._now = connection
        if before._query_consent_task is not None:
            before._query_consent_task.cancel()
        for protocol in before._protocols:
            await protocol.close()

    async def close(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._now.close()


def with_credentials(sdp: str, connection: aioice.Connection) -> str:
    """`sdp` as the offer of a restart."""
    sdp = re.sub(r"^a=ice-ufrag:\S+", f"a=ice-ufrag:{connection.local_username}", sdp, flags=re.MULTILINE)
    sdp = re.sub(r"^a=ice-pwd:\S+", f"a=ice-pwd:{connection.local_password}", sdp, flags=re.MULTILINE)
    return "".join(_without_candidates(sdp.splitlines(keepends=True)))


def _without_candidates(lines: Iterable[str]) -> Iterable[str]:
    return (line for line in lines if not line.startswith(("a=candidate", "a=end-of-candidates")))


def _value(sdp: str, name: str) -> str:
    found = re.search(rf"^a={name}:(\S+)", sdp, re.MULTILINE)
    assert found is not None, name
    return found[1]
