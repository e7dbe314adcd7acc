"""This node's answer: ICE lite, one transport, one stream a slot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from data_plane.sdp.offer import AUDIO_LEVEL, MID, AudioLine, Offer, RefusedLine, Role


@dataclass(frozen=True, slots=True)
class Local:
    """Our side of one client's transport."""

    ufrag: str
    password: str
    fingerprint: bytes  # SHA-256
    cname: str
    source_mid: str | None  # of the m-line that we receive
    slot_ssrcs: Mapping[str, int]  # by mid, of the m-lines that we send
    session: int  # of the o= line
    version: int = 1  # of the o= line: one more with each further answer (RFC 3264 §8)


def describe(offer: Offer, local: Local, candidates: Sequence[tuple[str, int]]) -> str:
    """The answer to `offer`, with as many m-lines in the same order (RFC 3264 §6).

    `candidates`: address and UDP port.
    """
    return "\r\n".join((*_session(offer, local), *_media(offer, local, candidates), ""))


def _session(offer: Offer, local: Local) -> Iterator[str]:
    yield "v=0"
    yield f"o=- {local.session} {local.version} IN IP4 127.0.0.1"
    yield "s=-"
    yield "t=0 0"
    yield f"a=group:BUNDLE {' '.join(offer.bundle)}"
    yield "a=msid-semantic: WMS *"
    yield "a=ice-lite"


def _media(offer: Offer, local: Local, candidates: Sequence[tuple[str, int]]) -> Iterator[str]:
    for line in offer.lines:
        match line:
            case RefusedLine():
                yield f"m={line.media} 0 {line.protocol} {line.format}"
                yield "c=IN IP4 0.0.0.0"
                if line.mid is not None:
                    yield f"a=mid:{line.mid}"
                yield "a=inactive"
            case AudioLine():
                yield from _audio(line, offer, local, candidates)


def _audio(line: AudioLine, offer: Offer, local: Local, candidates: Sequence[tuple[str, int]]) -> Iterator[str]:
    receives, ssrc = line.mid == local.source_mid, local.slot_ssrcs.get(line.mid)
    yield f"m=audio 9 {line.protocol} {line.payload_type}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{line.mid}"
    yield f"a=ice-ufrag:{local.ufrag}"
    yield f"a=ice-pwd:{local.password}"
    yield f"a=fingerprint:sha-256 {local.fingerprint.hex(':').upper()}"
    yield f"a=setup:{Role.answering(offer.setup).value}"
    # RFC 8843 §10 wants these on the tagged m-line alone, but aiortc takes those of the last line of a transport, and
    # nobody minds repetition.
    for index, (address, port) in enumerate(candidates):
        yield f"a=candidate:{index + 1} 1 udp {_priority(address, index)} {address} {port} typ host"
    yield "a=end-of-candidates"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"
    yield f"a=rtpmap:{line.payload_type} opus/48000/2"
    yield f"a=fmtp:{line.payload_type} minptime=10;useinbandfec=1"
    if line.level_extension is not None:
        yield f"a=extmap:{line.level_extension} {AUDIO_LEVEL}"
    if line.mid_extension is not None:
        yield f"a=extmap:{line.mid_extension} {MID}"
    if ssrc is not None:
        stream = f"slot-{list(local.slot_ssrcs).index(line.mid)}"
        yield f"a=msid:{stream} {stream}"
        yield f"a=ssrc:{ssrc} cname:{local.cname}"
        yield "a=sendrecv" if receives else "a=sendonly"
    else:
        yield "a=recvonly" if receives else "a=inactive"


def _priority(address: str, index: int) -> int:
    """RFC 8445 §5.1.2.1: host preference 126, IPv6 before IPv4 (RFC 8421), component 1."""
    preference = (65535 if ip_address(address).version == 6 else 65000) - index
    return 126 << 24 | preference << 8 | 255
