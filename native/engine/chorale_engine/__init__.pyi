"""The media engine: UDP sockets, worker threads, DTLS and the `sfu` core, behind commands (down) and events (up).

No packet crosses into Python. Every method returns at once; what follows from it arrives as events. Handles (`room`,
`peer`) are chosen by the caller, unique for the life of the engine, below 2**63.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

__all__ = ["Engine", "Event", "Peer", "Slot", "Source", "Srtp", "VideoCodec", "VideoSlot", "VideoSource"]

@final
class Source:
    """What a peer is heard with: its microphone, or the sound of its screen.

    `red_payload_type` is that of RED (RFC 2198) of its Opus, where both sides agreed on it.
    `ssrc` is None when the offer names none; packets are then bound by MID, or by payload type while that is unambiguous.
    Header extension ids are 1..14 or None where not negotiated.
    """

    def __new__(
        cls,
        *,
        csrc: int,
        mid: str,
        payload_type: int,
        red_payload_type: int | None = None,
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
    """What a peer receives into: one RTP stream of ours, on one m-line of theirs.

    `nack`: the client may ask for packets again (RFC 4585 §6.2.1).
    """

    def __new__(
        cls,
        *,
        ssrc: int,
        payload_type: int,
        red_payload_type: int | None = None,
        nack: bool = False,
        level_extension: int | None = None,
    ) -> Slot: ...
    @property
    def ssrc(self) -> int: ...

@final
class VideoCodec:
    """A codec of video ("vp8", "vp9", "h264", "av1") as one m-line has it, and its repair (RFC 4588). Raises ValueError."""

    def __new__(cls, *, codec: str, payload_type: int, rtx_payload_type: int | None = None) -> VideoCodec: ...
    @property
    def codec(self) -> str: ...

@final
class VideoSource:
    """A camera or a screen that a peer publishes.

    `rids` (RFC 8851), the smallest encoding first, at most three; none: there is one encoding. `ssrcs` are (media, repair)
    by encoding, where the offer names them.
    """

    def __new__(
        cls,
        *,
        csrc: int,
        mid: str,
        screen: bool,
        codecs: Sequence[VideoCodec],
        rids: Sequence[str] = (),
        ssrcs: Sequence[tuple[int, int | None]] = (),
    ) -> VideoSource: ...
    @property
    def csrc(self) -> int: ...
    @property
    def mid(self) -> str: ...

@final
class VideoSlot:
    """What a peer watches into: one RTP stream of ours, and its repair stream, on one m-line of theirs."""

    def __new__(cls, *, ssrc: int, rtx_ssrc: int, codecs: Sequence[VideoCodec]) -> VideoSlot: ...
    @property
    def ssrc(self) -> int: ...

@final
class Peer:
    """One client's transport, as its offer and our answer describe it.

    `fingerprints` are (hash name, digest) pairs, at least one of them sha-256 or stronger; the certificate must match one.
    `active` is True when we open the DTLS handshake (the offer was `passive`). `sources` are the microphone and then the sound
    of the screen. At most 32 slots, 2 video sources and 16 video slots. `extensions` are the client's ids (1..14) of header
    extensions that concern video, by name: mid, rid, repaired_rid, transport_cc, abs_send_time, abs_capture_time,
    playout_delay, video_layers_allocation, dependency_descriptor, video_orientation. `transport_cc`: both sides report when
    each packet came. Nothing is shared before `set_sharing`, nothing watched before `watch`.
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
        sources: Sequence[Source] = (),
        slots: Sequence[Slot] = (),
        video_sources: Sequence[VideoSource] = (),
        video_slots: Sequence[VideoSlot] = (),
        extensions: Mapping[str, int] = {},
        transport_cc: bool = False,
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
            cls, peer: int, reason: Literal["handshake", "fingerprint", "consent", "closed", "failed"]
        ) -> Event.Closed: ...
        @property
        def peer(self) -> int: ...
        @property
        def reason(self) -> Literal["handshake", "fingerprint", "consent", "closed", "failed"]: ...

    @final
    class RoomSlot(Event):
        """From `timestamp` on (the slot's timeline, 48 kHz) slot `slot` of the room carries `csrc`; 0 means nobody. For
        all peers with as many slots as the room."""

        __match_args__ = ("room", "slot", "csrc", "timestamp")
        def __new__(cls, room: int, slot: int, csrc: int, timestamp: int) -> Event.RoomSlot: ...
        @property
        def room(self) -> int: ...
        @property
        def slot(self) -> int: ...
        @property
        def csrc(self) -> int: ...
        @property
        def timestamp(self) -> int: ...

    @final
    class Speaking(Event):
        """Somebody who is heard begins to speak, or has ceased."""

        __match_args__ = ("room", "csrc", "speaking")
        def __new__(cls, room: int, csrc: int, speaking: bool) -> Event.Speaking: ...
        @property
        def room(self) -> int: ...
        @property
        def csrc(self) -> int: ...
        @property
        def speaking(self) -> bool: ...

    @final
    class Dominant(Event):
        """Who of a room is the dominant speaker now; 0 means nobody."""

        __match_args__ = ("room", "csrc")
        def __new__(cls, room: int, csrc: int) -> Event.Dominant: ...
        @property
        def room(self) -> int: ...
        @property
        def csrc(self) -> int: ...

    @final
    class VideoSlot(Event):
        """What video slot `slot` of `peer` shows from `timestamp` on (the slot's timeline, 90 kHz): `csrc` (0: nobody), up to
        which layers of which encoding, and why not more."""

        __match_args__ = ("peer", "slot", "csrc", "timestamp", "encoding", "spatial", "temporal", "limit")
        def __new__(
            cls,
            peer: int,
            slot: int,
            csrc: int,
            timestamp: int,
            encoding: int,
            spatial: int,
            temporal: int,
            limit: Literal["", "bandwidth", "source", "codec"],
        ) -> Event.VideoSlot: ...
        @property
        def peer(self) -> int: ...
        @property
        def slot(self) -> int: ...
        @property
        def csrc(self) -> int: ...
        @property
        def timestamp(self) -> int: ...
        @property
        def encoding(self) -> int: ...
        @property
        def spatial(self) -> int: ...
        @property
        def temporal(self) -> int: ...
        @property
        def limit(self) -> Literal["", "bandwidth", "source", "codec"]: ...

    @final
    class Encodings(Event):
        """Which encodings of its source `csrc` anybody wants from `peer`: bit i is encoding i, and bit 0 is always set."""

        __match_args__ = ("peer", "csrc", "wanted")
        def __new__(cls, peer: int, csrc: int, wanted: int) -> Event.Encodings: ...
        @property
        def peer(self) -> int: ...
        @property
        def csrc(self) -> int: ...
        @property
        def wanted(self) -> int: ...

    @final
    class SlotChanged(Event):
        """The same as `RoomSlot` for a peer with fewer slots than the room."""

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

    def __new__(
        cls,
        *,
        addresses: Sequence[str],
        port: int = 0,
        audio_slots: int = 8,
        workers: int = 1,
        spread_above: int = 200,
        tcp: bool = True,
    ) -> Engine:
        """Worker i has one UDP socket and, with `tcp`, one listener (RFC 6544) an address, all on `port` + i (0: a free one
        for each). A room of more peers than `spread_above` is spread over all workers."""
    @property
    def addresses(self) -> list[list[tuple[str, int]]]:
        """By worker."""
    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DTLS certificate (made anew at each start): 32 bytes."""
    @property
    def event_fd(self) -> int:
        """Readable while events wait; belongs to the engine, do not close it."""
    def drain(self, max_events: int = 1024) -> list[Event]: ...
    def add_peer(self, *, room: int, peer: int, config: Peer) -> int:
        """The worker that serves the peer: its addresses are what the client must be offered. The room exists from its first peer to its last. Raises ValueError on a description that cannot be served."""
    def remove_peer(self, peer: int) -> None:
        """Unknown handles are ignored: the peer may have closed a moment ago."""
    def set_muted(self, peer: int, muted: bool) -> None: ...
    def set_deafened(self, peer: int, deafened: bool) -> None:
        """Nothing is sent to a deafened peer."""
    def set_ignored(self, peer: int, csrcs: Sequence[int]) -> None:
        """Whom a peer does not want to hear: the whole set, at most 256."""
    def set_sharing(self, peer: int, csrcs: Sequence[int], silent: bool = False) -> None:
        """Which of its cameras and screens, and whether the sound of its screen, a peer shares: the whole set, by CSRC.
        Packets of others go nowhere. A camera and a microphone, and a screen and its sound, have one CSRC each.
        `silent`: its sound goes nowhere even so."""
    def watch(self, peer: int, wishes: Sequence[tuple[int, int, int, int, bool]]) -> None:
        """What a peer wishes to see: the whole set of (slot, csrc, width in pixels, priority, paused)."""
    def move_peer(self, peer: int, room: int) -> None:
        """The peer's transport stays; its room is another."""
    def restart_ice(
        self, peer: int, *, local_ufrag: str, local_password: str, remote_ufrag: str, remote_password: str
    ) -> None:
        """The old credentials count until the client nominates with the new. Raises ValueError."""
    def counters(self) -> dict[str, int]:
        """Totals since the start and gauges of now: rooms, peers, sources, slots_held, videos, video_cache (bytes), datagrams_in, datagrams_out, bytes_in,
        bytes_out, resent, key_frames_asked, and one drop_* counter for each reason to drop a packet, dtls_pending, worker_cpu_ns."""
    def statistics(self) -> NDArray[np.void]:
        """One row a peer (kind 0), source (1), and slot (2), encoding (3) and video slot (4) that has sent something. Columns: peer u8, room u8, packets_in u8,
        packets_out u8, bytes_in u8, bytes_out u8, lost i8, jitter f4 (s), rtt f4 (s), csrc u4, kind u1, slot u1, worker u1,
        level u1 (-dBov), connected u1. `lost` of a source is what we missed, of a slot what its receiver reports."""
    def _panic_worker(self, worker: int) -> None:
        """To see that it harms nobody else."""
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
