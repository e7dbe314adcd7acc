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
    SharePeer,
    Tell,
    WatchPeers,
)
from data_plane.stays import Stay
from data_plane.video import PREFERENCE, SHARED, Abilities, Track
from proto.media import SessionChanged, SessionEnded, SessionMoved, SessionStarted
from proto.rest import Shared
from proto.signalling import (
    RESUME_SECONDS,
    Arrived,
    Changed,
    Departed,
    Joined,
    Moved,
    Participant,
    Produce,
    Resumed,
    Videos,
    Wish,
)
from tests.data_plane.support import claims

ROOMS = [uuid4() for _ in range(3)]
NOTHING = Abilities()
PLAYER = Abilities(1, frozenset(("vp8", "h264")))
BROWSER = Abilities(3, frozenset(PREFERENCE), {"camera": Track(PREFERENCE, 3), "screen": Track(("vp9", "vp8"))}, True)
VIDEO = st.sampled_from([NOTHING, PLAYER, BROWSER])


class World:
    """An engine, clients and a control plane that believe what they are told."""

    def __init__(self) -> None:
        self.peers: dict[PeerHandle, RoomHandle] = {}
        self.muted: dict[PeerHandle, bool] = {}
        self.sharing: dict[PeerHandle, tuple[int, ...]] = {}
        self.watching: dict[PeerHandle, tuple[Wish, ...]] = {}
        self.produced: dict[UUID, dict[str, Produce]] = {}
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
                case SharePeer(peer, csrcs):
                    assert peer in self.peers
                    self.sharing[peer] = csrcs
                case WatchPeers(peer, wishes):
                    assert peer in self.peers
                    assert len({each.slot for each in wishes}) == len(wishes)
                    self.watching[peer] = wishes
                case DeafenPeer(peer) | IgnorePeers(peer):
                    assert peer in self.peers
                case Hang(session_id):
                    del self.sockets[session_id]
                case Tell(to, frame):
                    assert to
                    assert len(set(to)) == len(to)
                    for session_id in to:
                        self._told(self.sockets[session_id], frame)
                        if isinstance(frame, Produce):
                            self.produced.setdefault(session_id, {})[frame.source] = frame
                        if isinstance(frame, Videos):
                            assert frame.videos
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
    @rule(
        target=stays,
        room=st.sampled_from(ROOMS),
        slots=st.sampled_from([0, 3, 8]),
        signalled=st.booleans(),
        video=VIDEO,
    )
    def join(self, room: UUID, slots: int, signalled: bool, video: Abilities) -> Stay:
        stay = self.directory.join(
            claims(room=room), slots, secret="s", random=self.csrcs, now=self.now, signalled=signalled, video=video
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

    @rule(stay=stays, slots=st.sampled_from([0, 3, 8]), video=VIDEO)
    def renew(self, stay: Stay, slots: int, video: Abilities) -> None:
        if self.directory.stay(stay.session_id) is stay and stay.attached:
            handle = self.directory.new_peer()
            self.world.peers[handle] = stay.room.handle
            self.happen(self.directory.renew(stay, handle, slots, video))

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

    @rule(stay=stays, sources=st.sets(st.sampled_from(SHARED)))
    def share(self, stay: Stay, sources: set[Shared]) -> None:
        self.happen(self.directory.share(stay.session_id, sources))

    @rule(stay=stays, other=stays, slots=st.lists(st.integers(0, 4), max_size=4))
    def watch(self, stay: Stay, other: Stay, slots: list[int]) -> None:
        wishes = [Wish(slot, other.csrcs[slot % 2], 640) for slot in slots]
        self.happen(self.directory.watch(stay.session_id, wishes))

    @rule(stay=stays, other=stays, slot=st.integers(0, 4), wanted=st.integers(0, 7))
    def see(self, stay: Stay, other: Stay, slot: int, wanted: int) -> None:
        for peer in stay.peers:
            self.directory.video_slot(peer.handle, slot, other.screen_csrc, wanted)
            self.directory.wants_encodings(peer.handle, stay.csrc, wanted)
        self.happen([])

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
    def the_engine_shares_what_is_shared_and_nothing_twice(self) -> None:
        for stay in self.directory._stays.values():
            if stay.peer is not None:
                able = {stay.csrc_of(each) for each in stay.asked if stay.peer.video.can_share(each)}
                assert set(self.world.sharing.get(stay.peer.handle, ())) == able
            if stay.peer is not None and stay.coming is not None:
                assert not self.world.sharing.get(stay.coming.handle)

    @invariant()
    def everybody_sees_what_it_chose_or_what_there_is(self) -> None:
        for stay in self.directory._stays.values():
            if stay.peer is None:
                continue
            slots = stay.peer.video.slots
            watched = self.world.watching.get(stay.peer.handle, ())
            if stay.wishes is not None:
                assert watched == tuple(each for each in stay.wishes if each.slot < slots)
            else:
                others = [each for each in stay.room.stays.values() if each is not stay and each.announced]
                pictures = {(each, source) for each in others for source in each.sources if source != "screen_audio"}
                live = {each.csrc_of(source) for each, source in pictures}
                assert {each.csrc for each in watched} <= live
                assert len(watched) == min(slots, len(live))

    @invariant()
    def publishers_know_what_to_send(self) -> None:
        for stay in self.directory._stays.values():
            tracks = stay.heard_by.video.tracks
            for source in stay.sources if stay.attached else []:
                if source in tracks:
                    told = self.world.produced[stay.session_id][source]
                    assert told.codec in tracks[source].codecs
                    assert len(told.encodings) == tracks[source].encodings

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
