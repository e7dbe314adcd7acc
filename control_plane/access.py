"""The one door from an id to its object. What the user may not see does not exist."""

from control_plane.errors import MissingPermissions, UnknownChannel, UnknownServer
from control_plane.store.ports import Reader
from proto.ids import ChannelId, ServerId, UserId
from proto.rest import Channel, Server


async def server(view: Reader, user_id: UserId, server_id: ServerId) -> Server:
    """Raises `UnknownServer`."""
    found = await view.server(server_id)
    if found is None or await view.member(server_id, user_id) is None:
        raise UnknownServer
    return found


async def own_server(view: Reader, user_id: UserId, server_id: ServerId) -> Server:
    """Raises `UnknownServer`, or `MissingPermissions` for a member who does not own it."""
    found = await server(view, user_id, server_id)
    if found.owner_id != user_id:
        raise MissingPermissions("Only the owner of this server may do this.")
    return found


async def channel(view: Reader, user_id: UserId, channel_id: ChannelId) -> Channel:
    """Raises `UnknownChannel`."""
    found = await view.channel(channel_id)
    if found is None or await view.member(ServerId(found.server_id), user_id) is None:
        raise UnknownChannel
    return found
