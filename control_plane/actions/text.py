"""What people write, checked beyond its length."""

import unicodedata

from control_plane.errors import InvalidBody

_NEVER = "\x00"  # PostgreSQL cannot store it


def line(text: str, field: str) -> str:
    """One line with something to see in it, without the space around it. Raises `InvalidBody`."""
    text = text.strip()
    if not text:
        raise InvalidBody(errors={field: "is blank"})
    if any(unicodedata.category(each) in ("Cc", "Zl", "Zp") for each in text):
        raise InvalidBody(errors={field: "has line breaks or control characters in it"})
    return text


def prose(text: str, field: str) -> str:
    """Text as it was written, with something to see in it. Raises `InvalidBody`."""
    if not text.strip():
        raise InvalidBody(errors={field: "is blank"})
    return storable(text, field)


def storable(text: str, field: str) -> str:
    if _NEVER in text:
        raise InvalidBody(errors={field: "has a NUL character in it"})
    return text
