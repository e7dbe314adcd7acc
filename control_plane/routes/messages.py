from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import messages
from control_plane.context import Context
from control_plane.routes.http import body, created, json, path_id, query_id, query_limit, resource
from proto.ids import ChannelId, MessageId
from proto.rest import NewMessage


async def index(ctx: Context, request: Request) -> Response:
    channel_id = path_id(request, "channel_id", ChannelId)
    limit = query_limit(request, default=50, most=100)
    before, after = query_id(request, "before", MessageId), query_id(request, "after", MessageId)
    page = await messages.list_messages(ctx, channel_id, limit=limit, before=before, after=after)
    return json(page)


async def create(ctx: Context, request: Request) -> Response:
    channel_id = path_id(request, "channel_id", ChannelId)
    return created(await messages.send_message(ctx, channel_id, await body(request, NewMessage)))


ROUTES = [resource("/channels/{channel_id}/messages", GET=index, POST=create)]
