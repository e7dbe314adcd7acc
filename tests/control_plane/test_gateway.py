import asyncio
import json
from pathlib import Path

import httpx
import pytest

from control_plane.gateway import connection
from tests.control_plane.support import Person, Running, running, settings_for


@pytest.fixture
async def ann(live: Running) -> Person:
    return await live.sign_up("ann")


@pytest.fixture
async def bob(live: Running) -> Person:
    return await live.sign_up("bob")


async def test_ready_tells_everything_the_user_sees_and_where_each_topic_stands(live: Running, ann: Person) -> None:
    server = await ann.new_server()
    async with live.gateway() as gateway:
        ready = await gateway.identify(ann)
    [guild] = ready["guilds"]
    assert ready["user"]["username"] == "ann"
    assert guild["server"] == server
    assert [each["name"] for each in guild["channels"]] == ["general", "Lounge"]
    assert [each["user"]["username"] for each in guild["members"]] == ["ann"]
    assert guild["voice_states"] == []
    assert ready["cursors"] == {f"user:{ann.user_id}": 1, f"guild:{server['server_id']}": 1}


async def test_a_message_reaches_every_member_and_nobody_else(live: Running, ann: Person, bob: Person) -> None:
    eve = await live.sign_up("eve")
    server = await ann.new_server()
    await ann.bring(bob, server)
    channel = await ann.channel(server)
    async with live.online(ann) as hers, live.online(bob) as his, live.online(eve) as outside:
        said = await ann.say(channel, "hello")
        assert await hers.event("MESSAGE_CREATE") == said
        assert await his.event("MESSAGE_CREATE") == said
        await eve.new_server("Elsewhere")
        assert (await outside.event("GUILD_CREATE"))["server"]["name"] == "Elsewhere"


async def test_a_new_member_sees_the_guild_and_then_its_events(live: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    async with live.online(ann) as hers, live.online(bob) as his:
        await ann.bring(bob, server)
        guild = await his.event("GUILD_CREATE")
        assert {each["user"]["username"] for each in guild["members"]} == {"ann", "bob"}
        assert (await his.event("GUILD_MEMBER_ADD"))["member"]["user"]["username"] == "bob"
        added = await hers.event("GUILD_MEMBER_ADD")
        assert added["server_id"] == server["server_id"]
        said = await ann.say(await ann.channel(server), "welcome")
        assert await his.event("MESSAGE_CREATE") == said


async def test_a_new_channel_is_announced(live: Running, ann: Person) -> None:
    server = await ann.new_server()
    async with live.online(ann) as gateway:
        made = await ann.post(f"/servers/{server['server_id']}/channels", {"name": "stage", "type": "voice"})
        assert await gateway.event("CHANNEL_CREATE") == made


async def test_resume_replays_what_was_missed_exactly_once_and_in_order(live: Running, ann: Person) -> None:
    server = await ann.new_server()
    channel = await ann.channel(server)
    async with live.online(ann) as before:
        await ann.say(channel, "seen")
        await before.event("MESSAGE_CREATE")
    missed = [await ann.say(channel, f"missed {each}") for each in range(5)]
    async with live.gateway() as after:
        await after.resume(ann, before.session_id, before.cursors)
        assert [await after.event("MESSAGE_CREATE") for _ in missed] == missed
        assert await after.event("RESUMED") == {"voice_states": []}
        said = await ann.say(channel, "live again")
        assert await after.event("MESSAGE_CREATE") == said


async def test_resume_works_on_a_node_that_never_knew_the_session(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as first:
        ann = await first.sign_up("ann")
        server = await ann.new_server()
        channel = await ann.channel(server)
        async with first.online(ann) as before:
            pass
        missed = await ann.say(channel, "missed")
    async with running(settings_for(tmp_path)) as second, second.gateway() as after:
        ann.http = second.http
        await after.resume(ann, before.session_id, before.cursors)
        assert await after.event("MESSAGE_CREATE") == missed
        await after.event("RESUMED")


async def test_messages_sent_while_a_session_resumes_arrive_once(live: Running, ann: Person) -> None:
    server = await ann.new_server()
    channel = await ann.channel(server)
    async with live.online(ann) as before:
        pass
    early = [await ann.say(channel, f"early {each}") for each in range(50)]

    async def go_on() -> list[object]:
        return [await ann.say(channel, f"late {each}") for each in range(30)]

    async with live.gateway() as after:
        talking = asyncio.create_task(go_on())
        await after.resume(ann, before.session_id, before.cursors)
        got: list[object] = []
        while len(got) < 80:
            frame = await after.frame()
            if frame["t"] == "MESSAGE_CREATE":
                got.append(frame["d"])
        assert got == [*early, *await talking]


async def test_a_guild_entered_while_away_comes_with_the_resume(live: Running, ann: Person, bob: Person) -> None:
    async with live.online(bob) as before:
        pass
    server = await ann.new_server()
    await ann.bring(bob, server)
    said = await ann.say(await ann.channel(server), "hello bob")
    async with live.gateway() as after:
        await after.resume(bob, before.session_id, before.cursors)
        assert (await after.event("GUILD_CREATE"))["server"]["server_id"] == server["server_id"]
        assert (await after.event("GUILD_MEMBER_ADD"))["member"]["user"]["username"] == "bob"
        assert await after.event("MESSAGE_CREATE") == said
        await after.event("RESUMED")


async def test_a_cursor_older_than_the_log_is_an_invalid_session(live: Running, ann: Person) -> None:
    server = await ann.new_server()
    channel = await ann.channel(server)
    async with live.online(ann) as before:
        pass
    await ann.say(channel, "gone by now")
    services = live.app.state.services
    await services.store.write(lambda tx: tx.prune_events(before_us=services.now_us() + 1))
    async with live.gateway() as after:
        await after.resume(ann, before.session_id, before.cursors)
        assert await after.frame() == {"op": 9, "d": False}
        assert (await after.identify(ann))["user"]["username"] == "ann"


@pytest.mark.parametrize("ahead", [1, 10**15])
async def test_a_cursor_that_was_never_given_out_is_an_invalid_session(live: Running, ann: Person, ahead: int) -> None:
    async with live.online(ann) as before:
        pass
    cursors = {topic: n + ahead for topic, n in before.cursors.items()}
    async with live.gateway() as after:
        await after.resume(ann, before.session_id, cursors)
        assert await after.frame() == {"op": 9, "d": False}


async def test_a_resume_that_leaves_a_topic_out_is_an_invalid_session(live: Running, ann: Person) -> None:
    await ann.new_server()
    async with live.gateway() as after:
        await after.resume(ann, "x", {})
        assert await after.frame() == {"op": 9, "d": False}


async def test_cursors_of_other_peoples_guilds_give_nothing(live: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    async with live.online(bob) as before:
        pass
    await ann.say(await ann.channel(server), "secret")
    async with live.gateway() as after:
        await after.resume(bob, before.session_id, {**before.cursors, f"guild:{server['server_id']}": 0, "nonsense": 3})
        assert await after.event("RESUMED") == {"voice_states": []}


async def test_a_heartbeat_is_acknowledged_before_and_after_identify(live: Running, ann: Person) -> None:
    async with live.gateway() as gateway:
        await gateway.send(1)
        assert await gateway.frame() == {"op": 11}
        await gateway.identify(ann)
        await gateway.send(1, 1)
        assert await gateway.frame() == {"op": 11}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 4002),
        ("{", 4002),
        ("[]", 4002),
        ('{"op":"2"}', 4002),
        ('{"op":2}', 4002),
        ('{"op":2,"d":{"token":1}}', 4002),
        ('{"op":6,"d":{"token":"x","session_id":"x","cursors":{"a":"b"}}}', 4002),
        ('{"op":2,"d":{"token":"nobody has this"}}', 4004),
        ('{"op":6,"d":{"token":"x","session_id":"x","cursors":{}}}', 4004),
        ('{"op":3}', 4003),
        ("[" * 10_000, 4002),
        ('{"op":1,"d":' + "[" * 10_000 + "}", 4002),
        (json.dumps({"op": 1, "d": "x" * 17_000}), 4002),
        (b'{"op":1}', 4002),
    ],
)
async def test_a_frame_that_is_not_one_closes_with_its_code(live: Running, text: str | bytes, code: int) -> None:
    async with live.gateway() as gateway:
        await gateway.socket.send(text)
        assert await gateway.closed() == code


async def test_identifying_twice_and_unknown_opcodes_close_with_their_codes(live: Running, ann: Person) -> None:
    async with live.online(ann) as gateway:
        await gateway.send(2, {"token": ann.token})
        assert await gateway.closed() == 4005
    async with live.online(ann) as gateway:
        await gateway.send(99)
        assert await gateway.closed() == 4001


async def test_too_many_frames_close_the_session(live: Running) -> None:
    async with live.gateway() as gateway:
        for _ in range(125):
            await gateway.send(1)
        assert await gateway.closed() == 4008


async def test_signing_out_ends_the_sessions_of_that_token_only(live: Running, ann: Person) -> None:
    again = await live.http.post("/login", json={"username": "ann", "password": "correct horse"})
    other = Person(live.http, ann.user_id, "ann", again.json()["token"])
    async with live.online(ann) as ends, live.online(other) as stays:
        await ann.post("/logout", status=204)
        assert await ends.closed() == 4004
        await stays.send(1)
        assert await stays.frame() == {"op": 11}


async def test_a_client_that_does_not_read_is_closed_and_can_resume(
    live: Running, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_WAITING", 100)  # so that it takes only as many as the sockets hold, and these
    server = await ann.new_server()
    channel = await ann.channel(server)
    hub = live.app.state.hub
    async with live.gateway(max_queue=1, close_timeout=1, compression=None) as stuck:
        await stuck.identify(ann)
        cursors = dict(stuck.cursors)
        stuck.socket.transport.pause_reading()
        sent = 0
        while hub.sessions:
            await asyncio.gather(*(ann.say(channel, "\u2603" * 4000) for _ in range(50)))
            sent += 50
            assert sent < 5000, "the slow session was never closed"
        stuck.socket.transport.abort()
    async with live.gateway() as after:
        await after.resume(ann, stuck.session_id, cursors)
        for _ in range(sent):
            await after.event("MESSAGE_CREATE")
        await after.event("RESUMED")


async def test_a_lost_wake_up_is_made_good_from_the_log(live: Running, ann: Person) -> None:
    server = await ann.new_server()
    channel = await ann.channel(server)
    hub = live.app.state.hub
    async with live.online(ann) as gateway:
        bus = live.app.state.services.bus
        bus._receivers.clear()
        lost = await ann.say(channel, "nobody was woken")
        assert await gateway.event("MESSAGE_CREATE") == lost
        also_lost = await ann.say(channel, "nor now")
        bus.attach(hub.receive)
        shown = await ann.say(channel, "but now")
        assert await gateway.event("MESSAGE_CREATE") == also_lost
        assert await gateway.event("MESSAGE_CREATE") == shown


async def test_nothing_is_left_behind_when_sessions_end(live: Running, ann: Person) -> None:
    await ann.new_server()
    hub = live.app.state.hub
    async with live.online(ann), live.online(ann):
        assert hub.sessions == 2
    async with asyncio.timeout(10):
        while hub.sessions:
            await asyncio.sleep(0.01)
    assert not hub._topics
    assert not hub._by_token


async def test_a_plain_request_is_told_to_upgrade(live: Running) -> None:
    answer = await live.http.get("/gateway")
    assert answer.status_code == 426
    assert answer.json()["code"] == "upgrade_required"
    assert isinstance(answer, httpx.Response)
