"""Joining a voice channel, leaving it, and who is there."""

from control_plane import access
from control_plane.context import Context
from control_plane.errors import NotAVoiceChannel
from proto.ids import ChannelId, SessionId
from proto.rest import Admission, VoiceState


async def join(ctx: Context, channel_id: ChannelId) -> Admission:
    """The way in. The user is there, for the others, once the media node says so."""
    async with ctx.services.store.read() as view:
        channel = await access.channel(view, ctx.user_id, channel_id)
    if channel.type == "text":
        raise NotAVoiceChannel
    ctx.spend(ctx.services.limits.joins, ctx.user_id)
    return ctx.services.voice.admit(ctx.user_id, channel, SessionId(ctx.services.mint()))


async def leave(ctx: Context, channel_id: ChannelId) -> None:
    """Idempotent."""
    async with ctx.services.store.read() as view:
        await access.channel(view, ctx.user_id, channel_id)
    await ctx.services.voice.leave(ctx.user_id, channel_id)


async def participants(ctx: Context, channel_id: ChannelId) -> list[VoiceState]:
    async with ctx.services.store.read() as view:
        await access.channel(view, ctx.user_id, channel_id)
    return ctx.services.voice.in_channel(channel_id)
