"""Voice sessions and grants as cores."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.voice.grants import KEY_FILE, Grants, KeyUnusable
from control_plane.voice.sessions import MAX_STAY, PENDING, Announce, VoiceSession, VoiceSessions
from proto.ids import EPOCH_MS, ChannelId, ServerId, SessionId, UserId, make_id
from proto.media import DeafenSession, EndSession, MuteSession, SessionChanged, SessionMoved, SessionStarted

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SERVER, CHANNEL = ServerId(make_id(EPOCH_MS, 1, 0)), ChannelId(make_id(EPOCH_MS, 2, 0))
STAGE = ChannelId(make_id(EPOCH_MS, 4, 0))
ANN = UserId(make_id(EPOCH_MS, 3, 0))


def session(number: int, now: datetime = NOW) -> VoiceSession:
    return VoiceSession(SessionId(make_id(EPOCH_MS + number, 0, 0)), SERVER, CHANNEL, ANN, now)


def start(sessions: VoiceSessions, which: VoiceSession, now: datetime = NOW) -> list[object]:
    return list(sessions.started(SessionStarted(which.session_id, CHANNEL, ANN), now))


def test_what_never_started_is_forgotten_quietly() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    assert sessions.expire(NOW + PENDING) == []
    assert not sessions.knows(session(1).session_id)


def test_a_stay_ends_after_a_day() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    start(sessions, session(1))
    assert sessions.expire(NOW + MAX_STAY - timedelta(seconds=1)) == []
    assert sessions.expire(NOW + MAX_STAY) == [
        Announce(session(1), present=False),
        EndSession(session(1).session_id, "removed"),
    ]
    assert sessions.in_channel(CHANNEL) == []


def test_what_we_ended_cannot_start_until_its_grant_is_long_void() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    sessions.leave(ANN, CHANNEL, NOW)
    assert sessions.knows(session(1).session_id)
    assert start(sessions, session(1)) == []
    sessions.expire(NOW + PENDING)
    assert not sessions.knows(session(1).session_id)


def test_a_start_that_is_repeated_says_nothing_new() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    assert start(sessions, session(1)) == [Announce(session(1), present=True)]
    assert start(sessions, session(1)) == []
    assert sessions.changed(SessionChanged(session(1).session_id)) == []


def test_of_a_users_sessions_the_last_to_start_stays() -> None:
    sessions = VoiceSessions()
    for number in (1, 2, 3):
        sessions.admit(session(number))
    start(sessions, session(2))
    start(sessions, session(1))
    start(sessions, session(3))
    assert [each.session_id for each in sessions.in_server(SERVER)] == [session(3).session_id]


def test_a_report_that_changes_nothing_is_not_announced() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    start(sessions, session(1))
    changed = SessionChanged(session(1).session_id, server_muted=True)
    assert sessions.changed(changed) == [Announce(replace(session(1), server_muted=True), present=True)]
    assert sessions.changed(changed) == []
    assert sessions.moved(SessionMoved(session(1).session_id, CHANNEL)) == []
    assert sessions.changed(SessionChanged(session(2).session_id, muted=True)) == []


def test_a_session_that_was_moved_before_it_started_is_where_the_node_says() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    sessions.started(SessionStarted(session(1).session_id, STAGE, ANN, deafened=True, sources=["camera"]), NOW)
    assert sessions.of(ANN, CHANNEL) is None
    assert sessions.of(ANN, STAGE) == replace(session(1), channel_id=STAGE, deafened=True, sources=("camera",))


def test_what_the_owner_did_to_a_member_holds_for_its_later_sessions_on_that_server_alone() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    start(sessions, session(1))
    sessions.sanction(session(1), muted=True, deafened=True)
    sessions.sanction(session(1), deafened=False)
    for number, server, enforced in ((2, SERVER, [True]), (3, ServerId(make_id(EPOCH_MS, 9, 0)), [])):
        sessions.admit(replace(session(number), server_id=server))
        commands = [each for each in start(sessions, session(number)) if isinstance(each, MuteSession | DeafenSession)]
        assert commands == [MuteSession(session(number).session_id, each) for each in enforced]
    sessions.sanction(session(2), muted=False)
    sessions.admit(session(4))
    assert start(sessions, session(4))[-1] == Announce(session(4), present=True)


def test_the_last_command_counts_though_the_first_was_not_answered_yet() -> None:
    sessions = VoiceSessions()
    sessions.admit(session(1))
    start(sessions, session(1))
    sessions.sanction(session(1), muted=True)
    assert sessions.sanction(session(1), muted=False) == [MuteSession(session(1).session_id, False)]


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    made = Grants.open(tmp_path / "deep" / "data")
    path = tmp_path / "deep" / "data" / KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [KEY_FILE]
    assert Grants.open(path.parent).public_pem == made.public_pem


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_that_is_none_is_said_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(KeyUnusable, match="Remove it to have a new one made"):
        Grants.open(tmp_path)
