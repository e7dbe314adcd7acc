from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import channels
from control_plane.context import Context
from control_plane.routes.http import body, created, json, path_id, resource
from proto.ids import ChannelId, ServerId
from proto.rest import NewChannel


async def index(ctx: Context, request: Request) -> Response:
    return json(await channels.list_channels(ctx, path_id(request, "server_id", ServerId)))


async def create(ctx: Context, request: Request) -> Response:
    server_id = path_id(request, "server_id", ServerId)
    return created(await channels.create_channel(ctx, server_id, await body(request, NewChannel)))


async def show(ctx: Context, request: Request) -> Response:
    return json(await channels.get_channel(ctx, path_id(request, "channel_id", ChannelId)))


ROUTES = [
    resource("/servers/{server_id}/channels", GET=index, POST=create),
    resource("/channels/{channel_id}", GET=show),
]
