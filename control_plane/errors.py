"""What a client did wrong, or what we could not do: a code, a status, data.

ApiError
├── BadId, MalformedJson, InvalidBody, InvalidQuery, BodyTooLarge, UnsupportedMediaType,
│   MethodNotAllowed, UpgradeRequired
├── Unauthorized, BadCredentials, UsernameTaken, MissingPermissions, RateLimited
├── UnknownServer, UnknownChannel, UnknownParticipant, UnknownInvite, NotAVoiceChannel, TooMany
└── NoMediaNode, Unavailable
"""

from collections.abc import Mapping
from typing import ClassVar

from control_plane.ratelimit import Verdict
from proto.errors import ErrorCode


class ApiError(Exception):
    code: ClassVar[ErrorCode]
    status: ClassVar[int]
    message: ClassVar[str]

    def __init__(self, message: str | None = None, *, errors: Mapping[str, str] | None = None) -> None:
        self.text = message or self.message
        self.errors = dict(errors) if errors else None
        super().__init__(self.text)

    @property
    def headers(self) -> dict[str, str]:
        return {}


class BadId(ApiError):
    code, status, message = ErrorCode.INVALID_ID, 400, "That is not one of our ids: a UUID of version 8."


class MalformedJson(ApiError):
    code, status, message = ErrorCode.MALFORMED_JSON, 400, "The body is not JSON."


class InvalidBody(ApiError):
    code, status, message = ErrorCode.INVALID_BODY, 422, "Something in the body is not right."


class InvalidQuery(ApiError):
    code, status, message = ErrorCode.INVALID_QUERY, 422, "Something in the query is not right."


class BodyTooLarge(ApiError):
    code, status, message = ErrorCode.BODY_TOO_LARGE, 413, "The body is too large."


class UnsupportedMediaType(ApiError):
    code, status, message = ErrorCode.UNSUPPORTED_MEDIA_TYPE, 415, "Send the body as application/json."


class MethodNotAllowed(ApiError):
    code, status, message = ErrorCode.METHOD_NOT_ALLOWED, 405, "This cannot be done here."

    def __init__(self, allow: str) -> None:
        self.allow = allow
        super().__init__()

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": self.allow}


class UpgradeRequired(ApiError):
    code, status, message = ErrorCode.UPGRADE_REQUIRED, 426, "This is a WebSocket."

    @property
    def headers(self) -> dict[str, str]:
        return {"Upgrade": "websocket", "Connection": "Upgrade"}


class Unauthorized(ApiError):
    code, status, message = ErrorCode.UNAUTHORIZED, 401, "Sign in first."

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class BadCredentials(ApiError):
    """The same whether the name does not exist or the password is wrong."""

    code, status, message = ErrorCode.BAD_CREDENTIALS, 401, "This name and password do not belong together."


class UsernameTaken(ApiError):
    code, status, message = ErrorCode.USERNAME_TAKEN, 409, "This name is taken."


class MissingPermissions(ApiError):
    code, status, message = ErrorCode.MISSING_PERMISSIONS, 403, "You may not do this here."


class RateLimited(ApiError):
    code, status, message = ErrorCode.RATE_LIMITED, 429, "Too fast. Wait a little."

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__()


class UnknownServer(ApiError):
    """Also raised when the server exists but is hidden from the caller."""

    code, status, message = ErrorCode.UNKNOWN_SERVER, 404, "There is no such server."


class UnknownChannel(ApiError):
    """Also raised when the channel exists but is hidden from the caller."""

    code, status, message = ErrorCode.UNKNOWN_CHANNEL, 404, "There is no such channel."


class UnknownParticipant(ApiError):
    """Also raised when the user does not exist, or is elsewhere."""

    code, status, message = ErrorCode.UNKNOWN_PARTICIPANT, 404, "There is no such participant in this channel."


class UnknownInvite(ApiError):
    """Also raised when the invite has expired or is used up."""

    code, status, message = ErrorCode.UNKNOWN_INVITE, 404, "This invite does not exist or has expired."


class NotAVoiceChannel(ApiError):
    code, status, message = ErrorCode.NOT_A_VOICE_CHANNEL, 400, "This is a text channel: nobody can talk in it."


class TooMany(ApiError):
    code, status, message = ErrorCode.TOO_MANY, 400, "There are too many of these already."


class NoMediaNode(ApiError):
    code, status, message = ErrorCode.NO_MEDIA_NODE, 503, "No media node is connected: voice is not available now."

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class Unavailable(ApiError):
    """What we keep things in does not answer. Nothing that was acknowledged is lost."""

    code, status, message = ErrorCode.UNAVAILABLE, 503, "Not available now. Try again."

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "2"}
