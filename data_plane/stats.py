"""The engine's counters over HTTP, for whoever runs this machine."""

from collections.abc import Callable
from ipaddress import ip_address

from starlette.datastructures import Address
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

STATS_PATH = "/media/stats"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def stats_route(counters: Callable[[], dict[str, int]]) -> BaseRoute:
    """Totals and gauges, no names and no secrets; still nobody's business but the operator's: 404 for any address but
    this machine's own, and for what a proxy passes on."""

    async def stats(request: Request) -> Response:
        request.scope["route_path"] = STATS_PATH
        if any(name in request.headers for name in FORWARDED) or not _is_loopback(request.client):
            raise HTTPException(404)
        return JSONResponse(counters(), headers={"Cache-Control": "no-store"})

    return Route(STATS_PATH, stats)


def _is_loopback(client: Address | None) -> bool:
    try:
        return client is not None and ip_address(client.host).is_loopback
    except ValueError:  # a name: of a socket in the file system, or of a test's client
        return False
