"""A client's transport on this node: from its offer to what the engine must know and what the answer says."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from chorale_engine import Peer, Slot, Source, VideoCodec, VideoSlot, VideoSource

from data_plane.sdp import (
    AudioLine,
    BadOffer,
    Candidate,
    Codec,
    Local,
    Offer,
    RefusedLine,
    Role,
    VideoLine,
    describe,
)
from data_plane.sdp.video import TRANSPORT_CC
from data_plane.video import Abilities, Track
from proto.rest import Shared
from proto.signalling import AUDIO_SLOTS, VIDEO_SLOTS


@dataclass(frozen=True, slots=True)
class Transport:
    """As an offer and our answer describe it. Its peer in the engine is known by a handle elsewhere."""

    offer: Offer
    local: Local
    worker: int = 0  # of the engine, which serves it
    video: bool = True  # the client may send more than its microphone

    @classmethod
    def answering(cls, offer: Offer, *, fingerprint: bytes, video: bool) -> Self:
        """A new one: every secret and every SSRC its own. `video`: the client may send more than its microphone."""
        offer = offer if video else offer.without_video()
        slots, video_slots = offer.slots(AUDIO_SLOTS), offer.video_slots(VIDEO_SLOTS)
        ssrcs = _distinct(len(slots) + 2 * len(video_slots))
        pairs = zip(ssrcs[len(slots) :: 2], ssrcs[len(slots) + 1 :: 2], strict=True)
        return cls(
            offer,
            Local(
                ufrag=secrets.token_hex(8),
                password=secrets.token_hex(16),
                fingerprint=fingerprint,
                cname=secrets.token_hex(8),
                source_mids=[*(each.mid for each in offer.sounds), *(each.mid for each in offer.pictures)],
                slot_ssrcs={line.mid: ssrc for line, ssrc in zip(slots, ssrcs, strict=False)},
                session=secrets.randbits(62),
                video_ssrcs={line.mid: pair for line, pair in zip(video_slots, pairs, strict=True)},
            ),
            video=video,
        )

    def preferring(self, codecs: Sequence[Codec]) -> "Transport":
        """With the answer's codecs in this order."""
        return replace(self, local=replace(self.local, codecs=codecs))

    @property
    def slots(self) -> int:
        return len(self.local.slot_ssrcs)

    def answer(self, candidates: Sequence[Candidate]) -> str:
        """`candidates`: those of its worker."""
        return describe(self.offer, self.local, candidates)

    @property
    def abilities(self) -> Abilities:
        """What it can beside hearing and being heard."""
        names: tuple[Shared, Shared] = ("camera", "screen")
        slots = self._video_slots
        decoders = [frozenset(line.codecs) for line in slots]
        return Abilities(
            slots=len(slots),
            decodes=frozenset.intersection(*decoders) if decoders else frozenset(),
            tracks={
                name: Track(line.codecs, line.encodings) for name, line in zip(names, self.offer.pictures, strict=False)
            },
            screen_audio=len(self.offer.sounds) > 1,
        )

    @property
    def _video_slots(self) -> list[VideoLine]:
        return self.offer.video_slots(VIDEO_SLOTS)

    def peer(self, csrc: int, screen_csrc: int) -> Peer:
        """For the engine. Raises ValueError on what it cannot serve."""
        csrcs = (csrc, screen_csrc)
        return Peer(
            local_ufrag=self.local.ufrag,
            local_password=self.local.password,
            remote_ufrag=self.offer.ufrag,
            remote_password=self.offer.password,
            fingerprints=self.offer.fingerprints,
            active=Role.answering(self.offer.setup) is Role.ACTIVE,
            sources=[_source(*each) for each in zip(self.offer.sounds, csrcs, strict=False)],
            slots=[_slot(line, self.local.slot_ssrcs[line.mid]) for line in self.offer.slots(AUDIO_SLOTS)],
            video_sources=[
                _video_source(*each) for each in zip(self.offer.pictures, csrcs, (False, True), strict=False)
            ],
            video_slots=[_video_slot(line, *self.local.video_ssrcs[line.mid]) for line in self._video_slots],
            extensions=self.offer.extensions,
            transport_cc=any(line.gives_feedback(TRANSPORT_CC) for line in self.offer.video),
            cname=self.local.cname,
        )

    # A second offer for the same transport.

    def is_of(self, offer: Offer) -> bool:
        """Whether `offer` is made by the same DTLS endpoint: the same certificates (RFC 8842 §5.5)."""
        return set(self.offer.fingerprints) == set(offer.fingerprints)

    def restarts(self, offer: Offer) -> bool:
        """Whether `offer` asks for an ICE restart: both credentials are new (RFC 8839 §4.4.1.1.1)."""
        return (self.offer.ufrag, self.offer.password) != (offer.ufrag, offer.password)

    def again(self, offer: Offer) -> "Transport":
        """As `offer` describes it now: new credentials where it asks for a restart, and everything else as it was.

        Raises `BadOffer` if `offer` would change more.
        """
        if not self.video:
            offer = offer.without_video()
        offered = {line.mid: line for line in offer.lines}
        if not all(_alike(line, offered.get(line.mid)) for line in self.offer.served):
            raise BadOffer("on the transport of before, m-lines, payload types and extensions stay as they were")
        local = replace(self.local, version=self.local.version + 1)
        if self.restarts(offer):
            local = replace(local, ufrag=secrets.token_hex(8), password=secrets.token_hex(16))
        # The DTLS association goes on, and with it the roles in it (RFC 8842 §5.3).
        return replace(self, offer=replace(offer, setup=self.offer.setup), local=local)


def _alike(before: AudioLine | VideoLine, now: AudioLine | VideoLine | RefusedLine | None) -> bool:
    """But for what the answer does not depend on."""
    match before, now:
        case AudioLine(), AudioLine():
            return before.alike(now)
        case VideoLine(), VideoLine():
            return before.alike(now)
    return False


def _source(line: AudioLine, csrc: int) -> Source:
    return Source(
        csrc=csrc,
        mid=line.mid,
        payload_type=line.payload_type,
        red_payload_type=line.red_payload_type,
        ssrc=line.ssrc,
        level_extension=line.level_extension,
        mid_extension=line.mid_extension,
    )


def _slot(line: AudioLine, ssrc: int) -> Slot:
    return Slot(
        ssrc=ssrc,
        payload_type=line.payload_type,
        red_payload_type=line.red_payload_type,
        nack=line.nack,
        level_extension=line.level_extension,
    )


def _codecs(line: VideoLine) -> list[VideoCodec]:
    return [
        VideoCodec(codec=each.codec, payload_type=each.payload_type, rtx_payload_type=each.rtx_payload_type)
        for each in line.formats
    ]


def _video_source(line: VideoLine, csrc: int, screen: bool) -> VideoSource:
    return VideoSource(csrc=csrc, mid=line.mid, screen=screen, codecs=_codecs(line), rids=line.rids, ssrcs=line.ssrcs)


def _video_slot(line: VideoLine, ssrc: int, rtx_ssrc: int) -> VideoSlot:
    return VideoSlot(ssrc=ssrc, rtx_ssrc=rtx_ssrc, codecs=_codecs(line))


def _distinct(count: int) -> list[int]:
    """SSRCs of one transport: not 0, no two alike (RFC 3550 §8.1)."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[secrets.randbits(32) or 1] = None
    return list(found)
