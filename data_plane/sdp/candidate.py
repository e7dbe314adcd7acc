"""This node's ICE candidates as SDP writes them (RFC 8839 §5.1, RFC 6544 §4.5)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host candidate; with `tcp` a passive one, where the client connects (RFC 6544 §4.1)."""

    address: str
    port: int
    tcp: bool = False


def candidate_lines(candidates: Sequence[Candidate]) -> Iterator[str]:
    """Most preferred first, for there are clients that take the first they understand."""
    ordered = sorted(candidates, key=lambda each: (each.tcp, _rank(each.address)))
    for index, each in enumerate(ordered):
        transport, end = ("tcp", " tcptype passive") if each.tcp else ("udp", "")
        yield f"a=candidate:{index + 1} 1 {transport} {_priority(each, index)} {each.address} {each.port} typ host{end}"


def _rank(address: str) -> tuple[bool, bool]:
    """IPv6 before IPv4 (RFC 8421); loopback, which serves this machine alone, last."""
    ip = ip_address(address)
    return ip.is_loopback, ip.version == 4


def _priority(candidate: Candidate, index: int) -> int:
    """RFC 8445 §5.1.2.1, component 1. TCP by RFC 6544 §4.2: a lower type preference, direction preference 4 of passive
    host candidates above 13 bits of our own."""
    loopback, ipv4 = _rank(candidate.address)
    own = (2 - 2 * loopback - (ipv4 and not loopback)) << 11 | 2047 - index
    return (90 << 24 | (4 << 13 | own) << 8 if candidate.tcp else 126 << 24 | (7 << 13 | own) << 8) | 255
