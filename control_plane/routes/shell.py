"""Around every request: an id, a line in the log, headers that keep a browser safe, and a clean answer whatever
happens."""

import secrets
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_plane.errors import ApiError, Unavailable
from control_plane.routes.http import json, problem
from control_plane.store.ports import StoreUnavailable
from proto.errors import ErrorCode
from proto.rest import Problem

log = structlog.get_logger()

# For a page that is served from here and made of ES modules: nothing is loaded from elsewhere and nothing is inline,
# but it may talk to any WebSocket, because media nodes have origins of their own.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self' ws: wss:",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the path may hold an invite's code
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(self), display-capture=(self), autoplay=(self), "
    "fullscreen=(self), geolocation=(), payment=(), usb=()",
}


class Shell:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        begun = perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Exception:
            log.exception("request failed", request_id=request_id, **_what(scope))
            if status:
                raise  # half an answer is out: the server cuts the connection
            await _internal_error(request_id)(scope, receive, sending)
        finally:
            took = round((perf_counter() - begun) * 1000, 1)
            log.info("request", request_id=request_id, status=status, ms=took, **_what(scope))


def _what(scope: Scope) -> Mapping[str, Any]:
    """A path is logged only as the pattern it matched: the rest of it is the client's, and may be a secret."""
    what = {"method": scope["method"], "path": scope.get("route_path", "other")}
    return what | ({"user_id": scope["user_id"]} if "user_id" in scope else {})


def _internal_error(request_id: str) -> Response:
    message = f"Something went wrong here. If it happens again, tell who runs this server about {request_id}."
    return json(Problem(ErrorCode.INTERNAL_ERROR, message), 500)


async def on_api_error(_: Request, wrong: Exception) -> Response:
    return problem(wrong) if isinstance(wrong, ApiError) else _internal_error("-")


async def on_unavailable(_: Request, wrong: Exception) -> Response:
    log.error("store unavailable", reason=str(wrong))
    return problem(Unavailable())


_CODES = {404: ErrorCode.NOT_FOUND, 405: ErrorCode.METHOD_NOT_ALLOWED}


async def on_http_error(_: Request, wrong: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    if not isinstance(wrong, HTTPException) or wrong.status_code not in _CODES:
        raise wrong
    response = json(Problem(_CODES[wrong.status_code], f"{wrong.detail}."), wrong.status_code)
    response.headers.update(wrong.headers or {})
    return response


ERROR_HANDLERS = {ApiError: on_api_error, StoreUnavailable: on_unavailable, HTTPException: on_http_error}
