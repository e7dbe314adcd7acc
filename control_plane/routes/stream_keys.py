from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import stream_keys
from control_plane.context import Context
from control_plane.routes.http import body, created, json, nothing, path_id, resource
from proto.ids import ChannelId, StreamKeyId
from proto.rest import NewStreamKey


async def index(ctx: Context, request: Request) -> Response:
    return json(await stream_keys.list_stream_keys(ctx, path_id(request, "channel_id", ChannelId)))


async def create(ctx: Context, request: Request) -> Response:
    channel_id = path_id(request, "channel_id", ChannelId)
    return created(await stream_keys.create_stream_key(ctx, channel_id, await body(request, NewStreamKey)))


async def revoke(ctx: Context, request: Request) -> Response:
    channel_id = path_id(request, "channel_id", ChannelId)
    await stream_keys.revoke_stream_key(ctx, channel_id, path_id(request, "key_id", StreamKeyId))
    return nothing()


ROUTES = [
    resource("/channels/{channel_id}/stream-keys", GET=index, POST=create),
    resource("/channels/{channel_id}/stream-keys/{key_id}", DELETE=revoke),
]
