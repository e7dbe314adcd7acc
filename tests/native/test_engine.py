"""The engine over loopback, against a client made of other people's parts: aioice's STUN, OpenSSL's DTLS, libsrtp."""

import gc
import os
import select
import struct
from typing import Any

import numpy as np
import pytest
from chorale_engine import Engine, Event, Slot, Source
from OpenSSL import SSL

from tests.native.far_end import (
    ECDSA,
    PATIENCE,
    PROFILES,
    RSA,
    Certificate,
    Client,
    gauges,
    is_free,
    join,
    microphone,
    speaker,
    wait_for,
)

# Starting and stopping


def test_all_addresses_share_a_free_port() -> None:
    engine = Engine(addresses=["127.0.0.1", "127.0.0.2"])
    (first, port), (second, same) = engine.addresses[0]
    assert (first, second) == ("127.0.0.1", "127.0.0.2")
    assert port == same != 0
    engine.close()


def test_an_address_that_cannot_be_bound_is_an_error_of_the_operating_system(engine: Engine) -> None:
    with pytest.raises(OSError, match="in use"):
        Engine(addresses=["127.0.0.1"], port=engine.addresses[0][0][1])
    with pytest.raises(OSError, match="assign"):
        Engine(addresses=["192.0.2.1"])


@pytest.mark.parametrize("addresses", [[], ["localhost"], ["127.0.0.1"] * 17])
def test_a_list_that_is_not_one_of_addresses_is_refused(addresses: list[str]) -> None:
    with pytest.raises(ValueError, match="address"):
        Engine(addresses=addresses)


def test_closing_frees_the_port_and_may_be_repeated() -> None:
    engine = Engine(addresses=["127.0.0.1"])
    assert not is_free(engine.addresses[0][0])
    engine.close()
    engine.close()
    assert is_free(engine.addresses[0][0])
    with pytest.raises(RuntimeError, match="closed"):
        engine.counters()
    assert engine.drain() == []
    engine.remove_peer(1)


def test_an_engine_that_is_forgotten_closes_itself() -> None:
    engine = Engine(addresses=["127.0.0.1"])
    ((address,),) = engine.addresses
    del engine
    gc.collect()
    assert is_free(address)


def test_closing_says_goodbye_to_the_peers() -> None:
    engine = Engine(addresses=["127.0.0.1"])
    client = join(engine, 1)
    engine.close()
    client.ssl.bio_write(client.receive(dtls=True))
    with pytest.raises(SSL.ZeroReturnError):
        client.ssl.recv(1)


# Descriptions


def test_a_description_that_cannot_be_served_is_refused(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    refused: list[tuple[str, dict[str, Any]]] = [
        ("sha-256 or stronger", {"fingerprints": []}),
        ("sha-256 or stronger", {"fingerprints": [("sha-1", bytes(20))]}),
        ("32|20 bytes", {"fingerprints": [("sha-256", bytes(20))]}),
        ("local_password", {"local_password": ""}),
        ("remote_ufrag", {"remote_ufrag": "x" * 257}),
        ("cname", {"cname": "x" * 256}),
    ]
    for reason, changes in refused:
        with pytest.raises(ValueError, match=reason):
            client.describe(**changes)
    with pytest.raises(ValueError, match="payload type"):
        Slot(ssrc=1, payload_type=128)
    with pytest.raises(ValueError, match="extension"):
        Slot(ssrc=1, payload_type=111, level_extension=15)
    with pytest.raises(ValueError, match="nobody"):
        Source(csrc=0, mid="0", payload_type=111)
    with pytest.raises(ValueError, match="slots"):
        engine.add_peer(room=1, peer=1, config=client.describe(slots=[speaker(ssrc) for ssrc in range(33)]))
    with pytest.raises(ValueError, match="handles"):
        engine.add_peer(room=1, peer=2**63, config=client.describe())
    assert set(gauges(engine).values()) == {0}


def test_handles_and_user_fragments_are_unique(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe())
    with pytest.raises(ValueError, match="exists"):
        engine.add_peer(room=1, peer=1, config=client.describe(local_ufrag="other"))
    with pytest.raises(ValueError, match="ufrag"):
        engine.add_peer(room=1, peer=2, config=client.describe())
    assert engine.counters()["peers"] == 1


# Connecting


@pytest.mark.parametrize("active", [True, False], ids=["client-opens", "engine-opens"])
@pytest.mark.parametrize("certificate", [ECDSA, RSA], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_client_connects_and_the_room_hears_it(
    engine: Engine, profile: bytes, certificate: Certificate, active: bool
) -> None:
    talker = Client("1", engine.addresses[0][0], certificate, profile, active)
    join(engine, 1, client=talker, source=microphone(csrc=5))
    assert talker.fingerprint == engine.fingerprint
    assert talker.ssl.get_selected_srtp_profile() == profile
    listener = join(engine, 2, slots=[speaker(ssrc=77)])
    for index in range(10):
        talker.say(index, ssrc=1005)
    heard = listener.hear()
    assert heard[0] & 0x0F == 1, "one contributing source"
    assert struct.unpack_from("!II", heard, 8) == (77, 5)
    changed = wait_for(engine, Event.SlotChanged, peer=2)
    assert (changed.slot, changed.csrc) == (0, 5)
    assert changed.timestamp == struct.unpack_from("!I", heard, 4)[0]


def test_people_on_different_addresses_hear_each_other() -> None:
    engine = Engine(addresses=["127.0.0.1", "::1"])
    talker = join(engine, 1, client=Client("1", engine.addresses[0][0]), source=microphone(csrc=5))
    listener = join(engine, 2, client=Client("2", engine.addresses[0][1]), slots=[speaker(ssrc=77)])
    talker.say(0, ssrc=1005)
    assert struct.unpack_from("!II", listener.hear(), 8) == (77, 5)
    engine.close()


def test_the_engine_prefers_gcm(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0], profiles=b":".join(reversed(PROFILES)))
    join(engine, 1, client=client)
    assert client.ssl.get_selected_srtp_profile() == b"SRTP_AEAD_AES_128_GCM"


def test_a_handshake_may_begin_before_an_address_is_nominated(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe())
    client.check(nominate=False)
    client.handshake()
    client.check()
    wait_for(engine, Event.Connected, peer=1)


def test_a_certificate_that_was_not_promised_closes_the_peer(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe(fingerprints=[("sha-256", bytes(32))]))
    client.check()
    with pytest.raises(SSL.Error):
        client.handshake()
    assert wait_for(engine, Event.Closed, peer=1).reason == "fingerprint"
    assert set(gauges(engine).values()) == {0}


def test_a_client_without_srtp_closes_the_peer(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0], profiles=b"")
    engine.add_peer(room=1, peer=1, config=client.describe())
    client.check()
    with pytest.raises((SSL.Error, KeyError)):
        client.handshake()
    assert wait_for(engine, Event.Closed, peer=1).reason == "handshake"
    assert set(gauges(engine).values()) == {0}


# Leaving


def test_a_client_that_says_goodbye_is_gone(engine: Engine) -> None:
    client = join(engine, 1)
    client.ssl.shutdown()
    client.flush()
    assert wait_for(engine, Event.Closed, peer=1).reason == "closed"
    assert set(gauges(engine).values()) == {0}


def test_a_removed_peer_is_told_and_leaves_nothing(engine: Engine) -> None:
    talker = join(engine, 1, source=microphone(csrc=5))
    listener = join(engine, 2, slots=[speaker(ssrc=77)])
    talker.say(0, ssrc=1005)
    listener.hear()
    assert gauges(engine) == {"rooms": 1, "peers": 2, "sources": 1, "slots_held": 1, "dtls_pending": 0}
    for peer in (1, 2, 3):
        engine.remove_peer(peer)
    assert set(gauges(engine).values()) == {0}
    for client in (talker, listener):
        client.ssl.bio_write(client.receive(dtls=True))
        with pytest.raises(SSL.ZeroReturnError):
            client.ssl.recv(1)
    assert not [event for event in engine.drain() if isinstance(event, Event.Closed)]


def test_a_peer_removed_in_mid_handshake_leaves_nothing(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe())
    client.check()
    with pytest.raises(SSL.WantReadError):
        client.ssl.do_handshake()
    client.flush()
    client.receive(dtls=True)
    assert engine.counters()["dtls_pending"] == 1
    engine.remove_peer(1)
    assert set(gauges(engine).values()) == {0}


# Strangers


def test_strangers_leave_nothing_but_counted_drops(engine: Engine) -> None:
    member = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=member.describe())
    before = gauges(engine)
    stranger = Client("1", engine.addresses[0][0])
    for first in range(256):
        stranger.send(bytes([first]) + os.urandom(40))
    stranger.send(b"")
    stranger.send(bytes(1501))
    stranger.check("a wrong password")
    Client("2", engine.addresses[0][0]).check("whatever")
    with pytest.raises(SSL.WantReadError):
        stranger.ssl.do_handshake()
    stranger.flush()
    # In order on one socket: when the member has its answer, all before it was worked on.
    member.check(nominate=False)
    counters = engine.counters()
    assert gauges(engine) == before
    assert counters["datagrams_in"] == 256 + 2 + 3 + 1
    assert counters["datagrams_out"] == 1, "nobody else was answered"
    assert sum(count for name, count in counters.items() if name.startswith("drop_")) >= 256
    assert counters["drop_oversized"] == 1
    assert engine.drain() == []


# Figures


def test_statistics_have_a_row_a_peer_a_source_and_a_slot(engine: Engine) -> None:
    assert len(engine.statistics()) == 0
    talker = join(
        engine, 2**62 + 1, room=2**63 - 1, client=Client("1", engine.addresses[0][0]), source=microphone(csrc=5)
    )
    listener = join(engine, 2, room=2**63 - 1, slots=[speaker(ssrc=77)])
    talker.say(0, ssrc=1005, level=33)
    heard = len(listener.hear())
    rows = engine.statistics()
    assert isinstance(rows, np.ndarray)
    assert sorted(rows["peer"]) == [2, 2, 2**62 + 1, 2**62 + 1]
    assert set(rows["room"]) == {2**63 - 1}
    (spoken, source), (received, slot) = rows[rows["peer"] != 2], rows[rows["peer"] == 2]
    assert [each["kind"] for each in (spoken, source, received, slot)] == [0, 1, 0, 2]
    assert (spoken["packets_in"], spoken["packets_out"]) == (1, 0)
    assert (source["csrc"], source["level"], source["packets_in"]) == (5, 33, 1)
    assert (received["packets_in"], received["packets_out"]) == (0, 1)
    assert received["bytes_out"] == heard + 16, "and the authentication tag"
    assert (slot["slot"], slot["csrc"], slot["packets_out"]) == (0, 5, 1)
    assert set(rows["connected"]) == {1}


def test_counters_are_totals_and_the_worker_says_what_it_costs(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe())
    client.check()
    counters = engine.counters()
    assert (counters["datagrams_in"], counters["datagrams_out"]) == (1, 1)
    assert counters["bytes_in"] > 0
    assert counters["bytes_out"] > 0
    assert counters["worker_cpu_ns"] > 0
    assert all(value >= 0 for value in counters.values())


def test_the_descriptor_is_readable_while_events_wait(engine: Engine) -> None:
    def readable() -> bool:
        return select.select([engine.event_fd], [], [], 0)[0] != []

    assert not readable()
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe())
    client.check()
    client.handshake()
    assert select.select([engine.event_fd], [], [], PATIENCE)[0]
    assert engine.drain(max_events=0) == []
    assert readable()
    assert engine.drain() == [Event.Connected(peer=1)]
    assert not readable()


def test_events_are_matched_by_their_fields() -> None:
    match Event.SlotChanged(peer=1, slot=2, csrc=3, timestamp=4):
        case Event.SlotChanged(peer, slot, csrc=csrc, timestamp=timestamp):
            assert (peer, slot, csrc, timestamp) == (1, 2, 3, 4)
        case _:
            raise AssertionError
