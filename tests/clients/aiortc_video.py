"""A member with everything, on aiortc: microphone, camera, screen and its sound, and slots for all of it; streams by
WHIP and WHEP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urljoin

import httpx
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from proto.rest import Admission
from proto.signalling import Watch, Wish
from tests.clients.aiortc_client import AiortcClient, Eye, Microphone, Samples, Transport
from tests.clients.picture import Camera, Picture


class FullTransport(Transport):
    def __init__(
        self,
        microphone: Samples | None,
        camera: Picture | None,
        screen: Picture | None,
        sound: Samples | None,
        videos: int,
    ) -> None:
        super().__init__(microphone, 3, camera, videos, sendrecv=False)
        if sound is not None:
            self.connection.addTransceiver(Microphone(sound), direction="sendonly")
        if screen is not None:
            self.connection.addTransceiver(Camera(screen), direction="sendonly")


class VideoClient(AiortcClient):
    """As `AiortcClient`, with a `screen` that needs a `camera`, and its `sound`, which needs a `microphone`."""

    def __init__(
        self,
        url: str,
        admission: Admission,
        *,
        microphone: Samples | None = None,
        camera: Picture | None = None,
        screen: Picture | None = None,
        sound: Samples | None = None,
        videos: int = 2,
    ) -> None:
        full = partial(FullTransport, microphone, camera, screen, sound, videos)
        super().__init__(url, admission, new_transport=full)

    @property
    def eyes(self) -> list[Eye]:
        """Of its video slots."""
        return self.transport.eyes

    async def wish(self, *wishes: Wish) -> None:
        await self.send(Watch(list(wishes)))


@asynccontextmanager
async def streaming(url: str, bearer: str, *tracks: MediaStreamTrack) -> AsyncIterator[list[Eye]]:
    """A WHIP encoder that sends these tracks; without any a WHEP player of sound and picture, and what it sees."""
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
            eyes = [Eye(each.track) for each in receivers]
            tasks += [asyncio.create_task(each.keep()) for each in eyes]
            yield eyes
            await http.delete(urljoin(url, answer.headers["location"]), headers=headers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await connection.close()
