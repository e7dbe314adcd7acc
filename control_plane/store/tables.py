"""The tables, one schema for SQLite and PostgreSQL. `migrations/` makes them; a test holds the two to each other."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    func,
    text,
    true,
)
from sqlalchemy import Uuid as SqlUuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine


class Id(TypeDecorator[UUID]):
    """A UUID: 16 bytes in SQLite (which then sorts them as we do), `uuid` in PostgreSQL."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(LargeBinary(16) if dialect.name == "sqlite" else SqlUuid())

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        return value.bytes if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        return UUID(bytes=value) if isinstance(value, bytes) else value


class Instant(TypeDecorator[datetime]):
    """A moment, in UTC. SQLite knows no time zones: there it is stored without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


Json = JSON().with_variant(JSONB(), "postgresql")
Big = BigInteger()

metadata = MetaData(
    naming_convention={
        "ix": "idx_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


users = Table(
    "users",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("username", String(32), nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("email", String(254)),
    Column("avatar_url", String(500)),
    Column("status", String(20), nullable=False, server_default="offline"),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),  # SHA-256 of the token
    Column("user_id", Id, ForeignKey(users.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("expires_at", Instant, nullable=False),
    Index("idx_tokens_user", "user_id"),
    Index("idx_tokens_expires", "expires_at"),
)

servers = Table(
    "servers",
    metadata,
    Column("server_id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("description", Text),
    Column("owner_id", Id, ForeignKey(users.c.user_id), nullable=False),
    Column("icon_url", String(500)),
    Column("member_count", Integer, nullable=False, server_default="0"),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Index("idx_servers_owner", "owner_id"),
    Index("idx_servers_name", "name"),
)

channels = Table(
    "channels",
    metadata,
    Column("channel_id", Id, primary_key=True),
    Column("server_id", Id, ForeignKey(servers.c.server_id, ondelete="CASCADE"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("type", String(20), nullable=False),
    Column("description", Text),
    Column("position", Integer, nullable=False, server_default="0"),
    Column("permissions", Json, nullable=False, server_default=text("'{}'")),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    Index("idx_channels_server", "server_id"),
    Index("idx_channels_type", "type"),
    Index("idx_channels_position", "position"),
)

server_members = Table(
    "server_members",
    metadata,
    Column("server_id", Id, ForeignKey(servers.c.server_id, ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, ForeignKey(users.c.user_id, ondelete="CASCADE"), primary_key=True),
    Column("role", String(50), nullable=False, server_default="member"),
    Column("permissions", Json, nullable=False, server_default=text("'{}'")),
    Column("joined_at", Instant, nullable=False, server_default=func.now()),
    Column("nickname", String(100)),
    Index("idx_server_members_user", "user_id"),
    Index("idx_server_members_role", "role"),
)

invites = Table(
    "invites",
    metadata,
    Column("code", String(32), primary_key=True),
    Column("server_id", Id, ForeignKey(servers.c.server_id, ondelete="CASCADE"), nullable=False),
    Column("creator_id", Id, ForeignKey(users.c.user_id, ondelete="CASCADE"), nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("expires_at", Instant, nullable=False),
    Column("max_uses", Integer, nullable=False, server_default="0"),  # 0: no limit
    Column("uses", Integer, nullable=False, server_default="0"),
    Index("idx_invites_server", "server_id"),
    Index("idx_invites_creator", "creator_id"),
    Index("idx_invites_expires", "expires_at"),
)

stream_keys = Table(
    "stream_keys",
    metadata,
    Column("key_id", Id, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),  # SHA-256 of the key
    Column("server_id", Id, nullable=False),
    Column("channel_id", Id, ForeignKey(channels.c.channel_id, ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, nullable=False),
    Column("name", String(100), nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    # Whoever is no member any more has no keys either.
    ForeignKeyConstraint(
        ["server_id", "user_id"],
        [server_members.c.server_id, server_members.c.user_id],
        name="fk_stream_keys_member",
        ondelete="CASCADE",
    ),
    Index("idx_stream_keys_channel", "channel_id", "user_id"),
    Index("idx_stream_keys_member", "server_id", "user_id"),
)

topics = Table(
    "topics",
    metadata,
    Column("topic", String(64), primary_key=True),
    Column("head", Big, nullable=False, server_default="0"),
    # Unix microsecond of the last id taken under this topic's lock.
    Column("last_us", Big, nullable=False, server_default="0"),
)

events = Table(
    "events",
    metadata,
    Column("topic", String(64), ForeignKey(topics.c.topic, ondelete="CASCADE"), primary_key=True),
    Column("n", Big, primary_key=True, autoincrement=False),
    Column("at_us", Big, nullable=False),  # Unix microsecond; grows with n within a topic
    Column("nonce", String(160)),
    Column("payload", LargeBinary, nullable=False),  # JSON {t, d}
    Column("stored", Boolean, nullable=False),
    Index(
        "uq_events_topic_nonce",
        "topic",
        "nonce",
        unique=True,
        sqlite_where=text("nonce IS NOT NULL"),
        postgresql_where=text("nonce IS NOT NULL"),
    ),
    Index("idx_events_at", "at_us"),
)
_unstored = events.c.stored == false()
# Nearly empty: what the sweeper looks at, and where readers stop.
Index("idx_events_unstored", events.c.topic, events.c.n, sqlite_where=_unstored, postgresql_where=_unstored)

messages = Table(
    "messages",
    metadata,
    # No foreign keys: the message store may be another database.
    Column("channel_id", Id, primary_key=True),
    Column("message_id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("content", Text, nullable=False),
    Column("message_type", String(20), nullable=False, server_default="text"),
    Column("attachments", Json, nullable=False, server_default=text("'[]'")),
    Column("edited_at", Instant),
    Column("deleted_at", Instant),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Index("idx_messages_user", "user_id"),
    Index("idx_messages_type", "message_type"),
)
