"""STUN and TURN servers as clients are told of them: URLs (RFC 7064, RFC 7065), and credentials that expire.

TURN credentials are those of coturn's `use-auth-secret` (draft-uberti-behave-turn-rest-00): the user name says until
when it counts, the password proves that somebody wrote it who knows the secret.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv6Address
from uuid import UUID

from msgspec import Struct

from proto.rest import IceServer

MAX_URLS = 8  # of a kind: browsers warn above five servers altogether, and every one slows gathering down

_HOST = r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)"
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_STUN = re.compile(rf"stuns?:{_HOST}{_PORT}")
_TURN = re.compile(rf"turns?:{_HOST}{_PORT}(?:\?transport=(?:udp|tcp))?")


class IceConfig(Struct, frozen=True):
    stun_urls: Sequence[str] = ()
    turn_urls: Sequence[str] = ()
    turn_secret: bytes = b""  # shared with the TURN servers
    turn_lifetime: timedelta = timedelta(hours=24)

    def __repr__(self) -> str:
        return f"IceConfig(stun_urls={self.stun_urls!r}, turn_urls={self.turn_urls!r}, turn_secret=...)"

    def servers(self, session_id: UUID, now: datetime) -> list[IceServer]:
        """For one voice session: credentials are told apart in the TURN servers' logs by its id."""
        found = [IceServer(list(self.stun_urls))] if self.stun_urls else []
        if self.turn_urls:
            username = f"{int((now + self.turn_lifetime).timestamp())}:{session_id}"
            found.append(IceServer(list(self.turn_urls), username, turn_credential(self.turn_secret, username)))
        return found


def turn_credential(secret: bytes, username: str) -> str:
    """base64(HMAC-SHA1(secret, username)): what the draft, and coturn, compute."""
    return b64encode(hmac.digest(secret, username.encode(), "sha1")).decode()


def is_stun_url(url: str) -> bool:
    return _is_url(_STUN, url)


def is_turn_url(url: str) -> bool:
    return _is_url(_TURN, url)


def _is_url(form: re.Pattern[str], url: str) -> bool:
    found = form.fullmatch(url)
    if found is None or (found["port"] is not None and not 1 <= int(found["port"]) <= 65535):
        return False
    if found["host"].startswith("["):
        try:
            IPv6Address(found["host"][1:-1])
        except AddressValueError:
            return False
    return True
