"""The engine's counters over HTTP, for whoever runs this machine."""

from collections.abc import Callable
from ipaddress import ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

STATS_PATH = "/media/stats"


def stats_route(counters: Callable[[], dict[str, int]]) -> BaseRoute:
    """Totals and gauges, no names and no secrets; still nobody's business but the operator's: 404 for any other address,
    and for what a proxy passes on from one."""

    async def stats(request: Request) -> Response:
        request.scope["route_path"] = STATS_PATH
        client = request.client
        forwarded = "forwarded" in request.headers or "x-forwarded-for" in request.headers
        if forwarded or client is None or not ip_address(client.host).is_loopback:
            raise HTTPException(404)
        return JSONResponse(counters(), headers={"Cache-Control": "no-store"})

    return Route(STATS_PATH, stats)
