"""Joining a voice channel, leaving it, who is there, and what the owner may do to them."""

from uuid import UUID

from control_plane import access
from control_plane.context import Context
from control_plane.errors import NotAVoiceChannel, UnknownChannel, UnknownParticipant
from control_plane.store.ports import Reader
from control_plane.voice.sessions import VoiceSession
from proto.ids import ChannelId, ServerId, SessionId, UserId
from proto.rest import Admission, Channel, ParticipantChange, VoiceState


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


async def change_participant(ctx: Context, channel_id: ChannelId, user_id: UserId, change: ParticipantChange) -> None:
    """By the owner of the server. The change is announced once the media node has made it."""
    async with ctx.services.store.read() as view:
        channel, session = await _owned(ctx, view, channel_id, user_id)
        target = await _target(ctx, view, channel, user_id, change.channel_id)
    voice = ctx.services.voice
    await voice.sanction(session, muted=change.server_muted, deafened=change.server_deafened)
    if target is not None:
        await voice.move(session, target)


async def disconnect(ctx: Context, channel_id: ChannelId, user_id: UserId) -> None:
    """By the owner of the server."""
    async with ctx.services.store.read() as view:
        _, session = await _owned(ctx, view, channel_id, user_id)
    await ctx.services.voice.remove(session)


async def _owned(ctx: Context, view: Reader, channel_id: ChannelId, user_id: UserId) -> tuple[Channel, VoiceSession]:
    """A channel of the caller's own server, and the session of somebody in it. Raises `UnknownChannel`,
    `MissingPermissions`, `UnknownParticipant`."""
    channel = await access.channel(view, ctx.user_id, channel_id)
    await access.own_server(view, ctx.user_id, ServerId(channel.server_id))
    session = ctx.services.voice.session(user_id, channel_id)
    if session is None:
        raise UnknownParticipant
    return channel, session


async def _target(
    ctx: Context, view: Reader, channel: Channel, user_id: UserId, target: UUID | None
) -> ChannelId | None:
    """Where the member may be moved: into a voice channel of the same server, which it could join itself. Raises
    `UnknownChannel`, `NotAVoiceChannel`, `UnknownParticipant`."""
    if target is None:
        return None
    found = await access.channel(view, ctx.user_id, ChannelId(target))
    if found.server_id != channel.server_id:
        raise UnknownChannel
    if found.type == "text":
        raise NotAVoiceChannel
    try:
        await access.channel(view, user_id, ChannelId(target))
    except UnknownChannel:
        raise UnknownParticipant from None
    return ChannelId(target)
