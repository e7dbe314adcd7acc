"""What WHIP and WHEP need of HTTP: problems in words, bodies within bounds, preconditions, CORS."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

BODY_WITHIN = 10  # seconds: an offer is a few packets long

# Players and encoders in browsers come from any origin. They show a bearer, never a cookie.
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, Link, ETag, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-store",
}
PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "86400",
}

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]{1,4096}=*) *")  # RFC 6750 §2.1
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')  # RFC 9110 §8.8.3


class HttpProblem(Exception):
    """A request that is answered with a status of 400 and up; `detail` is one sentence for whoever made the client."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    @property
    def response(self) -> Response:
        """RFC 9457, as RFC 9725 §4.1 recommends."""
        body = {"title": self.status.phrase, "status": self.status.value, "detail": self.detail}
        return JSONResponse(body, self.status, {**CORS, **self.headers}, "application/problem+json")


def unauthorized(detail: str, *, error: str | None = None) -> HttpProblem:
    """RFC 6750 §3: without `error` the request had no bearer at all."""
    challenge = 'Bearer realm="chorale"' + (f', error="{error}"' if error else "")
    return HttpProblem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})


def bearer(request: Request) -> str:
    """The token of the request. Raises `HttpProblem`."""
    given = _BEARER.fullmatch(request.headers.get("authorization", ""))
    if given is None:
        raise unauthorized("Show a stream key, or a grant, as Authorization: Bearer.")
    return given[1]


async def text_body(request: Request, media_type: str, most: int) -> str:
    """The body, if it is of that type, UTF-8, and of at most that many bytes. Raises `HttpProblem`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise HttpProblem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The body has to be {media_type}.")
    too_large = HttpProblem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {most} bytes.", {"Connection": "close"}
    )
    declared = request.headers.get("content-length", "0")
    if not re.fullmatch("[0-9]{1,9}", declared) or int(declared) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WITHIN):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
        return body.decode()
    except TimeoutError:
        raise HttpProblem(HTTPStatus.REQUEST_TIMEOUT, "The body did not come.", {"Connection": "close"}) from None
    except UnicodeDecodeError:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, "The body is not UTF-8.") from None


def accepts(request: Request, media_type: str) -> bool:
    """RFC 9110 §12.5.1, as far as one type can differ from another."""
    wanted = request.headers.get("accept", "*/*").lower().split(",")
    ranges = {}
    for each in wanted:
        name, *parameters = (part.strip() for part in each.split(";"))
        ranges[name] = not any(re.fullmatch(r"q=0(\.0{0,3})?", part) for part in parameters)
    for name in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if name in ranges:
            return ranges[name]
    return not any(ranges)  # an empty header says nothing


def check_precondition(request: Request, entity_tag: str) -> None:
    """RFC 9725 §4.3.1: a PATCH says which ICE session it means. Raises `HttpProblem`."""
    given = request.headers.get("if-match")
    if given is None:
        raise HttpProblem(HTTPStatus.PRECONDITION_REQUIRED, "If-Match says which ICE session is meant: its ETag, or *.")
    given = given.strip()
    # The RFC's own example has the asterisk in quotes, and so have clients.
    if given not in ("*", '"*"') and entity_tag not in _ENTITY_TAG.findall(given):
        raise HttpProblem(HTTPStatus.PRECONDITION_FAILED, "If-Match names an ICE session that is over.")
