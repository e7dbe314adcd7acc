import asyncio
from typing import Any

import pytest

from proto.ids import parse_id, time_of
from tests.control_plane.support import Person, Running


@pytest.fixture
async def channel(ann: Person) -> str:
    return await ann.channel(await ann.new_server())


async def test_a_message_is_there_for_whoever_reads_later(here: Running, ann: Person, channel: str) -> None:
    sent = await ann.say(channel, "Grüße 👋")
    assert sent["author"]["username"] == "ann"
    assert sent["user_id"] == ann.user_id
    assert await ann.get(f"/channels/{channel}/messages") == [sent]


async def test_the_time_of_a_message_is_that_of_its_id(here: Running, ann: Person, channel: str) -> None:
    sent = await ann.say(channel, "now")
    made = time_of(parse_id(sent["message_id"]))
    assert sent["timestamp"] == made.isoformat().replace("+00:00", "Z")


async def test_history_is_read_newest_first_in_pages(here: Running, ann: Person, channel: str) -> None:
    sent = [await ann.say(channel, str(each)) for each in range(7)]
    ids = [each["message_id"] for each in sent]
    path = f"/channels/{channel}/messages"

    async def read(**params: Any) -> list[str]:
        return [each["content"] for each in await ann.get(path, params=params)]

    assert await read() == ["6", "5", "4", "3", "2", "1", "0"]
    assert await read(limit=2) == ["6", "5"]
    assert await read(limit=2, before=ids[5]) == ["4", "3"]
    assert await read(limit=2, after=ids[1]) == ["3", "2"]
    assert await read(after=ids[1], before=ids[4]) == ["3", "2"]
    assert await read(before=ids[0]) == []
    assert await read(after=ids[6]) == []


async def test_fifty_are_read_unless_asked_otherwise(here: Running, ann: Person, channel: str) -> None:
    await asyncio.gather(*(ann.say(channel, str(each)) for each in range(60)))
    assert len(await ann.get(f"/channels/{channel}/messages")) == 50
    assert len(await ann.get(f"/channels/{channel}/messages", params={"limit": 100})) == 60


async def test_messages_sent_at_once_all_arrive_with_ids_of_their_own(here: Running, ann: Person, channel: str) -> None:
    sent = await asyncio.gather(*(ann.say(channel, str(each)) for each in range(200)))
    assert len({each["message_id"] for each in sent}) == 200
    spans = await _spans(here)
    assert all(span.head == span.oldest + 200 for topic, span in spans.items() if topic.startswith("guild:"))


async def test_a_repeated_nonce_answers_the_first_message_again(here: Running, ann: Person, channel: str) -> None:
    first = await ann.say(channel, "once", nonce="n1")
    again = await ann.say(channel, "once", nonce="n1")
    assert first == again
    assert first["nonce"] == "n1"
    assert len(await ann.get(f"/channels/{channel}/messages")) == 1


async def test_a_nonce_repeated_at_the_same_time_makes_one_message(here: Running, ann: Person, channel: str) -> None:
    sent = await asyncio.gather(*(ann.say(channel, "once", nonce="n1") for _ in range(10)))
    assert len({each["message_id"] for each in sent}) == 1
    assert len(await ann.get(f"/channels/{channel}/messages")) == 1


async def test_a_nonce_is_its_authors_and_its_channels(here: Running, ann: Person, bob: Person) -> None:
    server = await ann.new_server()
    await ann.bring(bob, server)
    text, voice = await ann.channel(server), await ann.channel(server, "voice")
    sent = [
        await ann.say(text, "hers", nonce="n"),
        await bob.say(text, "his", nonce="n"),
        await ann.say(voice, "elsewhere", nonce="n"),
    ]
    assert [each["content"] for each in sent] == ["hers", "his", "elsewhere"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": ""}, "content"),
        ({"content": " \n "}, "content"),
        ({"content": "a\x00b"}, "content"),
        ({"content": "x" * 4001}, "content"),
        ({"content": 1}, "content"),
        ({"content": None}, "content"),
        ({}, "content"),
        ({"content": "x", "nonce": ""}, "nonce"),
        ({"content": "x", "nonce": "x" * 65}, "nonce"),
        ({"content": "x", "nonce": "\x00"}, "nonce"),
    ],
)
async def test_a_message_that_will_not_do_is_refused(
    here: Running, ann: Person, channel: str, body: dict[str, Any], field: str
) -> None:
    problem = await ann.post(f"/channels/{channel}/messages", body, status=422)
    assert problem["code"] == "invalid_body"
    assert list(problem["errors"]) == [field]
    assert await ann.get(f"/channels/{channel}/messages") == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"before": "x"}, "before"),
        ({"after": "6f1c9f52-6d3e-4a2e-9f0e-3c8f6e1d2b7a"}, "after"),
    ],
)
async def test_a_query_that_will_not_do_is_refused(
    here: Running, ann: Person, channel: str, params: dict[str, str], field: str
) -> None:
    problem = await ann.get(f"/channels/{channel}/messages", status=422, params=params)
    assert problem["code"] == "invalid_query"
    assert list(problem["errors"]) == [field]


async def _spans(here: Running) -> dict[str, Any]:
    store = here.app.state.services.store
    async with store.read() as view:
        servers = await view.servers_of(parse_id(await _first_user(here)))
        return dict(await view.spans([f"guild:{each.server_id}" for each in servers]))


async def _first_user(here: Running) -> str:
    async with here.app.state.services.store.read() as view:
        login = await view.login("ann")
    assert login is not None
    return str(login.user.user_id)
