"""Who is in which room: every stay on this node, and what its clients, the engine and the control plane are to be told.

A core: time, handles and secrets come in, `Effect`s come back in the order in which they must be performed. `tick` is
to be called after every batch of changes and when `due` says so.
"""

import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args
from uuid import UUID

from data_plane.effects import Effect, Hang, MovePeer, PeerHandle, RemovePeer, Report, RoomHandle, Tell
from data_plane.recent import Recent
from data_plane.sdp import Codec
from data_plane.staging import decoders, stage
from data_plane.stays import Peer, Room, Stay
from data_plane.video import PREFERENCE, SHARED, Abilities, by_preference
from proto.media import GRANT_SECONDS, Claims, EndReason, SessionChanged, SessionEnded, SessionMoved, SessionStarted
from proto.rest import Shared
from proto.signalling import (
    MAX_IGNORED,
    RESUME_SECONDS,
    Arrived,
    Changed,
    Departed,
    Ended,
    Limit,
    Moved,
    Participant,
    Restart,
    Resumed,
    Slots,
    SlotState,
    Videos,
    VideoState,
    Wish,
)

# A grant lives this long at most, a little more for clocks that differ.
REMEMBER_SECONDS = GRANT_SECONDS + 5

_LIMITS: dict[str, Limit] = {each: each for each in get_args(Limit)}


class GrantUsed(Exception):
    """The grant was used before, or its session was ended before it began."""


class BadToken(Exception):
    """No stay can be resumed with it."""


class NoVideo(Exception):
    """The grant does not let it share anything."""


class Directory:
    def __init__(self, *, resume_seconds: float = RESUME_SECONDS, video_codecs: Sequence[Codec] = PREFERENCE) -> None:
        """`video_codecs`: what publishers are asked to send, as far as everybody can decode it: the best first."""
        self._resume_seconds, self._video_codecs = resume_seconds, video_codecs
        self._rooms: dict[UUID, Room] = {}  # by channel
        self._by_handle: dict[RoomHandle, Room] = {}
        self._stays: dict[UUID, Stay] = {}  # by session
        self._by_peer: dict[PeerHandle, tuple[Stay, Peer]] = {}
        self._by_csrc: dict[int, Stay] = {}
        self._handles = 0
        self._spent = Recent[str](REMEMBER_SECONDS)  # by jti
        self._ended = Recent[UUID](REMEMBER_SECONDS)  # sessions that the control plane ended, begun or not
        # When stays end that lack their socket or their transport: all wait equally long, so the first is in front.
        self._ends_at: dict[UUID, float] = {}
        self._restless: dict[UUID, Room] = {}  # in which there is something to tell

    def __len__(self) -> int:
        return len(self._stays)

    @property
    def shared(self) -> dict[str, int]:
        """How many share what."""
        counted = Counter(source for stay in self._stays.values() if stay.asked for source in stay.sources)
        return {source: counted[source] for source in SHARED}

    def stay(self, session_id: UUID) -> Stay | None:
        return self._stays.get(session_id)

    def stay_of(self, peer: PeerHandle) -> Stay | None:
        stay, _ = self._by_peer.get(peer, (None, None))
        return stay

    # Coming, and coming again.

    def join(
        self,
        claims: Claims,
        slots: int,
        *,
        secret: str,
        random: Iterable[int],
        now: float,
        signalled: bool = True,
        video: Abilities | None = None,
    ) -> Stay:
        """A stay whose first peer (`stay.coming`) is not connected yet, and a grant that is spent. Raises `GrantUsed`.

        `secret`: at least 128 random bits, for the stay's token. `random`: 32-bit numbers for the CSRCs, unique on the
        node and not 0. `now`: seconds of a clock that never goes back. `signalled`: by a socket of `proto.signalling`,
        and so with a client that can come again. `video`: what its transport can; without a socket it shares all of
        it from the start, for it cannot say so.
        """
        if self._spent.holds(claims.jti, now) or self._ended.holds(claims.sid, now) or claims.sid in self._stays:
            raise GrantUsed
        csrc = next(number for number in random if number and number not in self._by_csrc)
        screen = next(number for number in random if number and number != csrc and number not in self._by_csrc)
        self._spent.note(claims.jti, now)
        peer = Peer(self.new_peer(), slots, video=video or Abilities())
        stay = Stay(
            claims,
            self._room(claims.room),
            csrc,
            screen,
            _token(claims.sid, secret),
            peer,
            signalled=signalled,
            attached=signalled,
            asked=frozenset() if signalled or not claims.video else frozenset(SHARED),
        )
        stay.coming = self._enrol(stay, peer)
        stay.room.stays[stay.session_id] = self._stays[stay.session_id] = stay
        self._by_csrc |= dict.fromkeys(stay.csrcs, stay)
        return stay

    def undo(self, stay: Stay) -> None:
        """The engine would not take it: as if it had never joined."""
        self._remove(stay)
        self._spent.discard(stay.claims.jti)

    def resume(self, token: str, secret: str, now: float) -> tuple[Stay, list[Effect]]:
        """A new socket takes over the stay of `token`, which works once: the next is made of `secret`.

        Raises `BadToken`.
        """
        session_id = _session_of(token)
        stay = None if session_id is None else self._stays.get(session_id)
        if stay is None or not stay.signalled or not _equal(token, stay.token):
            raise BadToken
        stay.token, stay.attached = _token(stay.session_id, secret), True
        self._await_rest(stay, now)
        resumed = Resumed(
            session_id=stay.session_id,
            channel_id=stay.room.channel_id,
            csrc=stay.csrc,
            screen_csrc=stay.screen_csrc,
            participants=self.participants(stay),
            slots=stay.slots,
            videos=stay.videos,
            token=stay.token,
            restart=not stay.complete,
        )
        stay.heard_by.produced.clear()  # it may have missed the last of it
        self._restage(stay.room, shared=False)
        me = (stay.session_id,)
        return stay, [Tell(me, resumed), Tell(me, stay.room.speakers)]

    def detached(self, session_id: UUID, now: float) -> None:
        """The client's socket broke. Media goes on, and it may come again."""
        stay = self._stays.get(session_id)
        if stay is not None and stay.attached:
            stay.attached = False
            self._ends_at.setdefault(session_id, now + self._resume_seconds)

    def new_peer(self) -> PeerHandle:
        """Never given out before."""
        return PeerHandle(self._handle())

    def new_room(self) -> RoomHandle:
        """Of nobody: for a peer that is in no room of the directory."""
        return RoomHandle(self._handle())

    def renew(self, stay: Stay, peer: PeerHandle, slots: int, video: Abilities | None = None) -> list[Effect]:
        """The engine has a new transport for it, which takes the place of the present one once it is connected."""
        abandoned = [] if stay.coming is None else self._drop(stay.coming)
        stay.coming = self._enrol(stay, Peer(peer, slots, video=video or Abilities()))
        if stay.complete:
            self._ends_at.pop(stay.session_id, None)
        return [*abandoned, *stay.mutes(), *stay.deafens(), *stay.ignores()]

    def connected(self, handle: PeerHandle) -> list[Effect]:
        """The engine has keys and a path. The first time, everyone may know."""
        stay, peer = self._by_peer.get(handle) or (None, None)
        if stay is None or peer is None or peer is not stay.coming:
            return []
        effects: list[Effect] = [] if stay.peer is None else self._drop(stay.peer)
        known = stay.heard_by is peer  # it was told of the slots of this one when it joined
        shared = stay.sources
        stay.peer, stay.coming, stay.heard_by = peer, None, peer
        effects += [*stay.shares(), *stay.watches()]
        self._restage(stay.room, stay, shared=bool(stay.asked))
        me = (stay.session_id,)
        if not known:
            peer.heard.tell()  # the whole maps come now
            peer.seen.tell()
            effects += stay.mutes()
            if stay.attached:
                effects += [Tell(me, Slots(stay.every_slot))]
                effects += [Tell(me, Videos(stay.every_video))] if stay.every_video else []
        if stay.announced:
            return effects + ([] if stay.sources == shared else self._tell_change(stay, by_server=False))
        stay.announced = True
        started = SessionStarted(
            stay.session_id, stay.room.channel_id, stay.claims.sub, stay.muted, stay.deafened, stay.sources
        )
        effects.append(Report(started))
        if stay.server_muted or stay.server_deafened:
            effects.append(self._report(stay))
        if stay.attached and stay.room.speakers.speaking:
            effects.append(Tell(me, stay.room.speakers))
        return effects + self._tell_others(stay, Arrived(stay.participant))

    def participants(self, stay: Stay) -> list[Participant]:
        """Everyone who can be heard in the room of `stay`, itself first."""
        others = [each.participant for each in stay.room.stays.values() if each.announced and each is not stay]
        return [stay.participant, *others]

    # What members and those who run the server set.

    def mute(self, session_id: UUID, muted: bool, *, by_server: bool = False) -> list[Effect]:
        """One's own choice, or a command; a repeated one changes nothing, and neither undoes the other."""
        stay = self._stays.get(session_id)
        if stay is None or muted == (stay.server_muted if by_server else stay.muted):
            return []
        if by_server:
            stay.server_muted = muted
        else:
            stay.muted = muted
        shares = stay.shares() if by_server else []  # the sound of a screen is the server's to mute
        return [*stay.mutes(), *shares, *self._tell_change(stay, by_server)]

    def deafen(self, session_id: UUID, deafened: bool, *, by_server: bool = False) -> list[Effect]:
        """As `mute`."""
        stay = self._stays.get(session_id)
        if stay is None or deafened == (stay.server_deafened if by_server else stay.deafened):
            return []
        if by_server:
            stay.server_deafened = deafened
        else:
            stay.deafened = deafened
        return stay.deafens() + self._tell_change(stay, by_server)

    def _tell_change(self, stay: Stay, by_server: bool) -> list[Effect]:
        """Oneself too, of what one did not do oneself."""
        changed = Changed(stay.participant)
        effects: list[Effect] = [Tell((stay.session_id,), changed)] if by_server and stay.attached else []
        if stay.announced:
            effects += [self._report(stay), *self._tell_others(stay, changed)]
        return effects

    def ignore(self, session_id: UUID, csrcs: Iterable[int]) -> list[Effect]:
        """Whom this one does not want to hear, of those who are here now."""
        stay = self._stays.get(session_id)
        if stay is None:
            return []
        known = dict.fromkeys(csrc for csrc in csrcs if csrc in self._by_csrc)
        stay.ignored = tuple(known)[:MAX_IGNORED]
        return stay.ignores()

    def share(self, session_id: UUID, sources: Iterable[Shared]) -> list[Effect]:
        """What this one wants to be seen with, the whole set. Raises `NoVideo`."""
        stay, asked = self._stays.get(session_id), frozenset(sources)
        if stay is not None and asked and not stay.claims.video:
            raise NoVideo
        if stay is None or asked == stay.asked:
            return []
        before = stay.sources
        stay.asked = asked
        for source in set(stay.heard_by.produced) - asked:
            del stay.heard_by.produced[source]  # when it is shared again, it is told again
        self._restage(stay.room)
        return stay.shares() + (self._tell_change(stay, by_server=False) if stay.sources != before else [])

    def watch(self, session_id: UUID, wishes: Iterable[Wish]) -> list[Effect]:
        """What this one wants to see, the whole set. From now on it is shown nothing else."""
        stay = self._stays.get(session_id)
        if stay is None:
            return []
        first: dict[int, Wish] = {}
        for wish in wishes:
            first.setdefault(wish.slot, wish)
        chosen = tuple(wish for wish in first.values() if wish.csrc not in stay.csrcs)
        if stay.wishes == chosen:
            return []
        stay.wishes, stay.shown = chosen, ()
        return stay.watches()

    def codecs(self, stay: Stay) -> list[Codec]:
        """All that this node forwards, that which suits the others of the room best first."""
        return by_preference(dict.fromkeys((*self._video_codecs, *PREFERENCE)), decoders(stay.room, but=stay))

    def move(self, session_id: UUID, channel_id: UUID) -> list[Effect]:
        """To another room, with everything it has."""
        stay = self._stays.get(session_id)
        if stay is None or stay.room.channel_id == channel_id:
            return []
        left = self._tell_others(stay, Departed(session_id)) if stay.announced else []
        self._take_out(stay)
        stay.room = room = self._room(channel_id)
        room.stays[session_id] = stay
        self._restage(room, stay, shared=bool(stay.asked))
        moved: list[Effect] = []
        if stay.wishes or stay.shown:
            stay.wishes, stay.shown = None if stay.wishes is None else (), ()
            moved += stay.watches()
        for peer in (*stay.peers, stay.heard_by):
            peer.heard.clear()
            peer.seen.clear()
        moved += [MovePeer(peer.handle, room.handle) for peer in stay.peers]
        if stay.attached:
            me = (session_id,)
            moved += [
                Tell(me, Moved(channel_id, self.participants(stay), stay.slots, stay.videos)),
                Tell(me, room.speakers),
            ]
        if not stay.announced:
            return moved
        report = Report(SessionMoved(session_id, channel_id))
        return [*moved, report, *left, *self._tell_others(stay, Arrived(stay.participant))]

    # What the engine says of its rooms: told by `tick`.

    def room_slot(self, handle: RoomHandle, slot: int, csrc: int, timestamp: int) -> None:
        """From `timestamp` on, this slot of a room carries `csrc`, or nobody (0)."""
        if (room := self._by_handle.get(handle)) is not None:
            room.heard.put(SlotState(slot, self._heard_in(room, csrc), timestamp))
            self._stir(room)

    def peer_slot(self, handle: PeerHandle, slot: int, csrc: int, timestamp: int) -> None:
        """The same for a peer with fewer slots than its room."""
        stay, peer = self._by_peer.get(handle, (None, None))
        if stay is not None and peer is not None and slot < peer.slots:
            peer.heard.put(SlotState(slot, self._heard_in(stay.room, csrc), timestamp))
            stay.room.notices(stay)
            self._stir(stay.room)

    def video_slot(
        self,
        handle: PeerHandle,
        slot: int,
        csrc: int,
        timestamp: int,
        *,
        encoding: int = 0,
        spatial: int = 0,
        temporal: int = 0,
        limit: str = "",
    ) -> None:
        """From `timestamp` on, this video slot of a peer carries these layers of `csrc`, or nothing (0)."""
        stay, peer = self._by_peer.get(handle, (None, None))
        if stay is not None and peer is not None and slot < peer.video.slots:
            seen = self._heard_in(stay.room, csrc)
            peer.seen.put(VideoState(slot, seen, timestamp, encoding, spatial, temporal, _LIMITS.get(limit)))
            stay.room.notices(stay)
            self._stir(stay.room)

    def wants_encodings(self, handle: PeerHandle, csrc: int, wanted: int) -> None:
        """Which encodings of `csrc`, which this peer sends, somebody sees: a bit each, the smallest lowest."""
        stay, peer = self._by_peer.get(handle, (None, None))
        if stay is not None and peer is not None and csrc in stay.csrcs:
            peer.wanted[csrc] = wanted
            self._restage(stay.room, shared=False)

    def speaks(self, handle: RoomHandle, csrc: int, speaking: bool) -> None:
        room = self._by_handle.get(handle)
        if room is not None and (not speaking or self._heard_in(room, csrc)):
            room.speaks(csrc, speaking)
            self._stir(room)

    def dominates(self, handle: RoomHandle, csrc: int) -> None:
        if (room := self._by_handle.get(handle)) is not None:
            room.dominant = self._heard_in(room, csrc)
            self._restage(room)

    def _heard_in(self, room: Room, csrc: int) -> int | None:
        """An event may be older than a departure: who is not in the room any more is nobody."""
        stay = self._by_csrc.get(csrc)
        return csrc if stay is not None and stay.room is room else None

    # Time.

    @property
    def due(self) -> float | None:
        """When `tick` is to be called at the latest."""
        told = [at for room in self._restless.values() if (at := room.due) is not None]
        first = next(iter(self._ends_at.values()), None)
        return min([*told, *([] if first is None else [first])], default=None)

    def tick(self, now: float) -> list[Effect]:
        """Ends the stays whose clients did not come again, and tells what is due to be told."""
        effects: list[Effect] = []
        while self._ends_at:
            session_id, at = next(iter(self._ends_at.items()))
            if at > now:
                break
            effects += self._end(self._stays[session_id], "lost")
        for room in list(self._restless.values()):  # in which somebody may just have ended
            effects += [*stage(room, self._video_codecs), *room.tell(now)]
            if room.due is None:
                del self._restless[room.channel_id]
        return effects

    def _await_rest(self, stay: Stay, now: float) -> None:
        """It has `RESUME_SECONDS` from now for what it lacks, if it lacks anything."""
        self._ends_at.pop(stay.session_id, None)
        if not stay.complete:
            self._ends_at[stay.session_id] = now + self._resume_seconds

    def _stir(self, room: Room) -> None:
        self._restless[room.channel_id] = room

    def _restage(self, room: Room, stay: Stay | None = None, *, shared: bool = True) -> None:
        """Somebody came or went, or shares something else: `shared`, so that there is something else to see; else it is
        only that what `stay` can see is another matter now."""
        room.uncast = True
        if shared:
            room.unseen = True
        elif stay is not None:
            room.unguided[stay.session_id] = stay
        self._stir(room)

    # Going.

    def closed(self, handle: PeerHandle, reason: str, now: float) -> list[Effect]:
        """The engine lost a peer. The client is asked for a new transport; without a client, that was all. When it was
        the engine's own fault (`failed`), a client that is away may come again too."""
        stay, peer = self._by_peer.pop(handle, (None, None))
        if stay is None:
            return []
        if peer is stay.coming:
            stay.coming = None
        else:
            stay.peer = None
            stay.heard_by.seen.clear()
        if reason == "failed":  # nobody lived to tell of this
            for csrc in stay.csrcs:
                stay.room.heard.free(csrc)
                stay.room.forget_voice(csrc)
            self._stir(stay.room)
        if stay.has_transport:
            return []
        if not stay.signalled or not (stay.attached or reason == "failed"):
            return self._end(stay, "lost")
        if stay.attached:
            self._await_rest(stay, now)
            return [Tell((stay.session_id,), Restart())]
        return []

    def leave(self, session_id: UUID, reason: EndReason) -> list[Effect]:
        """The client left, or misbehaved."""
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
        return [effect for stay in stays for effect in (*self._remove(stay), *_parting(stay, reason))]

    def _end(self, stay: Stay, reason: EndReason) -> list[Effect]:
        departed = self._tell_others(stay, Departed(stay.session_id)) if stay.announced else []
        return [*self._remove(stay), *_parting(stay, reason), *departed]

    # Books.

    def _handle(self) -> int:
        self._handles += 1
        return self._handles

    def _room(self, channel_id: UUID) -> Room:
        room = self._rooms.get(channel_id)
        if room is None:
            room = self._rooms[channel_id] = Room(channel_id, RoomHandle(self._handle()))
            self._by_handle[room.handle] = room
        return room

    def _enrol(self, stay: Stay, peer: Peer) -> Peer:
        self._by_peer[peer.handle] = (stay, peer)
        return peer

    def _drop(self, peer: Peer) -> list[Effect]:
        del self._by_peer[peer.handle]
        return [RemovePeer(peer.handle)]

    def _remove(self, stay: Stay) -> list[Effect]:
        removed = [effect for peer in stay.peers for effect in self._drop(peer)]
        stay.peer = stay.coming = None
        self._ends_at.pop(stay.session_id, None)
        del self._stays[stay.session_id]
        for csrc in stay.csrcs:
            del self._by_csrc[csrc]
        self._take_out(stay)
        return removed

    def _take_out(self, stay: Stay) -> None:
        """Of its room, which ends with its last."""
        room = stay.room
        del room.stays[stay.session_id]
        for csrc in stay.csrcs:
            room.forget_voice(csrc)
        if room.stays:
            self._restage(room, shared=bool(stay.asked))
        else:
            del self._rooms[room.channel_id], self._by_handle[room.handle]
            self._restless.pop(room.channel_id, None)

    def _tell_others(self, stay: Stay, frame: Arrived | Changed | Departed) -> list[Effect]:
        to = stay.room.attached(but=stay)
        return [Tell(to, frame)] if to else []

    def _report(self, stay: Stay) -> Report:
        return Report(
            SessionChanged(
                stay.session_id,
                stay.muted,
                stay.deafened,
                stay.server_muted,
                stay.server_deafened,
                stay.sources,
            )
        )


def _parting(stay: Stay, reason: EndReason) -> list[Effect]:
    session_id = stay.session_id
    over: list[Effect] = [Report(SessionEnded(session_id, reason))]
    return [*over, Tell((session_id,), Ended(reason)), Hang(session_id)] if stay.attached else over


def _token(session_id: UUID, secret: str) -> str:
    """The session in front is no secret and finds the stay."""
    return f"{session_id.hex}.{secret}"


def _session_of(token: str) -> UUID | None:
    try:
        return UUID(hex=token.partition(".")[0])
    except ValueError:
        return None


def _equal(given: str, kept: str) -> bool:
    """In a time that tells nothing of `kept`."""
    return hmac.compare_digest(given.encode(errors="replace"), kept.encode())
