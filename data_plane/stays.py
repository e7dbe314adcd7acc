"""The nouns of the directory: a stay with its peers, a room with its slots and speakers."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from msgspec.structs import replace

from data_plane.effects import (
    DeafenPeer,
    Effect,
    IgnorePeers,
    MutePeer,
    PeerHandle,
    RoomHandle,
    SharePeer,
    Tell,
    WatchPeers,
)
from data_plane.video import SHARED, Abilities
from proto.media import Claims
from proto.rest import Shared
from proto.signalling import (
    AUDIO_SLOTS,
    Participant,
    Produce,
    Slots,
    SlotState,
    Speakers,
    Videos,
    VideoState,
    Wish,
)

# Above this many stays the slot map of a room is sent at most every `PACE` seconds: a thousand sockets cost more than
# the packets of a voice, and eyes do not follow faster. Speakers keep that pace everywhere.
STAGE_ABOVE = 50
PACE = 0.25

OFFERS_PER_MINUTE = 10  # a client whose network changes every few seconds; more would spend handshakes


StateT = TypeVar("StateT", SlotState, VideoState)


class SlotMap(Generic[StateT]):
    """Who is heard, or seen, in which slot, and what of it was not told yet."""

    def __init__(self) -> None:
        self._states: dict[int, StateT] = {}
        self._untold: set[int] = set()

    @property
    def all(self) -> list[StateT]:
        """By slot; those that were never held are left out."""
        return [self._states[slot] for slot in sorted(self._states)]

    @property
    def changed(self) -> bool:
        return bool(self._untold)

    def put(self, state: StateT) -> None:
        if self._states.get(state.slot) != state:
            self._states[state.slot] = state
            self._untold.add(state.slot)

    def free(self, csrc: int) -> None:
        """Wherever this one is, nobody is."""
        for state in self.all:
            if state.csrc == csrc:
                self.put(replace(state, csrc=None))

    def clear(self) -> None:
        self._states.clear()
        self._untold.clear()

    def tell(self) -> list[StateT]:
        """What changed since the last time, by slot."""
        changed = [self._states[slot] for slot in sorted(self._untold)]
        self._untold.clear()
        return changed


@dataclass(slots=True, eq=False)
class Peer:
    """A transport in the engine."""

    handle: PeerHandle
    slots: int
    heard: SlotMap[SlotState] = field(default_factory=SlotMap)  # of a peer that has fewer slots than its room
    video: Abilities = field(default_factory=Abilities)
    seen: SlotMap[VideoState] = field(default_factory=SlotMap)
    wanted: dict[int, int] = field(default_factory=dict)  # encodings as bits, by CSRC, where the engine said which
    produced: dict[Shared, Produce] = field(default_factory=dict)  # what its client was told last

    @property
    def is_full(self) -> bool:
        """Whether it is served the slots of the room as they are, and needs no map of its own."""
        return self.slots >= AUDIO_SLOTS


@dataclass(slots=True, eq=False)
class Stay:
    """One member in a room. Socket and transport may break and come again; the stay and its CSRC go on."""

    claims: Claims
    room: "Room"
    csrc: int
    screen_csrc: int
    token: str  # with which its client may come again
    heard_by: Peer  # whose slots its client knows: the connected one, else the last that was, else the first
    peer: Peer | None = None  # connected
    coming: Peer | None = None  # will take the place of `peer` once it is connected
    signalled: bool = True  # by a socket of `proto.signalling`
    attached: bool = True  # that socket is open
    announced: bool = False  # it was connected once, so that others know of it
    muted: bool = False
    deafened: bool = False
    server_muted: bool = False
    server_deafened: bool = False
    ignored: tuple[int, ...] = ()
    asked: frozenset[Shared] = frozenset()  # what it would share, as far as it can
    wishes: tuple[Wish, ...] | None = None  # None: it never said what it wants to see, and is shown something
    shown: tuple[Wish, ...] = ()  # which is this
    _offers: deque[float] = field(default_factory=deque)

    @property
    def session_id(self) -> UUID:
        return self.claims.sid

    @property
    def participant(self) -> Participant:
        return Participant(
            session_id=self.claims.sid,
            user_id=self.claims.sub,
            csrc=self.csrc,
            screen_csrc=self.screen_csrc,
            muted=self.muted,
            deafened=self.deafened,
            server_muted=self.server_muted,
            server_deafened=self.server_deafened,
            sources=self.sources,
        )

    @property
    def csrcs(self) -> tuple[int, int]:
        return self.csrc, self.screen_csrc

    def csrc_of(self, source: Shared) -> int:
        return self.csrc if source == "camera" else self.screen_csrc

    @property
    def sources(self) -> list[Shared]:
        """What it shares."""
        return [each for each in SHARED if each in self.asked and self.heard_by.video.can_share(each)]

    @property
    def peers(self) -> Iterator[Peer]:
        return (each for each in (self.peer, self.coming) if each is not None)

    @property
    def has_transport(self) -> bool:
        return self.peer is not None or self.coming is not None

    @property
    def complete(self) -> bool:
        """It lacks nothing that would have to come within `RESUME_SECONDS`."""
        return self.has_transport and (self.attached or not self.signalled)

    @property
    def is_full(self) -> bool:
        """Whether it hears the slots of its room, or those that its last transport had."""
        return self.heard_by.is_full

    @property
    def slots(self) -> list[SlotState]:
        """What it hears now."""
        return self.room.heard.all if self.is_full else self.heard_by.heard.all

    @property
    def every_slot(self) -> list[SlotState]:
        """The same, with those that nobody has ever held: for a client that may think otherwise."""
        states = {slot: SlotState(slot, None, 0) for slot in range(self.heard_by.slots)}
        return list((states | {each.slot: each for each in self.slots}).values())

    @property
    def videos(self) -> list[VideoState]:
        """What it sees now."""
        return self.heard_by.seen.all

    @property
    def every_video(self) -> list[VideoState]:
        """As `every_slot`."""
        states = {slot: VideoState(slot, None, 0) for slot in range(self.heard_by.video.slots)}
        return list((states | {each.slot: each for each in self.videos}).values())

    def take_offer(self, now: float) -> bool:
        """Whether one more offer may be looked at; if so, it is counted."""
        while self._offers and self._offers[0] <= now - 60:
            self._offers.popleft()
        if len(self._offers) >= OFFERS_PER_MINUTE:
            return False
        self._offers.append(now)
        return True

    # What the engine must know.

    def mutes(self) -> list[Effect]:
        """A transport that waits for another's place is silent: nobody hears anybody twice."""
        silent = self.muted or self.server_muted
        return [MutePeer(each.handle, silent or self._waits(each)) for each in self.peers]

    def deafens(self) -> list[Effect]:
        return [DeafenPeer(each.handle, self.deafened or self.server_deafened) for each in self.peers]

    def ignores(self) -> list[Effect]:
        return [IgnorePeers(each.handle, self.ignored) for each in self.peers]

    def shares(self) -> list[Effect]:
        """As with `mutes`, nobody sees anybody twice. Nothing for a transport that could share nothing."""
        able = [each for each in self.peers if any(map(each.video.can_share, SHARED))]
        return [SharePeer(each.handle, self._shared(each), self.server_muted) for each in able]

    def _shared(self, peer: Peer) -> tuple[int, ...]:
        if self._waits(peer):
            return ()
        return tuple(
            dict.fromkeys(self.csrc_of(each) for each in SHARED if each in self.asked and peer.video.can_share(each))
        )

    def watches(self) -> list[Effect]:
        """Only for the transport that is seen: another sees nothing before it takes its place."""
        wishes = self.shown if self.wishes is None else self.wishes
        served = [each for each in self.peers if each.video.slots and not self._waits(each)]
        return [
            WatchPeers(each.handle, tuple(wish for wish in wishes if wish.slot < each.video.slots)) for each in served
        ]

    def _waits(self, peer: Peer) -> bool:
        return peer is self.coming and self.peer is not None


@dataclass(slots=True, eq=False)
class Room:
    channel_id: UUID
    handle: RoomHandle
    stays: dict[UUID, Stay] = field(default_factory=dict)
    heard: SlotMap[SlotState] = field(default_factory=SlotMap)
    dominant: int | None = None
    # What `staging` has to look at: what publishers are to send, what all of those who do not choose are to be shown,
    # or what these are.
    uncast: bool = False
    unseen: bool = False
    unguided: dict[UUID, Stay] = field(default_factory=dict)
    _speaking: dict[int, None] = field(default_factory=dict)
    _partial: dict[UUID, Stay] = field(default_factory=dict)  # who has something of its own to be told
    _told: Speakers = field(default_factory=lambda: Speakers([], None))
    _slots_told_at: float = float("-inf")
    _speakers_told_at: float = float("-inf")

    def attached(self, *, but: Stay | None = None) -> tuple[UUID, ...]:
        """Those whose socket is open."""
        return tuple(each.session_id for each in self.stays.values() if each.attached and each is not but)

    def speaks(self, csrc: int, speaking: bool) -> None:
        if speaking:
            self._speaking[csrc] = None
        else:
            self._speaking.pop(csrc, None)

    def forget_voice(self, csrc: int) -> None:
        self.speaks(csrc, False)
        if self.dominant == csrc:
            self.dominant = None

    @property
    def speakers(self) -> Speakers:
        return Speakers(list(self._speaking), self.dominant)

    def notices(self, stay: Stay) -> None:
        """What `stay` alone hears, or sees, has changed."""
        self._partial[stay.session_id] = stay

    @property
    def due(self) -> float | None:
        """When `tell` has something to tell; None: nothing is waiting."""
        waiting: list[float] = []
        if self.heard.changed or self._partial:
            waiting.append(self._slots_told_at + (PACE if len(self.stays) > STAGE_ABOVE else 0))
        if self.speakers != self._told:
            waiting.append(self._speakers_told_at + PACE)
        return min(waiting, default=None)

    def tell(self, now: float) -> Iterator[Tell]:
        """What has changed since the last time, as far as it is due."""
        pace = PACE if len(self.stays) > STAGE_ABOVE else 0
        if (self.heard.changed or self._partial) and self._slots_told_at + pace <= now:
            self._slots_told_at = now
            yield from self._tell_slots()
        if self.speakers != self._told and self._speakers_told_at + PACE <= now:
            self._speakers_told_at, self._told = now, self.speakers
            if to := self.attached():
                yield Tell(to, self._told)

    def _tell_slots(self) -> Iterator[Tell]:
        if changed := self.heard.tell():
            to = tuple(each.session_id for each in self.stays.values() if each.attached and each.is_full)
            if to:
                yield Tell(to, Slots(changed))
        partial, self._partial = self._partial, {}
        for stay in partial.values():
            if stay.room is self:  # and was not moved meanwhile
                own, seen = stay.heard_by.heard.tell(), stay.heard_by.seen.tell()
                if own and stay.attached:
                    yield Tell((stay.session_id,), Slots(own))
                if seen and stay.attached:
                    yield Tell((stay.session_id,), Videos(seen))
