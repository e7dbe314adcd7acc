"""A voice client on aiortc: joins a room through the real signalling socket, speaks, and keeps what it hears."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aioice.ice
import av
import msgspec
import numpy as np
import websockets
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from numpy.typing import NDArray
from scipy.io import wavfile

from proto.rest import Admission
from proto.signalling import (
    Arrived,
    Beat,
    Changed,
    Departed,
    Ended,
    FromClient,
    FromNode,
    Join,
    Joined,
    Leave,
    Mute,
    Participant,
    Refused,
    Slots,
    SlotState,
)

RATE = 48_000  # Hz
FRAME = RATE // 50  # samples of 20 ms
PATIENCE = 15  # seconds until something that should happen counts as never happening

Samples = NDArray[np.float32]
FrameT = TypeVar("FrameT", bound=FromNode)


def _loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return ["127.0.0.1"]


# aioice leaves loopback out of its candidates, and these tests know nothing else.
aioice.ice.get_host_addresses = _loopback


class JoinRefused(Exception):
    """`code` is one of `proto.signalling.REFUSALS`."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(f"{refused.code}: {refused.message}")
        self.code = refused.code


def tone(frequency: float, seconds: float = 1.0, amplitude: float = 0.5) -> Samples:
    """A sine. Loops without a click when `frequency * seconds` is whole."""
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_frequency(samples: Samples) -> float:
    """In Hz, of the strongest component."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


def rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def read_wav(path: Path) -> Samples:
    """Mono, 48 kHz, 16 bits or floats."""
    rate, samples = wavfile.read(path)
    assert (rate, samples.ndim) == (RATE, 1), f"{path} is not mono at {RATE} Hz"
    scale = 32768 if samples.dtype == np.int16 else 1
    return (samples / scale).astype(np.float32)


class Microphone(AudioStreamTrack):
    """Says `samples` over and over, at the pace of the clock."""

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self._samples = np.resize(samples, max(len(samples), FRAME))
        self._at = 0
        self._started = 0.0

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        self._started = self._started or now
        await asyncio.sleep(max(0.0, self._started + self._at / RATE - now))
        window = np.take(self._samples, range(self._at, self._at + FRAME), mode="wrap")
        frame = av.AudioFrame.from_ndarray((window * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._at, Fraction(1, RATE)
        self._at += FRAME
        return frame


class Ear:
    """What arrives on one receiving m-line."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track
        self._blocks: list[Samples] = []
        self._more = asyncio.Event()

    @property
    def heard(self) -> Samples:
        """Everything so far."""
        return np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)

    async def listen(self, seconds: float) -> Samples:
        """The next `seconds`."""
        begin = sum(map(len, self._blocks))
        end = begin + round(seconds * RATE)
        while sum(map(len, self._blocks)) < end:
            self._more.clear()
            await self._more.wait()
        return self.heard[begin:end]

    async def keep(self) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await self._track.recv()
                assert isinstance(frame, av.AudioFrame)
                channels = len(frame.layout.channels)
                self._blocks.append(frame.to_ndarray().reshape(-1, channels)[:, 0].astype(np.float32) / 32768)
                self._more.set()


class AiortcClient:
    """`async with AiortcClient(url, admission) as client`: connected. Raises `JoinRefused`.

    `url` is the signalling WebSocket's full address. `microphone`: samples at 48 kHz, a WAV file, or None to only listen.
    `sendrecv`: one m-line is both microphone and first slot, as `addTrack` makes it. `beats`: whether to send heartbeats.
    """

    def __init__(
        self,
        url: str,
        admission: Admission,
        *,
        microphone: Samples | Path | None = None,
        slots: int = 3,
        sendrecv: bool = False,
        beats: bool = True,
    ) -> None:
        self._url, self._admission, self._beats = url, admission, beats
        samples = read_wav(microphone) if isinstance(microphone, Path) else microphone
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if samples is not None:
            self._connection.addTransceiver(Microphone(samples), direction="sendrecv" if sendrecv else "sendonly")
        for _ in range(slots - (sendrecv and samples is not None)):
            self._connection.addTransceiver("audio", direction="recvonly")
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._frames: list[FromNode] = []
        self._told = asyncio.Condition()
        self.ears: dict[str, Ear] = {}  # by mid
        self.participants: dict[str, Participant] = {}  # by session id, oneself too
        self.slots: dict[str, SlotState] = {}  # by mid

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._join()
        except BaseException:
            await self._close()
            raise
        return self

    async def _join(self) -> None:
        self._socket = await self._stack.enter_async_context(websockets.connect(self._url, max_size=None))
        await self._connection.setLocalDescription(await self._connection.createOffer())
        self.offer = self._connection.localDescription.sdp
        await self.send(Join(self._admission.grant, self.offer))
        first = await self._receive()
        if isinstance(first, Refused):
            raise JoinRefused(first)
        assert isinstance(first, Joined), first
        self.joined = first
        self.participants = {str(each.session_id): each for each in first.participants}
        self._start(self._read())
        if self._beats:
            self._start(self._beat())
        connected = asyncio.Event()

        @self._connection.on("connectionstatechange")
        def changed() -> None:
            if self._connection.connectionState in ("connected", "failed", "closed"):
                connected.set()

        await self._connection.setRemoteDescription(RTCSessionDescription(first.answer, "answer"))
        for transceiver in self._connection.getTransceivers():
            if transceiver.currentDirection in ("recvonly", "sendrecv"):
                ear = self.ears[transceiver.mid] = Ear(transceiver.receiver.track)
                self._start(ear.keep())
        await connected.wait()
        assert self._connection.connectionState == "connected", self._connection.connectionState

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> Ended | None:
        """Say goodbye, and hang up. What the node answered; idempotent."""
        ended = None
        with suppress(websockets.ConnectionClosed, TimeoutError):
            await self.send(Leave())
            ended = await self.told(Ended)
        await self._close()
        return ended

    async def vanish(self) -> None:
        """Without a word on any wire, as a machine does that loses its network: neither BYE nor close_notify."""
        self._socket.transport.abort()
        for transceiver in self._connection.getTransceivers():
            await transceiver.sender.transport.transport.stop()
        await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()
        await self._stack.aclose()

    async def send(self, frame: FromClient) -> None:
        await self._socket.send(msgspec.json.encode(frame).decode())

    async def mute(self, muted: bool) -> None:
        await self.send(Mute(muted))

    async def told(self, kind: type[FrameT], such_that: Callable[[FrameT], bool] = lambda _: True) -> FrameT:
        """The first frame of that kind since the join, or the next one. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE), self._told:
            while True:
                for frame in self._frames:
                    if isinstance(frame, kind) and such_that(frame):
                        return frame
                await self._told.wait()

    async def slot_of(self, csrc: int) -> str:
        """The mid of the slot in which `csrc` is heard, once it is. Raises TimeoutError."""
        return await self._until(lambda: next((mid for mid, slot in self.slots.items() if slot.csrc == csrc), None))

    async def free_of(self, csrc: int) -> None:
        """Returns when `csrc` is heard in no slot. Raises TimeoutError."""
        await self._until(lambda: "free" if all(slot.csrc != csrc for slot in self.slots.values()) else None)

    async def _until(self, found: Callable[[], str | None]) -> str:
        async with asyncio.timeout(PATIENCE), self._told:
            while (result := found()) is None:
                await self._told.wait()
            return result

    async def listen(self, mid: str, seconds: float) -> Samples:
        """The next `seconds` of a slot. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE + seconds):
            return await self.ears[mid].listen(seconds)

    @property
    def frames(self) -> Sequence[FromNode]:
        """Everything told since the join, heartbeats too."""
        return self._frames

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _receive(self) -> FromNode:
        frame: FromNode = msgspec.json.decode(await self._socket.recv(), type=FromNode)
        return frame

    async def _read(self) -> None:
        with suppress(websockets.ConnectionClosed):
            while True:
                frame = await self._receive()
                match frame:
                    case Arrived(participant) | Changed(participant):
                        self.participants[str(participant.session_id)] = participant
                    case Departed(session_id):
                        self.participants.pop(str(session_id), None)
                    case Slots(slots):
                        self.slots |= {each.mid: each for each in slots}
                async with self._told:
                    self._frames.append(frame)
                    self._told.notify_all()

    async def _beat(self) -> None:
        with suppress(websockets.ConnectionClosed):
            count = 0
            while True:
                await self.send(Beat(count))
                count += 1
                await asyncio.sleep(self.joined.heartbeat_ms / 1000)
