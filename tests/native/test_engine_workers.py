"""An engine of several workers."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic

import pytest
from chorale_engine import Engine, Event

from tests.native.far_end import PATIENCE, gauges, join, microphone, speaker, wait_for


@pytest.fixture
def two_workers() -> Iterator[Engine]:
    """Whose rooms are spread from their third peer on."""
    engine = Engine(addresses=["127.0.0.1"], workers=2, spread_above=2)
    yield engine
    engine.close()


def test_each_worker_has_a_port_of_its_own_and_the_ports_follow_each_other_when_the_first_is_given() -> None:
    engine = Engine(addresses=["127.0.0.1"], workers=2)
    ((_, first),), ((_, second),) = engine.addresses
    assert first != second
    engine.close()
    for first in range(20_000, 30_000, 3):  # below the ports that the system gives to clients
        with suppress(OSError):
            engine = Engine(addresses=["127.0.0.1"], workers=3, port=first)
            break
    assert [port for ((_, port),) in engine.addresses] == [first, first + 1, first + 2]
    engine.close()
    with pytest.raises(OSError, match="too many"):
        Engine(addresses=["127.0.0.1"], workers=3, port=65_534)


def test_a_room_that_is_spread_over_workers_is_one_room(two_workers: Engine) -> None:
    engine = two_workers
    members = {peer: join(engine, peer, source=microphone(csrc=peer), slots=[speaker(ssrc=77)]) for peer in range(1, 5)}
    rows = engine.statistics()
    assert set(rows["worker"]) == {0, 1}
    assert engine.counters()["rooms"] == 1
    for talker in members:
        members[talker].say(talker, ssrc=1000 + talker)
        for listener in set(members) - {talker}:
            packet = members[listener].hear()
            assert struct.unpack_from("!I", packet, 12) == (talker,), "its CSRC"
        # It gives up its slot, so that the next is heard at once: these listeners have one.
        engine.set_muted(talker, True)
        for listener in set(members) - {talker}:
            assert [members[listener].hear()[-3:] for _ in range(3)] == [b"\xf8\xff\xfe"] * 3
    for peer in members:
        engine.remove_peer(peer)
    deadline = monotonic() + PATIENCE  # the other worker's note to the room's home is still on its way
    while set(gauges(engine).values()) != {0}:
        assert monotonic() < deadline


def test_who_moves_to_a_room_of_another_worker_keeps_its_transport(two_workers: Engine) -> None:
    engine = two_workers
    here = join(engine, 1, room=1, source=microphone(csrc=1), slots=[speaker(ssrc=77)])
    there = join(engine, 2, room=2, source=microphone(csrc=2), slots=[speaker(ssrc=77)])
    assert sorted(engine.statistics()["worker"]) == [0, 0, 1, 1]
    engine.move_peer(1, 2)
    assert set(engine.statistics()["room"]) == {2}
    here.say(0, ssrc=1001)
    assert struct.unpack_from("!I", there.hear(), 12) == (1,)
    there.say(0, ssrc=1002)
    assert struct.unpack_from("!I", here.hear(), 12) == (2,)


def test_a_worker_that_panics_takes_no_other_down_and_its_peers_are_told(two_workers: Engine) -> None:
    engine = two_workers
    doomed = join(engine, 1, room=1, source=microphone(csrc=1), slots=[speaker(ssrc=77)])
    safe = [join(engine, peer, room=2, source=microphone(csrc=peer), slots=[speaker(ssrc=77)]) for peer in (2, 3)]
    worker = engine.addresses.index([doomed.address])
    engine._panic_worker(worker)
    assert wait_for(engine, Event.Closed, 1).reason == "failed"
    safe[0].say(0, ssrc=1002)
    assert struct.unpack_from("!I", safe[1].hear(), 12) == (2,)
    counters = engine.counters()
    assert (counters["worker_restarts"], counters["peers"], counters["workers"]) == (1, 2, 2)
    # In the same place is another worker, which takes peers.
    back = join(engine, 4, room=1, source=microphone(csrc=4), slots=[speaker(ssrc=77)])
    assert engine.addresses.index([back.address]) == worker
    assert sorted(set(engine.statistics()["peer"])) == [2, 3, 4]


def test_a_spread_room_lives_on_when_its_home_panics(two_workers: Engine) -> None:
    engine = two_workers
    members = {peer: join(engine, peer, source=microphone(csrc=peer), slots=[speaker(ssrc=77)]) for peer in range(1, 5)}
    by_worker = [[peer for peer, client in members.items() if client.address == at] for (at,) in engine.addresses]
    engine._panic_worker(0)
    wait_for(engine, Event.Closed, by_worker[0][-1])
    first, second = by_worker[1]
    members[first].say(0, ssrc=1000 + first)
    assert struct.unpack_from("!I", members[second].hear(), 12) == (first,)
    back = join(engine, 9, source=microphone(csrc=9), slots=[speaker(ssrc=77)])
    members[first].say(1, ssrc=1000 + first)
    assert struct.unpack_from("!I", back.hear(), 12) == (first,)


def test_a_peer_ends_once_however_it_ends(two_workers: Engine) -> None:
    engine = two_workers
    clients = {peer: join(engine, peer, room=1) for peer in (1, 2)}
    for client in clients.values():
        client.ssl.shutdown()
        client.flush()
    while engine.counters()["peers"]:
        pass
    engine.remove_peer(2)  # which is gone, and has not been told yet
    engine._panic_worker(0)
    restarts = 0
    while not restarts:
        with suppress(RuntimeError):  # the worker panicked before it answered
            restarts = engine.counters()["worker_restarts"]
    closed = [event for event in engine.drain() if isinstance(event, Event.Closed)]
    assert [(event.peer, event.reason) for event in closed] == [(1, "closed")]


def test_an_engine_closes_whatever_its_workers_do() -> None:
    for _ in range(20):
        engine = Engine(addresses=["127.0.0.1"], workers=2)
        for worker in (0, 1):
            engine._panic_worker(worker)
        engine.close()


def test_a_worker_that_panics_again_and_again_is_a_failure(two_workers: Engine) -> None:
    with pytest.raises(RuntimeError, match="media-1 thread failed: a worker panicked: asked to"):
        _panic_six_times(two_workers)


def _panic_six_times(engine: Engine) -> None:
    restarts = 0
    for _ in range(6):
        engine._panic_worker(1)
        while (counted := _restarts(engine)) == restarts:
            pass
        restarts = counted


def _restarts(engine: Engine) -> int:
    """Asked again while the worker that was asked is being replaced."""
    while True:
        try:
            return engine.counters()["worker_restarts"]
        except RuntimeError as error:
            if "restarted" not in str(error):
                raise
