"""The client in `node/` (libdatachannel by node-datachannel) as a process to talk to."""

import asyncio
import json
import shutil
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proto.rest import Admission

FOLDER = Path(__file__).with_name("node")
TIMEOUT = 20  # seconds for any one step; connecting takes a tenth of one


def write_packets(path: Path, packets: Sequence[bytes]) -> None:
    path.write_bytes(b"".join(struct.pack("!H", len(packet)) + packet for packet in packets))


def read_packets(path: Path) -> list[bytes]:
    data, at, packets = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("!H", data, at)
        packets.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return packets


class NodeClient:
    """`joined` is what signalling answered: csrc, participants. After `leave`, `received` holds RTP packets."""

    def __init__(self, process: asyncio.subprocess.Process, dump: Path) -> None:
        self._process, self._dump = process, dump
        self.joined: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self.received: list[bytes] = []

    async def event(self, name: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), TIMEOUT)
        message: dict[str, Any] = json.loads(line or b'{"event": "ended"}')
        assert message["event"] == name, message
        return message

    async def _ask(self, command: str, answer: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        return await self.event(answer)

    async def resume(self) -> dict[str, Any]:
        """Break the signalling socket and come again. What it was answered."""
        return await self._ask("resume", "resumed")

    async def renew(self) -> None:
        """Another transport in place of the present one."""
        await self._ask("renew", "connected")

    async def leave(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        left = await self.event("left")
        self.counts = {name: left[name] for name in ("sent", "received", "late_ms")}
        await asyncio.wait_for(self._process.wait(), TIMEOUT)
        self.received = read_packets(self._dump)


@asynccontextmanager
async def node_client(
    signalling: str, admission: Admission, packets: Sequence[bytes], folder: Path
) -> AsyncIterator[NodeClient]:
    """Connected, and sending `packets`, one every 20 ms. Files go into `folder`. Raises RuntimeError without Node.js.

    `signalling` is the WebSocket's full address.
    """
    program = shutil.which("node")
    if program is None or not (FOLDER / "node_modules").is_dir():
        raise RuntimeError("these tests need Node.js and, once, `npm ci` in tests/clients/node")
    sent, received = folder / "sent.rtp", folder / "received.rtp"
    write_packets(sent, packets)
    process = await asyncio.create_subprocess_exec(
        program,
        str(FOLDER / "client.js"),
        signalling,
        str(sent),
        str(received),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{admission.grant}\n".encode())
        client = NodeClient(process, received)
        client.joined = await client.event("joined")
        await client.event("connected")
        yield client
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
