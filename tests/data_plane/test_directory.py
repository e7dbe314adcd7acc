"""Who is told what, in which order, and what is remembered."""

from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from data_plane.directory import REMEMBER_SECONDS, Directory, GrantUsed
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
    Tell,
)
from data_plane.stays import Stay
from proto.media import SessionChanged, SessionEnded, SessionMoved, SessionStarted
from proto.signalling import AUDIO_SLOTS, MAX_IGNORED, Arrived, Changed, Departed, Ended, Moved, SlotState, Speakers
from tests.data_plane.support import claims

ROOM = uuid4()


def join(
    directory: Directory, now: float = 0.0, slots: int = AUDIO_SLOTS, *, signalled: bool = True, **changes: Any
) -> Stay:
    """`changes` to its claims."""
    admitted = claims(**{"room": ROOM} | changes)
    return directory.join(admitted, slots, secret="s3cret", random=count(1), now=now, signalled=signalled)


def connect(directory: Directory, stay: Stay) -> list[Effect]:
    return directory.connected(waiting(stay))


def waiting(stay: Stay) -> PeerHandle:
    assert stay.coming is not None
    return stay.coming.handle


def serving(stay: Stay) -> PeerHandle:
    assert stay.peer is not None
    return stay.peer.handle


def joined(directory: Directory, **how: Any) -> Stay:
    stay = join(directory, **how)
    connect(directory, stay)
    return stay


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def ada(directory: Directory) -> Stay:
    return joined(directory)


@pytest.fixture
def bob(directory: Directory, ada: Stay) -> Stay:
    return joined(directory)


def told(effects: list[Effect], session_id: UUID) -> list[Any]:
    return [each.frame for each in effects if isinstance(each, Tell) and session_id in each.to]


def test_csrcs_are_unique_on_the_node_and_never_nobody(directory: Directory) -> None:
    words = iter([0, 7, 7, 0, 8, 7, 9, 8, 9, 7, 10, 11, 12])
    rooms = (ROOM, ROOM, uuid4())
    stays = [directory.join(claims(room=room), 0, secret="", random=words, now=0) for room in rooms]
    assert [each.csrcs for each in stays] == [(7, 8), (9, 10), (11, 12)]


def test_a_csrc_is_free_again_when_its_owner_has_left(directory: Directory) -> None:
    first = join(directory)
    join(directory)
    directory.leave(first.session_id, "left")
    assert join(directory).csrc == first.csrc


def test_handles_are_never_used_again(directory: Directory) -> None:
    first = join(directory)
    handles = {waiting(first), first.room.handle}
    directory.leave(first.session_id, "left")
    second = join(directory)
    assert len({*handles, waiting(second), second.room.handle, directory.new_peer()}) == 5


def test_who_is_not_connected_yet_is_announced_to_nobody(directory: Directory, ada: Stay) -> None:
    bob = join(directory)
    assert directory.participants(bob) == [bob.participant, ada.participant]
    assert directory.participants(ada) == [ada.participant]
    assert directory.mute(bob.session_id, True) == [MutePeer(waiting(bob), True)]
    assert connect(directory, bob) == [
        Report(SessionStarted(bob.session_id, ROOM, bob.claims.sub, muted=True)),
        Tell((ada.session_id,), Arrived(bob.participant)),
    ]
    assert directory.participants(ada) == [ada.participant, bob.participant]


def test_who_never_connected_goes_without_a_word_to_the_others(directory: Directory, ada: Stay) -> None:
    bob = join(directory)
    assert told(directory.leave(bob.session_id, "left"), ada.session_id) == []


def test_connecting_twice_is_told_once(directory: Directory, ada: Stay) -> None:
    assert directory.connected(serving(ada)) == []
    assert directory.connected(PeerHandle(99)) == []


# Muting, deafening, ignoring


def test_muting_is_enforced_reported_and_told_once(directory: Directory, ada: Stay, bob: Stay) -> None:
    assert directory.mute(ada.session_id, True) == [
        MutePeer(serving(ada), True),
        Report(SessionChanged(ada.session_id, muted=True)),
        Tell((bob.session_id,), Changed(ada.participant)),
    ]
    assert directory.mute(ada.session_id, True) == []
    assert directory.mute(uuid4(), True) == []


def test_deafening_is_another_matter_than_muting(directory: Directory, ada: Stay, bob: Stay) -> None:
    assert directory.deafen(ada.session_id, True) == [
        DeafenPeer(serving(ada), True),
        Report(SessionChanged(ada.session_id, deafened=True)),
        Tell((bob.session_id,), Changed(ada.participant)),
    ]
    assert not ada.participant.muted
    assert directory.deafen(ada.session_id, True) == directory.deafen(uuid4(), True) == []


def test_what_the_server_did_is_told_to_oneself_too(directory: Directory, ada: Stay, bob: Stay) -> None:
    effects = directory.mute(ada.session_id, True, by_server=True)
    for stay in (ada, bob):
        assert told(effects, stay.session_id) == [Changed(ada.participant)]
    assert ada.participant.server_muted
    assert not ada.participant.muted


@pytest.mark.parametrize("what", ["mute", "deafen"])
def test_neither_oneself_nor_the_server_undoes_what_the_other_did(directory: Directory, ada: Stay, what: str) -> None:
    act = {"mute": directory.mute, "deafen": directory.deafen}[what]

    def silent(effects: list[Effect]) -> bool:
        match effects[0]:
            case MutePeer(muted=muted):
                return muted
            case DeafenPeer(deafened=deafened):
                return deafened
        raise AssertionError(effects)

    act(ada.session_id, True)
    act(ada.session_id, True, by_server=True)
    assert silent(act(ada.session_id, False))
    assert silent(act(ada.session_id, True))
    assert silent(act(ada.session_id, False, by_server=True))
    assert not silent(act(ada.session_id, False))


def test_a_member_muted_by_the_server_before_it_connected_is_reported_so(directory: Directory, ada: Stay) -> None:
    bob = join(directory)
    directory.mute(bob.session_id, True, by_server=True)
    started, changed, arrived = connect(directory, bob)
    assert started == Report(SessionStarted(bob.session_id, ROOM, bob.claims.sub))
    assert changed == Report(SessionChanged(bob.session_id, server_muted=True))
    assert isinstance(arrived, Tell)
    assert arrived.frame == Arrived(bob.participant)


def test_only_who_is_here_can_be_ignored(directory: Directory, ada: Stay, bob: Stay) -> None:
    assert directory.ignore(ada.session_id, [999, bob.csrc, bob.csrc]) == [IgnorePeers(serving(ada), (bob.csrc,))]
    assert directory.ignore(ada.session_id, []) == [IgnorePeers(serving(ada), ())]
    assert directory.ignore(uuid4(), [bob.csrc]) == []


def test_no_more_are_ignored_than_the_engine_takes(directory: Directory, ada: Stay) -> None:
    crowd = [join(directory).csrc for _ in range(MAX_IGNORED + 10)]
    (effect,) = directory.ignore(ada.session_id, crowd)
    assert isinstance(effect, IgnorePeers)
    assert len(effect.csrcs) == MAX_IGNORED


# Moving


def test_who_is_moved_departs_here_and_arrives_there_and_keeps_what_it_has(
    directory: Directory, ada: Stay, bob: Stay
) -> None:
    stage = uuid4()
    eve = joined(directory, room=stage)
    directory.room_slot(eve.room.handle, 3, eve.csrc, 77)
    directory.speaks(eve.room.handle, eve.csrc, True)
    csrc = bob.csrc
    assert directory.move(bob.session_id, stage) == [
        MovePeer(serving(bob), eve.room.handle),
        Tell((bob.session_id,), Moved(stage, [bob.participant, eve.participant], [SlotState(3, eve.csrc, 77)], [])),
        Tell((bob.session_id,), Speakers([eve.csrc], None)),
        Report(SessionMoved(bob.session_id, stage)),
        Tell((ada.session_id,), Departed(bob.session_id)),
        Tell((eve.session_id,), Arrived(bob.participant)),
    ]
    assert bob.csrc == csrc
    assert directory.participants(ada) == [ada.participant]
    assert directory.move(bob.session_id, stage) == []
    assert directory.move(uuid4(), stage) == []


def test_a_move_before_the_connection_is_announced_with_it(directory: Directory, ada: Stay) -> None:
    stage = uuid4()
    bob = join(directory)
    (moved, _, _) = directory.move(bob.session_id, stage)
    assert moved == MovePeer(waiting(bob), bob.room.handle)
    assert connect(directory, bob) == [Report(SessionStarted(bob.session_id, stage, bob.claims.sub))]


def test_the_last_to_be_moved_out_of_a_room_ends_it(directory: Directory, ada: Stay) -> None:
    before = ada.room.handle
    directory.move(ada.session_id, uuid4())
    assert joined(directory).room.handle != before
    directory.room_slot(before, 0, ada.csrc, 1)
    directory.speaks(before, ada.csrc, True)
    assert directory.tick(1.0) == []


# Leaving


def test_leaving_is_told_to_the_engine_the_control_plane_oneself_and_the_others(
    directory: Directory, ada: Stay, bob: Stay
) -> None:
    peer = serving(ada)
    assert directory.leave(ada.session_id, "left") == [
        RemovePeer(peer),
        Report(SessionEnded(ada.session_id, "left")),
        Tell((ada.session_id,), Ended("left")),
        Hang(ada.session_id),
        Tell((bob.session_id,), Departed(ada.session_id)),
    ]
    assert directory.leave(ada.session_id, "left") == []
    assert directory.closed(peer, "consent", 0.0) == []
    assert len(directory) == 1


def test_everybody_is_told_of_the_end_and_nobody_of_anybody_else(directory: Directory, ada: Stay, bob: Stay) -> None:
    peers = {ada: serving(ada), bob: serving(bob)}
    effects = directory.end_all("shutdown")
    for stay, peer in peers.items():
        assert told(effects, stay.session_id) == [Ended("shutdown")]
        assert RemovePeer(peer) in effects
    assert (len(directory), directory.end_all("shutdown"), directory.due) == (0, [], None)


# What is remembered


def test_a_grant_works_once_while_it_could_be_valid(directory: Directory) -> None:
    stay = join(directory, now=0.0, jti="once")
    directory.leave(stay.session_id, "left")
    with pytest.raises(GrantUsed):
        join(directory, now=REMEMBER_SECONDS - 1, jti="once")
    join(directory, now=REMEMBER_SECONDS, jti="once")


def test_a_join_that_is_undone_leaves_nothing(directory: Directory) -> None:
    session = uuid4()
    directory.undo(join(directory, jti="once", sid=session))
    assert len(directory) == 0
    assert join(directory, jti="once", sid=session).csrc == 1


def test_a_refused_join_changes_nothing(directory: Directory, ada: Stay) -> None:
    with pytest.raises(GrantUsed):
        join(directory, sid=ada.session_id, jti="fresh", room=uuid4())
    assert len(directory) == 1
    join(directory, jti="fresh")


def test_a_session_ended_before_it_began_does_not_begin(directory: Directory) -> None:
    session = uuid4()
    assert directory.end(session, "removed", now=0.0) == [Report(SessionEnded(session, "removed"))]
    assert directory.end(session, "removed", now=1.0) == [Report(SessionEnded(session, "removed"))]
    with pytest.raises(GrantUsed):
        join(directory, now=REMEMBER_SECONDS, sid=session)
    join(directory, now=REMEMBER_SECONDS + 1, sid=session)


def test_a_session_ended_by_the_control_plane_does_not_begin_again(directory: Directory, ada: Stay) -> None:
    assert Tell((ada.session_id,), Ended("replaced")) in directory.end(ada.session_id, "replaced", now=1.0)
    with pytest.raises(GrantUsed):
        join(directory, now=2.0, sid=ada.session_id)


def test_what_is_remembered_is_forgotten_in_time(directory: Directory) -> None:
    for second in range(10 * REMEMBER_SECONDS):
        directory.leave(join(directory, now=second).session_id, "left")
        directory.end(uuid4(), "removed", now=second)
    assert len(directory._spent._noted) <= REMEMBER_SECONDS
    assert len(directory._ended._noted) <= REMEMBER_SECONDS
    assert [len(each) for each in (directory._rooms, directory._by_handle, directory._by_csrc)] == [0, 0, 0]
