"""The closed set of error codes: `Problem.code` is always one of these."""

from enum import StrEnum


class ErrorCode(StrEnum):
    # the request itself
    MALFORMED_JSON = "malformed_json"  # 400
    INVALID_ID = "invalid_id"  # 400: an id in a path is not one of ours
    INVALID_BODY = "invalid_body"  # 422, with `errors`
    INVALID_QUERY = "invalid_query"  # 422, with `errors`
    BODY_TOO_LARGE = "body_too_large"  # 413
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"  # 415
    NOT_FOUND = "not_found"  # 404: no such path
    METHOD_NOT_ALLOWED = "method_not_allowed"  # 405
    UPGRADE_REQUIRED = "upgrade_required"  # 426: a WebSocket lives here

    # who asks
    UNAUTHORIZED = "unauthorized"  # 401
    BAD_CREDENTIALS = "bad_credentials"  # 401: this name and password do not belong together
    USERNAME_TAKEN = "username_taken"  # 409
    MISSING_PERMISSIONS = "missing_permissions"  # 403: visible, but not for this
    RATE_LIMITED = "rate_limited"  # 429, with `retry_after`

    # what is asked for: unknown, or hidden from who asks
    UNKNOWN_SERVER = "unknown_server"  # 404
    UNKNOWN_CHANNEL = "unknown_channel"  # 404
    UNKNOWN_PARTICIPANT = "unknown_participant"  # 404: nobody of that id is in this voice channel
    UNKNOWN_INVITE = "unknown_invite"  # 404: also expired or used up
    NOT_A_VOICE_CHANNEL = "not_a_voice_channel"  # 400
    TOO_MANY = "too_many"  # 400: a limit of the product

    # us
    NO_MEDIA_NODE = "no_media_node"  # 503
    UNAVAILABLE = "unavailable"  # 503, with Retry-After
    INTERNAL_ERROR = "internal_error"  # 500
