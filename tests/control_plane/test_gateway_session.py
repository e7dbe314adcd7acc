"""The session as a core: no socket, no clock, no database."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from control_plane.events import LogEvent, StateChange
from control_plane.session import (
    HEARTBEAT_SECONDS,
    IDENTIFY_SECONDS,
    Authenticate,
    Close,
    Follow,
    Output,
    ReadStanding,
    ReadVoiceStates,
    ReadWelcome,
    Replay,
    Send,
    Session,
)
from control_plane.store.ports import Page, Span
from proto.gateway import CloseCode
from proto.ids import EPOCH_MS, Topic, make_id, user_topic
from proto.rest import User

ANN = User(make_id(EPOCH_MS, 0, 0), "ann")
OWN = user_topic(ANN.user_id)
GUILD = Topic("guild:x")


def event(n: int, topic: Topic = GUILD) -> LogEvent:
    return LogEvent(topic, n, "MESSAGE_CREATE", msgspec.json.encode({"number": n}), stored=True)


def frames(outputs: list[Output]) -> list[dict[str, Any]]:
    return [json.loads(each.text) for each in outputs if isinstance(each, Send)]


def identified(cursor: int = 0) -> Session:
    session = Session("session", now=0.0)
    session.opened()
    assert session.receive('{"op":2,"d":{"token":"t"}}', 0.0) == [Authenticate("t")]
    assert session.authenticated(ANN) == [ReadWelcome(ANN)]
    session.welcome(ANN, [], {OWN: 0, GUILD: cursor})
    return session


def test_topics_are_followed_before_ready_is_sent() -> None:
    session = Session("session", now=0.0)
    session.receive('{"op":2,"d":{"token":"t"}}', 0.0)
    session.authenticated(ANN)
    outputs = session.welcome(ANN, [], {OWN: 3, GUILD: 7})
    assert outputs[:2] == [Follow(OWN, 3), Follow(GUILD, 7)]
    [ready] = frames(outputs)
    assert ready["t"] == "READY"
    assert ready["s"] == 1
    assert ready["d"]["cursors"] == {OWN: 3, GUILD: 7}


def test_an_event_carries_its_cursor_and_the_sessions_own_number() -> None:
    session = identified()
    [first] = frames(session.deliver(event(1)))
    [second] = frames(session.deliver(event(2)))
    assert first == {"op": 0, "t": "MESSAGE_CREATE", "d": {"number": 1}, "s": 2, "topic": GUILD, "n": 1}
    assert second["s"] == 3


def test_what_is_not_higher_is_dropped() -> None:
    session = identified(cursor=5)
    assert session.deliver(event(5)) == []
    assert session.deliver(event(1)) == []
    assert session.deliver(event(9, Topic("guild:of others"))) == []


def test_a_gap_is_read_from_the_log_before_anything_else_of_its_topic() -> None:
    session = identified()
    assert session.deliver(event(3)) == [Replay(GUILD, 0)]
    assert session.deliver(event(4)) == []
    outputs = session.replayed(GUILD, Page([event(1), event(2)], more=True), 0.0)
    assert [each["n"] for each in frames(outputs)] == [1, 2]
    assert outputs[-1] == Replay(GUILD, 2)
    outputs = session.replayed(GUILD, Page([event(3), event(4)], more=False), 0.0)
    assert [each["n"] for each in frames(outputs)] == [3, 4]
    assert [each["n"] for each in frames(session.deliver(event(5)))] == [5]


def test_states_before_ready_are_part_of_ready() -> None:
    change = StateChange(GUILD, "VOICE_STATE_UPDATE", b"{}")
    session = Session("session", now=0.0)
    assert session.change(change) == []
    session = identified()
    [frame] = frames(session.change(change))
    assert frame == {"op": 0, "t": "VOICE_STATE_UPDATE", "d": {}, "s": 2}
    assert session.change(StateChange(Topic("guild:of others"), "VOICE_STATE_UPDATE", b"{}")) == []


def resuming(cursors: dict[Topic, int], spans: dict[Topic, Span]) -> tuple[Session, list[Output]]:
    session = Session("session", now=0.0)
    asked = {"op": 6, "d": {"token": "t", "session_id": "s", "cursors": cursors}}
    session.receive(json.dumps(asked), 0.0)
    assert session.authenticated(ANN) == [ReadStanding(ANN, cursors)]
    return session, session.resume(ReadStanding(ANN, cursors), spans, set(), 0.0)


def test_resume_replays_the_users_own_topic_first() -> None:
    _, outputs = resuming({GUILD: 1, OWN: 1}, {GUILD: Span(1, 5), OWN: Span(1, 2)})
    assert outputs == [Follow(GUILD, 5), Follow(OWN, 2), Replay(OWN, 1), Replay(GUILD, 1)]


def test_resumed_comes_after_everything_missed() -> None:
    session, _ = resuming({GUILD: 1, OWN: 1}, {GUILD: Span(1, 2), OWN: Span(1, 2)})
    outputs = session.replayed(OWN, Page([event(2, OWN)], more=False), 0.0)
    assert [each["t"] for each in frames(outputs)] == ["MESSAGE_CREATE"]
    outputs = session.replayed(GUILD, Page([event(2)], more=False), 0.0)
    assert isinstance(outputs[-1], ReadVoiceStates)
    [resumed] = frames(session.voice_states([]))
    assert resumed["t"] == "RESUMED"


def test_with_nothing_missed_resumed_comes_at_once() -> None:
    _, outputs = resuming({GUILD: 5, OWN: 2}, {GUILD: Span(1, 5), OWN: Span(1, 2)})
    assert isinstance(outputs[-1], ReadVoiceStates)


def test_a_log_cut_off_during_the_replay_is_an_invalid_session() -> None:
    session, _ = resuming({GUILD: 1, OWN: 2}, {GUILD: Span(1, 5), OWN: Span(1, 2)})
    assert frames(session.replayed(GUILD, None, 1.0)) == [{"op": 9, "d": False}]
    assert session.voice_states([]) == []
    assert session.deliver(event(2)) == []
    assert session.receive('{"op":2,"d":{"token":"t"}}', 1.0) == [Authenticate("t")]


def test_who_does_not_identify_or_beat_is_timed_out() -> None:
    session = Session("session", now=100.0)
    assert session.tick(100.0 + IDENTIFY_SECONDS - 0.1) == []
    [closed] = session.tick(session.deadline)
    assert isinstance(closed, Close)
    assert closed.code == CloseCode.SESSION_TIMED_OUT
    session = identified()
    assert session.tick(IDENTIFY_SECONDS + 1) == []
    session.receive('{"op":1}', 30.0)
    assert session.tick(HEARTBEAT_SECONDS + 1) == []
    [closed] = session.tick(session.deadline)
    assert isinstance(closed, Close)
    assert closed.code == CloseCode.SESSION_TIMED_OUT


@given(st.lists(st.integers(1, 30), max_size=200), st.integers(1, 5), st.data())
def test_whatever_the_bus_does_every_event_is_dispatched_once_and_in_order(
    arrivals: list[int], page_size: int, data: st.DataObject
) -> None:
    """Events arrive in any order, lost and repeated; the log grows, and is read a page at a time."""
    session = identified()
    in_log = 0
    got: list[int] = []

    def perform(outputs: list[Output]) -> None:
        waiting = list(outputs)
        while waiting:
            output = waiting.pop(0)
            if isinstance(output, Replay):
                upto = min(in_log, output.after + page_size)
                page = Page([event(n) for n in range(output.after + 1, upto + 1)], more=upto < in_log)
                waiting = [*session.replayed(GUILD, page, 0.0), *waiting]
            elif isinstance(output, Send):
                got.append(json.loads(output.text)["n"])

    for n in arrivals:
        in_log = max(in_log, n)
        perform(session.deliver(event(n)))
    in_log += 1
    perform(session.deliver(event(in_log)))
    assert got == list(range(1, in_log + 1))


@given(st.text(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_frame_is_ever_more_than_a_close(text: str) -> None:
    session = Session("session", now=0.0)
    for output in session.receive(text, 0.0):
        assert isinstance(output, Close | Send)
