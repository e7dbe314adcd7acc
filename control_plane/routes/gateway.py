from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from control_plane.context import Visitor
from control_plane.errors import UpgradeRequired
from control_plane.gateway.connection import Connection
from control_plane.routes.http import Public, resource


async def connect(socket: WebSocket) -> None:
    await Connection(socket, socket.app.state.services, socket.app.state.hub).run()


async def explain(_: Visitor, __: Request) -> Response:
    raise UpgradeRequired


ROUTES: list[BaseRoute] = [WebSocketRoute("/gateway", connect), resource("/gateway", GET=Public(explain))]
