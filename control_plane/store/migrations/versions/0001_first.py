"""Users, tokens, servers, channels, members, invites, the event log, messages."""

import sqlalchemy as sa
from alembic import op

from control_plane.store.tables import Id, Instant, Json

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", Id, nullable=False),
        sa.Column("username", sa.String(32), nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("email", sa.String(254)),
        sa.Column("avatar_url", sa.String(500)),
        sa.Column("status", sa.String(20), nullable=False, server_default="offline"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
        sa.UniqueConstraint("username", name="uq_users_username"),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        _moment("created_at"),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_tokens"),
        _reference("tokens", "user_id", "users.user_id", ondelete="CASCADE"),
    )
    op.create_index("idx_tokens_user", "tokens", ["user_id"])
    op.create_index("idx_tokens_expires", "tokens", ["expires_at"])

    op.create_table(
        "servers",
        sa.Column("server_id", Id, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("owner_id", Id, nullable=False),
        sa.Column("icon_url", sa.String(500)),
        sa.Column("member_count", sa.Integer, nullable=False, server_default="0"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.PrimaryKeyConstraint("server_id", name="pk_servers"),
        _reference("servers", "owner_id", "users.user_id"),
    )
    op.create_index("idx_servers_owner", "servers", ["owner_id"])
    op.create_index("idx_servers_name", "servers", ["name"])

    op.create_table(
        "channels",
        sa.Column("channel_id", Id, nullable=False),
        sa.Column("server_id", Id, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
        sa.Column("permissions", Json, nullable=False, server_default=sa.text("'{}'")),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("channel_id", name="pk_channels"),
        _reference("channels", "server_id", "servers.server_id", ondelete="CASCADE"),
    )
    op.create_index("idx_channels_server", "channels", ["server_id"])
    op.create_index("idx_channels_type", "channels", ["type"])
    op.create_index("idx_channels_position", "channels", ["position"])

    op.create_table(
        "server_members",
        sa.Column("server_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("role", sa.String(50), nullable=False, server_default="member"),
        sa.Column("permissions", Json, nullable=False, server_default=sa.text("'{}'")),
        _moment("joined_at"),
        sa.Column("nickname", sa.String(100)),
        sa.PrimaryKeyConstraint("server_id", "user_id", name="pk_server_members"),
        _reference("server_members", "server_id", "servers.server_id", ondelete="CASCADE"),
        _reference("server_members", "user_id", "users.user_id", ondelete="CASCADE"),
    )
    op.create_index("idx_server_members_user", "server_members", ["user_id"])
    op.create_index("idx_server_members_role", "server_members", ["role"])

    op.create_table(
        "invites",
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("server_id", Id, nullable=False),
        sa.Column("creator_id", Id, nullable=False),
        _moment("created_at"),
        sa.Column("expires_at", Instant, nullable=False),
        sa.Column("max_uses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("code", name="pk_invites"),
        _reference("invites", "server_id", "servers.server_id", ondelete="CASCADE"),
        _reference("invites", "creator_id", "users.user_id", ondelete="CASCADE"),
    )
    op.create_index("idx_invites_server", "invites", ["server_id"])
    op.create_index("idx_invites_creator", "invites", ["creator_id"])
    op.create_index("idx_invites_expires", "invites", ["expires_at"])

    op.create_table(
        "topics",
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("head", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("last_us", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("topic", name="pk_topics"),
    )
    op.create_table(
        "events",
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("nonce", sa.String(160)),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("stored", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("topic", "n", name="pk_events"),
        _reference("events", "topic", "topics.topic", ondelete="CASCADE"),
    )
    with_nonce, unstored = sa.text("nonce IS NOT NULL"), sa.column("stored", sa.Boolean) == sa.false()
    op.create_index(
        "uq_events_topic_nonce",
        "events",
        ["topic", "nonce"],
        unique=True,
        sqlite_where=with_nonce,
        postgresql_where=with_nonce,
    )
    op.create_index("idx_events_at", "events", ["at_us"])
    op.create_index("idx_events_unstored", "events", ["topic", "n"], sqlite_where=unstored, postgresql_where=unstored)

    op.create_table(
        "messages",
        sa.Column("channel_id", Id, nullable=False),
        sa.Column("message_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("message_type", sa.String(20), nullable=False, server_default="text"),
        sa.Column("attachments", Json, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("edited_at", Instant),
        sa.Column("deleted_at", Instant),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("channel_id", "message_id", name="pk_messages"),
    )
    op.create_index("idx_messages_user", "messages", ["user_id"])
    op.create_index("idx_messages_type", "messages", ["message_type"])


def downgrade() -> None:
    for table in (
        "messages",
        "events",
        "topics",
        "invites",
        "server_members",
        "channels",
        "servers",
        "tokens",
        "users",
    ):
        op.drop_table(table)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, Instant, nullable=False, server_default=sa.func.now())


def _reference(table: str, column: str, to: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=f"fk_{table}_{column}", ondelete=ondelete)
