"""One suite for every implementation of the ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from control_plane.events import Announcement, LogEvent
from control_plane.store.embedded import EmbeddedStore, last_minted_us
from control_plane.store.messages import EmbeddedMessages
from control_plane.store.ports import (
    CursorGone,
    MessageStore,
    NameTaken,
    Span,
    Store,
    StoredMessage,
    StoreUnavailable,
    Transaction,
)
from control_plane.store.sqlite import Database
from proto.ids import EPOCH_MS, ChannelId, MessageId, Minter, ServerId, Topic, UserId, guild_topic, make_id, user_topic
from proto.rest import Channel, Invite, Member, Server, User

NOW = datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)


@dataclass
class Kept:
    store: Store
    messages: MessageStore
    minter: Minter
    clock_us: int = EPOCH_MS * 1000 + 1_000_000

    def mint(self) -> UUID:
        return self.minter.mint(self.clock_us)

    async def user(self, name: str = "ann") -> User:
        user = User(self.mint(), name)
        await self.store.write(lambda tx: tx.insert_user(user, password_hash="$", now=NOW))
        return user

    async def server(self, owner: User) -> Server:
        server = Server(self.mint(), "Home", None, owner.user_id, None, 0, NOW)

        async def write(tx: Transaction) -> None:
            await tx.insert_server(server)
            await tx.insert_member(ServerId(server.server_id), Member(owner, NOW))

        await self.store.write(write)
        return server

    async def append(self, topic: Topic, nonce: str | None = None, *, stored: bool = True) -> LogEvent:
        return await self.store.write(lambda tx: tx.append(topic, said, nonce=nonce, stored=stored))


def said(made: UUID) -> Announcement:
    return Announcement("SAID", f'"{made}"'.encode())


@asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[Kept]:
    database = Database(directory / "chorale.db")
    await database.open()
    minter = Minter(0, await last_minted_us(database))
    opened = Kept(EmbeddedStore(database, minter, lambda: opened.clock_us), EmbeddedMessages(database), minter)
    try:
        yield opened
    finally:
        await database.close()


IMPLEMENTATIONS = {"embedded": embedded}


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    async with IMPLEMENTATIONS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
async def topic(kept: Kept) -> Topic:
    return user_topic((await kept.user()).user_id)


# Users, servers, channels, invites, tokens


async def test_a_name_belongs_to_one_user(kept: Kept) -> None:
    ann = await kept.user()
    with pytest.raises(NameTaken):
        await kept.user()
    async with kept.store.read() as view:
        login = await view.login("ann")
        assert login is not None
        assert login.user == ann
        assert await view.user(UserId(ann.user_id)) == ann
        assert await view.login("bob") is None
        assert await view.users([]) == {}


async def test_times_come_back_in_utc_to_the_microsecond(kept: Kept) -> None:
    server = await kept.server(await kept.user())
    async with kept.store.read() as view:
        found = await view.server(ServerId(server.server_id))
    assert found is not None
    assert found.created_at == NOW
    assert found.created_at.utcoffset() == timedelta(0)


async def test_a_token_is_found_by_its_digest_until_it_expires(kept: Kept) -> None:
    ann = await kept.user()
    digest, later = b"d" * 32, NOW + timedelta(days=1)
    await kept.store.write(lambda tx: tx.insert_token(digest, UserId(ann.user_id), now=NOW, expires_at=later))
    async with kept.store.read() as view:
        assert await view.token(digest, NOW) == (digest, ann)
        assert await view.token(digest, later) is None
        assert await view.token(b"x" * 32, NOW) is None
    await kept.store.write(lambda tx: tx.delete_token(digest))
    async with kept.store.read() as view:
        assert await view.token(digest, NOW) is None


async def test_a_member_is_counted_once(kept: Kept) -> None:
    ann, bob = await kept.user("ann"), await kept.user("bob")
    server = await kept.server(ann)
    server_id = ServerId(server.server_id)
    assert await kept.store.write(lambda tx: tx.insert_member(server_id, Member(bob, NOW)))
    assert not await kept.store.write(lambda tx: tx.insert_member(server_id, Member(bob, NOW)))
    async with kept.store.read() as view:
        found = await view.server(server_id)
        assert found is not None
        assert found.member_count == 2
        assert [member.user for _, member in await view.members([server_id])] == [ann, bob]
        assert await view.servers_of(UserId(bob.user_id)) == [found]


async def _insert_channel(tx: Transaction, channel: Channel) -> None:
    await tx.insert_channel(channel)


async def test_channels_come_by_position(kept: Kept) -> None:
    server = await kept.server(await kept.user())
    made = [Channel(kept.mint(), server.server_id, "x", "voice", position, NOW) for position in (2, 0, 1)]
    for each in made:
        await kept.store.write(partial(_insert_channel, channel=each))
    async with kept.store.read() as view:
        found = await view.channels([ServerId(server.server_id)])
        assert [each.position for each in found] == [0, 1, 2]
        assert await view.channel(ChannelId(made[0].channel_id)) == made[0]
        assert await view.channel(ChannelId(kept.mint())) is None


async def _insert_invite(tx: Transaction, invite: Invite, creator: User, max_uses: int) -> None:
    await tx.insert_invite(invite, creator=UserId(creator.user_id), max_uses=max_uses, now=NOW)


async def test_an_invite_is_used_up_or_expires(kept: Kept) -> None:
    ann = await kept.user()
    server = await kept.server(ann)
    later = NOW + timedelta(hours=1)
    for code, uses in (("two", 2), ("any", 0)):
        invite = Invite(code, server.server_id, "Home", 1, later)
        await kept.store.write(partial(_insert_invite, invite=invite, creator=ann, max_uses=uses))
    used = [await kept.store.write(lambda tx: tx.use_invite("two", NOW)) for _ in range(3)]
    assert used == [True, True, False]
    assert await kept.store.write(lambda tx: tx.use_invite("any", NOW))
    assert not await kept.store.write(lambda tx: tx.use_invite("any", later))
    assert not await kept.store.write(lambda tx: tx.use_invite("none", NOW))
    await kept.store.write(lambda tx: tx.prune_expired(later))
    async with kept.store.read() as view:
        assert await view.invite("two") is None


async def test_references_hold(kept: Kept) -> None:
    channel = Channel(kept.mint(), kept.mint(), "x", "text", 0, NOW)
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await kept.store.write(lambda tx: tx.insert_channel(channel))


# Transactions


async def test_a_change_that_fails_leaves_nothing_and_harms_no_other(kept: Kept, topic: Topic) -> None:
    async def fail(tx: Transaction) -> None:
        await tx.append(topic, said)
        raise RuntimeError("changed my mind")

    done = await asyncio.gather(
        *(kept.append(topic) for _ in range(5)),
        *(kept.store.write(fail) for _ in range(5)),
        *(kept.append(topic) for _ in range(5)),
        return_exceptions=True,
    )
    events = [each for each in done if isinstance(each, LogEvent)]
    assert sorted(each.n for each in events) == list(range(1, 11))
    assert sum(isinstance(each, RuntimeError) for each in done) == 5
    async with kept.store.read() as view:
        assert (await view.heads([topic]))[topic] == 10


async def test_a_reader_sees_one_moment(kept: Kept, topic: Topic) -> None:
    await kept.append(topic)
    async with kept.store.read() as view:
        before = await view.spans([topic])
        await kept.append(topic)
        assert await view.spans([topic]) == before
        assert len((await view.events(topic, after=0, limit=10)).events) == 1
    async with kept.store.read() as view:
        assert (await view.heads([topic]))[topic] == 2


async def test_hundreds_of_writers_and_readers_never_meet_a_lock(kept: Kept, topic: Topic) -> None:
    async def look() -> int:
        async with kept.store.read() as view:
            return (await view.heads([topic]))[topic]

    done = await asyncio.gather(*(each for _ in range(200) for each in (kept.append(topic), look())))
    assert sorted(each.n for each in done if isinstance(each, LogEvent)) == list(range(1, 201))


# The log


async def test_events_are_numbered_densely_and_read_back(kept: Kept, topic: Topic) -> None:
    events = [await kept.append(topic) for _ in range(5)]
    assert [each.n for each in events] == [1, 2, 3, 4, 5]
    async with kept.store.read() as view:
        page = await view.events(topic, after=1, limit=3)
        assert page.events == events[1:4]
        assert page.more
        page = await view.events(topic, after=4, limit=3)
        assert page.events == events[4:]
        assert not page.more
        assert (await view.events(topic, after=5, limit=3)).events == []
        assert await view.spans([topic, Topic("guild:none")]) == {topic: Span(1, 5)}


async def test_a_repeated_nonce_returns_the_earlier_event(kept: Kept, topic: Topic) -> None:
    first = await kept.append(topic, "n")
    await kept.append(topic)
    assert await kept.append(topic, "n") == first
    assert (await kept.append(topic, "m")).n == 3


async def test_ids_are_taken_in_the_order_of_the_log_whatever_the_clock_does(kept: Kept, topic: Topic) -> None:
    ids: list[bytes] = []
    for step in (0, 5, -1_000_000, 0, 10, -3):
        kept.clock_us += step
        ids.append((await kept.append(topic)).d)
    assert ids == sorted(set(ids))


async def test_ids_go_on_after_a_restart_with_the_clock_set_back(tmp_path: Path) -> None:
    async with embedded(tmp_path) as first:
        topic = user_topic((await first.user()).user_id)
        last = await first.append(topic)
    async with embedded(tmp_path) as second:
        second.clock_us -= 500_000
        assert (await second.append(topic)).d > last.d
        assert second.mint() > UUID(last.d.decode().strip('"'))


async def test_readers_stop_before_what_is_not_stored(kept: Kept, topic: Topic) -> None:
    first = await kept.append(topic)
    waiting = await kept.append(topic, stored=False)
    behind = await kept.append(topic)
    async with kept.store.read() as view:
        assert (await view.events(topic, after=0, limit=10)).events == [first]
        assert await view.spans([topic]) == {topic: Span(1, 1)}
        assert await view.unstored(before_us=kept.clock_us + 10, limit=10) == [waiting]
        assert await view.unstored(before_us=kept.clock_us - 10, limit=10) == []
    await kept.store.write(lambda tx: tx.mark_stored([waiting]))
    async with kept.store.read() as view:
        assert [each.n for each in (await view.events(topic, after=1, limit=10)).events] == [2, behind.n]
        assert await view.unstored(before_us=kept.clock_us + 10, limit=10) == []


async def test_a_cursor_that_fell_out_of_the_log_is_gone(kept: Kept, topic: Topic) -> None:
    for _ in range(5):
        await kept.append(topic)
        kept.clock_us += 1_000_000
    assert await kept.store.write(lambda tx: tx.prune_events(before_us=kept.clock_us - 2_500_000)) == 3
    async with kept.store.read() as view:
        assert await view.spans([topic]) == {topic: Span(4, 5)}
        assert [each.n for each in (await view.events(topic, after=3, limit=10)).events] == [4, 5]
        for cursor in (0, 2, 6, 10**15):
            with pytest.raises(CursorGone):
                await view.events(topic, after=cursor, limit=10)
    await kept.store.write(lambda tx: tx.prune_events(before_us=kept.clock_us))
    async with kept.store.read() as view:
        assert await view.spans([topic]) == {topic: Span(6, 5)}
        assert (await view.events(topic, after=5, limit=10)).events == []
        with pytest.raises(CursorGone):
            await view.events(topic, after=4, limit=10)


async def test_nothing_is_pruned_behind_what_is_not_stored(kept: Kept, topic: Topic) -> None:
    other = user_topic((await kept.user("bob")).user_id)
    await kept.append(topic)
    await kept.append(topic, stored=False)
    await kept.append(topic)
    await kept.append(other)
    assert await kept.store.write(lambda tx: tx.prune_events(before_us=kept.clock_us + 1_000_000)) == 2
    async with kept.store.read() as view:
        assert (await view.spans([topic, other])) == {topic: Span(2, 1), other: Span(2, 1)}


async def test_topics_have_logs_of_their_own(kept: Kept, topic: Topic) -> None:
    ann = await kept.user("other")
    guild = guild_topic((await kept.server(ann)).server_id)
    assert [(await kept.append(each)).n for each in (topic, guild, topic)] == [1, 1, 2]


# Messages


def message(channel: int, number: int, content: str = "x") -> StoredMessage:
    author = UserId(make_id(EPOCH_MS, 1, 0))
    return StoredMessage(
        ChannelId(make_id(EPOCH_MS, channel, 0)), MessageId(make_id(EPOCH_MS + number, 0, 0)), author, content
    )


async def test_messages_are_put_once_and_read_by_channel(kept: Kept) -> None:
    mine, other = [message(1, number) for number in range(5)], message(2, 9)
    await kept.messages.put([*mine, other])
    await kept.messages.put([mine[2]])
    await kept.messages.put([])
    channel = mine[0].channel_id
    newest_first = mine[::-1]
    assert await kept.messages.page(channel, limit=10) == newest_first
    assert await kept.messages.page(channel, limit=2) == newest_first[:2]
    assert await kept.messages.page(channel, limit=2, before=mine[3].message_id) == [mine[2], mine[1]]
    assert await kept.messages.page(channel, limit=2, after=mine[0].message_id) == [mine[2], mine[1]]
    assert await kept.messages.page(other.channel_id, limit=10) == [other]


# SQLite's own


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    async with embedded(tmp_path) as kept:
        topic = user_topic((await kept.user()).user_id)
    with pytest.raises(StoreUnavailable):
        await kept.append(topic)
    with pytest.raises(StoreUnavailable):
        async with kept.store.read():
            pass


async def test_closing_waits_for_what_was_asked(tmp_path: Path) -> None:
    async with embedded(tmp_path) as kept:
        topic = user_topic((await kept.user()).user_id)
        writing = [asyncio.create_task(kept.append(topic)) for _ in range(100)]
        await asyncio.sleep(0)
    assert len({event.n for event in await asyncio.gather(*writing)}) == 100


async def test_ids_are_stored_as_sixteen_bytes(tmp_path: Path) -> None:
    import sqlite3

    async with embedded(tmp_path) as kept:
        ann = await kept.user()
    with sqlite3.connect(tmp_path / "chorale.db") as database:
        assert database.execute("SELECT user_id FROM users").fetchall() == [(ann.user_id.bytes,)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from control_plane.store.migrate import migrate
    from control_plane.store.tables import metadata

    path = tmp_path / "chorale.db"
    migrate(path)
    migrate(path)  # again at the next start, with nothing to do
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_the_tables_suit_postgresql_too() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateIndex, CreateTable

    from control_plane.store.tables import metadata

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert "BLOB" not in text
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))
    assert "server_id UUID" in str(CreateTable(metadata.tables["servers"]).compile(dialect=dialect))
    assert "JSONB" in str(CreateTable(metadata.tables["channels"]).compile(dialect=dialect))
