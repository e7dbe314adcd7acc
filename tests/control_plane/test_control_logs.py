import json
from pathlib import Path

import pytest

from tests.control_plane.support import PASSWORD, running, settings_for


async def test_a_line_an_event_and_never_a_secret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with running(settings_for(tmp_path)) as live:
        ann, bob = await live.sign_up("ann"), await live.sign_up("bob")
        login = await live.http.post("/login", json={"username": "ann", "password": PASSWORD})
        await live.http.post("/login", json={"username": "ann", "password": "wrong horse"})
        server = await ann.new_server()
        invite = await ann.post(f"/servers/{server['server_id']}/invite")
        await live.http.get(f"/invites/{invite['code']}")
        await live.http.get(f"/invite/{invite['code']}")
        await live.http.get(f"/invites/{invite['code']}/typo")
        await bob.post(f"/invites/{invite['code']}", status=200)
        await ann.say(await ann.channel(server), "between us")
        lounge = await ann.channel(server, "voice")
        admission = await ann.post(f"/channels/{lounge}/join")
        async with live.online(ann) as gateway:
            await ann.post("/logout", status=204)
            await gateway.closed()
        async with live.gateway() as gateway:
            await gateway.send(2, {"token": ann.token})
            await gateway.closed()
    logged = capfd.readouterr().err
    secrets = [ann.token, bob.token, login.json()["token"], PASSWORD, "wrong horse", invite["code"], admission["grant"]]
    for secret in [*secrets, "between us"]:
        assert secret not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert {"request", "user signed up", "user logged in", "user logged out", "gateway session closed"} <= {
        each["event"] for each in lines
    }
    requests = [each for each in lines if each["event"] == "request"]
    assert all({"request_id", "method", "path", "status", "ms"} <= set(each) for each in requests)
    assert {"/users", "/login", "/invites/{code}", "/channels/{channel_id}/join"} <= {each["path"] for each in requests}
