"""Stream keys: what a member gives to an encoder or a player (WHIP, WHEP), for one channel, until it is revoked."""

from base64 import urlsafe_b64encode

import structlog

from control_plane import access
from control_plane.actions import text
from control_plane.context import Context
from control_plane.errors import NotAVoiceChannel, TooMany, UnknownStreamKey
from control_plane.store.ports import Transaction
from control_plane.voice.keys import KEY_BYTES, KEY_PREFIX, digest
from proto.ids import ChannelId, StreamKeyId
from proto.rest import FreshStreamKey, NewStreamKey, StreamKey

log = structlog.get_logger()

# Of one member in one channel: a device each, and none forgotten.
MAX_KEYS = 20


async def create_stream_key(ctx: Context, channel_id: ChannelId, new: NewStreamKey) -> FreshStreamKey:
    app = ctx.services
    async with app.store.read() as view:
        channel = await access.channel(view, ctx.user_id, channel_id)
    if channel.type == "text":
        raise NotAVoiceChannel
    ctx.spend(app.limits.creations, ctx.user_id)
    secret = KEY_PREFIX + urlsafe_b64encode(app.randomness(KEY_BYTES)).rstrip(b"=").decode()
    made = StreamKey(app.mint(), text.line(new.name, "name"), app.now)

    async def write(tx: Transaction) -> None:
        channel = await access.channel(tx, ctx.user_id, channel_id)
        if len(await tx.stream_keys(channel_id, ctx.user_id)) >= MAX_KEYS:
            raise TooMany(f"You have {MAX_KEYS} stream keys for this channel already.")
        await tx.insert_stream_key(made, digest(secret), channel=channel, user_id=ctx.user_id)

    await app.store.write(write)
    log.info("stream key made", key_id=str(made.key_id), user_id=str(ctx.user_id), channel_id=str(channel_id))
    return FreshStreamKey(made.key_id, made.name, made.created_at, secret)


async def list_stream_keys(ctx: Context, channel_id: ChannelId) -> list[StreamKey]:
    """The caller's own."""
    async with ctx.services.store.read() as view:
        await access.channel(view, ctx.user_id, channel_id)
        return await view.stream_keys(channel_id, ctx.user_id)


async def revoke_stream_key(ctx: Context, channel_id: ChannelId, key_id: StreamKeyId) -> None:
    """One's own. What was made with it ends."""
    app = ctx.services

    async def write(tx: Transaction) -> None:
        await access.channel(tx, ctx.user_id, channel_id)
        if not await tx.delete_stream_key(channel_id, ctx.user_id, key_id):
            raise UnknownStreamKey

    await app.store.write(write)
    log.info("stream key revoked", key_id=str(key_id), user_id=str(ctx.user_id))
    await app.voice.end_of_keys({key_id})
