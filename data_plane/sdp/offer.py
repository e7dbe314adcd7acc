"""A client's offer, as typed values. Every byte of it is hostile: whatever is not understood exactly is refused."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Self

MAX_LENGTH = 48 * 1024  # characters: thirty m-lines as browsers write them
MAX_LINES = 2000
MAX_LINE = 1024  # characters; fmtp and candidate lines of real clients stay below 300
MAX_MEDIA = 64
MAX_FINGERPRINTS = 8

AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"  # RFC 6464
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"  # RFC 9143

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Setup = Literal["actpass", "active", "passive"]

# RFC 8122 §5; sha-1 and md5 are not proof of anything any more.
_DIGESTS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,64}")
# RFC 8839 §5.4: ice-char, 4..256 and 22..256.
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_NUMBER = re.compile(r"[0-9]{1,10}")


class BadOffer(Exception):
    """The offer cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class AudioLine:
    """An audio m-line that speaks Opus."""

    mid: str
    direction: Direction
    payload_type: int
    level_extension: int | None
    mid_extension: int | None
    ssrc: int | None

    @property
    def sends(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """An m-line that is answered with port 0, because it is of another kind or outside of the bundle."""

    mid: str | None
    media: str
    protocol: str
    format: str


@dataclass(frozen=True, slots=True)
class Offer:
    ufrag: str
    password: str
    fingerprints: list[tuple[str, bytes]]
    setup: Setup
    lines: list[AudioLine | RefusedLine]  # in the offer's order

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadOffer`."""
        session, sections = _split(text)
        bundled = _bundle(session)
        transport = next((each for each in sections if each.mid is not None and each.mid in bundled), None)
        if transport is None:
            raise BadOffer("no m-line is in a BUNDLE group (RFC 8843)")
        mids = [each.mid for each in sections if each.mid is not None]
        if len(set(mids)) != len(mids):
            raise BadOffer("two m-lines have the same mid")
        lines = [_line(each, bundled, session) for each in sections]
        if not any(isinstance(each, AudioLine) for each in lines):
            raise BadOffer("no audio m-line in the BUNDLE group offers opus/48000/2")
        ufrag, password = _credentials(transport, session)
        return cls(
            ufrag=ufrag,
            password=password,
            fingerprints=_fingerprints([*session.all("fingerprint"), *transport.all("fingerprint")]),
            setup=_setup(transport.first("setup") or session.first("setup")),
            lines=lines,
        )

    @property
    def audio(self) -> list[AudioLine]:
        return [each for each in self.lines if isinstance(each, AudioLine)]


@dataclass(slots=True)
class _Section:
    """The attributes of the session or of one m-line."""

    media: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]

    @property
    def mid(self) -> str | None:
        mid = self.first("mid")
        if mid is not None and not _TOKEN.fullmatch(mid):
            raise BadOffer("a mid is not a token")
        return mid


def _split(text: str) -> tuple[_Section, list[_Section]]:
    if len(text) > MAX_LENGTH:
        raise BadOffer("the SDP is too long")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "v=0":
        raise BadOffer("the SDP does not begin with v=0")
    if len(lines) > MAX_LINES:
        raise BadOffer("the SDP has too many lines")
    session, sections = _Section(), list[_Section]()
    for line in lines:
        if len(line) > MAX_LINE or (line and line[1:2] != "="):
            raise BadOffer("a line of the SDP is too long or is not type=value")
        kind, value = line[:1], line[2:].strip()
        if kind == "m":
            if len(sections) == MAX_MEDIA:
                raise BadOffer("the SDP has too many m-lines")
            media = value.split(" ")
            if len(media) < 4 or not all(_TOKEN.fullmatch(part) for part in media[2].split("/")):
                raise BadOffer("an m-line is not media, port, protocol and formats")
            sections.append(_Section(media=media))
        elif kind == "a":
            name, _, rest = value.partition(":")
            (sections[-1] if sections else session).attributes.append((name, rest))
    if not sections:
        raise BadOffer("the SDP has no m-line")
    return session, sections


def _bundle(session: _Section) -> set[str]:
    groups = [value.split() for value in session.all("group")]
    return {mid for group in groups if group[:1] == ["BUNDLE"] for mid in group[1:]}


def _credentials(transport: _Section, session: _Section) -> tuple[str, str]:
    ufrag = transport.first("ice-ufrag") or session.first("ice-ufrag") or ""
    password = transport.first("ice-pwd") or session.first("ice-pwd") or ""
    if not _UFRAG.fullmatch(ufrag) or not _PASSWORD.fullmatch(password):
        raise BadOffer("ice-ufrag or ice-pwd is missing or wrong (RFC 8839 §5.4)")
    return ufrag, password


def _fingerprints(values: Iterable[str]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for value in values:
        name, _, text = value.strip().partition(" ")
        length = _DIGESTS.get(name.lower())
        if length is None:
            continue
        try:
            digest = bytes.fromhex(text.strip().replace(":", ""))
        except ValueError:
            raise BadOffer("a fingerprint is not hexadecimal") from None
        if len(digest) != length:
            raise BadOffer("a fingerprint is not as long as its hash")
        if (name.lower(), digest) not in found:
            found.append((name.lower(), digest))
    if not found:
        raise BadOffer("there is no fingerprint of sha-256 or stronger")
    return found[:MAX_FINGERPRINTS]


def _setup(value: str | None) -> Setup:
    if value == "actpass" or value == "active" or value == "passive":
        return value
    raise BadOffer("setup is none of actpass, active and passive")


def _line(section: _Section, bundled: set[str], session: _Section) -> AudioLine | RefusedLine:
    media, _, protocol, *formats = section.media
    mid = section.mid
    refused = RefusedLine(mid, media, protocol, formats[0])
    if not _TOKEN.fullmatch(media) or not _TOKEN.fullmatch(formats[0]):
        raise BadOffer("an m-line is not made of tokens")
    payload_type = _opus(section, formats) if media == "audio" and protocol.endswith("SAVPF") else None
    if mid is None or mid not in bundled or payload_type is None:
        return refused
    if section.first("rtcp-mux") is None:
        raise BadOffer("rtcp-mux is missing")
    extensions = _extensions([*session.all("extmap"), *section.all("extmap")])
    return AudioLine(
        mid=mid,
        direction=_direction(section, session),
        payload_type=payload_type,
        level_extension=extensions.get(AUDIO_LEVEL),
        mid_extension=extensions.get(MID),
        ssrc=_ssrc(section),
    )


def _opus(section: _Section, formats: list[str]) -> int | None:
    """RFC 7587 §7."""
    for value in section.all("rtpmap"):
        payload_type, _, encoding = value.partition(" ")
        if encoding.strip().lower() == "opus/48000/2" and payload_type in formats:
            return _number(payload_type, 0, 127, "a payload type")
    return None


def _direction(section: _Section, session: _Section) -> Direction:
    for name in (*(key for key, _ in section.attributes), *(key for key, _ in session.attributes)):
        if name == "sendrecv" or name == "sendonly" or name == "recvonly" or name == "inactive":
            return name
    return "sendrecv"


def _extensions(values: Iterable[str]) -> dict[str, int]:
    """URI to id, where the one-byte form can carry it (RFC 8285 §4.2). The last of two with one id wins nothing."""
    found: dict[str, int] = {}
    for value in values:
        number, _, rest = value.partition(" ")
        uri = rest.split(" ")[0]
        number = number.partition("/")[0]
        if uri in (AUDIO_LEVEL, MID) and _NUMBER.fullmatch(number) and 1 <= int(number) <= 14:
            found.setdefault(uri, int(number))
    if len(set(found.values())) != len(found):
        raise BadOffer("two header extensions have the same id")
    return found


def _ssrc(section: _Section) -> int | None:
    """RFC 5576 §4.1: the first; one microphone has one."""
    value = section.first("ssrc")
    return None if value is None else _number(value.partition(" ")[0], 1, 0xFFFFFFFF, "an SSRC")


def _number(text: str, least: int, most: int, what: str) -> int:
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise BadOffer(f"{what} is not a number from {least} to {most}")
    return int(text)


class Role(Enum):
    """Ours in the DTLS handshake (RFC 8842 §5.3)."""

    ACTIVE = "active"
    PASSIVE = "passive"

    @classmethod
    def answering(cls, setup: Setup) -> Self:
        """`actpass` is answered `passive`: the client, which knows when its path works, begins."""
        return cls("active" if setup == "passive" else "passive")
