"""Who shares what, who is told to send which codec, and who sees whom."""

from collections.abc import Iterable
from itertools import count
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.directory import Directory, NoVideo
from data_plane.effects import Effect, MovePeer, PeerHandle, Report, SharePeer, Tell, WatchPeers
from data_plane.sdp import CODECS, Codec
from data_plane.stays import Stay
from data_plane.video import PREFERENCE, Abilities, Decoders, Live, Track, best_codec, by_preference, follow
from proto.media import SessionChanged, SessionStarted
from proto.rest import Shared
from proto.signalling import (
    AUDIO_SLOTS,
    Arrived,
    Changed,
    FromNode,
    Moved,
    Produce,
    Resumed,
    Videos,
    VideoState,
    Wish,
)
from tests.data_plane.support import claims

ROOM = uuid4()
EVERYTHING: tuple[Codec, ...] = ("vp8", "h264", "vp9", "av1")


def able(
    slots: int = 2,
    decodes: Iterable[Codec] = EVERYTHING,
    encodes: tuple[Codec, ...] = EVERYTHING,
    *,
    screen: bool = True,
) -> Abilities:
    """A browser: three encodings of its camera, one of its screen."""
    tracks: dict[Shared, Track] = {"camera": Track(encodes, 3)}
    if screen:
        tracks["screen"] = Track(encodes)
    return Abilities(slots, frozenset(decodes), tracks, screen)


class Stage:
    """A room, and what its clients and the engine were told since the last look."""

    def __init__(self, codecs: tuple[Codec, ...] = PREFERENCE) -> None:
        self.directory = Directory(video_codecs=codecs)
        self._words = count(1)
        self._effects: list[Effect] = []

    def perform(self, effects: list[Effect]) -> None:
        self._effects += [*effects, *self.directory.tick(0.0)]

    def look(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def told(self, stay: Stay, *kinds: type[FromNode]) -> list[FromNode]:
        """Frames of these kinds for that one; looks."""
        frames = [each.frame for each in self.look() if isinstance(each, Tell) and stay.session_id in each.to]
        return [each for each in frames if isinstance(each, kinds)]

    def join(
        self,
        video: Abilities | None = None,
        *,
        room: UUID = ROOM,
        signalled: bool = True,
        may: bool = True,
        connected: bool = True,
    ) -> Stay:
        admitted = claims(room=room, video=may)
        stay = self.directory.join(
            admitted,
            AUDIO_SLOTS,
            secret="s",
            random=self._words,
            now=0.0,
            signalled=signalled,
            video=able() if video is None else video,
        )
        self.perform(self.directory.connected(handle(stay)) if connected else [])
        return stay

    def share(self, stay: Stay, *sources: Shared) -> None:
        self.perform(self.directory.share(stay.session_id, sources))

    def watch(self, stay: Stay, *wishes: Wish) -> None:
        self.perform(self.directory.watch(stay.session_id, wishes))

    def dominates(self, stay: Stay | None) -> None:
        csrc = 0 if stay is None else stay.csrc
        for room in self.directory._rooms.values():
            self.directory.dominates(room.handle, csrc)
        self.perform([])

    def renew(self, stay: Stay, video: Abilities) -> PeerHandle:
        peer = self.directory.new_peer()
        self.perform(self.directory.renew(stay, peer, AUDIO_SLOTS, video))
        return peer

    def seen(self, stay: Stay) -> list[int | None]:
        """What the engine was told to show it last, by slot; looks."""
        wishes: tuple[Wish, ...] = ()
        for effect in self.look():
            if isinstance(effect, WatchPeers) and effect.peer == handle(stay):
                wishes = effect.wishes
        found = {each.slot: each.csrc for each in wishes}
        return [found.get(slot) for slot in range(stay.heard_by.video.slots)]


def handle(stay: Stay) -> PeerHandle:
    peer = stay.peer or stay.coming
    assert peer is not None
    return peer.handle


def of_video(effects: list[Effect], *peers: PeerHandle) -> list[SharePeer | WatchPeers]:
    return [each for each in effects if isinstance(each, SharePeer | WatchPeers) and each.peer in peers]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def ada(stage: Stage) -> Stay:
    return stage.join()


@pytest.fixture
def bob(stage: Stage, ada: Stay) -> Stay:
    bob = stage.join()
    stage.look()
    return bob


# Sharing


def test_what_is_shared_is_told_to_the_engine_the_control_plane_and_the_others(
    stage: Stage, ada: Stay, bob: Stay
) -> None:
    assert stage.directory.share(ada.session_id, ["screen_audio", "camera", "screen"]) == [
        SharePeer(handle(ada), (ada.csrc, ada.screen_csrc)),
        Report(SessionChanged(ada.session_id, sources=["camera", "screen", "screen_audio"])),
        Tell((bob.session_id,), Changed(ada.participant)),
    ]
    assert ada.participant.sources == ["camera", "screen", "screen_audio"]
    assert stage.directory.share(ada.session_id, ["camera", "screen", "screen_audio"]) == []
    assert stage.directory.share(uuid4(), ["camera"]) == []
    assert stage.directory.share(ada.session_id, [])[0] == SharePeer(handle(ada), ())


def test_what_has_no_m_line_is_not_shared(stage: Stage, bob: Stay) -> None:
    eve = stage.join(able(screen=False))
    stage.look()
    stage.share(eve, "screen", "screen_audio")
    assert stage.look() == [SharePeer(handle(eve), ())]
    stage.share(eve, "screen", "camera")
    assert eve.participant.sources == ["camera"]


def test_without_the_permission_nothing_is_shared(stage: Stage, bob: Stay) -> None:
    eve = stage.join(may=False)
    with pytest.raises(NoVideo):
        stage.directory.share(eve.session_id, ["camera"])
    assert eve.participant.sources == []
    assert stage.directory.share(eve.session_id, []) == []


def test_what_is_shared_before_the_connection_is_announced_with_it(stage: Stage, bob: Stay) -> None:
    eve = stage.join(connected=False)
    stage.share(eve, "camera")
    assert stage.look() == [
        SharePeer(handle(eve), (eve.csrc,)),
        Tell((eve.session_id,), Produce("camera", "vp8", [True] * 3)),
    ]
    stage.perform(stage.directory.connected(handle(eve)))
    effects = stage.look()
    assert Report(SessionStarted(eve.session_id, ROOM, eve.claims.sub, sources=["camera"])) in effects
    assert Tell((bob.session_id,), Arrived(eve.participant)) not in effects[:-1]
    assert effects[0] == SharePeer(handle(eve), (eve.csrc,))


def test_who_cannot_say_what_it_shares_shares_what_it_offers(stage: Stage, bob: Stay) -> None:
    encoder = stage.join(able(0, (), ("h264",), screen=False), signalled=False)
    assert encoder.participant.sources == ["camera"]
    assert SharePeer(handle(encoder), (encoder.csrc,)) in stage.look()
    assert stage.join(able(0, ()), signalled=False, may=False).participant.sources == []


def test_a_transport_that_waits_shows_and_sees_nothing(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.watch(ada, Wish(0, bob.csrc, 640))
    stage.look()
    before = handle(ada)
    peer = stage.renew(ada, able(screen=False))
    stage.share(ada, "camera", "screen")
    assert of_video(stage.look(), before, peer) == [
        SharePeer(before, (ada.csrc, ada.screen_csrc)),
        SharePeer(peer, ()),
    ]
    stage.perform(stage.directory.connected(peer))
    effects = stage.look()
    assert of_video(effects, before, peer) == [
        SharePeer(peer, (ada.csrc,)),
        WatchPeers(peer, (Wish(0, bob.csrc, 640),)),
    ]
    assert Tell((bob.session_id,), Changed(ada.participant)) in effects
    assert ada.participant.sources == ["camera"]


def test_who_is_muted_by_the_server_shows_its_screen_without_a_sound(stage: Stage, ada: Stay) -> None:
    stage.share(ada, "screen", "screen_audio")
    stage.look()
    mute = stage.directory.mute
    assert not of_video(mute(ada.session_id, True), handle(ada)), "one's own mute is the microphone's"
    shared = (ada.screen_csrc,)
    assert of_video(mute(ada.session_id, True, by_server=True), handle(ada)) == [SharePeer(handle(ada), shared, True)]
    assert of_video(mute(ada.session_id, False, by_server=True), handle(ada)) == [SharePeer(handle(ada), shared)]


# Codecs


def test_one_who_shares_is_told_at_once_what_to_send(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera", "screen", "screen_audio")
    assert stage.told(ada, Produce) == [Produce("camera", "vp8", [True] * 3), Produce("screen", "vp8", [True])]
    stage.share(ada, "camera")
    assert stage.told(ada, Produce) == []
    stage.share(ada, "camera", "screen")
    assert stage.told(ada, Produce) == [Produce("screen", "vp8", [True])]


def test_the_codec_is_one_that_all_receivers_can_decode(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.look()
    apple = stage.join(able(decodes=("h264", "vp9")))
    assert stage.told(ada, Produce) == [Produce("camera", "h264", [True] * 3)]
    gecko = stage.join(able(decodes=("vp8", "vp9")))
    assert stage.told(ada, Produce) == [Produce("camera", "vp9", [True] * 3)]
    stage.perform(stage.directory.leave(apple.session_id, "left"))
    assert stage.told(ada, Produce) == [Produce("camera", "vp8", [True] * 3)]
    stage.perform(stage.directory.move(gecko.session_id, uuid4()))
    assert stage.told(ada, Produce) == []


def test_when_no_codec_suits_all_it_is_the_one_that_most_can_decode(stage: Stage, ada: Stay) -> None:
    for decodes in (("h264",), ("h264", "av1"), ("vp8", "av1")):
        stage.join(able(decodes=decodes))
    stage.share(ada, "camera")
    assert stage.told(ada, Produce) == [Produce("camera", "h264", [True] * 3)]


def test_a_publisher_is_not_asked_for_what_it_cannot_send(stage: Stage, ada: Stay) -> None:
    hardware = stage.join(able(encodes=("av1", "h264")))
    stage.share(hardware, "camera")
    assert stage.told(hardware, Produce) == [Produce("camera", "h264", [True] * 3)]
    stage.join(able(decodes=("vp8",)))
    assert stage.told(hardware, Produce) == []  # nobody is helped by another


def test_who_has_no_slot_for_video_or_is_not_there_yet_does_not_count(stage: Stage, ada: Stay) -> None:
    stage.join(able(0, ()))
    coming = stage.join(able(decodes=("av1",)), connected=False)
    stage.share(ada, "camera")
    assert stage.told(ada, Produce) == [Produce("camera", "vp8", [True] * 3)]
    stage.perform(stage.directory.connected(handle(coming)))
    assert stage.told(ada, Produce) == [Produce("camera", "av1", [True] * 3)]


def test_what_oneself_can_decode_does_not_matter(stage: Stage) -> None:
    alone = stage.join(able(decodes=("av1",)))
    stage.share(alone, "camera")
    assert stage.told(alone, Produce) == [Produce("camera", "vp8", [True] * 3)]


def test_the_node_may_prefer_other_codecs() -> None:
    stage = Stage(("av1", "vp9"))
    ada, _ = stage.join(), stage.join()
    stage.share(ada, "camera")
    assert stage.told(ada, Produce) == [Produce("camera", "av1", [True] * 3)]
    old = stage.join(able(encodes=("vp8", "h264")))
    stage.share(old, "camera")
    assert stage.told(old, Produce) == [Produce("camera", "vp8", [True] * 3)]
    assert stage.directory.codecs(old) == ["av1", "vp9", "vp8", "h264"]


def test_another_transport_of_a_receiver_counts_once_it_serves(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.look()
    peer = stage.renew(bob, able(decodes=("vp9",)))
    assert stage.told(ada, Produce) == []
    stage.perform(stage.directory.connected(peer))
    assert stage.told(ada, Produce) == [Produce("camera", "vp9", [True] * 3)]


def test_another_transport_of_a_publisher_is_told_anew(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.look()
    peer = stage.renew(ada, able())
    stage.perform(stage.directory.connected(peer))
    assert stage.told(ada, Produce) == [Produce("camera", "vp8", [True] * 3)]


def test_encodings_that_nobody_sees_are_told(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera", "screen")
    stage.look()
    stage.directory.wants_encodings(handle(ada), ada.csrc, 0b001)
    stage.perform([])
    assert stage.told(ada, Produce) == [Produce("camera", "vp8", [True, False, False])]
    stage.directory.wants_encodings(handle(ada), ada.csrc, 0b101)
    stage.directory.wants_encodings(handle(ada), bob.csrc, 0)  # not its own
    stage.perform([])
    assert stage.told(ada, Produce) == [Produce("camera", "vp8", [True, False, True])]


def test_who_comes_again_is_told_again_what_to_send_and_what_it_sees(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.directory.video_slot(handle(ada), 1, bob.csrc, 90, encoding=2)
    stage.perform([])
    stage.directory.detached(ada.session_id, 0.0)
    stage.look()
    stage.perform(stage.directory.resume(ada.token, "fresh", 0.0)[1])
    resumed, produce = stage.told(ada, Resumed, Produce)
    assert isinstance(resumed, Resumed)
    assert resumed.videos == [VideoState(1, bob.csrc, 90, 2)]
    assert resumed.screen_csrc == ada.screen_csrc
    assert produce == Produce("camera", "vp8", [True] * 3)


@given(
    st.lists(st.sampled_from(CODECS), min_size=1, unique=True),
    st.lists(st.sampled_from(CODECS), unique=True),
    st.lists(st.frozensets(st.sampled_from(CODECS)), max_size=6),
)
def test_no_other_codec_would_be_decoded_by_more(
    sends: list[Codec], preference: list[Codec], receivers: list[frozenset[Codec]]
) -> None:
    chosen = best_codec(Track(tuple(sends)), preference, Decoders(receivers))
    assert chosen in sends
    counts = {codec: sum(codec in able for able in receivers) for codec in sends}
    assert counts[chosen] == max(counts.values())
    better = [each for each in preference if each in sends and counts[each] == counts[chosen]]
    assert not better or chosen == better[0]
    assert by_preference(sends, Decoders(receivers))[0] in sends


# Seeing


def test_who_says_what_it_wants_to_see_sees_that_and_nothing_else(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera", "screen")
    assert stage.seen(bob) == [ada.screen_csrc, ada.csrc]
    wish = Wish(1, ada.csrc, 320, 7, paused=True)
    stage.watch(bob, wish)
    assert stage.look() == [WatchPeers(handle(bob), (wish,))]
    stage.watch(bob, wish)
    assert stage.look() == []
    stage.dominates(ada)
    stage.share(ada, "camera")
    assert stage.seen(bob) == [None, None]
    stage.watch(bob)
    assert stage.look() == [WatchPeers(handle(bob), ())]
    stage.watch(bob)
    assert stage.look() == []


def test_wishes_for_oneself_for_a_slot_twice_or_for_slots_that_are_not_there_are_left_out(
    stage: Stage, ada: Stay, bob: Stay
) -> None:
    first = Wish(0, bob.csrc, 640)
    stage.watch(ada, first, Wish(0, bob.screen_csrc, 640), Wish(1, ada.screen_csrc, 640), Wish(2, bob.csrc, 640))
    assert stage.look() == [WatchPeers(handle(ada), (first,))]
    assert stage.directory.watch(uuid4(), [first]) == []


def test_who_never_chose_sees_who_speaks(stage: Stage, ada: Stay, bob: Stay) -> None:
    player = stage.join(able(1), signalled=False)
    for each in (ada, bob):
        stage.share(each, "camera")
    assert stage.seen(player) == [ada.csrc]
    stage.dominates(bob)
    assert stage.seen(player) == [bob.csrc]
    stage.dominates(None)
    assert stage.seen(player) == [bob.csrc]
    stage.share(bob)
    assert stage.seen(player) == [ada.csrc]
    stage.share(ada)
    assert stage.seen(player) == [None]


def test_who_never_chose_sees_a_screen_before_cameras(stage: Stage, ada: Stay, bob: Stay) -> None:
    player = stage.join(able(1), signalled=False)
    stage.share(ada, "camera")
    stage.share(bob, "screen")
    assert stage.seen(player) == [bob.screen_csrc]


def test_nobody_is_shown_oneself(stage: Stage, ada: Stay) -> None:
    stage.share(ada, "camera", "screen")
    assert not any(isinstance(each, WatchPeers) and each.wishes for each in stage.look())


def test_who_comes_later_sees_what_is_live(stage: Stage, ada: Stay) -> None:
    stage.share(ada, "camera")
    stage.look()
    assert stage.seen(stage.join()) == [ada.csrc, None]


def test_who_departs_is_not_shown_any_more(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.look()
    stage.perform(stage.directory.leave(ada.session_id, "left"))
    assert WatchPeers(handle(bob), ()) in stage.look()


def test_another_transport_shows_as_much_as_it_can(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera", "screen")
    stage.look()
    peer = stage.renew(bob, able(1))
    stage.perform(stage.directory.connected(peer))
    assert stage.seen(bob) == [ada.screen_csrc]
    assert bob.every_video == [VideoState(0, None, 0)]


def test_a_move_voids_what_was_seen_and_shows_what_is_there(stage: Stage, ada: Stay, bob: Stay) -> None:
    other = uuid4()
    eve = stage.join(room=other)
    stage.share(eve, "camera")
    stage.share(ada, "camera")
    stage.directory.video_slot(handle(bob), 0, ada.csrc, 5)
    stage.watch(ada, Wish(0, bob.csrc, 640))
    stage.look()
    stage.perform(stage.directory.move(bob.session_id, other))
    effects = stage.look()
    assert [each for each in effects if isinstance(each, WatchPeers | MovePeer) and each.peer == handle(bob)] == [
        WatchPeers(handle(bob), ()),
        MovePeer(handle(bob), bob.room.handle),
        WatchPeers(handle(bob), (Wish(0, eve.csrc, 1280),)),
    ]
    moved = next(each.frame for each in effects if isinstance(each, Tell) and isinstance(each.frame, Moved))
    assert moved.videos == []
    stage.perform(stage.directory.move(ada.session_id, other))
    assert WatchPeers(handle(ada), ()) in stage.look()
    assert ada.wishes == ()  # it said once what it wants, and will again


def test_what_is_seen_is_told_to_the_one_who_sees_it(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.directory.video_slot(handle(bob), 1, ada.csrc, 90, encoding=1, spatial=2, temporal=3, limit="bandwidth")
    stage.directory.video_slot(handle(bob), 0, 999, 5, limit="something")
    stage.directory.video_slot(handle(bob), 2, ada.csrc, 5)
    stage.directory.video_slot(PeerHandle(999), 0, ada.csrc, 5)
    stage.perform([])
    effects = stage.look()
    assert effects == [
        Tell((bob.session_id,), Videos([VideoState(0, None, 5), VideoState(1, ada.csrc, 90, 1, 2, 3, "bandwidth")]))
    ]
    stage.directory.video_slot(handle(bob), 0, 0, 5)
    stage.perform([])
    assert stage.look() == []


@given(st.data())
def test_as_much_as_possible_is_shown_nothing_twice_and_what_stays_stays(data: st.DataObject) -> None:
    csrcs = st.integers(1, 12)
    screens = data.draw(st.lists(csrcs, unique=True, max_size=4))
    cameras = data.draw(st.lists(csrcs.filter(lambda each: each not in screens), unique=True, max_size=8))
    shown = data.draw(st.lists(csrcs, unique=True, max_size=9))
    slots: list[int | None] = [each if data.draw(st.booleans()) else None for each in shown]
    own = set(data.draw(st.lists(csrcs, max_size=2)))
    dominant = data.draw(st.none() | csrcs)
    live = Live(screens, cameras, frozenset((*screens, *cameras)))
    result = follow(slots, live, dominant, own)
    there = live.all - own
    seen = [each for each in result if each is not None]
    assert len(result) == len(slots)
    assert len(set(seen)) == len(seen) == min(len(slots), len(there))
    assert set(seen) <= there
    assert not slots or dominant not in there or dominant in seen
    assert all(slots[at] == each for at, each in enumerate(result) if each is not None and each in slots)
    assert follow(result, live, dominant, own) == result


def test_who_does_not_come_again_is_not_shown_any_more(stage: Stage, ada: Stay, bob: Stay) -> None:
    stage.share(ada, "camera")
    stage.directory.detached(ada.session_id, 0.0)
    stage.look()
    assert WatchPeers(handle(bob), ()) in stage.directory.tick(60.0)
