"""The page: static files, `index.html` for the addresses that are views of it."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# A browser keeps a copy and asks whether it is still the same: an update of the server reaches everyone at once.
CACHE = "no-cache"


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = CACHE
        return response


def page_routes(directory: Path) -> list[BaseRoute]:
    """None if there is no such directory: the API works without a page."""
    if not directory.is_dir():
        return []

    async def index(request: Request) -> Response:
        request.scope["route_path"] = "/invite/{code}"
        return FileResponse(directory / "index.html", headers={"Cache-Control": CACHE})

    return [Route("/invite/{code}", index), Mount("/", _Files(directory=directory, html=True))]
