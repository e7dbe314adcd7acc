from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import voice
from control_plane.context import Context
from control_plane.routes.http import created, json, nothing, path_id, resource
from proto.ids import ChannelId


async def join(ctx: Context, request: Request) -> Response:
    return created(await voice.join(ctx, path_id(request, "channel_id", ChannelId)))


async def leave(ctx: Context, request: Request) -> Response:
    await voice.leave(ctx, path_id(request, "channel_id", ChannelId))
    return nothing()


async def participants(ctx: Context, request: Request) -> Response:
    return json(await voice.participants(ctx, path_id(request, "channel_id", ChannelId)))


ROUTES = [
    resource("/channels/{channel_id}/join", POST=join),
    resource("/channels/{channel_id}/leave", POST=leave),
    resource("/channels/{channel_id}/participants", GET=participants),
]
