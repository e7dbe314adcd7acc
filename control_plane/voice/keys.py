"""Stream keys as secrets: what they look like, and what is kept of them."""

from hashlib import sha256

KEY_PREFIX = "csk_"  # so that scanners for secrets know one; and no dot, which every grant has
KEY_BYTES = 32
# Made with one key at a time: a screen in every room; the rest of a crowd are members themselves.
MAX_SESSIONS = 32


def digest(key: str) -> bytes:
    """What is stored: a random key of 256 bits needs no slower hash, and nobody gets in with a copy of the database."""
    return sha256(key.encode(errors="replace")).digest()
