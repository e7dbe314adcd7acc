import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.actions import channels, servers
from tests.control_plane.support import Person, Running


async def test_a_new_server_has_a_place_to_write_and_a_place_to_talk(here: Running, ann: Person) -> None:
    server = await ann.post("/servers", {"name": "  Home ", "description": "ours"})
    assert server["name"] == "Home"
    assert server["description"] == "ours"
    assert server["owner_id"] == ann.user_id
    assert server["member_count"] == 1
    assert await ann.get("/servers") == [server]
    assert await ann.get(f"/servers/{server['server_id']}") == server
    made = await ann.get(f"/servers/{server['server_id']}/channels")
    assert [(each["name"], each["type"], each["position"]) for each in made] == [
        ("general", "text", 0),
        ("Lounge", "voice", 1),
    ]


async def test_channels_are_added_at_the_end(here: Running, ann: Person) -> None:
    server = await ann.new_server()
    path = f"/servers/{server['server_id']}/channels"
    made = [await ann.post(path, {"name": kind, "type": kind}) for kind in ("text", "voice", "video")]
    assert [each["position"] for each in made] == [2, 3, 4]
    assert (await ann.get(path))[2:] == made
    assert await ann.get(f"/channels/{made[0]['channel_id']}") == made[0]


async def test_only_the_owner_makes_channels(here: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    problem = await bob.post(f"/servers/{server['server_id']}/channels", {"name": "mine"}, status=403)
    assert problem["code"] == "missing_permissions"


async def test_members_are_listed_in_pages(here: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    path = f"/servers/{server['server_id']}/members"
    everyone = await bob.get(path)
    assert [each["user"]["username"] for each in everyone] == ["ann", "bob"]
    [first] = await bob.get(path, params={"limit": 1})
    [second] = await bob.get(path, params={"limit": 1, "after": first["user"]["user_id"]})
    assert [first, second] == everyone


async def outside(ann: Person, bob: Person) -> tuple[Person, dict[str, Any], str, str]:
    server = await ann.new_server()
    return bob, server, await ann.channel(server), await ann.channel(server, "voice")


async def test_to_an_outsider_nothing_of_a_server_exists(here: Running, ann: Person, bob: Person) -> None:
    _, server, text, voice = await outside(ann, bob)
    await ann.say(text, "secret")
    asked = [
        ("GET", f"/servers/{server['server_id']}", None),
        ("GET", f"/servers/{server['server_id']}/members", None),
        ("GET", f"/servers/{server['server_id']}/channels", None),
        ("POST", f"/servers/{server['server_id']}/channels", {"name": "x"}),
        ("POST", f"/servers/{server['server_id']}/invite", None),
        ("GET", f"/channels/{text}", None),
        ("GET", f"/channels/{text}/messages", None),
        ("POST", f"/channels/{text}/messages", {"content": "x"}),
        ("POST", f"/channels/{text}/join", None),
        ("POST", f"/channels/{voice}/join", None),
        ("POST", f"/channels/{voice}/leave", None),
        ("GET", f"/channels/{voice}/participants", None),
    ]
    nowhere = "01a20cdf-edb8-8079-8000-000000000000"
    for method, path, body in asked:
        hidden = await bob.ask(method, path, **({"json": body} if body else {}))
        for each in (server["server_id"], text, voice):
            path = path.replace(each, nowhere)
        absent = await bob.ask(method, path, **({"json": body} if body else {}))
        assert hidden.status_code == absent.status_code == 404, path
        assert hidden.json() == absent.json()
    assert await bob.get("/servers") == []


async def test_an_invite_lets_in_and_tells_where_it_leads(here: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    invite = await ann.post(f"/servers/{server['server_id']}/invite", {"max_age": 3600})
    shown = await here.http.get(f"/invites/{invite['code']}")
    assert shown.json() == invite
    assert invite["server_name"] == "Home"
    left = datetime.fromisoformat(invite["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    joined = await bob.post(f"/invites/{invite['code']}", status=200)
    assert joined["server_id"] == server["server_id"]
    assert joined["member_count"] == 2
    assert await bob.get("/servers") == [joined]


async def test_accepting_again_changes_nothing_even_when_it_is_used_up(here: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    invite = await ann.post(f"/servers/{server['server_id']}/invite", {"max_uses": 1})
    path = f"/invites/{invite['code']}"
    assert (await ann.post(path, status=200))["member_count"] == 1
    first, again = await bob.post(path, status=200), await bob.post(path, status=200)
    assert first == again
    eve = await here.sign_up("eve")
    assert (await eve.post(path, status=404))["code"] == "unknown_invite"


async def test_an_invite_with_one_use_lets_in_one_of_many_at_once(here: Running, ann: Person) -> None:
    server = await ann.new_server()
    invite = await ann.post(f"/servers/{server['server_id']}/invite", {"max_uses": 1})
    people = [await here.sign_up(f"guest{each}") for each in range(4)]
    answers = await asyncio.gather(*(each.ask("POST", f"/invites/{invite['code']}") for each in people))
    assert sorted(each.status_code for each in answers) == [200, 404, 404, 404]
    assert (await ann.get(f"/servers/{server['server_id']}"))["member_count"] == 2


async def test_an_expired_invite_is_gone(here: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    invite = await ann.post(f"/servers/{server['server_id']}/invite", {"max_age": 60})
    services = here.app.state.services
    now_us = services.now_us
    object.__setattr__(services, "now_us", lambda: now_us() + 61_000_000)
    assert (await here.http.get(f"/invites/{invite['code']}")).status_code == 404
    await bob.post(f"/invites/{invite['code']}", status=404)
    assert await bob.get("/servers") == []


async def test_codes_cannot_be_guessed(here: Running, ann: Person) -> None:
    server = await ann.new_server()
    codes = {(await ann.post(f"/servers/{server['server_id']}/invite"))["code"] for _ in range(20)}
    assert len(codes) == 20
    assert {len(each) for each in codes} == {10}
    assert (await here.http.get("/invites/2222222222")).json()["code"] == "unknown_invite"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "description": "\x00"}, "description"),
        ({"name": "x", "description": "x" * 1001}, "description"),
        ({}, "name"),
    ],
)
async def test_a_server_that_will_not_do_is_refused(
    here: Running, ann: Person, body: dict[str, Any], field: str
) -> None:
    problem = await ann.post("/servers", body, status=422)
    assert list(problem["errors"]) == [field]
    assert await ann.get("/servers") == []


@pytest.mark.parametrize("body", [{"name": "x", "type": "stage"}, {"name": "x", "type": None}])
async def test_a_channel_of_an_unknown_type_is_refused(here: Running, ann: Person, body: dict[str, Any]) -> None:
    server = await ann.new_server()
    problem = await ann.post(f"/servers/{server['server_id']}/channels", body, status=422)
    assert list(problem["errors"]) == ["type"]


async def test_there_is_an_end_to_servers_and_channels(
    here: Running, ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "MAX_SERVERS", 1)
    monkeypatch.setattr(channels, "MAX_CHANNELS", 2)
    server = await ann.new_server()
    assert (await ann.post("/servers", {"name": "x"}, status=400))["code"] == "too_many"
    path = f"/servers/{server['server_id']}/channels"
    assert (await ann.post(path, {"name": "x"}, status=400))["code"] == "too_many"
    await bob.new_server()
    invite = await ann.post(f"/servers/{server['server_id']}/invite")
    assert (await bob.post(f"/invites/{invite['code']}", status=400))["code"] == "too_many"
