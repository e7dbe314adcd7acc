"""SDP as lines and attributes, and what audio and video m-lines have in common. Every byte of it is hostile: whatever
is not understood exactly is refused."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

MAX_LENGTH = 128 * 1024  # characters; an offer of Chromium with all slots and every codec it has is half as long
MAX_LINES = 4000
MAX_LINE = 1024  # characters; fmtp and candidate lines of real clients stay below 300
MAX_MEDIA = 64

AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"  # RFC 6464
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"  # RFC 9143

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

_DIRECTIONS: dict[str, Direction] = {each: each for each in get_args(Direction)}

_MIRRORED: dict[str, Direction] = {"sendonly": "recvonly", "recvonly": "sendonly"}

TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,10}")
# RFC 8866 §9 ends lines with CRLF and knows no other control character but the tab; a bare LF is tolerated, as §5 asks.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
PROFILES = ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")  # what RFC 8829 §5.1.2 has an answerer take; the answer repeats it


class BadOffer(Exception):
    """The offer cannot be answered; the text says why."""


class UnservedOffer(BadOffer):
    """It is well made, but asks for what this node does not do, or lacks what it insists on."""


@dataclass(slots=True)
class Section:
    """The attributes of the session or of one m-line."""

    media: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.attributes)

    @property
    def mid(self) -> str | None:
        mid = self.first("mid")
        if mid is not None and not TOKEN.fullmatch(mid):
            raise BadOffer("a mid is not a token")
        return mid

    @property
    def unused(self) -> bool:
        """Port 0, which a bundle-only m-line has for another reason (RFC 8843 §6)."""
        return number(self.media[1].partition("/")[0], 0, 65535, "a port") == 0 and not self.has("bundle-only")

    def payload_types(self, encoding: str) -> Iterator[int]:
        """Those that rtpmap gives to `encoding`, in lower case: "opus/48000/2"."""
        return (payload_type for payload_type, name in self.encodings() if name == encoding)

    def encodings(self) -> Iterator[tuple[int, str]]:
        """Every payload type of the m-line with its encoding in lower case."""
        formats = set(self.media[3:])
        for value in self.all("rtpmap"):
            text, _, encoding = value.partition(" ")
            if text not in formats:
                continue
            payload_type = number(text, 0, 127, "a payload type")
            if 64 <= payload_type <= 95:
                raise BadOffer("payload types 64 to 95 are RTCP's where it shares the transport (RFC 5761 §4)")
            if text != str(payload_type):
                raise BadOffer("a payload type is written with zeros in front")
            yield payload_type, encoding.strip().lower()

    def direction(self, session: "Section") -> Direction:
        """The m-line's, else the session's, else sendrecv (RFC 8866 §6.7)."""
        names = (name for name, _ in (*self.attributes, *session.attributes))
        return next((_DIRECTIONS[name] for name in names if name in _DIRECTIONS), "sendrecv")


def split(text: str) -> tuple[Section, list[Section]]:
    """The session and its m-lines. Raises `BadOffer`."""
    if len(text) > MAX_LENGTH:
        raise BadOffer("the SDP is too long")
    text = text.replace("\r\n", "\n")
    if CONTROL.search(text):
        raise BadOffer("the SDP has control characters")
    lines = text.split("\n")
    if lines[0] != "v=0":
        raise BadOffer("the SDP does not begin with v=0")
    if len(lines) > MAX_LINES:
        raise BadOffer("the SDP has too many lines")
    session, sections = Section(), list[Section]()
    for line in lines:
        if len(line) > MAX_LINE or (line and line[1:2] != "="):
            raise BadOffer("a line of the SDP is too long or is not type=value")
        kind, value = line[:1], line[2:].strip()
        if kind == "m":
            if len(sections) == MAX_MEDIA:
                raise BadOffer("the SDP has too many m-lines")
            media = value.split(" ")
            if len(media) < 4 or not all(TOKEN.fullmatch(part) for part in media[2].split("/")):
                raise BadOffer("an m-line is not media, port, protocol and formats")
            sections.append(Section(media=media))
        elif kind == "a":
            name, _, rest = value.partition(":")
            (sections[-1] if sections else session).attributes.append((name, rest))
    if not sections:
        raise BadOffer("the SDP has no m-line")
    return session, sections


def extensions(values: Iterable[str], known: Iterable[str]) -> dict[str, int]:
    """URI to id, of the `known` ones that the one-byte form can carry (RFC 8285 §4.2). The first of two ids of one URI
    counts. Raises `BadOffer`."""
    found = {uri: identifier for uri, identifier, _ in reversed(list(_extensions(values, known)))}
    if len(set(found.values())) != len(found):
        raise BadOffer("two header extensions have the same id")
    return found


def one_way_extensions(values: Iterable[str], known: Iterable[str]) -> dict[str, Direction]:
    """Those that the offer has in one direction only (RFC 8285 §5), with the direction of the answer."""
    return {uri: _MIRRORED[way] for uri, _, way in _extensions(values, known) if way in _MIRRORED}


def _extensions(values: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, int, str]]:
    for value in values:
        first, _, rest = value.partition(" ")
        uri = rest.split(" ")[0]
        identifier, _, way = first.partition("/")
        usable = way != "inactive" and _NUMBER.fullmatch(identifier) and 1 <= int(identifier) <= 14
        if usable and uri in known:
            yield uri, int(identifier), way


def ssrc(text: str) -> int:
    """Raises `BadOffer`."""
    return number(text, 1, 0xFFFFFFFF, "an SSRC")


def number(text: str, least: int, most: int, what: str) -> int:
    """Raises `BadOffer`."""
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise BadOffer(f"{what} is not a number from {least} to {most}")
    return int(text)
