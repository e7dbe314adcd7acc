from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import voice
from control_plane.context import Context
from control_plane.routes.http import body, created, json, nothing, path_id, resource
from proto.ids import ChannelId, UserId
from proto.rest import ParticipantChange


async def join(ctx: Context, request: Request) -> Response:
    return created(await voice.join(ctx, path_id(request, "channel_id", ChannelId)))


async def leave(ctx: Context, request: Request) -> Response:
    await voice.leave(ctx, path_id(request, "channel_id", ChannelId))
    return nothing()


async def participants(ctx: Context, request: Request) -> Response:
    return json(await voice.participants(ctx, path_id(request, "channel_id", ChannelId)))


async def change_participant(ctx: Context, request: Request) -> Response:
    channel_id, user_id = path_id(request, "channel_id", ChannelId), path_id(request, "user_id", UserId)
    await voice.change_participant(ctx, channel_id, user_id, await body(request, ParticipantChange))
    return nothing()


async def disconnect(ctx: Context, request: Request) -> Response:
    await voice.disconnect(ctx, path_id(request, "channel_id", ChannelId), path_id(request, "user_id", UserId))
    return nothing()


ROUTES = [
    resource("/channels/{channel_id}/join", POST=join),
    resource("/channels/{channel_id}/leave", POST=leave),
    resource("/channels/{channel_id}/participants", GET=participants),
    resource("/channels/{channel_id}/participants/{user_id}", PATCH=change_participant, DELETE=disconnect),
]
