"""What all resources share: who asks, what they sent, how they are answered."""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from control_plane.actions import accounts
from control_plane.context import Context, Services, Visitor
from control_plane.errors import (
    ApiError,
    BadId,
    BodyTooLarge,
    InvalidBody,
    InvalidQuery,
    MalformedJson,
    MethodNotAllowed,
    RateLimited,
    Unauthorized,
    UnsupportedMediaType,
)
from control_plane.ratelimit import Verdict
from proto.ids import InvalidId, parse_id
from proto.rest import Problem

MAX_BODY = 64 * 1024  # bytes; the longest message is 4000 characters, 24 kB when every one of them is escaped

T = TypeVar("T")
Id = TypeVar("Id")  # one of the id types
_REQUIRED: Any = object()


@dataclass(frozen=True)
class Public:
    """A handler for whoever asks."""

    handler: Callable[[Visitor, Request], Awaitable[Response]]


Handler = Callable[[Context, Request], Awaitable[Response]]


def resource(path: str, **methods: Handler | Public) -> Route:
    """`resource("/servers", GET=index, POST=create)`: the whole of a path, so that other methods are refused here."""
    return Route(path, _Resource(path, methods))


class _Resource:
    def __init__(self, path: str, methods: Mapping[str, Handler | Public]) -> None:
        self._path = path
        self._methods = methods
        self._allow = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_path"] = self._path  # for the log: a path itself may hold an invite's code
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        handler = self._methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            return problem(MethodNotAllowed(self._allow))
        app: Services = request.app.state.services
        caller = Visitor(app, _address(request))
        try:
            if isinstance(handler, Public):
                response = await handler.handler(caller, request)
            else:
                caller = context = await _context(caller, request)
                request.scope["user_id"] = str(context.user_id)
                response = await handler(context, request)
        except ApiError as wrong:
            response = problem(wrong)
        if caller.verdict is not None:
            response.headers.update(_rate_headers(caller.verdict, app.now_us()))
        return response


async def _context(visitor: Visitor, request: Request) -> Context:
    """Raises `Unauthorized`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    user = await accounts.user_of(visitor.services, token.strip()) if scheme.lower() == "bearer" and token else None
    if user is None:
        raise Unauthorized
    return Context(visitor.services, visitor.address, user=user, token_digest=accounts.digest(token.strip()))


def _address(request: Request) -> str:
    """What rate limits count by: an IPv4 address, or the /64 that one IPv6 customer has."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


# What they sent


def path_id(request: Request, name: str, kind: Callable[[UUID], Id]) -> Id:
    """Raises `BadId`."""
    try:
        return kind(parse_id(request.path_params[name]))
    except InvalidId:
        raise BadId(errors={name: "is not one of our ids"}) from None


def query_id(request: Request, name: str, kind: Callable[[UUID], Id]) -> Id | None:
    """Raises `InvalidQuery`."""
    given = request.query_params.get(name)
    try:
        return None if given is None else kind(parse_id(given))
    except InvalidId:
        raise InvalidQuery(errors={name: "is not one of our ids"}) from None


def query_limit(request: Request, *, default: int, most: int) -> int:
    """Raises `InvalidQuery`."""
    given = request.query_params.get("limit", str(default))
    limit = int(given) if given.isascii() and given.isdigit() and len(given) <= 6 else 0
    if not 1 <= limit <= most:
        raise InvalidQuery(errors={"limit": f"is a number from 1 to {most}"})
    return limit


async def body(request: Request, kind: type[T], *, default: T = _REQUIRED) -> T:
    """The JSON body; `default` if it is empty and may be. Reads no more than `MAX_BODY`. Raises what is wrong with
    it."""
    raw = await _read(request)
    if not raw and default is not _REQUIRED:
        return default
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as wrong:
        raise InvalidBody(errors=_fields(str(wrong))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedJson from None


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY:
        raise BodyTooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise BodyTooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _fields(wrong: str) -> dict[str, str]:
    """msgspec says "Expected `str` of length >= 1 - at `$.name`", or "Object missing required field `name`"."""
    what, _, where = wrong.rpartition(" - at `$")
    if not where or not what:
        what, where = wrong, ""
    where = where.rstrip("`").lstrip(".")
    if what.startswith("Object missing required field `"):
        missing = what.split("`")[1]
        return {f"{where}.{missing}" if where else missing: "is missing"}
    return {where or "body": what[0].lower() + what[1:]}


# How they are answered


def json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"Cache-Control": "no-store"}, "application/json")


def created(value: Any) -> Response:
    return json(value, 201)


def nothing() -> Response:
    return Response(status_code=204)


def problem(wrong: ApiError) -> Response:
    answer: Any = Problem(wrong.code, wrong.text, wrong.errors)
    if isinstance(wrong, RateLimited):  # with what Discord's bodies have besides
        retry_after = round(wrong.verdict.retry_after, 3)
        answer = {"code": wrong.code, "message": wrong.text, "retry_after": retry_after, "global": False}
    response = json(answer, wrong.status)
    response.headers.update(wrong.headers)
    if isinstance(wrong, BodyTooLarge):
        response.headers["Connection"] = "close"  # the rest of it is not waited for
    return response


def _rate_headers(verdict: Verdict, now_us: int) -> dict[str, str]:
    headers = {
        "X-RateLimit-Bucket": verdict.bucket,
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": f"{now_us / 1e6 + verdict.reset_after:.3f}",
        "X-RateLimit-Reset-After": f"{verdict.reset_after:.3f}",
    }
    if not verdict.allowed:
        headers |= {"Retry-After": str(math.ceil(verdict.retry_after)), "X-RateLimit-Scope": "user"}
    return headers
