"""Who is published to: an ICE-lite, DTLS-SRTP receiver in one thread, which opens every packet and keeps it.

It shares no code with the node: aioice's STUN, OpenSSL's DTLS, libsrtp. What it feeds back says that the path is wide
and loses nothing, so that an encoder sends every layer it has.
"""

import secrets
import select
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

from aioice import stun
from OpenSSL import SSL
from pylibsrtp import Error, Policy, Session

from tests.native.far_end import ECDSA, PROFILES

REPORT_INTERVAL = 0.5  # seconds between receiver reports
FEEDBACK_INTERVAL = 0.05  # seconds between reports of transport-wide sequence numbers, as libwebrtc's slowest
RECEIVER_SSRC = 1
WIDE = 10_000_000  # bits/s that REMB says the path can carry


@dataclass(frozen=True)
class Arrival:
    at: float  # monotonic seconds
    rtcp: bool
    packet: bytes  # plaintext


@dataclass
class Stream:
    """What receiver reports say of one SSRC."""

    first: int
    highest: int  # extended sequence number
    sender_report: tuple[int, float] = (0, 0.0)  # middle 32 bits of its NTP time, when it came


@dataclass
class Feedback:
    """Transport-wide sequence numbers since the last report (draft-holmer-rmcat-transport-wide-cc-extensions-01)."""

    arrivals: dict[int, float] = field(default_factory=dict)
    highest: int = 0
    count: int = 0

    def received(self, sequence: int, at: float) -> None:
        extended = self.highest + ((sequence - self.highest + 0x8000) & 0xFFFF) - 0x8000
        self.highest = max(self.highest, extended)
        self.arrivals[extended] = at

    def take(self) -> bytes | None:
        """The FCI of one report, times in the clock of `at`."""
        if not self.arrivals:
            return None
        base, last = min(self.arrivals), max(self.arrivals)
        reference = int(self.arrivals[base] / 0.064)
        clock = reference * 256  # of 250 µs
        symbols, deltas = list[int](), b""
        for sequence in range(base, last + 1):
            at = self.arrivals.get(sequence)
            if at is None:
                symbols.append(0)
                continue
            delta = round(at / 0.00025) - clock
            clock += delta
            if 0 <= delta < 256:
                symbols.append(1)
                deltas += bytes([delta])
            else:
                symbols.append(2)
                deltas += struct.pack("!h", delta)
        symbols += [0] * (-len(symbols) % 7)
        chunks = b""
        for start in range(0, len(symbols), 7):
            chunk = 0b11
            for symbol in symbols[start : start + 7]:
                chunk = chunk << 2 | symbol
            chunks += struct.pack("!H", chunk)
        head = struct.pack("!HHI", base & 0xFFFF, last - base + 1, (reference & 0xFFFFFF) << 8 | self.count & 0xFF)
        self.arrivals.clear()
        self.count += 1
        return head + chunks + deltas


def rtcp(kind: int, count: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def element(packet: bytes, wanted: int) -> bytes | None:
    """An element of the header extension, in either form (RFC 8285 §4)."""
    if not packet[0] & 0x10:
        return None
    at = 12 + 4 * (packet[0] & 0x0F)
    profile, words = struct.unpack_from("!HH", packet, at)
    at, end = at + 4, at + 4 + 4 * words
    while at < end:
        if profile == 0xBEDE:
            name, size, at = packet[at] >> 4, (packet[at] & 0x0F) + 1, at + 1
            if name == 0:
                continue
        else:
            name = packet[at]
            if name == 0:
                at += 1
                continue
            size, at = packet[at + 1], at + 2
        if name == wanted:
            return packet[at : at + size]
        at += size
    return None


class FarEnd:
    """Listens from the beginning, until `close`. Other threads may read `arrivals`, and only that."""

    def __init__(self) -> None:
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(12)
        self.fingerprint = ":".join(f"{byte:02X}" for byte in ECDSA.fingerprints[1][1])
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.udp.getsockname()
        self.arrivals: list[Arrival] = []
        self.refused = 0
        context = SSL.Context(SSL.DTLS_METHOD)
        context.use_certificate(ECDSA.x509)
        context.use_privatekey(ECDSA.key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_tlsext_use_srtp(b":".join(PROFILES))
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(1200)
        self.ssl.set_accept_state()
        self.inbound: Session | None = None
        self.outbound: Session | None = None
        self.peer: tuple[str, int] | None = None
        self.transport_cc: int | None = None
        self.streams: dict[int, Stream] = {}
        self.feedback = Feedback()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._asked = list[int]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def expect(self, transport_cc: int | None) -> None:
        """The id of the transport-cc extension; without, the estimate is REMB's."""
        self.transport_cc = transport_cc

    def ask_key_frames(self, ssrcs: Iterable[int]) -> None:
        """A PLI each (RFC 4585 §6.3.1)."""
        with self._lock:
            self._asked += ssrcs

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self.udp.close()

    def _run(self) -> None:
        next_report = next_feedback = monotonic()
        while not self._closing.is_set():
            readable, _, _ = select.select([self.udp], [], [], 0.01)
            if readable:
                datagram, sender = self.udp.recvfrom(2048)
                self._receive(datagram, sender, monotonic())
            now = monotonic()
            if now >= next_feedback:
                next_feedback = now + FEEDBACK_INTERVAL
                self._tell_arrivals()
            if now >= next_report:
                next_report = now + REPORT_INTERVAL
                self._report(now)
            with self._lock:
                asked, self._asked = self._asked, []
            if asked:
                self._send_rtcp([rtcp(206, 1, struct.pack("!II", RECEIVER_SSRC, ssrc)) for ssrc in asked], now)

    def _receive(self, datagram: bytes, sender: tuple[str, int], now: float) -> None:
        first = datagram[0]
        if first < 4:
            self._check(datagram, sender)
        elif 20 <= first < 64:
            self.peer = sender
            self.ssl.bio_write(datagram)
            self._handshake()
        elif 128 <= first < 192 and self.inbound is not None:
            is_rtcp = 192 <= datagram[1] < 224
            try:
                plain = self.inbound.unprotect_rtcp(datagram) if is_rtcp else self.inbound.unprotect(datagram)
            except Error:
                self.refused += 1
                return
            self.arrivals.append(Arrival(now, is_rtcp, plain))
            if is_rtcp:
                self._heard_report(plain, now)
            else:
                self._heard(plain, now)

    def _check(self, datagram: bytes, sender: tuple[str, int]) -> None:
        request = stun.parse_message(datagram)
        if request.message_class != stun.Class.REQUEST:
            return
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = sender
        answer.add_message_integrity(self.password.encode())
        answer.add_fingerprint()
        self.udp.sendto(bytes(answer), sender)

    def _handshake(self) -> None:
        try:
            self.ssl.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return
        self._flush()
        if self.inbound is not None:
            return
        profile, key, salt = PROFILES[self.ssl.get_selected_srtp_profile()]
        material = self.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
        keys, salts = material[: 2 * key], material[2 * key :]
        client, server = keys[:key] + salts[:salt], keys[key:] + salts[salt:]
        self.outbound = Session(Policy(server, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
        self.inbound = Session(Policy(client, Policy.SSRC_ANY_INBOUND, srtp_profile=profile))

    def _flush(self) -> None:
        """A datagram a record (RFC 6347 §4.1), as OpenSSL's memory knows no datagrams."""
        try:
            written = self.ssl.bio_read(65536)
        except SSL.WantReadError:
            return
        while written and self.peer:
            end = 13 + int(struct.unpack_from("!H", written, 11)[0])
            self.udp.sendto(written[:end], self.peer)
            written = written[end:]

    def _heard(self, packet: bytes, now: float) -> None:
        sequence, _, ssrc = struct.unpack_from("!HII", packet, 2)
        stream = self.streams.setdefault(ssrc, Stream(sequence, sequence))
        stream.highest = max(stream.highest, stream.highest + ((sequence - stream.highest + 0x8000) & 0xFFFF) - 0x8000)
        if self.transport_cc is not None and (value := element(packet, self.transport_cc)):
            self.feedback.received(int.from_bytes(value, "big"), now)

    def _heard_report(self, compound: bytes, now: float) -> None:
        at = 0
        while at + 8 <= len(compound):
            kind, words, ssrc = struct.unpack_from("!xBHI", compound, at)
            if kind == 200 and ssrc in self.streams:
                self.streams[ssrc].sender_report = (struct.unpack_from("!I", compound, at + 10)[0], now)
            at += 4 + 4 * words

    def _tell_arrivals(self) -> None:
        if self.streams and (fci := self.feedback.take()):
            media = next(iter(self.streams))
            self._send_rtcp([rtcp(205, 15, struct.pack("!II", RECEIVER_SSRC, media) + fci)], monotonic())

    def _report(self, now: float) -> None:
        if not self.streams:
            return
        ssrcs = list(self.streams)[:31]
        mantissa, exponent = WIDE, 0
        while mantissa >= 1 << 18:
            mantissa, exponent = mantissa >> 1, exponent + 1
        size = len(ssrcs) << 24 | exponent << 18 | mantissa
        remb = struct.pack("!II4sI", RECEIVER_SSRC, 0, b"REMB", size) + b"".join(
            struct.pack("!I", ssrc) for ssrc in ssrcs
        )
        self._send_rtcp([rtcp(206, 15, remb)], now)

    def _send_rtcp(self, packets: list[bytes], now: float) -> None:
        """Behind a receiver report, as RFC 3550 §6.1 wants."""
        if self.outbound is None or self.peer is None:
            return
        blocks = b""
        for ssrc, stream in list(self.streams.items())[:31]:
            middle, came = stream.sender_report
            delay = round((now - came) * 65536) if middle else 0
            blocks += struct.pack("!IIIIII", ssrc, 0, stream.highest & 0xFFFFFFFF, 0, middle, delay)
        report = rtcp(201, len(blocks) // 24, struct.pack("!I", RECEIVER_SSRC) + blocks)
        self.udp.sendto(self.outbound.protect_rtcp(report + b"".join(packets)), self.peer)
