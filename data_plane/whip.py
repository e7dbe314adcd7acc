"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): an offer by POST, a stay as a resource.

A WHIP client publishes and hears nothing; a WHEP player hears and says nothing. Both are stays like any other. What a
WHIP client sends beside its sound is its camera; a WHEP player is shown who speaks, or what else there is to see.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from data_plane.http import (
    CORS,
    PREFLIGHT,
    HttpProblem,
    accepts,
    bearer,
    check_precondition,
    text_body,
    unauthorized,
)
from data_plane.sdp import BadFragment, BadOffer, Candidate, Fragment, Offer, UnservedOffer, describe_restart
from data_plane.signalling import Refusal
from data_plane.stays import Stay
from proto.media import Claims, EndReason
from proto.rest import IceServer

log = structlog.get_logger()

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
MAX_OFFER, MAX_FRAGMENT = 128 * 1024, 16 * 1024  # bytes
# Seconds until it makes sense to try again: somebody has to leave first; ICE was restarted too often in a minute.
RETRY_AFTER = {HTTPStatus.SERVICE_UNAVAILABLE: "10", HTTPStatus.TOO_MANY_REQUESTS: "60"}

_STATUS = {
    "wrong_node": HTTPStatus.FORBIDDEN,
    "wrong_channel": HTTPStatus.FORBIDDEN,
    "unknown_channel": HTTPStatus.NOT_FOUND,
    "bad_offer": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too_many_offers": HTTPStatus.TOO_MANY_REQUESTS,
    "full": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Restarted:
    """Our side of an ICE restart."""

    ufrag: str
    password: str
    candidates: Sequence[Candidate]


class Rooms(Protocol):
    """What the node does for these clients."""

    async def authorize(self, channel_id: UUID, bearer: str, *, publishes: bool) -> Claims: ...
    def enter(self, claims: Claims, offer: Offer, client: None) -> tuple[Stay, str]: ...
    def spoil(self, claims: Claims) -> None: ...
    def restart_ice(self, session_id: UUID, *, ufrag: str, password: str) -> Restarted: ...
    def ice_servers(self, session_id: UUID) -> Sequence[IceServer]: ...
    def leave(self, session_id: UUID, reason: EndReason) -> None: ...


@dataclass(slots=True)
class Resource:
    """One session: who may change it, and which ICE session it is in."""

    channel_id: UUID
    session_id: UUID
    key: bytes  # SHA-256 of the bearer that made it
    remote: tuple[str, str]  # the client's ICE user fragment and password
    tagged: tuple[str, str, str]  # medium, mid and protocol of the m-line that stands for the bundle
    entity_tag: str = field(default_factory=lambda: f'"{secrets.token_hex(8)}"')


class Whip:
    """Both ways. A client learns by DTLS and by consent that its stay is over, for there is nothing to tell it by."""

    def __init__(self, rooms: Rooms) -> None:
        self._ways = [_Way(rooms, "whip", publishes=True), _Way(rooms, "whep", publishes=False)]

    @property
    def routes(self) -> list[BaseRoute]:
        return [
            route
            for way in self._ways
            for route in (
                Route(f"/{way.name}/{{channel_id}}", _Endpoint(way)),
                Route(f"/{way.name}/{{channel_id}}/{{session_id}}", _Session(way)),
            )
        ]

    def over(self, session_id: UUID) -> None:
        """That stay has ended, if it was one of these."""
        for way in self._ways:
            way.alive.pop(session_id, None)


class _Way:
    """WHIP, or WHEP: its rooms and its sessions."""

    def __init__(self, rooms: Rooms, name: str, *, publishes: bool) -> None:
        self.rooms, self.name, self.publishes = rooms, name, publishes
        self.alive: dict[UUID, Resource] = {}  # as long as its stay


class _Handler(ABC):
    """The ASGI endpoint of one path."""

    path: str
    allow: str
    accepts: dict[str, str]

    def __init__(self, way: _Way) -> None:
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route_path"] = f"/{self._way.name}/{self.path}"  # for the log
        request = Request(scope, receive)
        try:
            response = self._options() if request.method == "OPTIONS" else await self.respond(request)
        except HttpProblem as wrong:
            response = wrong.response
        await response(scope, receive, send)

    @abstractmethod
    async def respond(self, request: Request) -> Response:
        """To anything but OPTIONS. Raises `HttpProblem`."""

    def _options(self) -> Response:
        """CORS preflights, and RFC 9725 §4.2. They carry no bearer, so they are told of no TURN server."""
        return Response(None, 200, {**CORS, **PREFLIGHT, **self.accepts, "Access-Control-Allow-Methods": self.allow})

    def not_allowed(self) -> HttpProblem:
        return HttpProblem(HTTPStatus.METHOD_NOT_ALLOWED, f"Here is only {self.allow}.", {"Allow": self.allow})


class _Endpoint(_Handler):
    path, allow, accepts = "{channel_id}", "POST, GET, HEAD, OPTIONS", {"Accept-Post": SDP}

    async def respond(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):  # nothing to see, which is no error: RFC 9725 §4.1
            return Response(None, 204, CORS)
        if request.method != "POST":
            raise self.not_allowed()
        way, token = self._way, bearer(request)
        channel_id = _uuid(request.path_params["channel_id"])
        try:
            claims = await way.rooms.authorize(channel_id, token, publishes=way.publishes)
        except Refusal as refusal:
            raise _problem(refusal) from None
        try:
            return await self._enter(request, claims, token)
        except BaseException:
            if "." not in token:
                way.rooms.spoil(claims)
            raise

    async def _enter(self, request: Request, claims: Claims, token: str) -> Response:
        way = self._way
        offer = await _offer(request, publishes=way.publishes)
        media = {each.mid: "audio" for each in offer.audio} | {each.mid: "video" for each in offer.video}
        (tagged,) = (each for each in offer.served if each.mid == offer.bundle[0])
        resource = Resource(
            channel_id=claims.room,
            session_id=claims.sid,
            key=_digest(token),
            remote=(offer.ufrag, offer.password),
            tagged=(media[tagged.mid], tagged.mid, tagged.protocol),
        )
        try:
            _, answer = way.rooms.enter(claims, offer, None)
        except Refusal as refusal:
            raise _problem(refusal) from None
        way.alive[claims.sid] = resource
        log.info("voice session joined", session_id=str(claims.sid), by=way.name)
        location = f"/{way.name}/{claims.room}/{claims.sid}"
        headers = {**CORS, "Location": location, "ETag": resource.entity_tag, "Accept-Patch": FRAGMENT}
        response = Response(answer, 201, headers, SDP)
        for server in way.rooms.ice_servers(claims.sid):
            for link in _links(server):
                response.headers.append("Link", link)
        return response


class _Session(_Handler):
    path, allow, accepts = "{channel_id}/{session_id}", "PATCH, DELETE, GET, HEAD, OPTIONS", {"Accept-Patch": FRAGMENT}

    async def respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "PATCH", "DELETE"):
            raise self.not_allowed()
        resource = self._resource(request)
        match request.method:
            case "DELETE":  # whatever If-Match says: RFC 9725 §4.3.1
                self._way.rooms.leave(resource.session_id, "left")
                return Response(None, 200, CORS)
            case "PATCH":
                return await self._patch(request, resource)
        return Response(None, 204, CORS)

    def _resource(self, request: Request) -> Resource:
        """The one of the path, for the bearer that made it; for everybody else it does not exist."""
        token = bearer(request)
        channel_id, session_id = (_uuid(request.path_params[name]) for name in ("channel_id", "session_id"))
        found = self._way.alive.get(session_id)
        if found is None or found.channel_id != channel_id or not compare_digest(found.key, _digest(token)):
            raise HttpProblem(HTTPStatus.NOT_FOUND, "There is no such session, or this is not the bearer that made it.")
        return found

    async def _patch(self, request: Request, resource: Resource) -> Response:
        text = await text_body(request, FRAGMENT, MAX_FRAGMENT)
        check_precondition(request, resource.entity_tag)
        try:
            fragment = Fragment.parse(text)
        except BadFragment as wrong:
            raise HttpProblem(HTTPStatus.BAD_REQUEST, f"The body is not an SDP fragment: {wrong}.") from None
        if resource.session_id not in self._way.alive:  # it ended while the body came
            raise HttpProblem(HTTPStatus.NOT_FOUND, "The session is over.")
        remote = (fragment.ufrag, fragment.password)
        if remote == resource.remote:
            return Response(None, 204, CORS)  # we are ICE lite: the client finds us, we need no candidate of its
        if fragment.ufrag == resource.remote[0] or fragment.password == resource.remote[1]:
            raise HttpProblem(
                HTTPStatus.BAD_REQUEST, "An ICE restart changes ice-ufrag and ice-pwd both (RFC 8839 §4.4.1.1.1)."
            )
        try:
            ours = self._way.rooms.restart_ice(resource.session_id, ufrag=fragment.ufrag, password=fragment.password)
        except Refusal as refusal:
            raise _problem(refusal) from None
        resource.remote, resource.entity_tag = remote, f'"{secrets.token_hex(8)}"'
        medium, mid, protocol = resource.tagged
        body = describe_restart(
            medium=medium,
            mid=mid,
            protocol=protocol,
            ufrag=ours.ufrag,
            password=ours.password,
            candidates=ours.candidates,
        )
        log.info("ice restarted", session_id=str(resource.session_id))
        return Response(body, 200, {**CORS, "ETag": resource.entity_tag}, FRAGMENT)


async def _offer(request: Request, *, publishes: bool) -> Offer:
    """The body as an offer of what the way is for. Raises `HttpProblem`."""
    if not accepts(request, SDP):
        raise HttpProblem(HTTPStatus.NOT_ACCEPTABLE, f"The answer is {SDP}, which the request does not accept.")
    text = await text_body(request, SDP, MAX_OFFER)
    try:
        offer = Offer.parse(text)
    except UnservedOffer as wrong:
        raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The offer cannot be served: {wrong}.") from None
    except BadOffer as wrong:
        raise HttpProblem(HTTPStatus.BAD_REQUEST, f"The body is not an SDP offer: {wrong}.") from None
    lines = offer.served
    if publishes and not all(each.sends for each in lines):
        raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "WHIP only publishes: offer sendonly (RFC 9725 §4.2).")
    if publishes and (len(offer.audio) > 1 or len(offer.video) > 1):
        raise HttpProblem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "One audio and one video track can be published (RFC 9725 §4.4.2)."
        )
    if not publishes and not all(each.receives for each in lines):
        raise HttpProblem(HTTPStatus.UNPROCESSABLE_ENTITY, "WHEP only plays: offer recvonly.")
    return offer.one_way("sendonly" if publishes else "recvonly")


def _problem(refusal: Refusal) -> HttpProblem:
    detail = f"{refusal.frame.message[0].upper()}{refusal.frame.message[1:]}."
    status = _STATUS.get(refusal.code)
    if status is None:
        return unauthorized(detail, error="invalid_token")
    headers = {"Retry-After": RETRY_AFTER[status]} if status in RETRY_AFTER else {}
    if status is HTTPStatus.FORBIDDEN:
        headers["WWW-Authenticate"] = 'Bearer realm="chorale", error="insufficient_scope"'
    return HttpProblem(status, detail, headers)


def _links(server: IceServer) -> list[str]:
    """RFC 9725 §4.6; nothing in them needs an escape (`proto.ice`)."""
    found = []
    for url in server.urls:
        link = f'<{url}>; rel="ice-server"'
        if server.username is not None and server.credential is not None:
            link += f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
        found.append(link)
    return found


def _uuid(text: str) -> UUID:
    """Raises `HttpProblem`."""
    try:
        value = UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text.lower():
        raise HttpProblem(HTTPStatus.NOT_FOUND, "That is not an id, so there is nothing here.")
    return value


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
