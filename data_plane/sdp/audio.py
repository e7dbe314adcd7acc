"""Audio m-lines: Opus (RFC 7587), with RED (RFC 2198) where it is offered."""

from dataclasses import dataclass, replace
from typing import Self

from data_plane.sdp.section import AUDIO_LEVEL, MID, Direction, Section, extensions, ssrc


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

    @classmethod
    def parse(cls, section: Section, session: Section, mid: str) -> Self | None:
        """None without Opus. Raises `BadOffer`."""
        opus = next(section.payload_types("opus/48000/2"), None)
        if opus is None:
            return None
        _, _, protocol, *formats = section.media
        red = _red(section, opus)
        found = extensions([*session.all("extmap"), *section.all("extmap")], (AUDIO_LEVEL, MID))
        return cls(
            mid=mid,
            protocol=protocol,
            direction=section.direction(session),
            payload_type=opus,
            red_payload_type=red,
            prefers_red=red is not None and formats.index(str(red)) < formats.index(str(opus)),
            nack=any(each in section.all("rtcp-fb") for each in (f"{opus} nack", "* nack")),
            rtcp_mux_only=section.has("rtcp-mux-only"),
            level_extension=found.get(AUDIO_LEVEL),
            mid_extension=found.get(MID),
            ssrc=_ssrc(section),
        )

    @property
    def sends(self) -> bool:
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        return self.direction in ("sendrecv", "recvonly")

    def alike(self, other: "AudioLine") -> bool:
        """But for what the answer does not depend on."""
        return replace(self, ssrc=other.ssrc, protocol=other.protocol) == other


def _red(section: Section, opus: int) -> int | None:
    """The payload type of RFC 2198 that carries two frames of that Opus (§5)."""
    carries = set(section.all("fmtp"))
    offered = section.payload_types("red/48000/2")
    return next((each for each in offered if each != opus and f"{each} {opus}/{opus}" in carries), None)


def _ssrc(section: Section) -> int | None:
    """RFC 5576 §4.1: the first; one microphone has one."""
    value = section.first("ssrc")
    return None if value is None else ssrc(value.partition(" ")[0])
