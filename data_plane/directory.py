"""Who is in which room: every stay on this node, and what its clients and the control plane are to be told.

A core: time and handles come in, `Effect`s come back in the order in which they must be performed.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NewType, TypeVar
from uuid import UUID

from proto.media import GRANT_SECONDS, Claims, EndReason, MediaEvent, SessionEnded, SessionMuted, SessionStarted
from proto.signalling import AUDIO_SLOTS, Arrived, Changed, Departed, Ended, FromNode, Participant, Slots, SlotState

PeerHandle = NewType("PeerHandle", int)
RoomHandle = NewType("RoomHandle", int)

# A grant lives this long at most, a little more for clocks that differ.
REMEMBER_SECONDS = GRANT_SECONDS + 5

KeyT = TypeVar("KeyT", bound=Hashable)


class GrantUsed(Exception):
    """The grant was used before, or its session was ended before it began."""


@dataclass(frozen=True, slots=True)
class Tell:
    """A frame for one client."""

    session_id: UUID
    frame: FromNode


@dataclass(frozen=True, slots=True)
class Report:
    """An event for the control plane."""

    event: MediaEvent


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """The engine must forget a peer."""

    peer: PeerHandle


@dataclass(frozen=True, slots=True)
class Hang:
    """The client's signalling socket must be closed, after what it was told."""

    session_id: UUID


Effect = Tell | Report | RemovePeer | Hang


@dataclass(slots=True)
class Stay:
    claims: Claims
    room: RoomHandle
    peer: PeerHandle
    csrc: int
    slot_mids: list[str]  # by slot index
    worker: int = 0  # of the engine, that serves the peer
    muted: bool = False
    connected: bool = False

    @property
    def session_id(self) -> UUID:
        return self.claims.sid

    @property
    def participant(self) -> Participant:
        return Participant(self.claims.sid, self.claims.sub, self.csrc, self.muted)


@dataclass(slots=True)
class _Room:
    handle: RoomHandle
    stays: dict[UUID, Stay] = field(default_factory=dict)
    csrcs: set[int] = field(default_factory=set)
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)  # who is heard in a slot, and since when


class _Recent(Generic[KeyT]):
    """What was noted in the last `REMEMBER_SECONDS`. Times never go back, so the oldest is always in front."""

    def __init__(self) -> None:
        self._noted: dict[KeyT, float] = {}

    def note(self, key: KeyT, now: float) -> None:
        self._noted.pop(key, None)
        self._noted[key] = now
        self._forget(now)

    def holds(self, key: KeyT, now: float) -> bool:
        self._forget(now)
        return key in self._noted

    def discard(self, key: KeyT) -> None:
        self._noted.pop(key, None)

    def _forget(self, now: float) -> None:
        while self._noted:
            oldest = next(iter(self._noted))
            if self._noted[oldest] + REMEMBER_SECONDS > now:
                return
            del self._noted[oldest]


class Directory:
    def __init__(self) -> None:
        self._rooms: dict[UUID, _Room] = {}  # by channel
        self._stays: dict[UUID, Stay] = {}  # by session
        self._by_peer: dict[PeerHandle, Stay] = {}
        self._handles = 0
        self._spent = _Recent[str]()  # by jti
        self._ended = _Recent[UUID]()  # sessions that the control plane ended, begun or not

    def __len__(self) -> int:
        return len(self._stays)

    def stay(self, session_id: UUID) -> Stay | None:
        return self._stays.get(session_id)

    def join(self, claims: Claims, slot_mids: list[str], *, random: Iterable[int], now: float) -> Stay:
        """A stay that is not connected yet, and a grant that is spent. Raises `GrantUsed`.

        `random`: 32-bit numbers for the CSRC, unique in the room and not 0. `now`: seconds of a clock that never goes
        back.
        """
        if self._spent.holds(claims.jti, now) or self._ended.holds(claims.sid, now) or claims.sid in self._stays:
            raise GrantUsed
        room = self._rooms.get(claims.room) or _Room(RoomHandle(self.handle()))
        csrc = next(number for number in random if number and number not in room.csrcs)
        stay = Stay(claims, room.handle, PeerHandle(self.handle()), csrc, slot_mids)
        self._spent.note(claims.jti, now)
        self._rooms[claims.room] = room
        room.csrcs.add(csrc)
        room.stays[stay.session_id] = self._stays[stay.session_id] = self._by_peer[stay.peer] = stay
        return stay

    def undo(self, stay: Stay) -> None:
        """The engine would not take it: as if it had never joined."""
        self._remove(stay)
        self._spent.discard(stay.claims.jti)

    def handle(self) -> int:
        """A number that names a room or a peer of the engine, and no other."""
        self._handles += 1
        return self._handles

    def participants(self, stay: Stay) -> list[Participant]:
        """Everyone who can be heard in the room of `stay`, itself first."""
        return [stay.participant, *(each.participant for each in self._others(stay) if each.connected)]

    def _others(self, stay: Stay) -> Iterator[Stay]:
        room = self._rooms[stay.claims.room]
        return (each for each in room.stays.values() if each is not stay)

    def _tell_others(self, stay: Stay, frame: FromNode) -> Iterator[Effect]:
        return (Tell(each.session_id, frame) for each in self._others(stay))

    def connected(self, peer: PeerHandle) -> list[Effect]:
        """The engine has keys and a path: everyone may know."""
        stay = self._by_peer.get(peer)
        if stay is None or stay.connected:
            return []
        stay.connected = True
        claims = stay.claims
        started = SessionStarted(claims.sid, claims.room, claims.sub, stay.muted)
        slots = self._rooms[claims.room].slots
        heard = [(peer, slot, csrc, timestamp) for slot, (csrc, timestamp) in slots.items()]
        told = [Report(started), *self._tell_others(stay, Arrived(stay.participant))]
        return told if len(stay.slot_mids) < AUDIO_SLOTS else [*told, *self.slots_changed(heard)]

    def mute(self, session_id: UUID, muted: bool) -> list[Effect]:
        """The member's own choice; a repeated one changes nothing."""
        stay = self._stays.get(session_id)
        if stay is None or stay.muted == muted:
            return []
        stay.muted = muted
        if not stay.connected:
            return []
        return [Report(SessionMuted(session_id, muted)), *self._tell_others(stay, Changed(stay.participant))]

    def room_slot_changed(self, room: RoomHandle, slot: int, csrc: int, timestamp: int) -> list[Effect]:
        """For everyone who has as many slots as the room."""
        stays = [stay for stay in self._stays.values() if stay.room == room]
        if not stays:
            return []
        self._rooms[stays[0].claims.room].slots[slot] = (csrc, timestamp)
        whole = (stay for stay in stays if len(stay.slot_mids) >= AUDIO_SLOTS)
        return self.slots_changed((stay.peer, slot, csrc, timestamp) for stay in whole)

    def slots_changed(self, changes: Iterable[tuple[PeerHandle, int, int, int]]) -> list[Effect]:
        """Changes as (peer, slot, csrc or 0, timestamp), in order; one frame a client however many there are."""
        frames: dict[UUID, dict[str, SlotState]] = {}
        for peer, slot, csrc, timestamp in changes:
            stay = self._by_peer.get(peer)
            if stay is not None and slot < len(stay.slot_mids):
                mid = stay.slot_mids[slot]
                frames.setdefault(stay.session_id, {})[mid] = SlotState(mid, csrc or None, timestamp)
        return [Tell(session_id, Slots(list(states.values()))) for session_id, states in frames.items()]

    def closed(self, peer: PeerHandle) -> list[Effect]:
        """The engine lost a peer."""
        stay = self._by_peer.get(peer)
        return [] if stay is None else self._end(stay, "lost", known_to_engine=False)

    def leave(self, session_id: UUID, reason: EndReason) -> list[Effect]:
        """The client left, or its socket is gone."""
        stay = self._stays.get(session_id)
        return [] if stay is None else self._end(stay, reason)

    def end(self, session_id: UUID, reason: EndReason, now: float) -> list[Effect]:
        """The control plane wants a session over. One that is not here will not begin here either."""
        self._ended.note(session_id, now)
        stay = self._stays.get(session_id)
        return [Report(SessionEnded(session_id, reason))] if stay is None else self._end(stay, reason)

    def end_all(self, reason: EndReason) -> list[Effect]:
        """The node ends. Nobody is told of the others' departure, for everybody departs."""
        stays = list(self._stays.values())
        for stay in stays:
            self._remove(stay)
        return [effect for stay in stays for effect in (RemovePeer(stay.peer), *self._parting(stay, reason))]

    def _end(self, stay: Stay, reason: EndReason, *, known_to_engine: bool = True) -> list[Effect]:
        departed = list(self._tell_others(stay, Departed(stay.session_id))) if stay.connected else []
        self._remove(stay)
        removed = [RemovePeer(stay.peer)] if known_to_engine else []
        return [*removed, *self._parting(stay, reason), *departed]

    def _parting(self, stay: Stay, reason: EndReason) -> list[Effect]:
        session_id = stay.session_id
        return [Report(SessionEnded(session_id, reason)), Tell(session_id, Ended(reason)), Hang(session_id)]

    def _remove(self, stay: Stay) -> None:
        del self._stays[stay.session_id]
        del self._by_peer[stay.peer]
        room = self._rooms[stay.claims.room]
        del room.stays[stay.session_id]
        room.csrcs.remove(stay.csrc)
        if not room.stays:
            del self._rooms[stay.claims.room]
