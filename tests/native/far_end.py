"""The far end of the engine: a client that shares no code with it (aioice's STUN, OpenSSL's DTLS, libsrtp)."""

import datetime
import os
import select
import socket
import struct
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

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
        if "source" in changes:
            changes["sources"] = [changes.pop("source")]
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
