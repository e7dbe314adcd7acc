"""The directory in whatever happens: what it wants of the engine, of sockets and of the control plane always fits."""

from itertools import count
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from data_plane.directory import BadToken, Directory
from data_plane.effects import (
    DeafenPeer,
    Effect,
    Hang,
    IgnorePeers,
    MovePeer,
    MutePeer,
    PeerHandle,
    RemovePeer,
    Report,
    RoomHandle,
    Tell,
)
from data_plane.stays import Stay
from proto.media import SessionChanged, SessionEnded, SessionMoved, SessionStarted
from proto.signalling import (
    RESUME_SECONDS,
    Arrived,
    Changed,
    Departed,
    Joined,
    Moved,
    Participant,
    Resumed,
)
from tests.data_plane.support import claims

ROOMS = [uuid4() for _ in range(3)]


class World:
    """An engine, clients and a control plane that believe what they are told."""

    def __init__(self) -> None:
        self.peers: dict[PeerHandle, RoomHandle] = {}
        self.muted: dict[PeerHandle, bool] = {}
        self.sockets: dict[UUID, dict[UUID, Participant]] = {}  # by session: whom its client believes to be there
        self.rooms: dict[UUID, UUID] = {}  # as the control plane believes

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case RemovePeer(peer):
                    del self.peers[peer]
                case MovePeer(peer, room):
                    assert self.peers[peer] != room
                    self.peers[peer] = room
                case MutePeer(peer, muted):
                    assert peer in self.peers
                    self.muted[peer] = muted
                case DeafenPeer(peer) | IgnorePeers(peer):
                    assert peer in self.peers
                case Hang(session_id):
                    del self.sockets[session_id]
                case Tell(to, frame):
                    assert to
                    assert len(set(to)) == len(to)
                    for session_id in to:
                        self._told(self.sockets[session_id], frame)
                case Report(event):
                    self._reported(event)

    def _told(self, known: dict[UUID, Participant], frame: object) -> None:
        match frame:
            case Arrived(participant):
                assert participant.session_id not in known
                known[participant.session_id] = participant
            case Changed(participant):
                assert participant.session_id in known
                known[participant.session_id] = participant
            case Departed(session_id):
                del known[session_id]
            case Joined(participants=them) | Resumed(participants=them) | Moved(participants=them):
                known.clear()
                known.update({each.session_id: each for each in them})

    def _reported(self, event: SessionStarted | SessionChanged | SessionMoved | SessionEnded) -> None:
        match event:
            case SessionStarted(session_id, channel_id):
                assert session_id not in self.rooms
                self.rooms[session_id] = channel_id
            case SessionMoved(session_id, channel_id):
                assert self.rooms[session_id] != channel_id
                self.rooms[session_id] = channel_id
            case SessionChanged(session_id):
                assert session_id in self.rooms
            case SessionEnded(session_id):
                self.rooms.pop(session_id, None)


class Chance(RuleBasedStateMachine):
    stays = Bundle("stays")

    def __init__(self) -> None:
        super().__init__()
        self.directory, self.world, self.now = Directory(), World(), 0.0
        self.csrcs = count(1)

    def happen(self, effects: list[Effect]) -> None:
        self.world.perform(effects)
        self.world.perform(self.directory.tick(self.now))

    @precondition(lambda self: len(self.directory) < 4)  # so that much happens to each
    @rule(target=stays, room=st.sampled_from(ROOMS), slots=st.sampled_from([0, 3, 8]), signalled=st.booleans())
    def join(self, room: UUID, slots: int, signalled: bool) -> Stay:
        stay = self.directory.join(
            claims(room=room), slots, secret="s", random=self.csrcs, now=self.now, signalled=signalled
        )
        assert stay.coming is not None
        self.world.peers[stay.coming.handle] = stay.room.handle
        if signalled:
            self.world.sockets[stay.session_id] = {each.session_id: each for each in self.directory.participants(stay)}
        self.happen([])
        return stay

    @rule(stay=stays)
    def connect(self, stay: Stay) -> None:
        if stay.coming is not None:
            self.happen(self.directory.connected(stay.coming.handle))

    @rule(stay=stays, reason=st.sampled_from(["consent", "closed", "handshake", "failed"]), coming=st.booleans())
    def lose(self, stay: Stay, reason: str, coming: bool) -> None:
        peer = stay.coming if coming else stay.peer
        if peer is not None:
            del self.world.peers[peer.handle]
            self.happen(self.directory.closed(peer.handle, reason, self.now))

    @rule(stay=stays, slots=st.sampled_from([0, 3, 8]))
    def renew(self, stay: Stay, slots: int) -> None:
        if self.directory.stay(stay.session_id) is stay and stay.attached:
            handle = self.directory.new_peer()
            self.world.peers[handle] = stay.room.handle
            self.happen(self.directory.renew(stay, handle, slots))

    @rule(stay=stays)
    def detach(self, stay: Stay) -> None:
        if self.world.sockets.pop(stay.session_id, None) is not None:
            self.directory.detached(stay.session_id, self.now)
            self.happen([])

    @rule(stay=stays)
    def resume(self, stay: Stay) -> None:
        alive = self.directory.stay(stay.session_id) is stay and stay.signalled
        try:
            resumed, effects = self.directory.resume(stay.token, str(next(self.csrcs)), self.now)
        except BadToken:
            assert not alive
            return
        assert alive
        assert resumed is stay
        self.world.sockets.setdefault(stay.session_id, {})
        self.happen(effects)

    @rule(stay=stays, value=st.booleans(), by_server=st.booleans())
    def mute(self, stay: Stay, value: bool, by_server: bool) -> None:
        self.happen(self.directory.mute(stay.session_id, value, by_server=by_server))

    @rule(stay=stays, value=st.booleans(), by_server=st.booleans())
    def deafen(self, stay: Stay, value: bool, by_server: bool) -> None:
        self.happen(self.directory.deafen(stay.session_id, value, by_server=by_server))

    @rule(stay=stays, other=stays)
    def ignore(self, stay: Stay, other: Stay) -> None:
        self.happen(self.directory.ignore(stay.session_id, [other.csrc, 2**32 - 1]))

    @rule(stay=stays, room=st.sampled_from(ROOMS))
    def move(self, stay: Stay, room: UUID) -> None:
        self.happen(self.directory.move(stay.session_id, room))

    @rule(stay=stays, speaker=stays, slot=st.integers(0, 9), timestamp=st.integers(0, 9))
    def hear(self, stay: Stay, speaker: Stay, slot: int, timestamp: int) -> None:
        self.directory.room_slot(stay.room.handle, slot, speaker.csrc, timestamp)
        self.directory.speaks(stay.room.handle, speaker.csrc, timestamp % 2 == 0)
        self.directory.dominates(stay.room.handle, speaker.csrc)
        for peer in stay.peers:
            self.directory.peer_slot(peer.handle, slot, speaker.csrc, timestamp)
        self.happen([])

    @rule(stay=consumes(stays))
    def leave(self, stay: Stay) -> None:
        self.happen(self.directory.leave(stay.session_id, "left"))

    @rule(seconds=st.sampled_from([0.1, 1.0, RESUME_SECONDS / 2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.happen([])

    @invariant()
    def the_engine_has_what_the_directory_knows(self) -> None:
        stays = self.directory._stays.values()
        assert self.world.peers == {peer.handle: stay.room.handle for stay in stays for peer in stay.peers}

    @invariant()
    def nobody_is_heard_who_is_muted_nor_twice(self) -> None:
        for stay in self.directory._stays.values():
            silent = stay.muted or stay.server_muted
            if stay.peer is not None:
                assert self.world.muted.get(stay.peer.handle, False) == silent
            if stay.coming is not None and (silent or stay.peer is not None):
                assert self.world.muted[stay.coming.handle]

    @invariant()
    def sockets_and_stays_agree(self) -> None:
        attached = {each.session_id for each in self.directory._stays.values() if each.attached}
        assert attached == self.world.sockets.keys()
        for session_id, known in self.world.sockets.items():
            stay = self.directory._stays[session_id]
            assert known.keys() == {each.session_id for each in self.directory.participants(stay)}
            for other in known.keys() - {session_id}:
                assert known[other] == self.directory._stays[other].participant

    @invariant()
    def the_control_plane_knows_who_is_where(self) -> None:
        stays = self.directory._stays.values()
        assert self.world.rooms == {each.session_id: each.room.channel_id for each in stays if each.announced}

    @invariant()
    def whatever_lacks_something_will_end(self) -> None:
        lacking = {each.session_id for each in self.directory._stays.values() if not each.complete}
        assert lacking == self.directory._ends_at.keys()
        times = list(self.directory._ends_at.values())
        assert times == sorted(times)
        assert all(self.now < each <= self.now + RESUME_SECONDS for each in times)

    def teardown(self) -> None:
        self.world.perform(self.directory.end_all("shutdown"))
        assert not self.world.peers
        assert not self.world.sockets
        assert not self.world.rooms
        assert not self.directory._by_handle
        assert self.directory.due is None


TestChance = Chance.TestCase
TestChance.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
