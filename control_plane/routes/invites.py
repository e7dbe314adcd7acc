from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import invites
from control_plane.context import Context, Visitor
from control_plane.routes.http import Public, body, created, json, path_id, resource
from proto.ids import ServerId
from proto.rest import NewInvite


async def create(ctx: Context, request: Request) -> Response:
    wanted = await body(request, NewInvite, default=NewInvite())
    return created(await invites.create_invite(ctx, path_id(request, "server_id", ServerId), wanted))


async def show(visitor: Visitor, request: Request) -> Response:
    return json(await invites.get_invite(visitor, request.path_params["code"]))


async def accept(ctx: Context, request: Request) -> Response:
    return json(await invites.accept_invite(ctx, request.path_params["code"]))


ROUTES = [
    resource("/servers/{server_id}/invite", POST=create),
    resource("/invites/{code}", GET=Public(show), POST=accept),
]
