"""Channels of a server."""

from control_plane import access
from control_plane.actions import text
from control_plane.context import Context
from control_plane.errors import TooMany
from control_plane.events import LogEvent, channel_created
from control_plane.store.ports import Transaction
from proto.ids import ChannelId, ServerId, guild_topic
from proto.rest import Channel, NewChannel

MAX_CHANNELS = 500  # of one server; Discord's


async def create_channel(ctx: Context, server_id: ServerId, new: NewChannel) -> Channel:
    """The owner's to do, until there are permissions."""
    app, now = ctx.services, ctx.services.now
    async with app.store.read() as view:
        await access.own_server(view, ctx.user_id, server_id)
    ctx.spend(app.limits.creations, ctx.user_id)
    name = text.line(new.name, "name")

    async def write(tx: Transaction) -> tuple[Channel, LogEvent]:
        existing = await tx.channels([server_id])
        if len(existing) >= MAX_CHANNELS:
            raise TooMany(f"This server has {MAX_CHANNELS} channels already.")
        position = max((each.position for each in existing), default=-1) + 1
        channel = Channel(app.mint(), server_id, name, new.type, position, now)
        await tx.insert_channel(channel)
        return channel, await tx.append(guild_topic(server_id), lambda _: channel_created(channel))

    channel, event = await app.store.write(write)
    app.bus.publish(event)
    return channel


async def list_channels(ctx: Context, server_id: ServerId) -> list[Channel]:
    async with ctx.services.store.read() as view:
        await access.server(view, ctx.user_id, server_id)
        return await view.channels([server_id])


async def get_channel(ctx: Context, channel_id: ChannelId) -> Channel:
    async with ctx.services.store.read() as view:
        return await access.channel(view, ctx.user_id, channel_id)
