from starlette.requests import Request
from starlette.responses import Response

from control_plane.actions import health
from control_plane.context import Visitor
from control_plane.routes.http import Public, json, resource


async def show(visitor: Visitor, _: Request) -> Response:
    await health.check(visitor)
    return json({"status": "ok"})


ROUTES = [resource("/health", GET=Public(show))]
