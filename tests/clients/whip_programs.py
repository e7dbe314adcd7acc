"""Programs on other people's WebRTC that publish by WHIP and play by WHEP, as processes to talk to."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from tests.clients import opus, picture, vp8
from tests.clients.node_client import FOLDER, TIMEOUT, read_packets, write_packets
from tests.clients.picture import Picture, Pixels

SYSTEM_PYTHON = "/usr/bin/python3"  # GStreamer's bindings are the system's, not the environment's
SSRC = 0xC0FFEE
SECONDS = 30  # of video: more than any test takes

SentT = TypeVar("SentT")
ReceivedT = TypeVar("ReceivedT")


@dataclass(frozen=True)
class Call:
    """The words before URL, way and file, and those after."""

    before: list[str]
    after: list[str] = field(default_factory=list)


Command = Callable[[], Call]


def _node(script: str) -> Command:
    def command() -> Call:
        program = shutil.which("node")
        if program is None or not (FOLDER / "node_modules").is_dir():
            raise RuntimeError("these tests need Node.js and, once, `npm ci` in tests/clients/node")
        return Call([program, str(FOLDER / script)])

    return command


def _gstreamer(*more: str) -> Command:
    return lambda: Call([SYSTEM_PYTHON, str(FOLDER.with_name("gstreamer_whip.py"))], list(more))


def _write_samples(path: Path, samples: opus.Samples) -> None:
    path.write_bytes((samples * 32767).astype("<i2").tobytes())


def _read_samples(path: Path) -> opus.Samples:
    return (np.fromfile(path, "<i2") / 32768).astype(np.float32)


def _write_rtp(path: Path, samples: opus.Samples) -> None:
    write_packets(path, opus.packetize(opus.encode(samples), ssrc=SSRC))


def _read_rtp(path: Path) -> opus.Samples:
    return opus.decode(read_packets(path))


def _write_frames(path: Path, shown: Picture) -> None:
    picture.write_i420(path, shown, SECONDS)


def _write_video_rtp(path: Path, shown: Picture) -> None:
    write_packets(path, vp8.packetize(vp8.encode(shown, SECONDS), ssrc=SSRC))


def _read_video_rtp(path: Path) -> list[Pixels]:
    return vp8.decode(read_packets(path))


@dataclass(frozen=True)
class Program(Generic[SentT, ReceivedT]):
    """How it is called with URL, `publish` or `play`, and a file; and what that file holds: sound at 48 kHz, or a
    picture that becomes frames."""

    command: Command
    write: Callable[[Path, SentT], None]
    read: Callable[[Path], ReceivedT]


Talker = Program[opus.Samples, opus.Samples]
Filmer = Program[Picture, list[Pixels]]

PROGRAMS = {
    "gstreamer": Talker(_gstreamer(), _write_samples, _read_samples),
    "werift": Talker(_node("werift.js"), _write_rtp, _read_rtp),
    "wrtc": Talker(_node("wrtc.js"), _write_samples, _read_samples),
}
FILMERS = {
    "gstreamer": Filmer(_gstreamer("video"), _write_frames, picture.read_i420),
    "libdatachannel": Filmer(_node("datachannel_video.js"), _write_video_rtp, _read_video_rtp),
    "wrtc": Filmer(_node("wrtc_video.js"), _write_frames, picture.read_sized_i420),
}


@dataclass
class Session(Generic[SentT, ReceivedT]):
    """A running program, connected."""

    program: Program[SentT, ReceivedT]
    process: asyncio.subprocess.Process
    file: Path
    location: str = ""  # of the session

    async def event(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), TIMEOUT)
        message: dict[str, Any] = json.loads(line or b'{"event": "ended"}')
        assert message["event"] == name, message
        return message

    async def listen(self) -> ReceivedT:
        """The first three seconds of what is played to it, and perhaps more; then it is over."""
        await self.event("heard")
        await self.end()
        return self.program.read(self.file)

    async def watch(self) -> ReceivedT:
        """The first twenty frames that are shown to it, and perhaps more; then it is over."""
        await self.event("seen")
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
    program: Program[SentT, ReceivedT], url: str, bearer: str, folder: Path, *, says: SentT | None = None
) -> AsyncIterator[Session[SentT, ReceivedT]]:
    """Connected; it publishes what it `says` or shows (WHIP), or else plays (WHEP). Raises RuntimeError where what it
    runs on is missing."""
    way, file = ("play", folder / "received") if says is None else ("publish", folder / "sent")
    if says is not None:
        program.write(file, says)
    call = program.command()
    process = await asyncio.create_subprocess_exec(
        *call.before, url, way, str(file), *call.after, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
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
