"""Servers, as the public API calls guilds."""

from control_plane import access
from control_plane.actions import text
from control_plane.context import Context
from control_plane.errors import TooMany
from control_plane.events import LogEvent, guild_entered, member_added
from control_plane.store.ports import Transaction
from proto.ids import ServerId, UserId, guild_topic, user_topic
from proto.rest import Channel, ChannelType, Member, NewServer, Server

MAX_SERVERS = 100  # that one user is in; Discord's, and what fits into a RESUME
FIRST_CHANNELS: tuple[tuple[str, ChannelType], ...] = (("general", "text"), ("Lounge", "voice"))


async def create_server(ctx: Context, new: NewServer) -> Server:
    ctx.spend(ctx.services.limits.creations, ctx.user_id)
    app, now = ctx.services, ctx.services.now
    description = text.storable(new.description, "description") if new.description else None
    server_id = ServerId(app.mint())
    server = Server(server_id, text.line(new.name, "name"), description, ctx.user_id, None, 0, now)
    channels = [
        Channel(app.mint(), server_id, name, kind, position, now)
        for position, (name, kind) in enumerate(FIRST_CHANNELS)
    ]

    async def write(tx: Transaction) -> tuple[Server, list[LogEvent]]:
        await check_room_for_one_more(tx, ctx.user_id)
        await tx.insert_server(server)
        for channel in channels:
            await tx.insert_channel(channel)
        events = await enter(tx, server_id, Member(ctx.user, now))
        return await access.server(tx, ctx.user_id, server_id), events

    created, events = await app.store.write(write)
    for event in events:
        app.bus.publish(event)
    return created


async def list_servers(ctx: Context) -> list[Server]:
    async with ctx.services.store.read() as view:
        return await view.servers_of(ctx.user_id)


async def get_server(ctx: Context, server_id: ServerId) -> Server:
    async with ctx.services.store.read() as view:
        return await access.server(view, ctx.user_id, server_id)


async def list_members(ctx: Context, server_id: ServerId, *, after: UserId | None, limit: int) -> list[Member]:
    async with ctx.services.store.read() as view:
        await access.server(view, ctx.user_id, server_id)
        return await view.members_page(server_id, after=after, limit=limit)


async def check_room_for_one_more(tx: Transaction, user_id: UserId) -> None:
    if len(await tx.servers_of(user_id)) >= MAX_SERVERS:
        raise TooMany(f"You are in {MAX_SERVERS} servers already.")


async def enter(tx: Transaction, server_id: ServerId, member: Member) -> list[LogEvent]:
    """Makes the user a member; nothing if it is one already. Returns what to announce: to the user, then to the
    others."""
    if not await tx.insert_member(server_id, member):
        return []
    added = await tx.append(guild_topic(server_id), lambda _: member_added(server_id, member))
    entered = guild_entered(server_id, added.n - 1)
    return [await tx.append(user_topic(member.user.user_id), lambda _: entered), added]
