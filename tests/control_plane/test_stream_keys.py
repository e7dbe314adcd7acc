"""Stream keys, from the making to the revoking, and what the node is told when it asks about one."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from control_plane.actions.stream_keys import MAX_KEYS
from control_plane.context import Services
from control_plane.store.sqlite import Database
from control_plane.store.tables import channels, server_members, stream_keys
from control_plane.voice.keys import MAX_SESSIONS, digest
from proto.ice import IceConfig, turn_credential
from proto.media import Authorize, Claims, Denied, EndSession, SessionEnded, SessionStarted
from tests.control_plane.support import Person, Running, in_process, settings_for


@pytest.fixture
async def server(ann: Person, bob: Person) -> dict[str, Any]:
    server = await ann.new_server()
    await ann.bring(bob, server)
    return server


@pytest.fixture
async def lounge(ann: Person, server: dict[str, Any]) -> str:
    return await ann.channel(server, "voice")


async def make(person: Person, channel: str, name: str = "OBS") -> dict[str, Any]:
    made: dict[str, Any] = await person.post(f"/channels/{channel}/stream-keys", {"name": name})
    return made


async def ask(here: Running, channel: str, key: str, *, publishes: bool = True) -> Claims | Denied:
    return await here.pipe.authorize(Authorize(UUID(channel), key, publishes))


async def started(here: Running, claims: Claims | Denied) -> UUID:
    assert isinstance(claims, Claims), claims
    here.pipe.report(SessionStarted(claims.sid, claims.room, claims.sub))
    services: Services = here.app.state.services
    async with asyncio.timeout(5):
        while claims.sid not in {each.session_id for each in services.voice.in_channel(claims.room)}:  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
    return claims.sid


async def ended(here: Running) -> EndSession:
    async with asyncio.timeout(5):
        command = await here.pipe.commands.get()
    assert isinstance(command, EndSession)
    return command


async def test_a_key_is_shown_once(ann: Person, bob: Person, lounge: str) -> None:
    made = await make(ann, lounge, "  OBS ")
    assert made["name"] == "OBS"
    assert len(made["key"]) > 40
    shown = {name: made[name] for name in ("key_id", "name", "created_at")}
    assert await ann.get(f"/channels/{lounge}/stream-keys") == [shown]
    assert await bob.get(f"/channels/{lounge}/stream-keys") == []


async def test_a_key_is_kept_as_its_hash_alone(tmp_path: Path, here: Running, ann: Person, lounge: str) -> None:
    key = (await make(ann, lounge))["key"]
    kept = b"".join(each.read_bytes() for each in (tmp_path / "chorale.db", tmp_path / "chorale.db-wal"))
    assert digest(key) in kept
    assert key.encode() not in kept
    assert key.removeprefix("csk_").encode() not in kept


async def test_a_key_lets_its_member_into_its_channel(here: Running, ann: Person, lounge: str) -> None:
    answer = await ask(here, lounge, (await make(ann, lounge))["key"])
    assert isinstance(answer, Claims)
    assert (str(answer.sub), str(answer.room), answer.aud) == (ann.user_id, lounge, "node-1")
    assert answer.exp - answer.iat == 60


async def test_a_key_opens_nothing_else(here: Running, ann: Person, server: dict[str, Any], lounge: str) -> None:
    key = (await make(ann, lounge))["key"]
    other = await ann.post(f"/servers/{server['server_id']}/channels", {"name": "Stage", "type": "voice"})
    assert await ask(here, other["channel_id"], key) == Denied("wrong_channel")
    for wrong in ("", "csk_", key[:-1], key.upper(), ann.token, "csk_\ud800"):
        assert await ask(here, lounge, wrong) == Denied("unknown_key")
    assert (await here.http.get("/users/@me", headers={"Authorization": f"Bearer {key}"})).status_code == 401


async def test_keys_are_for_members_and_for_channels_in_which_one_can_talk(
    here: Running, ann: Person, server: dict[str, Any], lounge: str
) -> None:
    eve = await here.sign_up("eve")
    for method in ("GET", "POST"):
        answer = await eve.ask(method, f"/channels/{lounge}/stream-keys", json={"name": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_channel")
    text = await ann.channel(server, "text")
    assert (await ann.post(f"/channels/{text}/stream-keys", {"name": "x"}, 400))["code"] == "not_a_voice_channel"


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": " "}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": 1}])
async def test_a_key_has_a_name(ann: Person, lounge: str, body: dict[str, Any]) -> None:
    assert (await ann.post(f"/channels/{lounge}/stream-keys", body, 422))["errors"].keys() == {"name"}


async def test_a_member_has_so_many_keys_for_a_channel(ann: Person, bob: Person, lounge: str) -> None:
    for _ in range(MAX_KEYS):
        await make(ann, lounge)
    assert (await ann.post(f"/channels/{lounge}/stream-keys", {"name": "x"}, 400))["code"] == "too_many"
    await make(bob, lounge)


async def test_a_revoked_key_lets_nobody_in_and_what_it_made_ends(
    here: Running, ann: Person, bob: Person, lounge: str
) -> None:
    made, kept = await make(ann, lounge), await make(ann, lounge)
    session = await started(here, await ask(here, lounge, made["key"]))
    pending = await ask(here, lounge, made["key"], publishes=False)
    await started(here, await ask(here, lounge, kept["key"]))
    path = f"/channels/{lounge}/stream-keys/{made['key_id']}"
    assert (await bob.ask("DELETE", path)).json()["code"] == "unknown_stream_key"
    assert (await ann.ask("DELETE", path)).status_code == 204
    assert isinstance(pending, Claims)
    assert {(await ended(here)).session_id for _ in range(2)} == {session, pending.sid}
    assert here.pipe.commands.empty()
    assert await ask(here, lounge, made["key"]) == Denied("unknown_key")
    assert (await ann.ask("DELETE", path)).status_code == 404
    assert [each["key_id"] for each in await ann.get(f"/channels/{lounge}/stream-keys")] == [kept["key_id"]]


async def test_what_a_key_made_goes_on_beside_its_member(here: Running, ann: Person, lounge: str) -> None:
    """An encoder is not the browser of whoever set it up: neither replaces the other, and leaving ends only one."""
    key = (await make(ann, lounge))["key"]
    await started(here, await ask(here, lounge, key))
    admission = await ann.post(f"/channels/{lounge}/join")
    here.pipe.start(admission, lounge, ann.user_id)
    await started(here, await ask(here, lounge, key, publishes=False))
    assert len(await ann.get(f"/channels/{lounge}/participants")) == 3
    await ann.post(f"/channels/{lounge}/leave", status=204)
    assert str((await ended(here)).session_id) == admission["session_id"]
    assert len(await ann.get(f"/channels/{lounge}/participants")) == 2
    assert here.pipe.commands.empty()


async def test_an_encoder_that_comes_again_ends_its_earlier_session(here: Running, ann: Person, lounge: str) -> None:
    key = (await make(ann, lounge))["key"]
    first = await started(here, await ask(here, lounge, key))
    for _ in range(2):
        await started(here, await ask(here, lounge, key, publishes=False))
    await started(here, await ask(here, lounge, key))
    assert await ended(here) == EndSession(first, "replaced")
    assert here.pipe.commands.empty()


async def test_a_key_makes_so_many_sessions_at_once(here: Running, ann: Person, lounge: str) -> None:
    key = (await make(ann, lounge))["key"]
    claims = [await ask(here, lounge, key, publishes=False) for _ in range(MAX_SESSIONS)]
    assert await ask(here, lounge, key) == Denied("too_many")
    assert isinstance(claims[0], Claims)
    here.pipe.report(SessionEnded(claims[0].sid, "lost"))
    async with asyncio.timeout(5):
        while isinstance(await ask(here, lounge, key), Denied):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("gone", ["membership", "channel", "key"])
async def test_a_key_goes_with_its_membership_and_its_channel(
    tmp_path: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever removes them: the database sees to it, and what was made with the key ends."""
    opened: list[Database] = []
    open_database = Database.open

    async def noted(database: Database) -> None:
        opened.append(database)
        await open_database(database)

    monkeypatch.setattr(Database, "open", noted)
    async with in_process(settings_for(tmp_path)) as here:
        ann, bob = await here.sign_up("ann"), await here.sign_up("bob")
        server = await ann.new_server()
        await ann.bring(bob, server)
        lounge = await ann.channel(server, "voice")
        made = await make(bob, lounge)
        session = await started(here, await ask(here, lounge, made["key"]))
        statement = {
            "membership": server_members.delete().where(server_members.c.user_id == UUID(bob.user_id)),
            "channel": channels.delete().where(channels.c.channel_id == UUID(lounge)),
            "key": stream_keys.delete().where(stream_keys.c.key_id == UUID(made["key_id"])),
        }[gone]
        await opened[0].write(lambda connection: connection.execute(statement))
        assert await ask(here, lounge, made["key"]) == Denied("unknown_key")
        services: Services = here.app.state.services
        await services.voice.expire()
        assert await ended(here) == EndSession(session, "removed")


async def test_a_join_comes_with_turn_credentials_of_its_own(tmp_path: Path) -> None:
    ice = IceConfig(["stun:192.0.2.9"], ["turn:192.0.2.9?transport=tcp"], b"secret", timedelta(hours=1))
    async with in_process(settings_for(tmp_path, ice=ice)) as here:
        ann = await here.sign_up("ann")
        lounge = await ann.channel(await ann.new_server(), "voice")
        services: Services = here.app.state.services
        before = int(services.now.timestamp())
        admission = await ann.post(f"/channels/{lounge}/join")
        stun, turn = admission["ice_servers"]
        assert stun == {"urls": ["stun:192.0.2.9"]}
        expiry, session = turn["username"].split(":")
        assert session == admission["session_id"]
        assert before + 3600 <= int(expiry) <= int(services.now.timestamp()) + 3600
        assert turn["urls"] == ["turn:192.0.2.9?transport=tcp"]
        assert turn["credential"] == turn_credential(b"secret", turn["username"])
