from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import servers
from control_plane.context import Context
from control_plane.routes.http import body, created, json, path_id, query_id, query_limit, resource
from proto.ids import ServerId, UserId
from proto.rest import NewServer


async def index(ctx: Context, _: Request) -> Response:
    return json(await servers.list_servers(ctx))


async def create(ctx: Context, request: Request) -> Response:
    return created(await servers.create_server(ctx, await body(request, NewServer)))


async def show(ctx: Context, request: Request) -> Response:
    return json(await servers.get_server(ctx, path_id(request, "server_id", ServerId)))


async def members(ctx: Context, request: Request) -> Response:
    server_id = path_id(request, "server_id", ServerId)
    after = query_id(request, "after", UserId)
    limit = query_limit(request, default=1000, most=1000)
    return json(await servers.list_members(ctx, server_id, after=after, limit=limit))


ROUTES = [
    resource("/servers", GET=index, POST=create),
    resource("/servers/{server_id}", GET=show),
    resource("/servers/{server_id}/members", GET=members),
]
