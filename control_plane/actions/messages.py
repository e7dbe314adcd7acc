"""Messages. The log first, then the message store, then the announcement: DESIGN §6, point 3."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from control_plane import access
from control_plane.actions import text
from control_plane.context import Context, Services
from control_plane.events import Announcement, LogEvent, message_created
from control_plane.store.ports import StoredMessage
from proto.ids import ChannelId, MessageId, UserId, guild_topic, time_of
from proto.rest import Message, NewMessage, User


async def send_message(ctx: Context, channel_id: ChannelId, new: NewMessage) -> Message:
    """With a nonce, a message that was sent before is answered again, as long as the log is kept
    (`housekeeping.RETENTION`)."""
    app = ctx.services
    async with app.store.read() as view:
        channel = await access.channel(view, ctx.user_id, channel_id)
    ctx.spend(app.limits.messages, ctx.user_id)
    content = text.prose(new.content, "content")
    nonce = text.storable(new.nonce, "nonce") if new.nonce is not None else None

    def announce(message_id: UUID) -> Announcement:
        author = ctx.user
        sent = time_of(message_id)
        return message_created(Message(message_id, channel_id, ctx.user_id, author, content, sent, nonce))

    key = f"{channel_id}/{ctx.user_id}/{nonce}" if nonce is not None else None
    topic = guild_topic(channel.server_id)
    event = await app.store.write(lambda tx: tx.append(topic, announce, nonce=key, stored=False))
    await store_and_announce(app, [event])
    return _message(event)


async def list_messages(
    ctx: Context, channel_id: ChannelId, *, limit: int, before: MessageId | None, after: MessageId | None
) -> list[Message]:
    """Newest first."""
    app = ctx.services
    async with app.store.read() as view:
        await access.channel(view, ctx.user_id, channel_id)
    page = await app.messages.page(channel_id, limit=limit, before=before, after=after)
    async with app.store.read() as view:
        authors = await view.users({each.user_id for each in page})
    return [
        Message(
            message_id=each.message_id,
            channel_id=each.channel_id,
            user_id=each.user_id,
            author=authors.get(each.user_id) or User(each.user_id, "somebody"),
            content=each.content,
            timestamp=time_of(each.message_id),
        )
        for each in page
    ]


async def store_and_announce(app: Services, events: Sequence[LogEvent]) -> None:
    """What has been appended becomes readable, then is announced. Idempotent."""
    await app.messages.put([_stored(_message(event)) for event in events])
    await app.store.write(lambda tx: tx.mark_stored(events))
    for event in events:
        app.bus.publish(event)


def _message(event: LogEvent) -> Message:
    return msgspec.json.decode(event.d, type=Message)


def _stored(message: Message) -> StoredMessage:
    return StoredMessage(
        ChannelId(message.channel_id), MessageId(message.message_id), UserId(message.user_id), message.content
    )
