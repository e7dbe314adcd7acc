"""WHIP and WHEP on a real server: a stream key made over REST, a browser of another origin, a player that is none."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.aiortc_client import loudest_frequency, rms, tone
from tests.clients.whip_client import aiortc_session
from tests.end_to_end.browser import tab
from tests.end_to_end.gathering import GAUGES, everything_freed
from tests.end_to_end.server import serve

PASSWORD = "correct horse battery"

ENCODER = Path(__file__).with_name("whip.js")


async def sign_up(http: httpx.AsyncClient) -> str:
    """Somebody with a server: the id of its voice channel."""
    answer = await http.post("/users", json={"username": "ann", "password": PASSWORD})
    http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    server = (await http.post("/servers", json={"name": "Home"})).json()
    channels = (await http.get(f"/servers/{server['server_id']}/channels")).json()
    return next(str(each["channel_id"]) for each in channels if each["type"] == "voice")


async def make_key(http: httpx.AsyncClient, channel: str, name: str) -> dict[str, Any]:
    answer = await http.post(f"/channels/{channel}/stream-keys", json={"name": name})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.timeout(120)
@pytest.mark.parametrize("order", [["audio", "video"], ["video", "audio"]], ids=["audio-first", "video-first"])
async def test_a_browser_of_another_origin_publishes_restarts_ice_and_is_heard(
    tmp_path: Path, empty_page: str, order: list[str]
) -> None:
    settings = {"CHORALE_TURN_URLS": "turn:192.0.2.9", "CHORALE_TURN_SECRET": "north wind"}
    with serve(tmp_path / "data", settings) as chorale:
        async with httpx.AsyncClient(base_url=chorale.url, trust_env=False) as http, tab(None) as page:
            channel = await sign_up(http)
            encoder, player = await make_key(http, channel, "encoder"), await make_key(http, channel, "player")
            await page.page.goto(empty_page)
            await page.page.add_script_tag(path=ENCODER)
            published = {"url": f"{chorale.url}/whip/{channel}", "key": encoder["key"], "order": order}
            created = await page.page.evaluate("published => whip.publish(published)", published)
            assert created["link"].startswith('<turn:192.0.2.9>; rel="ice-server"; username="')
            async with aiortc_session(f"{chorale.url}/whep/{channel}", player["key"]) as listener:
                await listener.ears[0].listen(0.5)
                assert loudest_frequency(await listener.ears[0].listen(1)) == pytest.approx(600, abs=5)
                assert await page.page.evaluate("whip.restart()") != created["tag"]
                await listener.ears[0].listen(0.5)
                after = await listener.ears[0].listen(1)
                assert loudest_frequency(after) == pytest.approx(600, abs=5)
                assert rms(after) > 0.1
                assert len((await http.get(f"/channels/{channel}/participants")).json()) == 2
            assert await page.page.evaluate("whip.end()") == 200
            assert not page.complaints
            assert await everything_freed(chorale) == dict.fromkeys(GAUGES, 0)
        for secret in (encoder["key"], player["key"], "north wind"):
            assert secret not in "".join(chorale.log)


async def test_what_a_revoked_key_made_is_over(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as chorale:
        async with httpx.AsyncClient(base_url=chorale.url, trust_env=False) as http:
            channel = await sign_up(http)
            made = await make_key(http, channel, "encoder")
            whip = f"{chorale.url}/whip/{channel}"
            async with aiortc_session(whip, made["key"], microphone=tone(440)) as encoder:
                revoked = await http.delete(f"/channels/{channel}/stream-keys/{made['key_id']}")
                assert revoked.status_code == 204
                assert await everything_freed(chorale) == dict.fromkeys(GAUGES, 0)
                gone = await http.delete(encoder.url, headers={"Authorization": f"Bearer {made['key']}"})
                assert gone.status_code == 404
                headers = {"Authorization": f"Bearer {made['key']}", "Content-Type": "application/sdp"}
                again = await http.post(whip, content="", headers=headers)
                assert again.status_code == 401
