"""What `swarm --dump` writes, opened by libsrtp."""

import json
from dataclasses import dataclass
from pathlib import Path

from pylibsrtp import Policy, Session

from native import rtp

PROFILES = {
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}
STAMP = 18  # bytes of padding, as native/swarm/src/stamp.rs writes it


@dataclass(frozen=True)
class Opened:
    profile: str
    packets: list[bytes]  # RTP, in order of arrival
    compounds: list[bytes]  # RTCP
    slots: list[int]  # the SSRCs that the server had announced

    @property
    def payloads(self) -> list[bytes]:
        return [rtp.parse(packet)[1] for packet in self.packets]


def opened(file: Path) -> Opened:
    """Raises `pylibsrtp.Error` on a packet that does not authenticate or comes twice."""
    head, *lines = (json.loads(line) for line in file.read_text().splitlines())
    key = bytes.fromhex(head["key"]) + bytes.fromhex(head["salt"])
    session = Session(Policy(key, Policy.SSRC_ANY_INBOUND, srtp_profile=PROFILES[head["profile"]]))
    packets, compounds = list[bytes](), list[bytes]()
    for line in lines:
        sealed = bytes.fromhex(line["packet"])
        match line["kind"]:
            case "rtp":
                packets.append(session.unprotect(sealed))
            case "rtcp":
                compounds.append(session.unprotect_rtcp(sealed))
    return Opened(head["profile"], packets, compounds, head["slots"])


def unstamped(payload: bytes) -> bytes:
    """The Opus packet that it was before a time was written into its padding (RFC 6716 §3.2.5); others as they are."""
    if len(payload) > STAMP + 3 and payload[0] & 3 == 3 and payload[1:3] == bytes([0x41, STAMP]):
        return bytes([payload[0] & ~3]) + payload[3:-STAMP]
    return payload
