"""The one STUN message that this node sends in Python: a check of its own sockets (RFC 8489, RFC 8445 §7.1)."""

import hmac
import struct
from zlib import crc32

_MAGIC = 0x2112A442
_REQUEST, _SUCCESS = 0x0001, 0x0101
_USERNAME, _INTEGRITY, _PRIORITY, _FINGERPRINT, _CONTROLLING = 0x0006, 0x0008, 0x0024, 0x8028, 0x802A


def check_request(transaction: bytes, *, local_ufrag: str, remote_ufrag: str, password: str) -> bytes:
    """A connectivity check to the agent of `remote_ufrag` and `password`. `transaction`: 12 bytes nobody can guess."""
    body = _attribute(_USERNAME, f"{remote_ufrag}:{local_ufrag}".encode())
    body += _attribute(_PRIORITY, struct.pack("!I", 1)) + _attribute(_CONTROLLING, transaction[:8])
    # RFC 8489 §14.5 and §14.7: each is computed with a length that counts itself.
    body += _attribute(_INTEGRITY, hmac.digest(password.encode(), _header(len(body) + 24, transaction) + body, "sha1"))
    fingerprint = crc32(_header(len(body) + 8, transaction) + body) ^ 0x5354554E
    body += _attribute(_FINGERPRINT, struct.pack("!I", fingerprint))
    return _header(len(body), transaction) + body


def is_success(message: bytes, transaction: bytes) -> bool:
    """Whether `message` answers the check of that transaction."""
    return message[:2] == struct.pack("!H", _SUCCESS) and message[4:20] == struct.pack("!I", _MAGIC) + transaction


def _header(length: int, transaction: bytes) -> bytes:
    return struct.pack("!HHI", _REQUEST, length, _MAGIC) + transaction


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
