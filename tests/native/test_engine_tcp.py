"""Connections to the engine (RFC 6544, RFC 4571)."""

import os
import resource
import socket
import struct
from time import monotonic, sleep

import pytest
from chorale_engine import Engine

from tests.native.far_end import PATIENCE, Client, gauges, join, microphone, speaker


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
