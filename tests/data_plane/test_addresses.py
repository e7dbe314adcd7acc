"""Which addresses are chosen, offered and doubted: values in, values out."""

import pytest

from data_plane.addresses import MAX_ADDRESSES, Found, default_addresses, detect, doubts, offered, others_reach
from data_plane.addresses import _ipv6_flags as ipv6_flags
from data_plane.sdp import Candidate

LO = [Found("127.0.0.1"), Found("::1")]


def test_others_reach_what_is_neither_loopback_nor_link_local() -> None:
    found = [*LO, Found("fe80::1"), Found("fd00::2"), Found("169.254.1.1"), Found("192.0.2.2"), Found("2001:db8::2")]
    assert others_reach(found) == ["192.0.2.2", "fd00::2", "2001:db8::2"]


@pytest.mark.parametrize("address", ["::", "ff02::1", "::ffff:192.0.2.1", "fec0::1", "64:ff9b::c000:201"])
def test_only_global_and_unique_local_ipv6_is_offered(address: str) -> None:
    assert others_reach([Found(address)]) == []


def test_an_address_that_is_passing_is_left_out() -> None:
    assert others_reach([Found("2001:db8::1", passing=True), Found("2001:db8::2")]) == ["2001:db8::2"]


def test_an_address_of_two_interfaces_counts_once() -> None:
    assert others_reach([Found("192.0.2.2"), Found("192.0.2.2")]) == ["192.0.2.2"]


def test_the_default_is_loopback_and_what_others_reach() -> None:
    found = [*LO, Found("192.0.2.2"), Found("fd00::2")]
    assert default_addresses(found) == ("127.0.0.1", "::1", "192.0.2.2", "fd00::2")
    assert default_addresses([Found("127.0.0.1")]) == ("127.0.0.1",)
    assert default_addresses([]) == ("127.0.0.1",)


@pytest.mark.parametrize(("ipv4", "ipv6", "kept"), [(20, 1, (5, 1)), (1, 20, (1, 5)), (20, 20, (3, 3)), (2, 1, (2, 1))])
def test_of_many_addresses_some_of_each_family_are_kept(ipv4: int, ipv6: int, kept: tuple[int, int]) -> None:
    found = [*LO, *(Found(f"192.0.2.{n}") for n in range(ipv4)), *(Found(f"2001:db8::{n + 1:x}") for n in range(ipv6))]
    chosen = default_addresses(found)
    assert len(chosen) <= MAX_ADDRESSES
    others = [each for each in chosen if each not in ("127.0.0.1", "::1")]
    assert (sum("." in each for each in others), sum(":" in each for each in others)) == kept


def test_the_kernel_says_which_addresses_are_passing() -> None:
    text = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "20010db8000000000000000000000007 02 40 00 01     eth0\n"
        "20010db8000000000000000000000008 02 40 00 a0     eth0\n"
        "nonsense\n"
    )
    assert ipv6_flags(text) == {"::1": 0x80, "2001:db8::7": 0x01, "2001:db8::8": 0xA0}


def test_this_machine_has_a_loopback() -> None:
    assert Found("127.0.0.1") in detect()


BOUND = [("127.0.0.1", 40001), ("fd00::2", 40001)]


def test_sockets_are_offered_by_udp_and_then_by_tcp() -> None:
    udp = [Candidate("127.0.0.1", 40001), Candidate("fd00::2", 40001)]
    assert offered(BOUND, (), tcp=False) == udp
    tcp = [Candidate("127.0.0.1", 40001, True), Candidate("fd00::2", 40001, True)]
    assert offered(BOUND, (), tcp=True) == [*udp, *tcp]


def test_what_is_announced_is_offered_instead_at_the_port_of_the_worker() -> None:
    assert offered(BOUND, ["203.0.113.7", "2001:db8::7"], tcp=False) == [
        Candidate("203.0.113.7", 40001),
        Candidate("2001:db8::7", 40001),
    ]


def test_what_is_announced_without_a_socket_of_its_family_is_not_offered() -> None:
    assert offered(BOUND[:1], ["203.0.113.7", "2001:db8::7"], tcp=False) == [Candidate("203.0.113.7", 40001)]


DOUBTS: dict[str, tuple[list[str], list[str], bool, list[str]]] = {
    "loopback for this machine": (["127.0.0.1"], [], False, []),
    "loopback for others": (["127.0.0.1", "::1"], [], True, ["on this machine only"]),
    "a private network": (["127.0.0.1", "192.168.1.5", "fd00::2"], [], True, ["in this network only"]),
    "a private network of this machine": (["192.168.1.5"], [], False, []),
    "a public address": (["127.0.0.1", "10.0.0.5", "8.8.8.8"], [], True, []),
    "a public address of IPv6": (["10.0.0.5", "2a00:1450::1"], [], True, []),
    "an announced address": (["10.0.0.5"], ["8.8.8.8"], True, []),
    "an announced loopback address": (["10.0.0.5"], ["127.0.0.1"], True, ["on this machine only"]),
    "an announced address without a socket": (["10.0.0.5"], ["8.8.8.8", "2a00:1450::1"], True, ["no IPv6 socket"]),
    "no announced address with a socket": (["::1"], ["8.8.8.8"], True, ["no IPv4 socket", "no address at all"]),
}


@pytest.mark.parametrize(("bound", "announce", "exposed", "said"), DOUBTS.values(), ids=DOUBTS)
def test_what_cannot_work_is_said_in_a_sentence(
    bound: list[str], announce: list[str], exposed: bool, said: list[str]
) -> None:
    sentences = doubts(bound, announce, exposed=exposed)
    assert len(sentences) == len(said)
    for sentence, words in zip(sentences, said, strict=True):
        assert words in sentence
        assert sentence.endswith(".")
        assert "\n" not in sentence
