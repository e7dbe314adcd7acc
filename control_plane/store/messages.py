"""The message store on SQLite."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.store.ports import StoredMessage
from control_plane.store.sqlite import Database
from control_plane.store.tables import messages
from proto.ids import ChannelId, MessageId, time_of

_MESSAGE = tuple(messages.c[name] for name in StoredMessage.__struct_fields__)


class EmbeddedMessages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, new: Sequence[StoredMessage]) -> None:
        rows = [
            {
                "channel_id": each.channel_id,
                "message_id": each.message_id,
                "user_id": each.user_id,
                "content": each.content,
                "created_at": time_of(each.message_id),
            }
            for each in new
        ]

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(insert(messages).on_conflict_do_nothing(), rows)

        if rows:
            await self._database.write(work)

    async def page(
        self, channel_id: ChannelId, *, limit: int, before: MessageId | None = None, after: MessageId | None = None
    ) -> list[StoredMessage]:
        found = select(*_MESSAGE).where(messages.c.channel_id == channel_id, messages.c.deleted_at.is_(None))
        if before is not None:
            found = found.where(messages.c.message_id < before)
        if after is not None:
            found = found.where(messages.c.message_id > after)
        order = messages.c.message_id.desc() if after is None else messages.c.message_id.asc()
        async with self._database.read() as connection:
            rows = await connection.execute(found.order_by(order).limit(limit))
            return sorted((StoredMessage(*row) for row in rows), key=lambda each: each.message_id, reverse=True)
