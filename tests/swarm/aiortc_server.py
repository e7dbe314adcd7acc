"""A WHIP and WHEP server on aiortc: it keeps what is published, and plays one sound and one picture to everybody."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

import uvicorn
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.contrib.media import MediaBlackhole
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.clients.aiortc_client import Ear, Microphone, Samples

TOKEN = "a-token"
STEP = 0.01  # seconds


class AiortcServer:
    """`async with AiortcServer(sound) as server`: it serves `server.whip` and `server.whep`."""

    def __init__(self, sound: Samples) -> None:
        self._sound = sound
        self._sessions: dict[str, RTCPeerConnection] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.ears: list[Ear] = []  # a published track each
        self.deleted = 0  # sessions
        self.statistics: list[dict[str, object]] = []  # of deleted sessions, as `getStats` gives them
        self.offers: list[str] = []

    async def __aenter__(self) -> Self:
        routes = [
            Route("/{kind}/room", self._post, methods=["POST"]),
            Route("/{kind}/room/{number}", self._delete, methods=["DELETE"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(STEP)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.whip, self.whep = (f"http://127.0.0.1:{port}/{kind}/room" for kind in ("whip", "whep"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._sessions.values():
            await connection.close()
        self._server.should_exit = True
        with suppress(asyncio.CancelledError):
            await self._serving

    async def _post(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response(status_code=401)
        offer = (await request.body()).decode()
        self.offers.append(offer)
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if request.path_params["kind"] == "whep":
            connection.addTrack(Microphone(self._sound))
            if "m=video" in offer:
                connection.addTrack(VideoStreamTrack())

        @connection.on("track")
        def published(track: MediaStreamTrack) -> None:
            if request.path_params["kind"] == "whip" and track.kind == "video":
                eye = MediaBlackhole()
                eye.addTrack(track)
                self._tasks.append(asyncio.create_task(eye.start()))
            elif request.path_params["kind"] == "whip":
                ear = Ear(track)
                self.ears.append(ear)
                self._tasks.append(asyncio.create_task(ear.keep()))

        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        location = f"{request.url.path}/{len(self._sessions)}"
        self._sessions[location] = connection
        headers = {"Location": location, "Content-Type": "application/sdp"}
        return Response(connection.localDescription.sdp, status_code=201, headers=headers)

    async def _delete(self, request: Request) -> Response:
        connection = self._sessions.pop(request.url.path, None)
        if connection is None:
            return Response(status_code=404)
        report = await connection.getStats()
        self.statistics += [vars(each) for each in report.values()]
        await connection.close()
        self.deleted += 1
        return Response(status_code=200)
