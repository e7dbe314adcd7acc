"""Who is told what, in which order, and what is remembered."""

from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from data_plane.directory import (
    REMEMBER_SECONDS,
    Directory,
    Effect,
    GrantUsed,
    Hang,
    PeerHandle,
    RemovePeer,
    Report,
    Stay,
    Tell,
)
from proto.media import SessionEnded, SessionMuted, SessionStarted
from proto.signalling import Arrived, Changed, Departed, Ended, Slots, SlotState
from tests.data_plane.support import claims

ROOM = uuid4()


def join(directory: Directory, now: float = 0.0, mids: tuple[str, ...] = ("1", "2"), **changes: Any) -> Stay:
    return directory.join(claims(**{"room": ROOM} | changes), list(mids), random=count(1), now=now)


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def ada(directory: Directory) -> Stay:
    stay = join(directory)
    directory.connected(stay.peer)
    return stay


@pytest.fixture
def bob(directory: Directory, ada: Stay) -> Stay:
    stay = join(directory)
    directory.connected(stay.peer)
    return stay


def told(effects: list[Effect], session_id: UUID) -> list[Any]:
    return [each.frame for each in effects if isinstance(each, Tell) and each.session_id == session_id]


def test_csrcs_are_unique_in_a_room_and_never_nobody(directory: Directory) -> None:
    words = iter([0, 7, 7, 0, 7, 9, 7])
    csrcs = [directory.join(claims(room=ROOM), [], random=words, now=0).csrc for _ in range(2)]
    assert csrcs == [7, 9]
    assert directory.join(claims(), [], random=words, now=0).csrc == 7, "another room"


def test_a_csrc_is_free_again_when_its_owner_has_left(directory: Directory) -> None:
    first = join(directory)
    join(directory)
    directory.leave(first.session_id, "left")
    assert join(directory).csrc == first.csrc


def test_handles_are_never_used_again(directory: Directory) -> None:
    first = join(directory)
    directory.leave(first.session_id, "left")
    second = join(directory)
    assert len({first.peer, first.room, second.peer, second.room}) == 4


def test_who_is_not_connected_yet_is_announced_to_nobody(directory: Directory, ada: Stay) -> None:
    bob = join(directory)
    assert directory.participants(bob) == [bob.participant, ada.participant]
    assert directory.participants(ada) == [ada.participant]
    assert directory.mute(bob.session_id, True) == []
    assert directory.connected(bob.peer) == [
        Report(SessionStarted(bob.session_id, ROOM, bob.claims.sub, muted=True)),
        Tell(ada.session_id, Arrived(bob.participant)),
    ]
    assert directory.participants(ada) == [ada.participant, bob.participant]


def test_who_never_connected_goes_without_a_word_to_the_others(directory: Directory, ada: Stay) -> None:
    bob = join(directory)
    assert told(directory.closed(bob.peer), ada.session_id) == []


def test_connecting_twice_is_told_once(directory: Directory, ada: Stay) -> None:
    assert directory.connected(ada.peer) == []
    assert directory.connected(PeerHandle(99)) == []


def test_muting_is_told_once(directory: Directory, ada: Stay, bob: Stay) -> None:
    assert directory.mute(ada.session_id, True) == [
        Report(SessionMuted(ada.session_id, True)),
        Tell(bob.session_id, Changed(ada.participant)),
    ]
    assert directory.mute(ada.session_id, True) == []
    assert directory.mute(uuid4(), True) == []


def test_leaving_is_told_to_the_engine_the_control_plane_oneself_and_the_others(
    directory: Directory, ada: Stay, bob: Stay
) -> None:
    assert directory.leave(ada.session_id, "left") == [
        RemovePeer(ada.peer),
        Report(SessionEnded(ada.session_id, "left")),
        Tell(ada.session_id, Ended("left")),
        Hang(ada.session_id),
        Tell(bob.session_id, Departed(ada.session_id)),
    ]
    assert directory.leave(ada.session_id, "left") == []
    assert directory.closed(ada.peer) == []
    assert len(directory) == 1


def test_a_peer_that_the_engine_lost_is_not_removed_from_it(directory: Directory, ada: Stay) -> None:
    effects = directory.closed(ada.peer)
    assert not any(isinstance(each, RemovePeer) for each in effects)
    assert Report(SessionEnded(ada.session_id, "lost")) in effects


def test_everybody_is_told_of_the_end_and_nobody_of_anybody_else(directory: Directory, ada: Stay, bob: Stay) -> None:
    effects = directory.end_all("shutdown")
    for stay in (ada, bob):
        assert told(effects, stay.session_id) == [Ended("shutdown")]
        assert RemovePeer(stay.peer) in effects
    assert (len(directory), directory.end_all("shutdown")) == (0, [])


def test_changes_of_slots_are_told_in_one_frame_with_the_last_of_each(
    directory: Directory, ada: Stay, bob: Stay
) -> None:
    changes = [
        (ada.peer, 0, bob.csrc, 100),
        (bob.peer, 1, ada.csrc, 200),
        (ada.peer, 1, 5, 300),
        (ada.peer, 0, 0, 400),
        (ada.peer, 2, 5, 500),  # there is no third slot
        (PeerHandle(99), 0, 5, 600),
    ]
    assert directory.slots_changed(changes) == [
        Tell(ada.session_id, Slots([SlotState("1", None, 400), SlotState("2", 5, 300)])),
        Tell(bob.session_id, Slots([SlotState("2", ada.csrc, 200)])),
    ]
    assert directory.slots_changed([]) == []


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
    assert Tell(ada.session_id, Ended("replaced")) in directory.end(ada.session_id, "replaced", now=1.0)
    with pytest.raises(GrantUsed):
        join(directory, now=2.0, sid=ada.session_id)


def test_what_is_remembered_is_forgotten_in_time(directory: Directory) -> None:
    for second in range(10 * REMEMBER_SECONDS):
        directory.leave(join(directory, now=second).session_id, "left")
        directory.end(uuid4(), "removed", now=second)
    assert len(directory._spent._noted) <= REMEMBER_SECONDS
    assert len(directory._ended._noted) <= REMEMBER_SECONDS
    assert directory._rooms == {}
