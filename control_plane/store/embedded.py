"""The store on SQLite."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Row, and_, bindparam, case, delete, exists, false, func, or_, select, true, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.events import Announcement, LogEvent
from control_plane.store.ports import CursorGone, KeyHolder, Login, NameTaken, Page, Reader, Span, Transaction
from control_plane.store.sqlite import Database
from control_plane.store.tables import (
    channels,
    events,
    invites,
    server_members,
    servers,
    stream_keys,
    tokens,
    topics,
    users,
)
from proto.ids import ChannelId, Minter, ServerId, StreamKeyId, Topic, UserId, guild_topic, user_topic
from proto.rest import Channel, Invite, Member, Server, StreamKey, User

T = TypeVar("T")

_USER = (users.c.user_id, users.c.username, users.c.avatar_url)
_SERVER = tuple(servers.c[name] for name in Server.__struct_fields__)
_CHANNEL = tuple(channels.c[name] for name in Channel.__struct_fields__)
_KEY = tuple(stream_keys.c[name] for name in StreamKey.__struct_fields__)
_HOLDER = tuple(stream_keys.c[name] for name in KeyHolder.__struct_fields__)
_EVENT = (events.c.topic, events.c.n, events.c.payload, events.c.stored)


class _Payload(msgspec.Struct):
    """What `events.payload` holds, as JSON."""

    t: str
    d: msgspec.Raw


_payload = msgspec.json.Decoder(_Payload)


class EmbeddedStore:
    """`Store` on SQLite. It is the only process that writes this file, so one minter makes every id."""

    def __init__(self, database: Database, minter: Minter, now_us: Callable[[], int]) -> None:
        self._database = database
        self._minter = minter
        self._now_us = now_us

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        async with self._database.read() as connection:
            yield EmbeddedReader(connection)

    async def write(self, change: Callable[[Transaction], Awaitable[T]]) -> T:
        async def work(connection: AsyncConnection) -> T:
            return await change(EmbeddedTransaction(connection, self._minter, self._now_us()))

        return await self._database.write(work)


async def last_minted_us(database: Database) -> int:
    """The Unix microsecond of the latest id that anything in this database may have."""
    async with database.read() as connection:
        return await connection.scalar(select(func.max(topics.c.last_us))) or 0


class EmbeddedReader:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def user(self, user_id: UserId) -> User | None:
        return (await self.users([user_id])).get(user_id)

    async def users(self, user_ids: Collection[UserId]) -> Mapping[UUID, User]:
        rows = await self._connection.execute(select(*_USER).where(users.c.user_id.in_(list(user_ids))))
        return {row.user_id: User(*row) for row in rows}

    async def login(self, username: str) -> Login | None:
        found = select(*_USER, users.c.password_hash).where(users.c.username == username)
        row = (await self._connection.execute(found)).one_or_none()
        return row and Login(User(*row[:3]), row.password_hash)

    async def token(self, digest: bytes, now: datetime) -> tuple[bytes, User] | None:
        found = select(tokens.c.digest, *_USER).join(users).where(tokens.c.digest == digest, tokens.c.expires_at > now)
        row = (await self._connection.execute(found)).one_or_none()
        return row and (row.digest, User(*row[1:]))

    async def server(self, server_id: ServerId) -> Server | None:
        return await self._one(Server, select(*_SERVER).where(servers.c.server_id == server_id))

    async def servers_of(self, user_id: UserId) -> list[Server]:
        mine = select(*_SERVER).join(server_members).where(server_members.c.user_id == user_id)
        rows = await self._connection.execute(mine.order_by(server_members.c.joined_at, servers.c.server_id))
        return [Server(*row) for row in rows]

    async def member(self, server_id: ServerId, user_id: UserId) -> Member | None:
        found = await self._members(server_members.c.server_id == server_id, server_members.c.user_id == user_id)
        return found[0][1] if found else None

    async def members(self, server_ids: Collection[ServerId]) -> list[tuple[UUID, Member]]:
        return await self._members(
            server_members.c.server_id.in_(list(server_ids)), order=(server_members.c.joined_at, users.c.user_id)
        )

    async def members_page(self, server_id: ServerId, *, after: UserId | None, limit: int) -> list[Member]:
        later = server_members.c.user_id > after if after is not None else true()
        rows = await self._members(
            server_members.c.server_id == server_id, later, order=(server_members.c.user_id,), limit=limit
        )
        return [member for _, member in rows]

    async def channel(self, channel_id: ChannelId) -> Channel | None:
        return await self._one(Channel, select(*_CHANNEL).where(channels.c.channel_id == channel_id))

    async def channels(self, server_ids: Collection[ServerId]) -> list[Channel]:
        theirs = select(*_CHANNEL).where(channels.c.server_id.in_(list(server_ids)))
        rows = await self._connection.execute(theirs.order_by(channels.c.position, channels.c.channel_id))
        return [Channel(*row) for row in rows]

    async def invite(self, code: str) -> Invite | None:
        found = (
            select(invites.c.code, servers.c.server_id, servers.c.name, servers.c.member_count, invites.c.expires_at)
            .join(servers)
            .where(invites.c.code == code)
        )
        return await self._one(Invite, found)

    async def stream_keys(self, channel_id: ChannelId, user_id: UserId) -> list[StreamKey]:
        theirs = select(*_KEY).where(stream_keys.c.channel_id == channel_id, stream_keys.c.user_id == user_id)
        rows = await self._connection.execute(theirs.order_by(stream_keys.c.key_id))
        return [StreamKey(*row) for row in rows]

    async def key_holder(self, digest: bytes) -> KeyHolder | None:
        return await self._one(KeyHolder, select(*_HOLDER).where(stream_keys.c.digest == digest))

    async def live_keys(self, key_ids: Collection[StreamKeyId]) -> set[StreamKeyId]:
        kept = select(stream_keys.c.key_id).where(stream_keys.c.key_id.in_(list(key_ids)))
        return set((await self._connection.scalars(kept)).all())

    async def spans(self, topic_names: Collection[Topic]) -> Mapping[Topic, Span]:
        first = select(func.min(events.c.n)).where(events.c.topic == topics.c.topic)
        oldest = func.coalesce(first.scalar_subquery(), topics.c.head + 1)
        head = func.coalesce(first.where(events.c.stored == false()).scalar_subquery() - 1, topics.c.head)
        rows = await self._connection.execute(
            select(topics.c.topic, oldest, head).where(topics.c.topic.in_(list(topic_names)))
        )
        return {topic: Span(oldest, head) for topic, oldest, head in rows}

    async def heads(self, topic_names: Collection[Topic]) -> Mapping[Topic, int]:
        rows = await self._connection.execute(
            select(topics.c.topic, topics.c.head).where(topics.c.topic.in_(list(topic_names)))
        )
        return {row.topic: row.head for row in rows}

    async def events(self, topic: Topic, *, after: int, limit: int) -> Page:
        following = select(*_EVENT).where(events.c.topic == topic, events.c.n > after).order_by(events.c.n)
        rows = (await self._connection.execute(following.limit(limit + 1))).all()
        if not rows:
            if await self._connection.scalar(select(topics.c.head).where(topics.c.topic == topic)) != after:
                raise CursorGone(topic)
            return Page([], more=False)
        if rows[0].n != after + 1:
            raise CursorGone(topic)
        found: list[LogEvent] = []
        for row in rows[:limit]:
            if not row.stored:
                return Page(found, more=False)
            found.append(_event(row))
        return Page(found, more=len(rows) > limit)

    async def unstored(self, *, before_us: int, limit: int) -> list[LogEvent]:
        waiting = select(*_EVENT).where(events.c.stored == false(), events.c.at_us < before_us)
        rows = await self._connection.execute(waiting.order_by(events.c.at_us).limit(limit))
        return [_event(row) for row in rows]

    async def _one(self, kind: type[T], query: Any) -> T | None:
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else kind(*row)

    async def _members(
        self, *where: ColumnElement[bool], order: tuple[Any, ...] = (), limit: int | None = None
    ) -> list[tuple[UUID, Member]]:
        found = select(server_members.c.server_id, server_members.c.joined_at, *_USER).join(users).where(*where)
        rows = await self._connection.execute(found.order_by(*order).limit(limit))
        return [(row.server_id, Member(User(*row[2:]), row.joined_at)) for row in rows]


class EmbeddedTransaction(EmbeddedReader):
    """Within the writer's transaction: it sees its own changes."""

    def __init__(self, connection: AsyncConnection, minter: Minter, now_us: int) -> None:
        super().__init__(connection)
        self._minter = minter
        self._now_us = now_us

    async def insert_user(self, user: User, *, password_hash: str, now: datetime) -> None:
        row = insert(users).values(
            user_id=user.user_id, username=user.username, password_hash=password_hash, created_at=now
        )
        done = await self._connection.execute(row.on_conflict_do_nothing(index_elements=[users.c.username]))
        if done.rowcount == 0:
            raise NameTaken(user.username)
        await self._open(user_topic(user.user_id))

    async def set_password_hash(self, user_id: UserId, password_hash: str) -> None:
        await self._connection.execute(
            update(users).where(users.c.user_id == user_id).values(password_hash=password_hash)
        )

    async def insert_token(self, digest: bytes, user_id: UserId, *, now: datetime, expires_at: datetime) -> None:
        row = insert(tokens).values(digest=digest, user_id=user_id, created_at=now, expires_at=expires_at)
        await self._connection.execute(row)

    async def delete_token(self, digest: bytes) -> None:
        await self._connection.execute(delete(tokens).where(tokens.c.digest == digest))

    async def insert_server(self, server: Server) -> None:
        row = {**msgspec.structs.asdict(server), "updated_at": server.created_at}
        await self._connection.execute(insert(servers).values(row))
        await self._open(guild_topic(server.server_id))

    async def insert_channel(self, channel: Channel) -> None:
        row = {**msgspec.structs.asdict(channel), "updated_at": channel.created_at}
        await self._connection.execute(insert(channels).values(row))

    async def insert_member(self, server_id: ServerId, member: Member) -> bool:
        row = insert(server_members).values(
            server_id=server_id, user_id=member.user.user_id, joined_at=member.joined_at
        )
        if (await self._connection.execute(row.on_conflict_do_nothing())).rowcount == 0:
            return False
        counted = update(servers).where(servers.c.server_id == server_id)
        await self._connection.execute(counted.values(member_count=servers.c.member_count + 1))
        return True

    async def insert_invite(self, invite: Invite, *, creator: UserId, max_uses: int, now: datetime) -> None:
        row = insert(invites).values(
            code=invite.code,
            server_id=invite.server_id,
            creator_id=creator,
            created_at=now,
            expires_at=invite.expires_at,
            max_uses=max_uses,
        )
        await self._connection.execute(row)

    async def use_invite(self, code: str, now: datetime) -> bool:
        left = or_(invites.c.max_uses == 0, invites.c.uses < invites.c.max_uses)
        used = update(invites).where(invites.c.code == code, invites.c.expires_at > now, left)
        return (await self._connection.execute(used.values(uses=invites.c.uses + 1))).rowcount == 1

    async def insert_stream_key(self, key: StreamKey, digest: bytes, *, channel: Channel, user_id: UserId) -> None:
        row = {
            **msgspec.structs.asdict(key),
            "digest": digest,
            "server_id": channel.server_id,
            "channel_id": channel.channel_id,
            "user_id": user_id,
        }
        await self._connection.execute(insert(stream_keys).values(row))

    async def delete_stream_key(self, channel_id: ChannelId, user_id: UserId, key_id: StreamKeyId) -> bool:
        its = delete(stream_keys).where(
            stream_keys.c.key_id == key_id,
            stream_keys.c.channel_id == channel_id,
            stream_keys.c.user_id == user_id,
        )
        return (await self._connection.execute(its)).rowcount == 1

    async def append(
        self, topic: Topic, announce: Callable[[UUID], Announcement], *, nonce: str | None = None, stored: bool = True
    ) -> LogEvent:
        if nonce is not None:
            earlier = select(*_EVENT).where(events.c.topic == topic, events.c.nonce == nonce)
            if (row := (await self._connection.execute(earlier)).one_or_none()) is not None:
                return _event(row)
        earliest = self._minter.next_us(self._now_us)
        us = case((topics.c.last_us >= earliest, topics.c.last_us + 1), else_=earliest)
        step = update(topics).where(topics.c.topic == topic).values(head=topics.c.head + 1, last_us=us)
        n, at_us = (await self._connection.execute(step.returning(topics.c.head, topics.c.last_us))).one()
        what = announce(self._minter.take(at_us))
        payload = b'{"t":"%b","d":%b}' % (what.t.encode(), what.d)
        values = {"topic": topic, "n": n, "at_us": at_us, "nonce": nonce, "payload": payload, "stored": stored}
        await self._connection.execute(insert(events).values(values))
        return LogEvent(topic, n, what.t, what.d, stored)

    async def mark_stored(self, done: Sequence[LogEvent]) -> None:
        which = and_(events.c.topic == bindparam("of"), events.c.n == bindparam("at"))
        if done:
            rows = [{"of": each.topic, "at": each.n} for each in done]
            await self._connection.execute(update(events).where(which).values(stored=true()), rows)

    async def prune_events(self, *, before_us: int) -> int:
        waiting = events.alias("waiting")
        held = exists().where(waiting.c.topic == events.c.topic, waiting.c.n <= events.c.n, waiting.c.stored == false())
        done = await self._connection.execute(delete(events).where(events.c.at_us < before_us, ~held))
        return done.rowcount

    async def prune_expired(self, now: datetime) -> None:
        await self._connection.execute(delete(tokens).where(tokens.c.expires_at <= now))
        await self._connection.execute(delete(invites).where(invites.c.expires_at <= now))

    async def _open(self, topic: Topic) -> None:
        await self._connection.execute(insert(topics).values(topic=topic))


def _event(row: Row[*tuple[Any, ...]]) -> LogEvent:
    payload = _payload.decode(row.payload)
    return LogEvent(row.topic, row.n, payload.t, bytes(payload.d), row.stored)
