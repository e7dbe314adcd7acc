"""WebRTC implementations that share nothing with this project: each publishes by WHIP, and each plays by WHEP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import httpx
import msgspec
import numpy as np
import pytest

from proto.rest import Admission
from proto.signalling import Arrived
from tests.clients.aiortc_client import RATE, AiortcClient, heard, loudest_frequency, rms, tone
from tests.clients.firefox import SCRIPT, firefox, own_address
from tests.clients.picture import BLUE, GREEN, RED, Picture
from tests.clients.whip_programs import FILMERS, PROGRAMS, session
from tests.end_to_end.gathering import GAUGES, everything_freed
from tests.end_to_end.person import PASSWORD
from tests.end_to_end.server import Server, serve

FREE = dict.fromkeys(GAUGES, 0)


@dataclass(frozen=True)
class Home:
    """Somebody with a server of their own: its voice channel, and a stream key for that."""

    http: httpx.AsyncClient
    channel: str
    key: str

    def client(self, admission: Admission, **how: Any) -> AiortcClient:
        address = urljoin(str(self.http.base_url), admission.signalling).replace("http", "ws", 1)
        return AiortcClient(address, admission, **how)

    async def admission(self) -> Admission:
        joined = await self.http.post(f"/channels/{self.channel}/join")
        joined.raise_for_status()
        return msgspec.json.decode(joined.content, type=Admission)

    def url(self, way: str) -> str:
        return f"{str(self.http.base_url).rstrip('/')}/{way}/{self.channel}"


@asynccontextmanager
async def home(chorale: Server) -> AsyncIterator[Home]:
    async with httpx.AsyncClient(base_url=chorale.url, trust_env=False) as http:
        name = f"host_{uuid4().hex[:8]}"
        signed_up = await http.post("/users", json={"username": name, "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {signed_up.json()['token']}"
        guild = (await http.post("/servers", json={"name": "Home"})).json()
        channels = (await http.get(f"/servers/{guild['server_id']}/channels")).json()
        channel = next(each["channel_id"] for each in channels if each["type"] == "voice")
        key = (await http.post(f"/channels/{channel}/stream-keys", json={"name": "strange"})).json()["key"]
        yield Home(http, channel, key)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_others_hear_what_it_publishes(chorale: Server, name: str, tmp_path: Path) -> None:
    async with home(chorale) as here, here.client(await here.admission()) as listener:
        says = np.tile(tone(440), 20)
        async with session(PROGRAMS[name], here.url("whip"), here.key, tmp_path, says=says) as encoder:
            arrived = await listener.told(Arrived)
            assert encoder.location.endswith(str(arrived.participant.session_id))
            of_it = await heard(listener, arrived.participant.csrc)
        assert loudest_frequency(of_it) == pytest.approx(440, abs=5)
        assert rms(of_it) > 0.1
    assert await everything_freed(chorale) == FREE


@pytest.mark.parametrize("name", PROGRAMS)
async def test_it_plays_what_others_say(chorale: Server, name: str, tmp_path: Path) -> None:
    async with home(chorale) as here, here.client(await here.admission(), microphone=tone(1000)):
        async with session(PROGRAMS[name], here.url("whep"), here.key, tmp_path) as player:
            played = (await player.listen())[-RATE:]
        assert loudest_frequency(played) == pytest.approx(1000, abs=5)
        assert rms(played) > 0.1
    assert await everything_freed(chorale) == FREE


@pytest.mark.parametrize("name", FILMERS)
async def test_others_see_what_it_films(chorale: Server, name: str, tmp_path: Path) -> None:
    picture = Picture(left=RED, right=BLUE)
    async with (
        home(chorale) as here,
        here.client(await here.admission(), videos=1) as viewer,
        session(FILMERS[name], here.url("whip"), here.key, tmp_path, says=picture),
    ):
        await viewer.watch((await viewer.told(Arrived)).participant.csrc)
        await viewer.transport.eyes[0].sees(picture)
    assert await everything_freed(chorale) == FREE


@pytest.mark.parametrize("name", FILMERS)
async def test_it_shows_what_others_film(chorale: Server, name: str, tmp_path: Path) -> None:
    picture = Picture(left=GREEN, right=RED)
    async with home(chorale) as here, here.client(await here.admission(), camera=picture) as other:
        await other.share("camera")
        async with session(FILMERS[name], here.url("whep"), here.key, tmp_path) as player:
            frames = await player.watch()
        assert picture.is_in(frames[-1])
    assert await everything_freed(chorale) == FREE


@pytest.mark.timeout(180)
async def test_firefox_publishes_and_plays(tmp_path: Path, empty_page: str) -> None:
    addresses = {"CHORALE_MEDIA_ADDRESSES": f"127.0.0.1,{own_address()}"}
    with serve(tmp_path / "data", addresses) as chorale:
        async with home(chorale) as here, firefox(tmp_path / "profile") as page:
            await page.open(empty_page)
            await page.run(SCRIPT.read_text())
            async with here.client(await here.admission(), microphone=tone(440)) as other:
                await page.call("publish", {"url": here.url("whip"), "key": here.key})
                of_firefox = await heard(other, (await other.told(Arrived)).participant.csrc)
                assert await page.call("end") == 200
                await page.call("play", {"url": here.url("whep"), "key": here.key})
                played = (np.array(await page.call("listen")) / 32768).astype(np.float32)
                assert await page.call("end") == 200
            assert loudest_frequency(of_firefox) == pytest.approx(1000, abs=5)
            assert rms(of_firefox) > 0.05
            assert loudest_frequency(played) == pytest.approx(440, abs=5)
            assert rms(played) > 0.1
        assert await everything_freed(chorale) == FREE
