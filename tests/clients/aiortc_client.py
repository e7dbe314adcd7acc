"""A voice client on aiortc: joins a room through the real signalling socket, speaks, and keeps what it hears."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aioice.ice
import av
import msgspec
import numpy as np
import websockets
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from numpy.typing import NDArray
from scipy.io import wavfile

from proto.rest import Admission, Shared
from proto.signalling import (
    Answer,
    Arrived,
    Beat,
    Changed,
    Deafen,
    Departed,
    Ended,
    FromClient,
    FromNode,
    Ignore,
    Join,
    Joined,
    Leave,
    Moved,
    Mute,
    Offer,
    Participant,
    Refused,
    Resume,
    Resumed,
    Share,
    Slots,
    SlotState,
    Videos,
    VideoState,
    Watch,
    Wish,
)
from tests.clients.ice_restart import Paths, with_credentials
from tests.clients.picture import Camera, Picture, Pixels, rgb

RATE = 48_000  # Hz
FRAME = RATE // 50  # samples of 20 ms
LISTENING = 0.25  # seconds that tell one tone from another, to 4 Hz
SETTLING = 0.5  # seconds in which a jitter buffer fills
PATIENCE = 15  # seconds until something that should happen counts as never happening

Samples = NDArray[np.float32]
FrameT = TypeVar("FrameT", bound=FromNode)
ResultT = TypeVar("ResultT")


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

    @property
    def received(self) -> int:
        """Samples so far."""
        return sum(map(len, self._blocks))

    @property
    def loudness(self) -> float:
        return rms(self.heard)

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
                mono = frame.to_ndarray().reshape(-1, channels)[:, 0]
                self._blocks.append((mono / 32768).astype(np.float32))
                self._more.set()


class Eye:
    """What arrives on one receiving video m-line: `latest` is the frame that came last."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track
        self._more = asyncio.Condition()
        self.latest: Pixels | None = None
        self.count = 0

    async def sees(self, picture: Picture) -> None:
        """Returns once it is shown. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE), self._more:
            await self._more.wait_for(lambda: self.latest is not None and picture.is_in(self.latest))

    async def keep(self) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await self._track.recv()
                assert isinstance(frame, av.VideoFrame)
                async with self._more:
                    self.latest = rgb(frame)
                    self.count += 1
                    self._more.notify_all()


class Transport:
    """One peer connection: a microphone and a camera up, slots down."""

    def __init__(
        self, samples: Samples | None, slots: int, camera: Picture | None, videos: int, *, sendrecv: bool
    ) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration([], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        if samples is not None:
            self.connection.addTransceiver(Microphone(samples), direction="sendrecv" if sendrecv else "sendonly")
        for _ in range(slots - (sendrecv and samples is not None)):
            self.connection.addTransceiver("audio", direction="recvonly")
        if camera is not None:
            self.connection.addTransceiver(Camera(camera), direction="sendonly")
        for _ in range(videos):
            self.connection.addTransceiver("video", direction="recvonly")
        self.eyes: list[Eye] = []  # of the video slots, in their order
        self.ears: dict[str, Ear] = {}  # by mid
        self.mids: list[str] = []  # of the slots, in their order
        self._tasks: list[asyncio.Task[None]] = []
        self._paths: Paths | None = None

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        (ice,) = {each.sender.transport.transport for each in self.connection.getTransceivers()}
        self._paths = Paths(ice)
        return str(self.connection.localDescription.sdp)

    async def connect(self, answer: str) -> None:
        connected = asyncio.Event()

        @self.connection.on("connectionstatechange")
        def changed() -> None:
            if self.connection.connectionState in ("connected", "failed", "closed"):
                connected.set()

        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        for transceiver in self.connection.getTransceivers():
            if transceiver.currentDirection not in ("recvonly", "sendrecv") or transceiver.mid is None:
                continue
            if transceiver.kind == "video":
                self.eyes.append(eye := Eye(transceiver.receiver.track))
                self._tasks.append(asyncio.create_task(eye.keep()))
            else:
                self.mids.append(transceiver.mid)
                ear = self.ears[transceiver.mid] = Ear(transceiver.receiver.track)
                self._tasks.append(asyncio.create_task(ear.keep()))
        await connected.wait()
        assert self.connection.connectionState == "connected", self.connection.connectionState

    async def restart(self, answered: Callable[[str], Awaitable[str]]) -> None:
        """An ICE restart, on sockets of its own. `answered`: from the offer to the answer."""
        assert self._paths is not None
        fresh = await self._paths.gather()
        offer = with_credentials(self.connection.localDescription.sdp, fresh)
        await self._paths.switch(fresh, await answered(offer))

    async def vanish(self) -> None:
        """Without a word on any wire."""
        for transceiver in self.connection.getTransceivers():
            await transceiver.sender.transport.transport.stop()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()
        if self._paths is not None:
            await self._paths.close()


class AiortcClient:
    """`async with AiortcClient(url, admission) as client`: connected. Raises `JoinRefused`.

    `url` is the signalling WebSocket's full address. `microphone`: samples at 48 kHz, a WAV file, or None to only
    listen. `sendrecv`: one m-line is both microphone and first slot, as `addTrack` makes it. `camera`: what it films,
    which others see once it says so (`share`); `videos`: slots in which it sees others.
    `new_transport`: another kind, whose microphone, camera and slots are its own matter.
    """

    def __init__(
        self,
        url: str,
        admission: Admission,
        *,
        microphone: Samples | Path | None = None,
        slots: int = 3,
        sendrecv: bool = False,
        camera: Picture | None = None,
        videos: int = 0,
        new_transport: Callable[[], Transport] | None = None,
    ) -> None:
        self._url, self._admission = url, admission
        samples = read_wav(microphone) if isinstance(microphone, Path) else microphone
        self._new_transport = new_transport or partial(Transport, samples, slots, camera, videos, sendrecv=sendrecv)
        self.transport = self._new_transport()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._frames: list[FromNode] = []
        self._told = asyncio.Condition()
        self.participants: dict[str, Participant] = {}  # by session id, oneself too
        self.slots: dict[int, SlotState] = {}  # by index
        self.seen: dict[int, VideoState] = {}  # by video slot
        self.token = ""

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._join()
        except BaseException:
            await self._close()
            raise
        return self

    async def _join(self) -> None:
        self.offer = await self.transport.offer()
        first = await self._open(Join(self._admission.grant, self.offer))
        assert isinstance(first, Joined), first
        self.joined = first
        self._start(self._beat())
        await self.transport.connect(first.answer)

    async def _open(self, greeting: Join | Resume) -> FromNode:
        """A socket that begins with `greeting`. What it is answered. Raises `JoinRefused`."""
        self._socket = await self._stack.enter_async_context(websockets.connect(self._url, max_size=None))
        await self.send(greeting)
        first = await self._receive()
        if isinstance(first, Refused):
            raise JoinRefused(first)
        if isinstance(first, Joined | Resumed):
            self.token = first.token
            self.participants = {str(each.session_id): each for each in first.participants}
            self.slots = {each.slot: each for each in first.slots}
            self.seen = {each.slot: each for each in first.videos}
        self._start(self._read(self._socket))
        return first

    # When something breaks.

    def break_socket(self) -> None:
        """The signalling socket, without a word."""
        self._socket.transport.abort()

    async def resume(self, token: str | None = None) -> Resumed:
        """On a new socket. Raises `JoinRefused`."""
        async with asyncio.timeout(PATIENCE):
            resumed = await self._open(Resume(self.token if token is None else token))
        assert isinstance(resumed, Resumed), resumed
        return resumed

    async def restart_ice(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.transport.restart(self.answer_to)

    async def renew(self) -> None:
        """Another transport in place of the present one, which is closed once the new one is connected."""
        before, self.transport = self.transport, self._new_transport()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.transport.connect(await self.answer_to(await self.transport.offer()))
        finally:
            await before.close()

    async def answer_to(self, offer: str) -> str:
        """Raises `JoinRefused`."""
        count = len(self._frames)
        await self.send(Offer(offer))
        answer: Answer | Refused = await self.told((Answer, Refused), after=count)
        if isinstance(answer, Refused):
            raise JoinRefused(answer)
        return answer.answer

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
        self.break_socket()
        await self.transport.vanish()
        await self._close()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.transport.close()
        await self._stack.aclose()

    async def send(self, frame: FromClient) -> None:
        await self._socket.send(msgspec.json.encode(frame).decode())

    async def mute(self, muted: bool) -> None:
        await self.send(Mute(muted))

    async def deafen(self, deafened: bool) -> None:
        await self.send(Deafen(deafened))

    async def ignore(self, *csrcs: int) -> None:
        await self.send(Ignore(list(csrcs)))

    async def share(self, *sources: Shared) -> None:
        await self.send(Share(list(sources)))

    async def watch(self, *csrcs: int, width: int = 1280) -> None:
        """Each in a slot of its own, in this order."""
        await self.send(Watch([Wish(slot, csrc, width) for slot, csrc in enumerate(csrcs)]))

    async def told(
        self,
        kind: type[FrameT] | tuple[type[FrameT], ...],
        such_that: Callable[[FrameT], bool] = lambda _: True,
        *,
        after: int = 0,
    ) -> FrameT:
        """The first frame of that kind since the join (but `after` frames), or the next one. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE), self._told:
            while True:
                for frame in self._frames[after:]:
                    if isinstance(frame, kind) and such_that(frame):
                        return frame
                await self._told.wait()

    async def slot_of(self, csrc: int) -> str:
        """The mid of the slot in which `csrc` is heard, once it is. Raises TimeoutError."""
        slot = await self._until(lambda: next((slot for slot, it in self.slots.items() if it.csrc == csrc), None))
        return self.transport.mids[slot]

    async def free_of(self, csrc: int, mid: str | None = None) -> None:
        """Returns when `csrc` is heard in no slot, or not in that of `mid`. Raises TimeoutError."""
        mids = [mid] if mid else self.transport.mids

        def free() -> bool | None:
            heard = [slot.slot for slot in self.slots.values() if slot.csrc == csrc]
            return None if any(self.transport.mids[each] in mids for each in heard) else True

        await self._until(free)

    async def shown(self, csrc: int | None, slot: int = 0) -> VideoState:
        """The state of a video slot, once it shows `csrc`. Raises TimeoutError."""

        def found() -> VideoState | None:
            state = self.seen.get(slot)
            return state if state is not None and state.csrc == csrc else None

        return await self._until(found)

    async def _until(self, found: Callable[[], ResultT | None]) -> ResultT:
        async with asyncio.timeout(PATIENCE), self._told:
            while (result := found()) is None:
                await self._told.wait()
            return result

    async def listen(self, mid: str, seconds: float) -> Samples:
        """The next `seconds` of a slot. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE + seconds):
            return await self.transport.ears[mid].listen(seconds)

    @property
    def frames(self) -> Sequence[FromNode]:
        """Everything told since the join, heartbeats too."""
        return self._frames

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _receive(self) -> FromNode:
        frame: FromNode = msgspec.json.decode(await self._socket.recv(), type=FromNode)
        return frame

    async def _read(self, socket: websockets.ClientConnection) -> None:
        with suppress(websockets.ConnectionClosed):
            while True:
                frame: FromNode = msgspec.json.decode(await socket.recv(), type=FromNode)
                match frame:
                    case Arrived(participant) | Changed(participant):
                        self.participants[str(participant.session_id)] = participant
                    case Departed(session_id):
                        self.participants.pop(str(session_id), None)
                    case Slots(slots):
                        self.slots |= {each.slot: each for each in slots}
                    case Videos(videos):
                        self.seen |= {each.slot: each for each in videos}
                    case Moved(_, participants, slots, videos):
                        self.seen = {each.slot: each for each in videos}
                        self.participants = {str(each.session_id): each for each in participants}
                        self.slots = {each.slot: each for each in slots}
                async with self._told:
                    self._frames.append(frame)
                    self._told.notify_all()

    async def _beat(self) -> None:
        count = 0
        while True:
            with suppress(websockets.ConnectionClosed):
                await self.send(Beat(count))
            count += 1
            await asyncio.sleep(self.joined.heartbeat_ms / 1000)


async def heard(listener: AiortcClient, speaker: AiortcClient | int) -> Samples:
    """A quarter of a second of what `listener` hears of `speaker` (or of its csrc), which may change its slot before.
    Raises TimeoutError."""
    csrc = speaker if isinstance(speaker, int) else speaker.joined.csrc
    while True:
        slot = await listener.slot_of(csrc)
        hearing = asyncio.create_task(_settled(listener, slot))
        moved = asyncio.create_task(listener.free_of(csrc, slot))
        try:
            await asyncio.wait((hearing, moved), return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                return await hearing
        finally:
            hearing.cancel()
            moved.cancel()
            await asyncio.gather(hearing, moved, return_exceptions=True)


async def _settled(listener: AiortcClient, mid: str) -> Samples:
    await listener.listen(mid, SETTLING)
    return await listener.listen(mid, LISTENING)
