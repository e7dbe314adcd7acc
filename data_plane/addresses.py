"""Which addresses a node has, which of them clients are offered, and what is doubtful about those."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path

import ifaddr

from data_plane.sdp import Candidate

# Enough for every real machine, and a bound on what clients are told.
MAX_ADDRESSES = 8

LOOPBACK = ("127.0.0.1", "::1")
_GLOBAL, _UNIQUE_LOCAL = IPv6Network("2000::/3"), IPv6Network("fc00::/7")
# linux/if_addr.h: temporary (RFC 8981), failed duplicate detection, deprecated, tentative.
_PASSING = 0x01 | 0x08 | 0x20 | 0x40


@dataclass(frozen=True, slots=True)
class Found:
    """An address of an interface. `passing`: it will go or is going, or is not there yet, as far as can be told."""

    address: str
    passing: bool = False


def others_reach(found: Iterable[Found]) -> list[str]:
    """Those that other machines can send to, IPv4 first, each kind in the order it was found.

    Of IPv6 the global and the unique local ones: link-local addresses mean nothing without an interface, and temporary
    ones change under a call.
    """
    ipv4, ipv6 = list[str](), list[str]()
    for each in found:
        ip = ip_address(each.address)
        match ip:
            case IPv4Address() if not (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast):
                ipv4.append(str(ip))
            case IPv6Address() if not each.passing and (ip in _GLOBAL or ip in _UNIQUE_LOCAL):
                ipv6.append(str(ip))
    return list(dict.fromkeys((*ipv4, *ipv6)))


def default_addresses(found: Sequence[Found]) -> tuple[str, ...]:
    """Without a setting: loopback, for a browser on this machine, and what others reach; `MAX_ADDRESSES` at most, and
    some of each family whatever there is."""
    present = {each.address for each in found}
    ours = [each for each in LOOPBACK if each in present] or [LOOPBACK[0]]
    reached = others_reach(found)
    ipv6 = [each for each in reached if ":" in each]
    ipv4 = [each for each in reached if ":" not in each]
    room = MAX_ADDRESSES - len(ours)
    few = ipv6[: max(room // 2, room - len(ipv4))]
    return (*ours, *ipv4[: room - len(few)], *few)


def detect() -> list[Found]:
    """Of this machine, in the order of its interfaces."""
    flags = _ipv6_flags(_read("/proc/net/if_inet6"))
    found: list[Found] = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            address = each.ip if isinstance(each.ip, str) else each.ip[0]
            address = str(ip_address(address.partition("%")[0]))
            found.append(Found(address, passing=bool(flags.get(address, 0) & _PASSING)))
    return found


def interface_addresses(version: int = 4) -> list[str]:
    """Those of this machine that others can reach, of IPv4 or IPv6."""
    return [each for each in others_reach(detect()) if ip_address(each).version == version]


def _ipv6_flags(text: str) -> Mapping[str, int]:
    """What /proc/net/if_inet6 says: address, interface, prefix length, scope, flags and name in each line."""
    flags: dict[str, int] = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 6 and len(fields[0]) == 32:
            flags[str(IPv6Address(bytes.fromhex(fields[0])))] = int(fields[4], 16)
    return flags


def _read(path: str) -> str:
    """Nothing where there is no such file: then temporary addresses cannot be told apart."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def offered(bound: Sequence[tuple[str, int]], announce: Sequence[str], *, tcp: bool) -> list[Candidate]:
    """What clients of one worker are told: its sockets, all on one port, or in their place the announced addresses, of
    families that have a socket."""
    families = {ip_address(host).version for host, _ in bound}
    port = bound[0][1]
    places = [(host, port) for host in announce if ip_address(host).version in families] if announce else bound
    return [Candidate(*place, over_tcp) for over_tcp in ((False, True) if tcp else (False,)) for place in places]


def doubts(bound: Sequence[str], announce: Sequence[str], *, exposed: bool) -> list[str]:
    """A sentence for each reason why clients would not find this node. `exposed`: its page is served to others too."""
    families = {ip_address(each).version for each in bound}
    sentences = []
    for each in announce:
        version = ip_address(each).version
        if version not in families:
            sentences.append(
                f"CHORALE_MEDIA_ANNOUNCE names {each}, but voice has no IPv{version} socket, so nobody is told of it: "
                f"name an IPv{version} address of this machine in CHORALE_MEDIA_ADDRESSES too."
            )
    told = [ip_address(each) for each in announce if ip_address(each).version in families]
    told = told if announce else [ip_address(each) for each in bound]
    if not told:
        sentences.append("Voice cannot work: clients are told of no address at all.")
    elif exposed and all(each.is_loopback for each in told):
        sentences.append(
            "Voice works on this machine only, though its page is served to others: clients are told of loopback "
            "addresses alone; name others in CHORALE_MEDIA_ADDRESSES, or a public one in CHORALE_MEDIA_ANNOUNCE."
        )
    elif exposed and not any(each.is_global for each in told):
        sentences.append(
            "Voice works in this network only: clients are told of private addresses alone; for others name the public "
            "address in CHORALE_MEDIA_ANNOUNCE, and have the ports of voice passed on."
        )
    return sentences
