"""Stays that lose their socket or their transport, and rooms that tell what they hear, by values alone."""

import itertools
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.directory import BadToken, Directory
from data_plane.effects import DeafenPeer, Effect, Hang, IgnorePeers, MutePeer, PeerHandle, RemovePeer, Report, Tell
from data_plane.stays import OFFERS_PER_MINUTE, PACE, STAGE_ABOVE, Stay
from proto.media import SessionEnded
from proto.signalling import (
    AUDIO_SLOTS,
    RESUME_SECONDS,
    Departed,
    Ended,
    Restart,
    Resumed,
    Slots,
    SlotState,
    Speakers,
)
from tests.data_plane.test_directory import ROOM, connect, join, joined, serving, told, waiting

FREE = [SlotState(slot, None, 0) for slot in range(AUDIO_SLOTS)]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def ada(directory: Directory) -> Stay:
    return joined(directory)


@pytest.fixture
def bob(directory: Directory, ada: Stay) -> Stay:
    return joined(directory)


def lost(directory: Directory, stay: Stay, reason: str = "consent", now: float = 0.0) -> list[Effect]:
    return directory.closed(serving(stay), reason, now)


# Sockets


def test_a_stay_outlives_its_socket_for_a_while(directory: Directory, ada: Stay, bob: Stay) -> None:
    peer = serving(ada)
    directory.detached(ada.session_id, now=100.0)
    assert directory.due == 100 + RESUME_SECONDS
    assert directory.tick(100 + RESUME_SECONDS - 0.001) == []
    assert directory.tick(100 + RESUME_SECONDS) == [
        RemovePeer(peer),
        Report(SessionEnded(ada.session_id, "lost")),
        Tell((bob.session_id,), Departed(ada.session_id)),
    ]
    assert directory.due is None


def test_who_has_no_socket_is_told_nothing(directory: Directory, ada: Stay, bob: Stay) -> None:
    directory.detached(ada.session_id, now=0.0)
    directory.room_slot(ada.room.handle, 0, bob.csrc, 1)
    directory.speaks(ada.room.handle, bob.csrc, True)
    effects = [
        *directory.mute(bob.session_id, True),
        *directory.mute(ada.session_id, True, by_server=True),
        *directory.tick(1.0),
        *directory.move(ada.session_id, uuid4()),
        *directory.leave(ada.session_id, "removed"),
    ]
    assert told(effects, ada.session_id) == []
    assert Hang(ada.session_id) not in effects


def test_who_comes_again_learns_everything_anew(directory: Directory, ada: Stay, bob: Stay) -> None:
    token = ada.token
    directory.detached(ada.session_id, now=0.0)
    directory.room_slot(ada.room.handle, 2, bob.csrc, 5)
    directory.speaks(ada.room.handle, bob.csrc, True)
    directory.mute(bob.session_id, True)
    stay, effects = directory.resume(token, "fresh", now=1.0)
    assert stay is ada
    assert ada.token != token
    resumed = Resumed(
        session_id=ada.session_id,
        channel_id=ROOM,
        csrc=ada.csrc,
        screen_csrc=ada.screen_csrc,
        participants=[ada.participant, bob.participant],
        slots=[SlotState(2, bob.csrc, 5)],
        videos=[],
        token=ada.token,
        restart=False,
    )
    assert effects == [Tell((ada.session_id,), resumed), Tell((ada.session_id,), Speakers([bob.csrc], None))]
    assert told(directory.tick(1.0), ada.session_id) == [Slots([SlotState(2, bob.csrc, 5)]), Speakers([bob.csrc], None)]
    assert directory.due is None, "nothing ends by itself any more"


def test_a_token_works_once_and_for_its_own_stay(directory: Directory, ada: Stay, bob: Stay) -> None:
    first = ada.token
    directory.resume(first, "second", 0.0)
    for wrong in (first, "", "€", f"{bob.session_id.hex}.second", f"{uuid4().hex}.second", ada.token + "x"):
        with pytest.raises(BadToken):
            directory.resume(wrong, "third", 0.0)
    directory.resume(ada.token, "third", 0.0)
    directory.leave(ada.session_id, "left")
    with pytest.raises(BadToken):
        directory.resume(ada.token, "fourth", 0.0)


@given(st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    directory = Directory()
    joined(directory)
    with pytest.raises(BadToken):
        directory.resume(text, "fresh", 0.0)


def test_what_has_no_socket_by_its_nature_waits_for_none(directory: Directory) -> None:
    player = join(directory, signalled=False)
    connect(directory, player)
    assert directory.due is None
    with pytest.raises(BadToken):
        directory.resume(player.token, "fresh", 0.0)
    effects = lost(directory, player, "failed")
    assert Report(SessionEnded(player.session_id, "lost")) in effects
    assert told(effects, player.session_id) == []


# Transports


def test_a_client_with_a_socket_may_offer_again(directory: Directory, ada: Stay, bob: Stay) -> None:
    assert lost(directory, ada, now=10.0) == [Tell((ada.session_id,), Restart())]
    assert directory.due == 10 + RESUME_SECONDS
    peer = directory.new_peer()
    assert directory.renew(ada, peer, AUDIO_SLOTS) == [
        MutePeer(peer, False),
        DeafenPeer(peer, False),
        IgnorePeers(peer, ()),
    ]
    assert directory.connected(peer) == [MutePeer(peer, False), Tell((ada.session_id,), Slots(FREE))]
    assert serving(ada) == peer


def test_who_does_not_offer_again_is_lost(directory: Directory, ada: Stay) -> None:
    lost(directory, ada, now=10.0)
    effects = directory.tick(10 + RESUME_SECONDS)
    assert told(effects, ada.session_id) == [Ended("lost")]
    assert not any(isinstance(each, RemovePeer) for each in effects), "the engine has forgotten it already"


@pytest.mark.parametrize("reason", ["consent", "closed", "handshake", "fingerprint"])
def test_without_socket_and_transport_a_stay_is_over(directory: Directory, ada: Stay, reason: str) -> None:
    directory.detached(ada.session_id, now=0.0)
    assert lost(directory, ada, reason) == [Report(SessionEnded(ada.session_id, "lost"))]


def test_but_not_when_the_engine_failed(directory: Directory, ada: Stay) -> None:
    directory.detached(ada.session_id, now=0.0)
    assert lost(directory, ada, "failed", now=5.0) == []
    assert directory.due == RESUME_SECONDS
    _, effects = directory.resume(ada.token, "fresh", now=20.0)
    (resumed, _) = told(effects, ada.session_id)
    assert resumed.restart
    assert directory.due == 20 + RESUME_SECONDS
    directory.renew(ada, directory.new_peer(), AUDIO_SLOTS)
    assert directory.due is None


def test_losing_the_socket_after_the_transport_gives_no_more_time(directory: Directory, ada: Stay) -> None:
    lost(directory, ada, now=10.0)
    directory.detached(ada.session_id, now=20.0)
    assert directory.due == 10 + RESUME_SECONDS


def test_what_the_failed_engine_said_of_a_member_is_void(directory: Directory, ada: Stay, bob: Stay) -> None:
    room = ada.room.handle
    directory.room_slot(room, 1, ada.csrc, 5)
    directory.speaks(room, ada.csrc, True)
    directory.dominates(room, ada.csrc)
    directory.tick(0.0)
    lost(directory, ada, "failed", now=1.0)
    assert told(directory.tick(1.0), bob.session_id) == [Slots([SlotState(1, None, 5)]), Speakers([], None)]


def test_a_new_transport_waits_in_silence_until_it_can_take_over(directory: Directory, ada: Stay, bob: Stay) -> None:
    before, peer = serving(ada), directory.new_peer()
    directory.deafen(ada.session_id, True)
    directory.ignore(ada.session_id, [bob.csrc])
    assert directory.renew(ada, peer, AUDIO_SLOTS) == [
        MutePeer(before, False),
        MutePeer(peer, True),
        DeafenPeer(before, True),
        DeafenPeer(peer, True),
        IgnorePeers(before, (bob.csrc,)),
        IgnorePeers(peer, (bob.csrc,)),
    ]
    assert directory.mute(ada.session_id, True)[:2] == [
        MutePeer(before, True),
        MutePeer(peer, True),
    ]
    assert directory.mute(ada.session_id, False)[:2] == [
        MutePeer(before, False),
        MutePeer(peer, True),
    ]
    effects = directory.connected(peer)
    assert effects == [RemovePeer(before), MutePeer(peer, False), Tell((ada.session_id,), Slots(FREE))]
    assert directory.closed(before, "consent", 0.0) == []


def test_the_last_offer_counts(directory: Directory, ada: Stay) -> None:
    first, second = directory.new_peer(), directory.new_peer()
    directory.renew(ada, first, AUDIO_SLOTS)
    assert directory.renew(ada, second, AUDIO_SLOTS)[0] == RemovePeer(first)
    assert directory.connected(first) == []


def test_a_transport_that_does_not_connect_leaves_the_present_one(directory: Directory, ada: Stay) -> None:
    before, peer = serving(ada), directory.new_peer()
    directory.renew(ada, peer, AUDIO_SLOTS)
    assert directory.closed(peer, "handshake", 0.0) == []
    assert serving(ada) == before
    assert directory.due is None


def test_one_that_was_to_replace_what_broke_meanwhile_speaks_at_once(directory: Directory, ada: Stay) -> None:
    before, peer = serving(ada), directory.new_peer()
    directory.renew(ada, peer, AUDIO_SLOTS)
    assert directory.closed(before, "consent", 0.0) == [], "another is on the way"
    assert directory.connected(peer)[0] == MutePeer(peer, False)


def test_a_first_transport_that_does_not_connect_may_be_followed_by_another(directory: Directory) -> None:
    stay = join(directory)
    assert directory.closed(waiting(stay), "handshake", 3.0) == [Tell((stay.session_id,), Restart())]
    assert directory.due == 3 + RESUME_SECONDS


def test_offers_are_counted_by_the_minute(ada: Stay) -> None:
    assert all(ada.take_offer(float(second)) for second in range(OFFERS_PER_MINUTE))
    assert not ada.take_offer(59.9)
    assert ada.take_offer(60.0)
    assert not ada.take_offer(60.5)
    assert ada.take_offer(61.0)


# What a room tells


def crowd(directory: Directory, size: int) -> list[Stay]:
    return [joined(directory) for _ in range(size)]


def test_a_room_tells_its_slots_in_one_frame_for_all_with_the_last_of_each(
    directory: Directory, ada: Stay, bob: Stay
) -> None:
    room = ada.room.handle
    for slot, csrc, timestamp in [(0, bob.csrc, 100), (1, ada.csrc, 200), (0, 0, 300), (2, 99, 400)]:
        directory.room_slot(room, slot, csrc, timestamp)
    changed = [SlotState(0, None, 300), SlotState(1, ada.csrc, 200), SlotState(2, None, 400)]
    assert directory.tick(0.0) == [Tell((ada.session_id, bob.session_id), Slots(changed))]
    assert directory.tick(0.0) == []
    directory.room_slot(room, 1, bob.csrc, 500)
    assert directory.tick(0.0) == [Tell((ada.session_id, bob.session_id), Slots([SlotState(1, bob.csrc, 500)]))]
    assert joined(directory).slots == [SlotState(0, None, 300), SlotState(1, bob.csrc, 500), SlotState(2, None, 400)]


def test_who_has_fewer_slots_is_told_of_its_own(directory: Directory, ada: Stay) -> None:
    eve = joined(directory, slots=2)
    directory.room_slot(ada.room.handle, 5, ada.csrc, 100)
    for slot, csrc in [(0, ada.csrc), (1, 0), (2, ada.csrc)]:  # there is no third slot
        directory.peer_slot(serving(eve), slot, csrc, 7)
    directory.peer_slot(PeerHandle(999), 0, ada.csrc, 7)
    own = [SlotState(0, ada.csrc, 7), SlotState(1, None, 7)]
    assert directory.tick(0.0) == [
        Tell((ada.session_id,), Slots([SlotState(5, ada.csrc, 100)])),
        Tell((eve.session_id,), Slots(own)),
    ]
    assert eve.slots == own


def test_a_new_transport_begins_with_the_whole_map(directory: Directory, ada: Stay) -> None:
    directory.room_slot(ada.room.handle, 5, ada.csrc, 100)
    directory.tick(0.0)
    few, all_of_them = directory.new_peer(), directory.new_peer()
    directory.renew(ada, few, 2)
    directory.peer_slot(few, 1, ada.csrc, 8)
    own = [SlotState(0, None, 0), SlotState(1, ada.csrc, 8)]
    assert told(directory.connected(few), ada.session_id) == [Slots(own)]
    assert directory.tick(1.0) == []
    directory.renew(ada, all_of_them, AUDIO_SLOTS)
    shared = [*FREE[:5], SlotState(5, ada.csrc, 100), *FREE[6:]]
    assert told(directory.connected(all_of_them), ada.session_id) == [Slots(shared)]


def test_a_second_attempt_to_connect_for_the_first_time_begins_with_it_too(directory: Directory, ada: Stay) -> None:
    directory.room_slot(ada.room.handle, 5, ada.csrc, 100)
    bob = join(directory, slots=1)
    directory.closed(waiting(bob), "handshake", 0.0)
    directory.renew(bob, peer := directory.new_peer(), AUDIO_SLOTS)
    shared = [*FREE[:5], SlotState(5, ada.csrc, 100), *FREE[6:]]
    assert told(directory.connected(peer), bob.session_id) == [Slots(shared)]


def test_who_has_lost_its_transport_is_still_told_of_the_slots(directory: Directory, ada: Stay, bob: Stay) -> None:
    lost(directory, ada)
    directory.room_slot(ada.room.handle, 0, bob.csrc, 1)
    assert told(directory.tick(0.0), ada.session_id) == [Slots([SlotState(0, bob.csrc, 1)])]


def test_a_stage_is_told_at_most_four_times_a_second(directory: Directory) -> None:
    stays = crowd(directory, STAGE_ABOVE + 1)
    room, everyone = stays[0].room.handle, tuple(each.session_id for each in stays)
    directory.room_slot(room, 0, stays[1].csrc, 1)
    assert directory.tick(10.0) == [Tell(everyone, Slots([SlotState(0, stays[1].csrc, 1)]))]
    directory.room_slot(room, 0, stays[2].csrc, 2)
    directory.room_slot(room, 1, stays[3].csrc, 2)
    directory.room_slot(room, 0, stays[4].csrc, 3)
    assert directory.tick(10.1) == []
    assert directory.due == 10 + PACE
    both = [SlotState(0, stays[4].csrc, 3), SlotState(1, stays[3].csrc, 2)]
    assert directory.tick(10 + PACE) == [Tell(everyone, Slots(both))]


def test_who_speaks_is_told_as_a_whole_when_it_changed_at_most_four_times_a_second(
    directory: Directory, ada: Stay, bob: Stay
) -> None:
    room, both = ada.room.handle, (ada.session_id, bob.session_id)
    directory.speaks(room, ada.csrc, True)
    directory.dominates(room, ada.csrc)
    directory.speaks(room, 99, True)  # who has left meanwhile
    assert directory.tick(1.0) == [Tell(both, Speakers([ada.csrc], ada.csrc))]
    directory.speaks(room, bob.csrc, True)
    assert directory.tick(1.1) == []
    directory.speaks(room, bob.csrc, False)
    assert directory.tick(1 + PACE) == [], "it is as it was"
    assert directory.due is None
    directory.speaks(room, bob.csrc, True)
    directory.dominates(room, 0)
    assert directory.tick(1.3) == [Tell(both, Speakers([ada.csrc, bob.csrc], None))]


def test_who_goes_speaks_no_more(directory: Directory, ada: Stay, bob: Stay) -> None:
    directory.speaks(ada.room.handle, bob.csrc, True)
    directory.dominates(ada.room.handle, bob.csrc)
    directory.tick(0.0)
    directory.move(bob.session_id, uuid4())
    assert told(directory.tick(1.0), ada.session_id) == [Speakers([], None)]


def test_who_comes_is_told_who_speaks(directory: Directory, ada: Stay) -> None:
    directory.speaks(ada.room.handle, ada.csrc, True)
    bob = join(directory)
    assert told(connect(directory, bob), bob.session_id) == [Speakers([ada.csrc], None)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.floats(0, 0.2)), max_size=40), st.booleans())
def test_what_is_told_bit_by_bit_is_the_map(changes: list[tuple[int, int, float]], stage: bool) -> None:
    directory = Directory()
    stays = crowd(directory, STAGE_ABOVE + 1 if stage else 2)
    frames: list[tuple[float, Slots]] = []
    now = 0.0

    def tick() -> None:
        for frame in told(directory.tick(now), stays[0].session_id):
            frames.append((now, frame))

    for timestamp, (slot, csrc, wait) in enumerate(changes):
        directory.room_slot(stays[0].room.handle, slot, csrc, timestamp)
        tick()
        now += wait
    now += PACE
    tick()
    heard: dict[int, SlotState] = {}
    for _, frame in frames:
        heard |= {each.slot: each for each in frame.slots}
    assert sorted(heard.values(), key=lambda each: each.slot) == stays[0].slots
    if stage:
        times = [at for at, _ in frames]
        assert all(after - before >= PACE - 1e-9 for before, after in itertools.pairwise(times))
