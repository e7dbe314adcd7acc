"""A client's offer, as typed values. Every byte of it is hostile: whatever is not understood exactly is refused."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, Self, get_args

from data_plane.sdp.audio import AudioLine
from data_plane.sdp.section import (
    AUDIO_LEVEL,
    MID,
    PROFILES,
    TOKEN,
    BadOffer,
    Direction,
    Section,
    UnservedOffer,
    split,
)
from data_plane.sdp.video import EXTENSIONS, VideoLine

MAX_FINGERPRINTS = 8

Setup = Literal["actpass", "active", "passive"]

_SETUPS: dict[str, Setup] = {each: each for each in get_args(Setup)}

# RFC 8122 §5; sha-1 and md5 are not proof of anything any more.
_DIGESTS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
# RFC 8839 §5.4: ice-char, 4..256 and 22..256.
UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """An m-line that is answered with port 0: of another kind, outside of the bundle, or not in use (RFC 3264 §6)."""

    mid: str | None
    media: str
    protocol: str
    format: str


Line = AudioLine | VideoLine | RefusedLine


@dataclass(frozen=True, slots=True)
class Offer:
    ufrag: str
    password: str
    fingerprints: list[tuple[str, bytes]]
    setup: Setup
    lines: list[Line]  # in the offer's order
    bundle: list[str]  # the mids of what is served, in the group's order: the first is the tagged one (RFC 8843 §7.3.1)
    grouped: bool = True  # False: one m-line, and no group
    mixed: bool = False  # header extensions of both forms may come in one stream (RFC 8285 §4.1.2): long ones need it

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `BadOffer`."""
        session, sections = split(text)
        if session.has("ice-lite"):
            raise UnservedOffer("both sides would be ICE lite, and nobody would look for a path (RFC 8445 §6.1.1)")
        mids = [each.mid for each in sections if each.mid is not None]
        if len(set(mids)) != len(mids):
            raise BadOffer("two m-lines have the same mid")
        group = _bundle(session)
        grouped = bool(group)
        if len(sections) == 1 and not grouped:
            group = mids  # one m-line has one transport, with a group or without
        lines = _of_one_transport([_line(each, group, session) for each in sections])
        accepted = [each for each in lines if not isinstance(each, RefusedLine)]
        if not accepted:
            raise UnservedOffer("no m-line in a BUNDLE group (RFC 8843) offers opus/48000/2 or a video codec of ours")
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
            mixed=session.has("extmap-allow-mixed"),
        )

    def one_way(self, direction: Literal["sendonly", "recvonly"]) -> Self:
        """The same offer from a client that, whatever it offers, is only to send, or only to receive."""
        lines = [each if isinstance(each, RefusedLine) else replace(each, direction=direction) for each in self.lines]
        return replace(self, lines=lines)

    def without_video(self) -> Self:
        """The same offer from a client that sends nothing but its microphone, whatever it offers."""
        microphone = self.microphone
        lines = [
            each if isinstance(each, RefusedLine) or each is microphone else replace(each, direction=_listening(each))
            for each in self.lines
        ]
        return replace(self, lines=lines)

    @property
    def served(self) -> list[AudioLine | VideoLine]:
        return [each for each in self.lines if not isinstance(each, RefusedLine)]

    @property
    def audio(self) -> list[AudioLine]:
        return [each for each in self.lines if isinstance(each, AudioLine)]

    @property
    def video(self) -> list[VideoLine]:
        return [each for each in self.lines if isinstance(each, VideoLine)]

    @property
    def sounds(self) -> list[AudioLine]:
        """What it may be heard with: the microphone, then its screen's sound. Further lines that send are answered as
        if they did not."""
        return [each for each in self.audio if each.sends][:2]

    @property
    def pictures(self) -> list[VideoLine]:
        """What it may be seen with: the camera, then the screen. Further ones as with `sounds`."""
        return [each for each in self.video if each.sends][:2]

    @property
    def microphone(self) -> AudioLine | None:
        return next(iter(self.sounds), None)

    def slots(self, most: int) -> list[AudioLine]:
        """The first audio lines that receive, `most` of them."""
        return [each for each in self.audio if each.receives][:most]

    def video_slots(self, most: int) -> list[VideoLine]:
        """The first video lines that receive, `most` of them."""
        return [each for each in self.video if each.receives][:most]

    @property
    def extensions(self) -> Mapping[str, int]:
        """Those of the video lines, by the names of `data_plane.sdp.video.EXTENSIONS`: no two lines disagree."""
        found: dict[str, int] = {}
        for line in self.video:
            found |= line.extensions
        return found


def _bundle(session: Section) -> list[str]:
    """The mids of the first group: a node has one transport for a client, so m-lines of a second group are refused."""
    groups = (value.split() for value in session.all("group"))
    return next((mids for semantics, *mids in (group or [""] for group in groups) if semantics == "BUNDLE"), [])


def _transport(bundled: list[Section], accepted: set[str]) -> Section:
    """The m-line whose transport attributes are the group's: an accepted one, unless it is bundle-only without any."""
    described = [each for each in bundled if each.has("ice-ufrag")] or bundled
    return next((each for each in described if each.mid in accepted), described[0])


def _credentials(transport: Section, session: Section) -> tuple[str, str]:
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


def _line(section: Section, group: list[str], session: Section) -> Line:
    media, _, protocol, *formats = section.media
    mid, unused = section.mid, section.unused
    if not TOKEN.fullmatch(media) or not TOKEN.fullmatch(formats[0]):
        raise BadOffer("an m-line is not made of tokens")
    served: AudioLine | VideoLine | None = None
    if not unused and mid is not None and mid in group and protocol in PROFILES:
        match media:
            case "audio":
                served = AudioLine.parse(section, session, mid)
            case "video":
                served = VideoLine.parse(section, session, mid)
    if served is None:
        return RefusedLine(mid, media, protocol, formats[0])
    if not section.has("rtcp-mux"):
        raise UnservedOffer("rtcp-mux is missing")
    return served


def _of_one_transport(lines: Iterable[Line]) -> list[Line]:
    """One id is one header extension for all m-lines of a transport (RFC 8843 §9.1): a line that has another opinion
    than those before does without."""
    ids: dict[str, int] = {}

    def taken(uri: str, identifier: int | None) -> int | None:
        if identifier is None or ids.get(uri, identifier) != identifier:
            return None
        if uri not in ids and identifier in ids.values():
            return None
        return ids.setdefault(uri, identifier)

    served: list[Line] = []
    for line in lines:
        match line:
            case AudioLine():
                level, mid = taken(AUDIO_LEVEL, line.level_extension), taken(MID, line.mid_extension)
                served.append(replace(line, level_extension=level, mid_extension=mid))
            case VideoLine():
                kept = {name: id for name, id in line.extensions.items() if taken(EXTENSIONS[name], id) is not None}
                served.append(line.with_extensions(kept))
            case RefusedLine():
                served.append(line)
    return served


def _listening(line: AudioLine | VideoLine) -> Direction:
    return "recvonly" if line.receives else "inactive"


class Role(Enum):
    """Ours in the DTLS handshake (RFC 8842 §5.3)."""

    ACTIVE = "active"
    PASSIVE = "passive"

    @classmethod
    def answering(cls, setup: Setup) -> Self:
        """`actpass` is answered `passive`: the client, which knows when its path works, begins."""
        return cls("active" if setup == "passive" else "passive")
