from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import accounts
from control_plane.context import Context, Visitor
from control_plane.routes.http import Public, body, created, json, nothing, resource
from proto.rest import Credentials


async def sign_up(visitor: Visitor, request: Request) -> Response:
    return created(await accounts.sign_up(visitor, await body(request, Credentials)))


async def log_in(visitor: Visitor, request: Request) -> Response:
    return json(await accounts.log_in(visitor, await body(request, Credentials)))


async def log_out(ctx: Context, _: Request) -> Response:
    await accounts.log_out(ctx)
    return nothing()


async def me(ctx: Context, _: Request) -> Response:
    return json(ctx.user)


ROUTES = [
    resource("/users", POST=Public(sign_up)),
    resource("/login", POST=Public(log_in)),
    resource("/logout", POST=log_out),
    resource("/users/@me", GET=me),
]
