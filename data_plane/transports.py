"""A client's transport on this node: from its offer to what the engine must know and what the answer says."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from chorale_engine import Peer, Slot, Source

from data_plane.sdp import AudioLine, BadOffer, Local, Offer, Role, describe
from proto.signalling import AUDIO_SLOTS


@dataclass(frozen=True, slots=True)
class Transport:
    """As an offer and our answer describe it. Its peer in the engine is known by a handle elsewhere."""

    offer: Offer
    local: Local
    worker: int = 0  # of the engine, which serves it

    @classmethod
    def answering(cls, offer: Offer, *, fingerprint: bytes) -> Self:
        """A new one: every secret and every SSRC its own."""
        slots = offer.slots(AUDIO_SLOTS)
        microphone = offer.microphone
        return cls(
            offer,
            Local(
                ufrag=secrets.token_hex(8),
                password=secrets.token_hex(16),
                fingerprint=fingerprint,
                cname=secrets.token_hex(8),
                source_mid=None if microphone is None else microphone.mid,
                slot_ssrcs=dict(zip((line.mid for line in slots), _distinct(len(slots)), strict=True)),
                session=secrets.randbits(62),
            ),
        )

    @property
    def slots(self) -> int:
        return len(self.local.slot_ssrcs)

    def answer(self, candidates: Sequence[tuple[str, int]]) -> str:
        """`candidates`: those of its worker."""
        return describe(self.offer, self.local, candidates)

    def peer(self, csrc: int) -> Peer:
        """For the engine. Raises ValueError on what it cannot serve."""
        microphone = self.offer.microphone
        return Peer(
            local_ufrag=self.local.ufrag,
            local_password=self.local.password,
            remote_ufrag=self.offer.ufrag,
            remote_password=self.offer.password,
            fingerprints=self.offer.fingerprints,
            active=Role.answering(self.offer.setup) is Role.ACTIVE,
            source=None if microphone is None else _source(microphone, csrc),
            slots=[_slot(line, self.local.slot_ssrcs[line.mid]) for line in self.offer.slots(AUDIO_SLOTS)],
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
        present = {line.mid: line for line in self.offer.audio}
        offered = {line.mid: line for line in offer.audio}
        if any(mid not in offered or not _alike(line, offered[mid]) for mid, line in present.items()):
            raise BadOffer("on the transport of before, m-lines, payload types and extensions stay as they were")
        local = replace(self.local, version=self.local.version + 1)
        if self.restarts(offer):
            local = replace(local, ufrag=secrets.token_hex(8), password=secrets.token_hex(16))
        # The DTLS association goes on, and with it the roles in it (RFC 8842 §5.3).
        return replace(self, offer=replace(offer, setup=self.offer.setup), local=local)


def _alike(before: AudioLine, now: AudioLine) -> bool:
    """But for what the answer does not depend on."""
    return replace(before, ssrc=now.ssrc, protocol=now.protocol) == now


def _source(line: AudioLine, csrc: int) -> Source:
    return Source(
        csrc=csrc,
        mid=line.mid,
        payload_type=line.payload_type,
        ssrc=line.ssrc,
        level_extension=line.level_extension,
        mid_extension=line.mid_extension,
    )


def _slot(line: AudioLine, ssrc: int) -> Slot:
    return Slot(ssrc=ssrc, payload_type=line.payload_type, level_extension=line.level_extension)


def _distinct(count: int) -> list[int]:
    """SSRCs of one transport: not 0, no two alike (RFC 3550 §8.1)."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[secrets.randbits(32) or 1] = None
    return list(found)
