"""The media engine: UDP sockets, worker threads, DTLS and the `sfu` core, behind commands (down) and events (up).

No packet crosses into Python. Every method returns at once; what follows from it arrives as events. Handles (`room`,
`peer`) are chosen by the caller, unique for the life of the engine, below 2**63.
"""

from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

__all__ = ["Engine", "Event", "Peer", "Slot", "Source", "Srtp"]

@final
class Source:
    """What a peer publishes: one microphone.

    `ssrc` is None when the offer names none; packets are then bound by MID, or by payload type while that is unambiguous.
    Header extension ids are 1..14 or None where not negotiated.
    """

    def __new__(
        cls,
        *,
        csrc: int,
        mid: str,
        payload_type: int,
        ssrc: int | None = None,
        level_extension: int | None = None,
        mid_extension: int | None = None,
    ) -> Source: ...
    @property
    def csrc(self) -> int: ...
    @property
    def mid(self) -> str: ...

@final
class Slot:
    """What a peer receives into: one RTP stream of ours, on one m-line of theirs."""

    def __new__(cls, *, ssrc: int, payload_type: int, level_extension: int | None = None) -> Slot: ...
    @property
    def ssrc(self) -> int: ...

@final
class Peer:
    """One client's transport, as its offer and our answer describe it.

    `fingerprints` are (hash name, digest) pairs, at least one of them sha-256 or stronger; the certificate must match one.
    `active` is True when we open the DTLS handshake (the offer was `passive`). At most one source, at most 32 slots.
    """

    def __new__(
        cls,
        *,
        local_ufrag: str,
        local_password: str,
        remote_ufrag: str,
        remote_password: str,
        fingerprints: Sequence[tuple[str, bytes]],
        active: bool = False,
        source: Source | None = None,
        slots: Sequence[Slot] = (),
        cname: str,
    ) -> Peer: ...

@disjoint_base
class Event:
    """`match event: case Event.Connected(peer=p): ...`"""

    @final
    class Connected(Event):
        """ICE and DTLS are done; media flows."""

        __match_args__ = ("peer",)
        def __new__(cls, peer: int) -> Event.Connected: ...
        @property
        def peer(self) -> int: ...

    @final
    class Closed(Event):
        """The peer is gone and its handle forgotten. Not sent for peers removed by `remove_peer`."""

        __match_args__ = ("peer", "reason")
        def __new__(
            cls, peer: int, reason: Literal["handshake", "fingerprint", "consent", "closed"]
        ) -> Event.Closed: ...
        @property
        def peer(self) -> int: ...
        @property
        def reason(self) -> Literal["handshake", "fingerprint", "consent", "closed"]: ...

    @final
    class SlotChanged(Event):
        """From `timestamp` on (the slot's timeline, 48 kHz) slot `slot` of `peer` carries `csrc`; 0 means nobody."""

        __match_args__ = ("peer", "slot", "csrc", "timestamp")
        def __new__(cls, peer: int, slot: int, csrc: int, timestamp: int) -> Event.SlotChanged: ...
        @property
        def peer(self) -> int: ...
        @property
        def slot(self) -> int: ...
        @property
        def csrc(self) -> int: ...
        @property
        def timestamp(self) -> int: ...

@final
class Engine:
    """Threads and sockets. Raises OSError when an address cannot be bound."""

    def __new__(cls, *, addresses: Sequence[str], port: int = 0, audio_slots: int = 8) -> Engine:
        """One UDP socket an address, all on one port (0: a free one)."""
    @property
    def addresses(self) -> list[tuple[str, int]]: ...
    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DTLS certificate (made anew at each start): 32 bytes."""
    @property
    def event_fd(self) -> int:
        """Readable while events wait; belongs to the engine, do not close it."""
    def drain(self, max_events: int = 1024) -> list[Event]: ...
    def add_peer(self, *, room: int, peer: int, config: Peer) -> None:
        """The room exists from its first peer to its last. Raises ValueError on a description that cannot be served."""
    def remove_peer(self, peer: int) -> None:
        """Unknown handles are ignored: the peer may have closed a moment ago."""
    def set_muted(self, peer: int, muted: bool) -> None: ...
    def counters(self) -> dict[str, int]:
        """Totals since the start and gauges of now: rooms, peers, sources, slots_held, datagrams_in, datagrams_out, bytes_in,
        bytes_out, and one drop_* counter for each reason to drop a packet, dtls_pending, worker_cpu_ns."""
    def statistics(self) -> NDArray[np.void]:
        """One row a peer: peer u8, room u8, packets_in u8, packets_out u8, bytes_in u8, bytes_out u8, lost i8, jitter f4 (s),
        rtt f4 (s), level u1 (-dBov), connected u1."""
    def close(self) -> None:
        """Stop the threads and close the sockets; idempotent. Events not drained are dropped."""

@final
class Srtp:
    """One direction of SRTP and SRTCP, for tools and tests. `profile` is "AEAD_AES_128_GCM" or "AES_CM_128_HMAC_SHA1_80"."""

    def __new__(cls, *, profile: str, key: bytes, salt: bytes) -> Srtp: ...
    def protect(self, packet: bytes) -> bytes: ...
    def unprotect(self, packet: bytes) -> bytes:
        """Raises ValueError: "auth", "replay", "short", "header"."""
    def protect_rtcp(self, packet: bytes) -> bytes: ...
    def unprotect_rtcp(self, packet: bytes) -> bytes: ...
