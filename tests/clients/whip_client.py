"""WHIP and WHEP clients of two kinds: aiortc here, libdatachannel in `node/whip.js` as a process to talk to."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.clients.aiortc_client import PATIENCE, Ear, Microphone, Samples
from tests.clients.node_client import FOLDER, TIMEOUT, read_packets, write_packets


@dataclass
class AiortcSession:
    """A session by aiortc: `ears` hear what a player receives, by m-line."""

    url: str  # of the session
    answer: httpx.Response
    connection: RTCPeerConnection
    ears: list[Ear] = field(default_factory=list)


@asynccontextmanager
async def aiortc_session(
    url: str, bearer: str, *, microphone: Samples | None = None, lines: int = 1
) -> AsyncIterator[AiortcSession]:
    """Connected; with a microphone it publishes (WHIP), without it plays (WHEP) on `lines` m-lines. DELETE ends it."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if microphone is not None:
        connection.addTransceiver(Microphone(microphone), direction="sendonly")
    else:
        for _ in range(lines):
            connection.addTransceiver("audio", direction="recvonly")
    connected = asyncio.Event()

    @connection.on("connectionstatechange")
    def changed() -> None:
        if connection.connectionState in ("connected", "failed", "closed"):
            connected.set()

    tasks: list[asyncio.Task[None]] = []
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/sdp"}
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            await connection.setLocalDescription(await connection.createOffer())
            answer = await http.post(url, content=connection.localDescription.sdp, headers=headers)
            assert answer.status_code == 201, answer.text
            session = AiortcSession(urljoin(url, answer.headers["location"]), answer, connection)
            await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            if microphone is None:
                session.ears = [Ear(each.receiver.track) for each in connection.getTransceivers()]
                tasks += [asyncio.create_task(each.keep()) for each in session.ears]
            await asyncio.wait_for(connected.wait(), PATIENCE)
            assert connection.connectionState == "connected", connection.connectionState
            yield session
            await http.delete(session.url, headers={"Authorization": f"Bearer {bearer}"})
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.close()


@dataclass
class DatachannelSession:
    """A session by libdatachannel. After `delete`, `received` holds RTP packets."""

    process: asyncio.subprocess.Process
    file: Path
    created: dict[str, Any] = field(default_factory=dict)
    deleted: dict[str, Any] = field(default_factory=dict)
    received: list[bytes] = field(default_factory=list)

    async def event(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), TIMEOUT)
        message: dict[str, Any] = json.loads(line or b'{"event": "ended"}')
        assert message["event"] == name, message
        return message

    async def delete(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.deleted = await self.event("deleted")
        await asyncio.wait_for(self.process.wait(), TIMEOUT)
        if self.file.name == "received.rtp":
            self.received = read_packets(self.file)


@asynccontextmanager
async def datachannel_session(
    url: str, bearer: str, folder: Path, *, packets: Sequence[bytes] | None = None, video: bool = False
) -> AsyncIterator[DatachannelSession]:
    """Connected; with packets it publishes one every 20 ms (WHIP), without it plays (WHEP). `video`: it offers a track
    of it too. Raises RuntimeError without Node.js."""
    program = shutil.which("node")
    if program is None or not (FOLDER / "node_modules").is_dir():
        raise RuntimeError("these tests need Node.js and, once, `npm ci` in tests/clients/node")
    way, file = ("play", folder / "received.rtp") if packets is None else ("publish", folder / "sent.rtp")
    if packets is not None:
        write_packets(file, packets)
    process = await asyncio.create_subprocess_exec(
        program,
        str(FOLDER / "whip.js"),
        url,
        way,
        str(file),
        *(["video"] if video else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{bearer}\n".encode())
        session = DatachannelSession(process, file)
        session.created = await session.event("created")
        await session.event("connected")
        yield session
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
