"""Video on aiortc: cameras of one colour, slots that say which colour they show, and a client that has both."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import urljoin

import av
import httpx
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError

from proto.rest import Admission, Shared
from proto.signalling import Share, Watch, Wish
from tests.clients.aiortc_client import PATIENCE, AiortcClient, Microphone, Samples, Transport

WIDTH, HEIGHT = 320, 240
Colour = tuple[int, int, int]  # red, green, blue
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


class Camera(VideoStreamTrack):
    """Thirty pictures a second, each all of one colour."""

    def __init__(self, colour: Colour) -> None:
        super().__init__()
        self._picture = np.full((HEIGHT, WIDTH, 3), colour, np.uint8)

    async def recv(self) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(self._picture, format="rgb24")
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


class Screen:
    """What one receiving m-line shows."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track
        self._more = asyncio.Condition()
        self.frames = 0
        self.colour: Colour | None = None  # of the middle of the last picture

    async def keep(self) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await self._track.recv()
                assert isinstance(frame, av.VideoFrame)
                middle = frame.to_ndarray(format="rgb24")[frame.height // 2, frame.width // 2]
                async with self._more:
                    self.frames += 1
                    self.colour = (int(middle[0]), int(middle[1]), int(middle[2]))
                    self._more.notify_all()

    async def shows(self, colour: Colour, frames: int = 10) -> None:
        """Returns when that many more pictures were about that colour. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE), self._more:
            while frames:
                await self._more.wait()
                frames -= self.colour is not None and close(self.colour, colour)


def close(one: Colour, other: Colour) -> bool:
    """Of the same colour, as far as an encoder keeps it."""
    return all(abs(each - its) < 40 for each, its in zip(one, other, strict=True))


class VideoTransport(Transport):
    """Beside microphone and slots: the sound of the screen, a camera and a screen of these colours, and as many video
    slots."""

    def __init__(
        self, samples: Samples | None, sound: Samples | None, cameras: tuple[Colour, ...], screens: int
    ) -> None:
        super().__init__(samples, 3, sendrecv=False)
        if sound is not None:
            self.connection.addTransceiver(Microphone(sound), direction="sendonly")
        for colour in cameras:
            self.connection.addTransceiver(Camera(colour), direction="sendonly")
        for _ in range(screens):
            self.connection.addTransceiver("video", direction="recvonly")
        self.screens: list[Screen] = []  # by video slot

    def _receive(self, transceiver: RTCRtpTransceiver, mid: str) -> Coroutine[None, None, None]:
        if transceiver.kind == "audio":
            return super()._receive(transceiver, mid)
        screen = Screen(transceiver.receiver.track)
        self.screens.append(screen)
        return screen.keep()


class VideoClient(AiortcClient):
    """As `AiortcClient`, with what a `VideoTransport` has."""

    def __init__(
        self,
        url: str,
        admission: Admission,
        *,
        microphone: Samples | None = None,
        sound: Samples | None = None,
        cameras: tuple[Colour, ...] = (),
        screens: int = 2,
    ) -> None:
        super().__init__(url, admission, new_transport=partial(VideoTransport, microphone, sound, cameras, screens))

    @property
    def screens(self) -> list[Screen]:
        """Its video slots."""
        assert isinstance(self.transport, VideoTransport)
        return self.transport.screens

    async def share(self, *sources: Shared) -> None:
        await self.send(Share(list(sources)))

    async def watch(self, *wishes: Wish) -> None:
        await self.send(Watch(list(wishes)))


@asynccontextmanager
async def streaming(url: str, bearer: str, *tracks: MediaStreamTrack) -> AsyncIterator[list[Screen]]:
    """A WHIP encoder that sends these tracks; without any a WHEP player of sound and picture, and what it shows."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track in tracks:
        connection.addTransceiver(track, direction="sendonly")
    if not tracks:
        for kind in ("audio", "video"):
            connection.addTransceiver(kind, direction="recvonly")
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/sdp"}
    tasks: list[asyncio.Task[None]] = []
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            await connection.setLocalDescription(await connection.createOffer())
            answer = await http.post(url, content=connection.localDescription.sdp, headers=headers)
            assert answer.status_code == 201, answer.text
            await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            receivers = [each.receiver for each in connection.getTransceivers() if each.kind == "video" and not tracks]
            screens = [Screen(each.track) for each in receivers]
            tasks += [asyncio.create_task(each.keep()) for each in screens]
            yield screens
            await http.delete(urljoin(url, answer.headers["location"]), headers=headers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.close()
