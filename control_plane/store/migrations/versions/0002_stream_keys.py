"""Stream keys: what an encoder or a player shows instead of a sign-in."""

import sqlalchemy as sa
from alembic import op

from control_plane.store.tables import Id, Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stream_keys",
        sa.Column("key_id", Id, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("server_id", Id, nullable=False),
        sa.Column("channel_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created_at", Instant, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("key_id", name="pk_stream_keys"),
        sa.UniqueConstraint("digest", name="uq_stream_keys_digest"),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.channel_id"], name="fk_stream_keys_channel_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["server_id", "user_id"],
            ["server_members.server_id", "server_members.user_id"],
            name="fk_stream_keys_member",
            ondelete="CASCADE",
        ),
    )
    op.create_index("idx_stream_keys_channel", "stream_keys", ["channel_id", "user_id"])
    op.create_index("idx_stream_keys_member", "stream_keys", ["server_id", "user_id"])


def downgrade() -> None:
    op.drop_table("stream_keys")
