"""The ports of everything that is kept. Only the composition root knows what stands behind them."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from control_plane.events import Announcement, LogEvent
from proto.ids import ChannelId, MessageId, ServerId, StreamKeyId, Topic, UserId
from proto.rest import Channel, Invite, Member, Server, StreamKey, User

T = TypeVar("T")


class StoreUnavailable(Exception):
    """The database does not answer. What it acknowledged is there when it does again."""


class NameTaken(Exception):
    """Somebody else has this username."""


class CursorGone(Exception):
    """The log no longer reaches back to this cursor, or never reached it."""


class Login(Struct, frozen=True):
    user: User
    password_hash: str


class Span(Struct, frozen=True):
    """Where a topic's log begins and ends. A cursor can be replayed from if `oldest - 1 <= cursor <= head`."""

    oldest: int  # the lowest `n` still kept; head + 1 if none
    head: int  # the last event up to which all are stored: readers go no further

    def reaches(self, cursor: int) -> bool:
        return self.oldest - 1 <= cursor <= self.head


class Page(Struct, frozen=True):
    events: list[LogEvent]
    more: bool


class StoredMessage(Struct, frozen=True):
    channel_id: ChannelId
    message_id: MessageId  # also says when it was sent
    user_id: UserId
    content: str


class KeyHolder(Struct, frozen=True):
    """Whose stream key it is, and for which channel."""

    key_id: StreamKeyId
    digest: bytes  # SHA-256 of the key
    server_id: ServerId
    channel_id: ChannelId
    user_id: UserId


class Reader(Protocol):
    """One consistent view. Nothing changes under a reader."""

    async def user(self, user_id: UserId) -> User | None: ...
    async def users(self, user_ids: Collection[UserId]) -> Mapping[UUID, User]: ...
    async def login(self, username: str) -> Login | None: ...
    async def token(self, digest: bytes, now: datetime) -> tuple[bytes, User] | None:
        """The digest as stored, and whose token it is, unless expired."""

    async def server(self, server_id: ServerId) -> Server | None: ...
    async def servers_of(self, user_id: UserId) -> list[Server]: ...
    async def member(self, server_id: ServerId, user_id: UserId) -> Member | None: ...
    async def members(self, server_ids: Collection[ServerId]) -> list[tuple[UUID, Member]]:
        """(server, member), those who joined first first."""

    async def members_page(self, server_id: ServerId, *, after: UserId | None, limit: int) -> list[Member]:
        """In the order of their user ids."""

    async def channel(self, channel_id: ChannelId) -> Channel | None: ...
    async def channels(self, server_ids: Collection[ServerId]) -> list[Channel]:
        """By position."""

    async def invite(self, code: str) -> Invite | None: ...

    async def stream_keys(self, channel_id: ChannelId, user_id: UserId) -> list[StreamKey]:
        """A member's, oldest first."""

    async def key_holder(self, digest: bytes) -> KeyHolder | None:
        """Who is no member any more, and a channel that is gone, have no keys."""

    async def live_keys(self, key_ids: Collection[StreamKeyId]) -> set[StreamKeyId]:
        """Those of them that were not revoked."""

    async def spans(self, topics: Collection[Topic]) -> Mapping[Topic, Span]: ...
    async def heads(self, topics: Collection[Topic]) -> Mapping[Topic, int]:
        """The last `n` of each topic, stored or not: cheaper than `spans`."""

    async def events(self, topic: Topic, *, after: int, limit: int) -> Page:
        """Those that follow cursor `after`, up to the first that is not stored. Raises `CursorGone`."""

    async def unstored(self, *, before_us: int, limit: int) -> list[LogEvent]:
        """Events appended before this Unix microsecond whose message is not known to be in the message store."""


class Transaction(Reader, Protocol):
    """One change, whole or not at all. It may be run again from its start, so it has no effect but through here."""

    async def insert_user(self, user: User, *, password_hash: str, now: datetime) -> None:
        """And the user's topic. Raises `NameTaken`."""

    async def set_password_hash(self, user_id: UserId, password_hash: str) -> None: ...
    async def insert_token(self, digest: bytes, user_id: UserId, *, now: datetime, expires_at: datetime) -> None: ...
    async def delete_token(self, digest: bytes) -> None: ...

    async def insert_server(self, server: Server) -> None:
        """And the guild's topic. Its owner is not yet a member."""

    async def insert_channel(self, channel: Channel) -> None: ...
    async def insert_member(self, server_id: ServerId, member: Member) -> bool:
        """Counts the member too. False, and nothing changed, if the user is one already."""

    async def insert_invite(self, invite: Invite, *, creator: UserId, max_uses: int, now: datetime) -> None: ...
    async def use_invite(self, code: str, now: datetime) -> bool:
        """False if it has expired or is used up."""

    async def insert_stream_key(self, key: StreamKey, digest: bytes, *, channel: Channel, user_id: UserId) -> None:
        """The user is a member of the channel's server."""

    async def delete_stream_key(self, channel_id: ChannelId, user_id: UserId, key_id: StreamKeyId) -> bool:
        """False, and nothing changed, if the user has no such key for this channel."""

    async def append(
        self, topic: Topic, announce: Callable[[UUID], Announcement], *, nonce: str | None = None, stored: bool = True
    ) -> LogEvent:
        """Adds the next event of the topic and returns it. `announce` is given an id later than all the topic gave
        before, taken under the topic's lock. With a nonce that is still in the log, returns that earlier event and
        adds nothing."""

    async def mark_stored(self, events: Sequence[LogEvent]) -> None: ...
    async def prune_events(self, *, before_us: int) -> int:
        """Deletes events appended earlier, but none at or after one that is not stored. Returns how many."""

    async def prune_expired(self, now: datetime) -> None:
        """Tokens and invites."""


class Store(Protocol):
    """Users, servers, channels, members, invites, tokens, stream keys and the event log: what must change together."""

    def read(self) -> AbstractAsyncContextManager[Reader]: ...
    async def write(self, change: Callable[[Transaction], Awaitable[T]]) -> T:
        """Runs `change` as one transaction and returns its result once it is durable. Raises what `change` raised, or
        `StoreUnavailable`; then nothing happened."""


class MessageStore(Protocol):
    """Messages, by channel. A port of its own, because it need not be the same database."""

    async def put(self, messages: Sequence[StoredMessage]) -> None:
        """Idempotent. Raises `StoreUnavailable`."""

    async def page(
        self, channel_id: ChannelId, *, limit: int, before: MessageId | None = None, after: MessageId | None = None
    ) -> list[StoredMessage]:
        """Newest first: the latest ones before `before`; with `after`, the earliest ones after it."""
