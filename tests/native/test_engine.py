"""The engine over loopback, against a client made of other people's parts: aioice's STUN, OpenSSL's DTLS, libsrtp."""

import datetime
import gc
import os
import resource
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, TypeVar

import numpy as np
import pytest
from aioice import stun
from chorale_engine import Engine, Event, Peer, Slot, Source
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL
from pylibsrtp import Policy, Session

PATIENCE = 10.0  # seconds until something that should happen counts as never happening
GAUGES = ("rooms", "peers", "sources", "slots_held", "dtls_pending")
LEVEL_EXTENSION = 1
PAYLOAD_TYPE = 111

PROFILES = {
    b"SRTP_AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    b"SRTP_AES128_CM_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
}

EventT = TypeVar("EventT", bound=Event)


@dataclass(eq=False)
class Certificate:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            name, name, self.key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1)
        )
        self.x509 = builder.sign(self.key, hashes.SHA256())

    @property
    def fingerprints(self) -> list[tuple[str, bytes]]:
        return [("sha-1", bytes(20)), ("sha-256", self.x509.fingerprint(hashes.SHA256()))]


ECDSA = Certificate(ec.generate_private_key(ec.SECP256R1()))
RSA = Certificate(rsa.generate_private_key(public_exponent=65537, key_size=2048))


@dataclass
class Client:
    """One client. It knows the engine's address and its half of the peer's description, and does as it is told."""

    name: str
    address: tuple[str, int]
    certificate: Certificate = ECDSA
    profiles: bytes = b":".join(PROFILES)
    active: bool = True  # who opens the DTLS handshake; the engine is told the contrary

    def __post_init__(self) -> None:
        self.udp = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((self.address[0], 0))
        self.udp.settimeout(PATIENCE)
        context = SSL.Context(SSL.DTLS_METHOD)
        context.use_certificate(self.certificate.x509)
        context.use_privatekey(self.certificate.key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        if self.profiles:
            context.set_tlsext_use_srtp(self.profiles)
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(1200)
        if self.active:
            self.ssl.set_connect_state()
        else:
            self.ssl.set_accept_state()

    def describe(self, **changes: Any) -> Peer:
        description: dict[str, Any] = {
            "local_ufrag": f"engine{self.name}",
            "local_password": "engine-password-of-" + self.name,
            "remote_ufrag": f"client{self.name}",
            "remote_password": "client-password-of-" + self.name,
            "fingerprints": self.certificate.fingerprints,
            "active": not self.active,
            "cname": "chorale",
        }
        return Peer(**description | changes)

    def check(self, password: str | None = None, *, nominate: bool = True) -> stun.Message | None:
        """Send an ICE check; the answer, or None if none is expected because the password is wrong."""
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"engine{self.name}:client{self.name}"
        request.attributes["PRIORITY"] = 1
        request.attributes["ICE-CONTROLLING"] = 1
        if nominate:
            request.attributes["USE-CANDIDATE"] = None
        request.add_message_integrity((password or "engine-password-of-" + self.name).encode())
        request.add_fingerprint()
        self.send(bytes(request))
        if password is not None:
            return None
        answer = stun.parse_message(self.receive(stun=True))
        assert answer.check_message_integrity(("engine-password-of-" + self.name).encode())
        assert answer.transaction_id == request.transaction_id
        return answer

    def handshake(self) -> None:
        while True:
            try:
                self.ssl.do_handshake()
            except SSL.WantReadError:
                self.flush()
                self.ssl.bio_write(self.receive(dtls=True))
            else:
                break
        self.flush()
        certificate = self.ssl.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        self.fingerprint = certificate.fingerprint(hashes.SHA256())
        profile, key, salt = PROFILES[self.ssl.get_selected_srtp_profile()]
        material = self.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        keys, salts = material[: 2 * key], material[2 * key :]
        client, server = keys[:key] + salts[:salt], keys[key:] + salts[salt:]
        sent, received = (client, server) if self.active else (server, client)
        self.outbound = Session(Policy(sent, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.inbound = Session(Policy(received, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    def flush(self) -> None:
        """Send what DTLS has written, a datagram a record (RFC 6347 §4.1), as its memory knows no datagrams."""
        try:
            written = self.ssl.bio_read(65536)
        except SSL.WantReadError:
            return
        while written:
            end = 13 + int(struct.unpack_from("!H", written, 11)[0])
            self.send(written[:end])
            written = written[end:]

    def say(self, index: int, *, ssrc: int, level: int = 20) -> None:
        """Send one 20 ms packet of voice."""
        header = struct.pack("!BBHII", 0x90, PAYLOAD_TYPE, index & 0xFFFF, 960 * index & 0xFFFFFFFF, ssrc)
        extension = struct.pack("!HHBBxx", 0xBEDE, 1, LEVEL_EXTENSION << 4, 0x80 | level)
        self.send(self.outbound.protect(header + extension + bytes([0xF8]) + os.urandom(60)))

    def hear(self) -> bytes:
        return self.inbound.unprotect(self.receive(rtp=True))

    def send(self, datagram: bytes) -> None:
        self.udp.sendto(datagram, self.address)

    def receive(self, *, stun: bool = False, dtls: bool = False, rtp: bool = False) -> bytes:
        """The next datagram of the kind (RFC 9443)."""
        while True:
            datagram = self.udp.recv(2048)
            first = datagram[0]
            is_rtp = 128 <= first < 192 and not 192 <= datagram[1] < 224
            if (stun and first < 4) or (dtls and 20 <= first < 64) or (rtp and is_rtp):
                return datagram


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(addresses=["127.0.0.1"])
    yield engine
    engine.close()


def wait_for(engine: Engine, kind: type[EventT], peer: int) -> EventT:
    """The peer's next event of that kind. Others on the way are forgotten."""
    deadline = monotonic() + PATIENCE
    while (left := deadline - monotonic()) > 0:
        select.select([engine.event_fd], [], [], left)
        for event in engine.drain():
            if isinstance(event, kind) and getattr(event, "peer", None) == peer:
                return event
    raise AssertionError(f"no {kind.__name__} of peer {peer}")


def join(engine: Engine, peer: int, room: int = 1, *, client: Client | None = None, **changes: Any) -> Client:
    client = client or Client(f"{peer}", engine.addresses[0][0])
    worker = engine.add_peer(room=room, peer=peer, config=client.describe(**changes))
    if client.address not in engine.addresses[worker]:
        client.address = engine.addresses[worker][0]
    client.check()
    client.handshake()
    wait_for(engine, Event.Connected, peer)
    return client


def microphone(csrc: int) -> Source:
    return Source(csrc=csrc, mid="0", payload_type=PAYLOAD_TYPE, ssrc=csrc + 1000, level_extension=LEVEL_EXTENSION)


def speaker(ssrc: int) -> Slot:
    return Slot(ssrc=ssrc, payload_type=PAYLOAD_TYPE, level_extension=LEVEL_EXTENSION)


def gauges(engine: Engine) -> dict[str, int]:
    counters = engine.counters()
    return {name: counters[name] for name in GAUGES}


def is_free(address: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        try:
            another.bind(address)
        except OSError:
            return False
        return True


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


# Connections (RFC 6544, RFC 4571)


class TcpClient(Client):
    """The same client behind a network that lets nothing pass but TCP. It writes in pieces of `piece` bytes."""

    def __init__(self, name: str, address: tuple[str, int], piece: int = 65536) -> None:
        super().__init__(name, address)
        self.tcp = socket.create_connection(address, timeout=PATIENCE)
        self.piece = piece

    def send(self, datagram: bytes) -> None:
        framed = struct.pack("!H", len(datagram)) + datagram
        for start in range(0, len(framed), self.piece):
            self.tcp.sendall(framed[start : start + self.piece])

    def receive(self, *, stun: bool = False, dtls: bool = False, rtp: bool = False) -> bytes:
        while True:
            (length,) = struct.unpack("!H", self._exactly(2))
            datagram = self._exactly(length)
            first = datagram[0]
            is_rtp = 128 <= first < 192 and not 192 <= datagram[1] < 224
            if (stun and first < 4) or (dtls and 20 <= first < 64) or (rtp and is_rtp):
                return datagram

    def _exactly(self, length: int) -> bytes:
        got = b""
        while len(got) < length:
            piece = self.tcp.recv(length - len(got))
            if not piece:
                raise EOFError
            got += piece
        return got


def is_closed(connection: socket.socket) -> bool:
    """Waits until the other side has done something."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("piece", [65536, 1])
def test_a_call_over_tcp_is_like_any_other(engine: Engine, piece: int) -> None:
    address = engine.addresses[0][0]
    slots = [speaker(ssrc=77)]
    inside = TcpClient("1", address, piece)
    join(engine, 1, client=inside, source=microphone(csrc=1), slots=slots)
    outside = join(engine, 2, client=Client("2", address), source=microphone(csrc=2), slots=slots)
    for index in range(20):
        inside.say(index, ssrc=1001)
        assert struct.unpack_from("!I", outside.hear(), 12) == (1,)
        outside.say(index, ssrc=1002)
        assert struct.unpack_from("!I", inside.hear(), 12) == (2,)
    assert engine.counters()["tcp_connections"] == 1
    # From TCP to UDP and back: the path that it nominates last.
    inside.tcp.close()
    outside.say(20, ssrc=1002)
    again = TcpClient("1", address)
    again.inbound = inside.inbound
    again.check()
    outside.say(21, ssrc=1002)
    assert struct.unpack_from("!I", again.hear(), 12) == (2,)


@pytest.mark.parametrize("framed", [b"\xff\xff", struct.pack("!H", 1501) + bytes(20), b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_frame_ends_its_connection(engine: Engine, framed: bytes) -> None:
    with socket.create_connection(engine.addresses[0][0], timeout=PATIENCE) as connection:
        connection.sendall(framed)
        assert is_closed(connection)
    assert engine.counters()["tcp_connections"] == 0


def test_one_address_has_few_connections_without_a_check_and_members_are_not_among_them(engine: Engine) -> None:
    address = engine.addresses[0][0]
    member = join(engine, 1, client=TcpClient("1", address), source=microphone(csrc=1), slots=[speaker(ssrc=77)])
    strangers = [socket.create_connection(address, timeout=PATIENCE) for _ in range(100)]
    assert all(is_closed(each) for each in strangers[32:])
    counters = engine.counters()
    assert (counters["tcp_connections"], counters["drop_tcp_refused"]) == (33, 68)
    member.check()
    for each in strangers:
        each.close()


def test_connections_that_come_and_go_by_the_thousand_leave_nothing(engine: Engine) -> None:
    address = engine.addresses[0][0]
    member = join(engine, 1, client=TcpClient("1", address), source=microphone(csrc=1))
    port = None
    for index in range(2000):
        with socket.socket() as connection:
            if index % 2:  # ended by a reset, and begun again from the same port at once
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                connection.bind(("127.0.0.1", port or 0))
                port = connection.getsockname()[1]
            connection.connect(address)
            connection.sendall(b"\0\5knock"[: index % 7])
    deadline = monotonic() + PATIENCE
    while engine.counters()["tcp_connections"] > 1:
        assert monotonic() < deadline
    member.check()
    assert gauges(engine) == {"rooms": 1, "peers": 1, "sources": 1, "slots_held": 0, "dtls_pending": 0}


def test_who_comes_while_there_are_no_descriptors_is_let_in_when_there_are_some(engine: Engine) -> None:
    client = Client("1", engine.addresses[0][0])
    engine.add_peer(room=1, peer=1, config=client.describe())
    connection = socket.socket()
    connection.settimeout(PATIENCE)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(each) for each in os.listdir("/proc/self/fd"))
    free = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, limits[1]))
    try:
        connection.connect(client.address)
        assert engine.counters()["tcp_connections"] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in free:
            os.close(each)
    inside = TcpClient("1", client.address)
    inside.tcp.close()
    inside.tcp = connection
    inside.check()


def test_who_does_not_read_is_sent_no_more_than_a_second_and_harms_nobody(engine: Engine) -> None:
    address = engine.addresses[0][0]
    talker = join(engine, 1, source=microphone(csrc=1))
    deaf = TcpClient("2", address)
    deaf.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    join(engine, 2, client=deaf, slots=[speaker(ssrc=77)])
    listener = join(engine, 3, slots=[speaker(ssrc=77)])
    index = 0
    while engine.counters()["drop_tcp_full"] == 0:
        for _ in range(50):
            talker.say(index, ssrc=1001)
            listener.hear()
            index += 1
        sleep(0.08)  # nearly as fast as a member may send


# Several workers


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
