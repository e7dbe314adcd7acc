"""Programs on other people's WebRTC that publish by WHIP and play by WHEP, as processes to talk to."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.clients import opus
from tests.clients.node_client import FOLDER, TIMEOUT, read_packets, write_packets

SYSTEM_PYTHON = "/usr/bin/python3"  # GStreamer's bindings are the system's, not the environment's
SSRC = 0xC0FFEE


def _node(script: str) -> list[str]:
    program = shutil.which("node")
    if program is None or not (FOLDER / "node_modules").is_dir():
        raise RuntimeError("these tests need Node.js and, once, `npm ci` in tests/clients/node")
    return [program, str(FOLDER / script)]


def _gstreamer() -> list[str]:
    return [SYSTEM_PYTHON, str(FOLDER.with_name("gstreamer_whip.py"))]


def _write_samples(path: Path, samples: opus.Samples) -> None:
    path.write_bytes((samples * 32767).astype("<i2").tobytes())


def _read_samples(path: Path) -> opus.Samples:
    return (np.fromfile(path, "<i2") / 32768).astype(np.float32)


def _write_rtp(path: Path, samples: opus.Samples) -> None:
    write_packets(path, opus.packetize(opus.encode(samples), ssrc=SSRC))


def _read_rtp(path: Path) -> opus.Samples:
    return opus.decode(read_packets(path))


@dataclass(frozen=True)
class Program:
    """How it is called with URL, `publish` or `play`, and a file; and what it has in that file: sound at 48 kHz."""

    command: Callable[[], list[str]]
    write: Callable[[Path, opus.Samples], None] = _write_samples
    read: Callable[[Path], opus.Samples] = _read_samples


PROGRAMS = {
    "gstreamer": Program(_gstreamer),
    "werift": Program(lambda: _node("werift.js"), _write_rtp, _read_rtp),
    "wrtc": Program(lambda: _node("wrtc.js")),
}


@dataclass
class Session:
    """A running program, connected."""

    program: Program
    process: asyncio.subprocess.Process
    file: Path
    location: str = ""  # of the session

    async def event(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), TIMEOUT)
        message: dict[str, Any] = json.loads(line or b'{"event": "ended"}')
        assert message["event"] == name, message
        return message

    async def listen(self) -> opus.Samples:
        """The first three seconds of what is played to it, and perhaps more; then it is over."""
        await self.event("heard")
        await self.end()
        return self.program.read(self.file)

    async def end(self) -> None:
        """It deletes its session. Idempotent."""
        if self.process.returncode is not None:
            return
        assert self.process.stdin is not None
        self.process.stdin.close()
        deleted = await self.event("deleted")
        assert deleted["status"] == 200, deleted
        await asyncio.wait_for(self.process.wait(), TIMEOUT)


@asynccontextmanager
async def session(
    program: Program, url: str, bearer: str, folder: Path, *, says: opus.Samples | None = None
) -> AsyncIterator[Session]:
    """Connected; it publishes what it `says` (WHIP), or else plays (WHEP). Raises RuntimeError where what it runs on is
    missing."""
    way, file = ("play", folder / "received") if says is None else ("publish", folder / "sent")
    if says is not None:
        program.write(file, says)
    process = await asyncio.create_subprocess_exec(
        *program.command(), url, way, str(file), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{bearer}\n".encode())
        running = Session(program, process, file)
        running.location = (await running.event("created"))["location"]
        await running.event("connected")
        yield running
        await running.end()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
