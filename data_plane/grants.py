"""Grants, checked: what the control plane signed lets one user into one room of this node, once."""

from collections.abc import Collection

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from proto.media import GRANT_ALGORITHM, GRANT_SECONDS, Claims

_REQUIRED: Collection[str] = ("aud", "sub", "room", "sid", "jti", "iat", "exp")
# Clocks of control and media machines are synchronised; this covers their last second.
_LEEWAY = 2
# Ours are about 500 characters.
_MAX_LENGTH = 4096


class BadGrant(Exception):
    """`code` is one of `proto.signalling.REFUSALS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def verify(token: str, *, key: Ed25519PublicKey, node_id: str) -> Claims:
    """The claims of a grant for this node. Single use is the directory's to check. Raises `BadGrant`."""
    if len(token) > _MAX_LENGTH:
        raise BadGrant("bad_grant")
    try:
        payload = jwt.decode(
            token,
            key,
            algorithms=[GRANT_ALGORITHM],
            audience=node_id,
            leeway=_LEEWAY,
            options={"require": list(_REQUIRED)},
        )
        claims = msgspec.convert(payload, Claims)
    except jwt.ExpiredSignatureError:
        raise BadGrant("expired_grant") from None
    except jwt.InvalidAudienceError:
        raise BadGrant("wrong_node") from None
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError):
        # The last two: what the JSON of a header can do to a parser before anything is verified.
        raise BadGrant("bad_grant") from None
    if claims.exp - claims.iat > GRANT_SECONDS:
        raise BadGrant("bad_grant")
    return claims
