import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from structlog.testing import capture_logs

from control_plane.voice.grants import Grants
from proto.ids import make_id
from proto.media import (
    DeafenSession,
    EndSession,
    MediaCommand,
    MoveSession,
    MuteSession,
    SessionChanged,
    SessionMoved,
    SessionStarted,
)
from proto.rest import IceServer
from tests.control_plane.support import Gateway, Person, Running, in_process, settings_for


@pytest.fixture
async def ann(live: Running) -> Person:
    return await live.sign_up("ann")


@pytest.fixture
async def bob(live: Running, ann: Person) -> Person:
    return await live.sign_up("bob")


@pytest.fixture
async def server(ann: Person, bob: Person) -> dict[str, Any]:
    server = await ann.new_server()
    await ann.bring(bob, server)
    return server


@pytest.fixture
async def lounge(ann: Person, server: dict[str, Any]) -> str:
    return await ann.channel(server, "voice")


async def join(person: Person, channel: str) -> dict[str, Any]:
    admission: dict[str, Any] = await person.post(f"/channels/{channel}/join")
    return admission


async def next_voice_state(gateway: Gateway) -> tuple[dict[str, Any], bool]:
    change = await gateway.event("VOICE_STATE_UPDATE")
    return change["state"], change["present"]


async def command(live: Running) -> MediaCommand:
    async with asyncio.timeout(5):
        return await live.pipe.commands.get()


async def test_a_grant_lets_this_user_into_this_room_of_this_node(
    live: Running, ann: Person, lounge: str, tmp_path: Path
) -> None:
    live.pipe.ice_servers = [IceServer(["stun:192.0.2.1"])]
    admission = await join(ann, lounge)
    key = Grants.open(tmp_path).public_key
    claims = jwt.decode(admission["grant"], key, algorithms=["EdDSA"], audience="node-1")
    assert claims["sub"] == ann.user_id
    assert claims["room"] == lounge
    assert claims["sid"] == admission["session_id"]
    assert claims["exp"] - claims["iat"] == 60
    assert claims["video"] is True
    assert admission["signalling"] == "/voice"
    assert admission["ice_servers"] == [{"urls": ["stun:192.0.2.1"]}]
    again = jwt.decode((await join(ann, lounge))["grant"], key, algorithms=["EdDSA"], audience="node-1")
    assert again["jti"] != claims["jti"]


async def test_a_session_is_announced_when_the_node_says_it_started(
    live: Running, ann: Person, bob: Person, lounge: str
) -> None:
    async with live.online(bob) as his:
        admission = await join(ann, lounge)
        assert await bob.get(f"/channels/{lounge}/participants") == []
        live.pipe.start(admission, lounge, ann.user_id)
        state, present = await next_voice_state(his)
        assert present
        assert (state["user_id"], state["channel_id"], state["muted"]) == (ann.user_id, lounge, False)
        assert await bob.get(f"/channels/{lounge}/participants") == [state]
        live.pipe.mute(admission, True)
        state, present = await next_voice_state(his)
        assert present
        assert state["muted"]
        live.pipe.end(admission, "lost")
        assert await next_voice_state(his) == (state, False)
        assert await bob.get(f"/channels/{lounge}/participants") == []


async def test_ready_and_resumed_tell_who_is_where(live: Running, ann: Person, bob: Person, lounge: str) -> None:
    async with live.online(bob) as watching:
        live.pipe.start(await join(ann, lounge), lounge, ann.user_id)
        state, _ = await next_voice_state(watching)
    async with live.gateway() as fresh:
        ready = await fresh.identify(bob)
        assert ready["guilds"][0]["voice_states"] == [state]
    async with live.gateway() as resumed:
        await resumed.resume(bob, watching.session_id, watching.cursors)
        assert await resumed.event("RESUMED") == {"voice_states": [state]}


async def test_a_new_member_sees_who_is_in_voice(
    live: Running, ann: Person, server: dict[str, Any], lounge: str
) -> None:
    eve = await live.sign_up("eve")
    async with live.online(ann) as hers, live.online(eve) as gateway:
        live.pipe.start(await join(ann, lounge), lounge, ann.user_id)
        state, _ = await next_voice_state(hers)
        await ann.bring(eve, server)
        assert (await gateway.event("GUILD_CREATE"))["voice_states"] == [state]


async def test_leaving_ends_the_session_at_the_node_too(live: Running, ann: Person, bob: Person, lounge: str) -> None:
    async with live.online(bob) as his:
        admission = await join(ann, lounge)
        live.pipe.start(admission, lounge, ann.user_id)
        state, _ = await next_voice_state(his)
        await ann.post(f"/channels/{lounge}/leave", status=204)
        assert await command(live) == EndSession(UUID(admission["session_id"]), "left")
        assert await next_voice_state(his) == (state, False)
        live.pipe.end(admission, "left")
        await ann.post(f"/channels/{lounge}/leave", status=204)
        assert live.pipe.commands.empty()


async def test_leaving_before_it_started_voids_the_grant(live: Running, ann: Person, bob: Person, lounge: str) -> None:
    async with live.online(bob) as his:
        early = await join(ann, lounge)
        await ann.post(f"/channels/{lounge}/leave", status=204)
        assert await command(live) == EndSession(UUID(early["session_id"]), "left")
        live.pipe.start(early, lounge, ann.user_id)  # it crossed the command on the way
        later = await join(bob, lounge)
        live.pipe.start(later, lounge, bob.user_id)
        state, _ = await next_voice_state(his)
        assert state["user_id"] == bob.user_id


async def test_a_session_that_starts_replaces_the_users_other_one(
    live: Running, ann: Person, bob: Person, server: dict[str, Any], lounge: str
) -> None:
    made = await ann.post(f"/servers/{server['server_id']}/channels", {"name": "stage", "type": "video"})
    stage = made["channel_id"]
    async with live.online(bob) as his:
        await his.send(1)
        assert await his.frame() == {"op": 11}
        first = await join(ann, lounge)
        live.pipe.start(first, lounge, ann.user_id)
        before, _ = await next_voice_state(his)
        second = await join(ann, stage)
        assert await bob.get(f"/channels/{lounge}/participants") == [before]
        live.pipe.start(second, stage, ann.user_id)
        assert await next_voice_state(his) == (before, False)
        after, present = await next_voice_state(his)
        assert present
        assert after["channel_id"] == stage
        assert await command(live) == EndSession(UUID(first["session_id"]), "replaced")


async def test_when_the_node_is_gone_so_is_everybody_on_it(
    live: Running, ann: Person, bob: Person, lounge: str
) -> None:
    async with live.online(bob) as his:
        for person in (ann, bob):
            live.pipe.start(await join(person, lounge), lounge, person.user_id)
            await next_voice_state(his)
        live.pipe.vanish()
        gone = [await next_voice_state(his) for _ in range(2)]
        assert {state["user_id"] for state, present in gone if not present} == {ann.user_id, bob.user_id}


async def test_a_session_from_before_a_restart_is_taken_over(
    live: Running, ann: Person, bob: Person, lounge: str
) -> None:
    session_id = make_id(1_800_000_000_000, 0, 0)
    async with live.online(bob) as his:
        live.pipe.report(SessionStarted(session_id, UUID(lounge), UUID(ann.user_id), muted=True))
        state, present = await next_voice_state(his)
        assert present
        assert state["session_id"] == str(session_id)
        assert state["muted"]


async def test_a_stranger_in_a_room_is_put_out(live: Running, ann: Person, lounge: str) -> None:
    eve = await live.sign_up("eve")
    session_id = make_id(1_800_000_000_000, 0, 0)
    live.pipe.report(SessionStarted(session_id, UUID(lounge), UUID(eve.user_id)))
    assert await command(live) == EndSession(session_id, "removed")
    assert await ann.get(f"/channels/{lounge}/participants") == []


async def test_nobody_talks_in_a_text_channel(live: Running, ann: Person, server: dict[str, Any]) -> None:
    problem = await ann.post(f"/channels/{await ann.channel(server)}/join", status=400)
    assert problem["code"] == "not_a_voice_channel"


# What the owner may do to those who are there


@pytest.fixture
async def spoken(live: Running, bob: Person, lounge: str) -> dict[str, Any]:
    """Bob's admission to the lounge, in which he is."""
    admission = await join(bob, lounge)
    async with live.online(bob) as gateway:
        live.pipe.start(admission, lounge, bob.user_id)
        await next_voice_state(gateway)
    return admission


async def test_the_owner_mutes_and_deafens_and_it_is_announced_once_the_node_has_done_it(
    live: Running, ann: Person, bob: Person, lounge: str, spoken: dict[str, Any]
) -> None:
    session, path = UUID(spoken["session_id"]), f"/channels/{lounge}/participants/{bob.user_id}"
    async with live.online(ann) as hers:
        await ann.does("PATCH", path, {"server_muted": True, "server_deafened": True})
        assert await command(live) == MuteSession(session, True)
        assert await command(live) == DeafenSession(session, True)
        (state,) = await bob.get(f"/channels/{lounge}/participants")
        assert not state["server_muted"]
        live.pipe.report(SessionChanged(session, deafened=True, server_muted=True, server_deafened=True))
        state, present = await next_voice_state(hers)
        assert present
        assert [state[each] for each in FLAGS] == [False, True, True, True]
        assert await bob.get(f"/channels/{lounge}/participants") == [state]
        await ann.does("PATCH", path, {"server_muted": False})
        assert await command(live) == MuteSession(session, False)
        await ann.does("PATCH", path, {})
        assert live.pipe.commands.empty()


async def test_who_shares_a_camera_or_a_screen_is_listed_so(
    live: Running, ann: Person, lounge: str, spoken: dict[str, Any]
) -> None:
    session = UUID(spoken["session_id"])
    async with live.online(ann) as hers:
        live.pipe.report(SessionChanged(session, sources=["camera", "screen"]))
        state, present = await next_voice_state(hers)
        assert (state["sources"], present) == (["camera", "screen"], True)
        assert await ann.get(f"/channels/{lounge}/participants") == [state]


FLAGS = ("muted", "deafened", "server_muted", "server_deafened")


async def test_who_was_muted_by_the_server_is_so_when_it_comes_again(
    live: Running, ann: Person, bob: Person, lounge: str, spoken: dict[str, Any]
) -> None:
    path = f"/channels/{lounge}/participants/{bob.user_id}"
    await ann.does("PATCH", path, {"server_muted": True})
    await command(live)
    live.pipe.end(spoken, "left")
    async with live.online(ann) as hers:
        again = await join(bob, lounge)
        live.pipe.start(again, lounge, bob.user_id)
        await next_voice_state(hers)
        assert await command(live) == MuteSession(UUID(again["session_id"]), True)


async def test_the_owner_moves_a_member_to_another_voice_channel(
    live: Running, ann: Person, bob: Person, server: dict[str, Any], lounge: str, spoken: dict[str, Any]
) -> None:
    session, stage = UUID(spoken["session_id"]), await another(ann, server, "video")
    async with live.online(ann) as hers:
        await ann.does("PATCH", f"/channels/{lounge}/participants/{bob.user_id}", {"channel_id": stage})
        assert await command(live) == MoveSession(session, UUID(stage))
        live.pipe.report(SessionMoved(session, UUID(stage)))
        state, present = await next_voice_state(hers)
        assert present
        assert (state["session_id"], state["channel_id"]) == (spoken["session_id"], stage)
    assert await bob.get(f"/channels/{lounge}/participants") == []
    assert await bob.get(f"/channels/{stage}/participants") == [state]


async def another(person: Person, server: dict[str, Any], kind: str) -> str:
    made = await person.post(f"/servers/{server['server_id']}/channels", {"name": "stage", "type": kind})
    return str(made["channel_id"])


async def test_the_owner_disconnects_a_member(
    live: Running, ann: Person, bob: Person, lounge: str, spoken: dict[str, Any]
) -> None:
    async with live.online(ann) as hers:
        await ann.does("DELETE", f"/channels/{lounge}/participants/{bob.user_id}")
        assert await command(live) == EndSession(UUID(spoken["session_id"]), "removed")
        state, present = await next_voice_state(hers)
        assert (state["user_id"], present) == (bob.user_id, False)
        problem = await ann.does("DELETE", f"/channels/{lounge}/participants/{bob.user_id}", status=404)
        assert problem["code"] == "unknown_participant"


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"server_muted": True}), ("DELETE", None)])
async def test_only_the_owner_may_and_strangers_see_nothing(
    live: Running, ann: Person, bob: Person, lounge: str, spoken: dict[str, Any], method: str, body: Any
) -> None:
    path, stranger = f"/channels/{lounge}/participants/{bob.user_id}", await live.sign_up("eve")
    assert (await bob.does(method, path, body, 403))["code"] == "missing_permissions"
    assert (await stranger.does(method, path, body, 404))["code"] == "unknown_channel"
    elsewhere = f"/channels/{lounge}/participants/{stranger.user_id}"
    assert (await ann.does(method, elsewhere, body, 404))["code"] == "unknown_participant"
    assert live.pipe.commands.empty()


async def test_nobody_is_moved_where_it_could_not_go_itself(
    live: Running, ann: Person, bob: Person, server: dict[str, Any], lounge: str, spoken: dict[str, Any]
) -> None:
    path, other = f"/channels/{lounge}/participants/{bob.user_id}", await ann.new_server("Away")
    hidden = await (eve := await live.sign_up("eve")).channel(await eve.new_server(), "voice")
    for target, status, code in (
        (await ann.channel(server), 400, "not_a_voice_channel"),
        (await ann.channel(other, "voice"), 404, "unknown_channel"),
        (hidden, 404, "unknown_channel"),
        (str(make_id(1_800_000_000_000, 0, 0)), 404, "unknown_channel"),
    ):
        problem = await ann.does("PATCH", path, {"server_muted": True, "channel_id": target}, status)
        assert problem["code"] == code
    assert live.pipe.commands.empty(), "and nothing else of the change was made"


# The node, and the lack of one


@pytest.mark.parametrize(("stopped", "level"), [(True, "info"), (False, "warning")])
async def test_only_a_node_that_was_not_asked_to_stop_is_a_warning(
    live: Running, ann: Person, lounge: str, stopped: bool, level: str
) -> None:
    async with live.online(ann) as hers:
        live.pipe.start(await join(ann, lounge), lounge, ann.user_id)
        await next_voice_state(hers)
        with capture_logs() as logs:
            (live.pipe.stop if stopped else live.pipe.vanish)()
            _, present = await next_voice_state(hers)
        assert not present
        assert [each["log_level"] for each in logs if each["event"].startswith("media node")] == [level]


async def test_without_a_node_voice_is_a_503_and_the_rest_works(tmp_path: Path) -> None:
    from httpx import ASGITransport, AsyncClient

    from control_plane.app import build

    app = build(settings_for(tmp_path))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(base_url="http://chorale.test", transport=ASGITransport(app)) as http,
    ):
        ann = await Person.sign_up(http, "ann")
        lounge = await ann.channel(await ann.new_server(), "voice")
        answer = await ann.ask("POST", f"/channels/{lounge}/join")
        assert answer.status_code == 503
        assert answer.json()["code"] == "no_media_node"
        assert "Retry-After" in answer.headers


async def test_the_key_of_grants_stays_the_same_over_restarts(tmp_path: Path) -> None:
    async with in_process(settings_for(tmp_path)):
        first = Grants.open(tmp_path).public_pem
    async with in_process(settings_for(tmp_path)):
        assert Grants.open(tmp_path).public_pem == first
