"""A client's offer, as typed values. Every byte of it is hostile: whatever is not understood exactly is refused."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Literal, Self, get_args

MAX_LENGTH = 48 * 1024  # characters: thirty m-lines as browsers write them
MAX_LINES = 2000
MAX_LINE = 1024  # characters; fmtp and candidate lines of real clients stay below 300
MAX_MEDIA = 64
MAX_FINGERPRINTS = 8

AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"  # RFC 6464
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"  # RFC 9143

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Setup = Literal["actpass", "active", "passive"]

_DIRECTIONS: dict[str, Direction] = {each: each for each in get_args(Direction)}
_SETUPS: dict[str, Setup] = {each: each for each in get_args(Setup)}

# RFC 8122 §5; sha-1 and md5 are not proof of anything any more.
_DIGESTS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,64}")
# RFC 8839 §5.4: ice-char, 4..256 and 22..256.
UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_NUMBER = re.compile(r"[0-9]{1,10}")
# RFC 8866 §9 ends lines with CRLF and knows no other control character but the tab; a bare LF is tolerated, as §5 asks.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_PROFILES = ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF")  # what RFC 8829 §5.1.2 has an answerer take; the answer repeats it


class BadOffer(Exception):
    """The offer cannot be answered; the text says why."""


class UnservedOffer(BadOffer):
    """It is well made, but asks for what this node does not do, or lacks what it insists on."""


@dataclass(frozen=True, slots=True)
class AudioLine:
    """An audio m-line that speaks Opus."""

    mid: str
    protocol: str
    direction: Direction
    payload_type: int
    red_payload_type: int | None  # of RED (RFC 2198) with one more Opus frame
    prefers_red: bool
    nack: bool  # it asks for packets again, and may be asked (RFC 4585 §6.2.1)
    rtcp_mux_only: bool  # RFC 8858
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
    """An m-line that is answered with port 0: of another kind, outside of the bundle, or not in use (RFC 3264 §6)."""

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
    bundle: list[str]  # the mids of the audio lines in the group's order: the first is the tagged one (RFC 8843 §7.3.1)
    grouped: bool = True  # False: one m-line, and no group

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadOffer`."""
        session, sections = _split(text)
        if session.has("ice-lite"):
            raise UnservedOffer("both sides would be ICE lite, and nobody would look for a path (RFC 8445 §6.1.1)")
        mids = [each.mid for each in sections if each.mid is not None]
        if len(set(mids)) != len(mids):
            raise BadOffer("two m-lines have the same mid")
        group = _bundle(session)
        grouped = bool(group)
        if len(sections) == 1 and not grouped:
            group = mids  # one m-line has one transport, with a group or without
        lines = [_line(each, group, session) for each in sections]
        accepted = [each for each in lines if isinstance(each, AudioLine)]
        if not accepted:
            raise UnservedOffer("no audio m-line in a BUNDLE group (RFC 8843) offers opus/48000/2")
        by_mid = {each.mid: each for each in sections}
        bundled = [by_mid[mid] for mid in group if mid in by_mid]
        transport = _transport(bundled, {each.mid for each in accepted})
        ufrag, password = _credentials(transport, session)
        return cls(
            ufrag=ufrag,
            password=password,
            fingerprints=_fingerprints([*session.all("fingerprint"), *transport.all("fingerprint")]),
            setup=_setup(transport.first("setup") or session.first("setup")),
            lines=lines,
            bundle=sorted((each.mid for each in accepted), key=group.index),
            grouped=grouped,
        )

    def one_way(self, direction: Literal["sendonly", "recvonly"]) -> Self:
        """The same offer from a client that, whatever it offers, is only to send, or only to receive."""
        lines = [replace(each, direction=direction) if isinstance(each, AudioLine) else each for each in self.lines]
        return replace(self, lines=lines)

    @property
    def audio(self) -> list[AudioLine]:
        return [each for each in self.lines if isinstance(each, AudioLine)]

    @property
    def microphone(self) -> AudioLine | None:
        """The first line that sends; further ones are answered as if they did not."""
        return next((each for each in self.audio if each.sends), None)

    def slots(self, most: int) -> list[AudioLine]:
        """The first lines that receive, `most` of them."""
        return [each for each in self.audio if each.receives][:most]


@dataclass(slots=True)
class _Section:
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
        return _number(self.media[1].partition("/")[0], 0, 65535, "a port") == 0 and not self.has("bundle-only")


def _split(text: str) -> tuple[_Section, list[_Section]]:
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
    session, sections = _Section(), list[_Section]()
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
            sections.append(_Section(media=media))
        elif kind == "a":
            name, _, rest = value.partition(":")
            (sections[-1] if sections else session).attributes.append((name, rest))
    if not sections:
        raise BadOffer("the SDP has no m-line")
    return session, sections


def _bundle(session: _Section) -> list[str]:
    """The mids of the first group: a node has one transport for a client, so m-lines of a second group are refused."""
    groups = (value.split() for value in session.all("group"))
    return next((mids for semantics, *mids in (group or [""] for group in groups) if semantics == "BUNDLE"), [])


def _transport(bundled: list[_Section], accepted: set[str]) -> _Section:
    """The m-line whose transport attributes are the group's: an accepted one, unless it is bundle-only without any."""
    described = [each for each in bundled if each.has("ice-ufrag")] or bundled
    return next((each for each in described if each.mid in accepted), described[0])


def _credentials(transport: _Section, session: _Section) -> tuple[str, str]:
    ufrag = transport.first("ice-ufrag") or session.first("ice-ufrag") or ""
    password = transport.first("ice-pwd") or session.first("ice-pwd") or ""
    if not UFRAG.fullmatch(ufrag) or not PASSWORD.fullmatch(password):
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
        raise UnservedOffer("there is no fingerprint of sha-256 or stronger")
    return found[:MAX_FINGERPRINTS]


def _setup(value: str | None) -> Setup:
    setup = _SETUPS.get(value or "")
    if setup is None:
        raise BadOffer("setup is none of actpass, active and passive")
    return setup


def _line(section: _Section, group: list[str], session: _Section) -> AudioLine | RefusedLine:
    media, _, protocol, *formats = section.media
    mid, unused = section.mid, section.unused
    if not TOKEN.fullmatch(media) or not TOKEN.fullmatch(formats[0]):
        raise BadOffer("an m-line is not made of tokens")
    payload_type = _opus(section, formats) if media == "audio" and protocol in _PROFILES else None
    if unused or mid is None or mid not in group or payload_type is None:
        return RefusedLine(mid, media, protocol, formats[0])
    if not section.has("rtcp-mux"):
        raise UnservedOffer("rtcp-mux is missing")
    red = _red(section, formats, payload_type)
    extensions = _extensions([*session.all("extmap"), *section.all("extmap")])
    return AudioLine(
        mid=mid,
        protocol=protocol,
        direction=_direction(section, session),
        payload_type=payload_type,
        red_payload_type=red,
        prefers_red=red is not None and formats.index(str(red)) < formats.index(str(payload_type)),
        nack=any(each in section.all("rtcp-fb") for each in (f"{payload_type} nack", "* nack")),
        rtcp_mux_only=section.has("rtcp-mux-only"),
        level_extension=extensions.get(AUDIO_LEVEL),
        mid_extension=extensions.get(MID),
        ssrc=_ssrc(section),
    )


def _opus(section: _Section, formats: list[str]) -> int | None:
    """The payload type of RFC 7587 §7."""
    return next(_payload_types(section, formats, "opus/48000/2"), None)


def _red(section: _Section, formats: list[str], opus: int) -> int | None:
    """The payload type of RFC 2198 that carries two frames of that Opus (§5)."""
    carries = set(section.all("fmtp"))
    offered = _payload_types(section, formats, "red/48000/2")
    return next((each for each in offered if each != opus and f"{each} {opus}/{opus}" in carries), None)


def _payload_types(section: _Section, formats: list[str], codec: str) -> Iterator[int]:
    for value in section.all("rtpmap"):
        text, _, encoding = value.partition(" ")
        if encoding.strip().lower() == codec and text in formats:
            payload_type = _number(text, 0, 127, "a payload type")
            if 64 <= payload_type <= 95:
                raise BadOffer("payload types 64 to 95 are RTCP's where it shares the transport (RFC 5761 §4)")
            if text != str(payload_type):
                raise BadOffer("a payload type is written with zeros in front")
            yield payload_type


def _direction(section: _Section, session: _Section) -> Direction:
    """The m-line's, else the session's, else sendrecv (RFC 8866 §6.7)."""
    names = (name for name, _ in (*section.attributes, *session.attributes))
    return next((_DIRECTIONS[name] for name in names if name in _DIRECTIONS), "sendrecv")


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
