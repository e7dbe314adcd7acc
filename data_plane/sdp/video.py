"""Video m-lines: VP8, VP9, H.264 and AV1 with RTX (RFC 4588), simulcast by RID (RFC 8851 to 8853).

Of each codec one payload type is taken: what every decoder of that name decodes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self, get_args

from data_plane.sdp.section import MID, BadOffer, Direction, Section, extensions, one_way_extensions, ssrc
from proto.signalling import MAX_ENCODINGS

Codec = Literal["vp8", "vp9", "h264", "av1"]
CODECS: tuple[Codec, ...] = get_args(Codec)

# By the names that the engine knows them by.
EXTENSIONS = {
    "mid": MID,
    "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",  # RFC 8852
    "repaired_rid": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "transport_cc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "abs_capture_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "playout_delay": "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    "video_layers_allocation": "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
    "dependency_descriptor": "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    "video_orientation": "urn:3gpp:video-orientation",  # 3GPP TS 26.114
}
# What the publisher alone writes: this node names its streams by SSRC.
_UPWARDS = ("rid", "repaired_rid")

NACK, PLI, FIR, TRANSPORT_CC, REMB = "nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"
FEEDBACK = (NACK, PLI, FIR, TRANSPORT_CC, REMB)

# RFC 8851 §10; of 16 characters at most, which is what fits into a packet (RFC 8285 §4.2).
_RID = re.compile(r"[A-Za-z0-9_-]{1,16}")
_PROFILE_LEVEL = re.compile(r"(?i)42[0-9a-f]0[0-9a-f]{2}")  # RFC 6184 §8.1: baseline, constrained or not


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """A payload type of an m-line, and what was agreed on for it."""

    codec: Codec
    payload_type: int
    rtx_payload_type: int | None
    parameters: str  # fmtp of the answer
    feedback: tuple[str, ...]  # of `FEEDBACK`

    def without(self, kind: str) -> Self:
        return replace(self, feedback=tuple(each for each in self.feedback if each != kind))


@dataclass(frozen=True, slots=True)
class VideoLine:
    """A video m-line with at least one format that this node forwards."""

    mid: str
    protocol: str
    direction: Direction
    formats: tuple[VideoFormat, ...]  # in the offer's order, each codec once
    rtcp_mux_only: bool  # RFC 8858
    extensions: Mapping[str, int] = field(default_factory=dict)  # by the names of `EXTENSIONS`
    one_way: Mapping[str, Direction] = field(default_factory=dict)  # of some URIs of theirs, as we answer
    rids: tuple[str, ...] = ()  # of the encodings it sends, in its order; paused ones too
    ssrcs: tuple[tuple[int, int | None], ...] = ()  # of its encodings, each with that of its RTX

    @classmethod
    def parse(cls, section: Section, session: Section, mid: str) -> Self | None:
        """None without a format of ours. Raises `BadOffer`."""
        offered = [*session.all("extmap"), *section.all("extmap")]
        found = extensions(offered, EXTENSIONS.values())
        known = {name: found[uri] for name, uri in EXTENSIONS.items() if uri in found}
        formats = tuple(_formats(section))
        if not formats:
            return None
        rids = _rids(section)
        line = cls(
            mid=mid,
            protocol=section.media[2],
            direction=section.direction(session),
            formats=formats,
            rtcp_mux_only=section.has("rtcp-mux-only"),
            one_way=one_way_extensions(offered, EXTENSIONS.values()),
            rids=rids,
            ssrcs=_ssrcs(section, rids),
        )
        return line.with_extensions(known)

    def with_extensions(self, extensions: Mapping[str, int]) -> Self:
        """With these alone, and without what needs others: nothing but the RID tells encodings apart, so without it
        there can be but one, and transport-wide feedback needs its sequence numbers."""
        rids = self.rids if "rid" in extensions else ()
        formats = self.formats
        if "transport_cc" not in extensions:
            formats = tuple(each.without(TRANSPORT_CC) for each in formats)
        return replace(self, extensions=extensions, rids=rids, formats=formats, ssrcs=self.ssrcs[: max(1, len(rids))])

    @property
    def sends(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")

    @property
    def codecs(self) -> tuple[Codec, ...]:
        return tuple(each.codec for each in self.formats)

    @property
    def encodings(self) -> int:
        """How many it sends."""
        return max(1, len(self.rids))

    def agreed(self, *, receives: bool) -> Iterator[str]:
        """The extensions as the answer has them. `receives`: this node does, on this line."""
        for name, identifier in self.extensions.items():
            uri = EXTENSIONS[name]
            way = f"/{self.one_way[uri]}" if uri in self.one_way else ""
            if receives or name not in _UPWARDS:
                yield f"{identifier}{way} {uri}"

    def gives_feedback(self, kind: str) -> bool:
        """Whether one of its formats has this kind of `FEEDBACK`."""
        return any(kind in each.feedback for each in self.formats)

    def alike(self, other: "VideoLine") -> bool:
        """But for what the answer does not depend on."""
        return replace(self, ssrcs=other.ssrcs, protocol=other.protocol) == other


def _formats(section: Section) -> Iterator[VideoFormat]:
    encodings = dict(section.encodings())
    parameters = _parameters(section)
    repairs = {parameters.get(each, {}).get("apt", ""): each for each, name in encodings.items() if name == "rtx/90000"}
    chosen: dict[Codec, tuple[int, str]] = {}
    for payload_type, name in encodings.items():
        codec = next((each for each in CODECS if name == f"{each}/90000"), None)
        answer = None if codec is None else _answer(codec, parameters.get(payload_type, {}))
        if codec is None or answer is None:
            continue
        # Constrained baseline is the one that everybody decodes.
        if codec not in chosen or ("=42e0" in answer and "=42e0" not in chosen[codec][1]):
            chosen[codec] = payload_type, answer
    order = [int(each) for each in section.media[3:] if each.isascii() and each.isdigit()]
    feedback = _feedback(section)
    for codec, (payload_type, answer) in sorted(chosen.items(), key=lambda each: order.index(each[1][0])):
        wanted = feedback.get("*", set()) | feedback.get(str(payload_type), set())
        agreed = tuple(each for each in FEEDBACK if each in wanted)
        yield VideoFormat(codec, payload_type, repairs.get(str(payload_type)), answer, agreed)


def _answer(codec: Codec, parameters: Mapping[str, str]) -> str | None:
    """The fmtp of the answer, where these parameters are of a format that all decode; None: they are of another."""
    match codec:
        case "vp8":
            return ""
        case "vp9":  # RFC 9628 §6
            return "profile-id=0" if parameters.get("profile-id", "0") == "0" else None
        case "av1":
            if parameters.get("profile", "0") != "0":
                return None
            level = parameters.get("level-idx", "5")
            level = level if re.fullmatch("[0-9]{1,2}", level) else "5"
            return f"level-idx={level};profile=0;tier=0"
        case "h264":
            profile = parameters.get("profile-level-id", "42000a")  # what it means to say nothing, RFC 6184 §8.1
            if parameters.get("packetization-mode") != "1" or not _PROFILE_LEVEL.fullmatch(profile):
                return None
            return f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile.lower()}"


def _parameters(section: Section) -> dict[int, dict[str, str]]:
    """fmtp by payload type; names in lower case."""
    found: dict[int, dict[str, str]] = {}
    for value in section.all("fmtp"):
        text, _, rest = value.partition(" ")
        if re.fullmatch("[0-9]{1,3}", text):
            pairs = (each.partition("=") for each in rest.split(";"))
            found.setdefault(int(text), {name.strip().lower(): value.strip() for name, _, value in pairs})
    return found


def _feedback(section: Section) -> dict[str, set[str]]:
    """By payload type as it is written, or "*"."""
    found: dict[str, set[str]] = {}
    for value in section.all("rtcp-fb"):
        payload_type, _, kind = value.partition(" ")
        found.setdefault(payload_type, set()).add(kind.strip())
    return found


def _rids(section: Section) -> tuple[str, ...]:
    """Of RFC 8853 §5.1: the first alternative of each stream that it would send, if a rid attribute says the same."""
    declared = {value.partition(" ")[0] for value in section.all("rid") if value.split(" ")[1:2] == ["send"]}
    words = (section.first("simulcast") or "").split()
    streams = dict(zip(words[::2], words[1::2], strict=False)).get("send", "")
    rids = dict.fromkeys(each.partition(",")[0].removeprefix("~") for each in streams.split(";"))
    return tuple(each for each in rids if _RID.fullmatch(each) and each in declared)[:MAX_ENCODINGS]


def _ssrcs(section: Section, rids: tuple[str, ...]) -> tuple[tuple[int, int | None], ...]:
    """Of RFC 5576: the one encoding's. With RIDs, which name the encodings, only where a SIM group says whose is
    whose."""
    named = [ssrc(value.partition(" ")[0]) for value in section.all("ssrc")]
    repairs = {pair[0]: pair[1] for pair in _groups(section, "FID") if len(pair) == 2}
    simulcast = next(_groups(section, "SIM"), [])
    media = named[:1] if not rids else simulcast if len(simulcast) == len(rids) else []
    found = tuple((each, repairs.get(each)) for each in media)
    every = [each for pair in found for each in pair if each is not None]
    if len(set(every)) != len(every):
        raise BadOffer("two streams have the same SSRC")
    return found


def _groups(section: Section, semantics: str) -> Iterator[list[int]]:
    for value in section.all("ssrc-group"):
        kind, *members = value.split(" ")
        if kind == semantics:
            yield [ssrc(each) for each in members]
