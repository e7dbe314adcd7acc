"""SRTP and SRTCP beside libsrtp, over a channel that loses, reorders, repeats and damages.

Whoever seals, both implementations must open the same packets to the same bytes and refuse the same others.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from chorale_engine import Srtp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pylibsrtp import Error, Policy, Session

SSRC = 0x1234ABCD
WINDOW = 1024  # packets, ours and, for SRTP, what we tell libsrtp
RTCP_WINDOW = 128  # libsrtp's, fixed
Fate = Literal["arrives", "lost", "repeated", "damaged"]


@dataclass(frozen=True)
class Profile:
    name: str
    libsrtp: int
    salt_len: int


PROFILES = [
    Profile("AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 12),
    Profile("AES_CM_128_HMAC_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 14),
]


@dataclass(frozen=True)
class Sent:
    gap: int  # sequence numbers since the packet before
    delay: int  # places by which others overtake it
    fate: Fate
    body: bytes
    csrcs: int
    extension: bytes | None  # its data, whole words

    def rtp(self, sequence: int) -> bytes:
        first = 0x80 | (0x10 if self.extension is not None else 0) | self.csrcs
        packet = struct.pack("!BBHII", first, 111, sequence & 0xFFFF, sequence * 960 & 0xFFFFFFFF, SSRC)
        packet += bytes(range(4 * self.csrcs))
        if self.extension is not None:
            packet += struct.pack("!HH", 0xBEDE, len(self.extension) // 4) + self.extension
        return packet + self.body

    def rtcp(self) -> bytes:
        body = self.body + bytes(-len(self.body) % 4)
        return struct.pack("!BBHI", 0x80, 201, 1 + len(body) // 4, SSRC) + body


def words(most: int) -> st.SearchStrategy[bytes]:
    return st.integers(0, most).flatmap(lambda count: st.binary(min_size=4 * count, max_size=4 * count))


def packets(gaps: st.SearchStrategy[int]) -> st.SearchStrategy[list[Sent]]:
    fates = st.sampled_from(["arrives"] * 6 + ["lost", "repeated", "damaged"])
    bodies = st.binary(min_size=1, max_size=40)
    each = st.builds(Sent, gaps, st.integers(0, 8), fates, bodies, st.integers(0, 15), st.none() | words(3))
    return st.lists(each, min_size=1, max_size=40)


# Mostly one after the other; sometimes as far as a rollover counter can be guessed.
GAPS = st.sampled_from([1] * 12 + [2, WINDOW - 1, WINDOW, 20_000, 32_767])
STARTS = st.sampled_from([0, 1, 32_767, 32_768, 65_500, 65_534, 65_535])
KEYS = st.binary(min_size=30, max_size=30)


def session(profile: Profile, key: bytes, ssrc_type: int) -> Session:
    policy = Policy(key[: 16 + profile.salt_len], ssrc_type, srtp_profile=profile.libsrtp)
    policy.window_size = WINDOW
    return Session(policy)


def ours(profile: Profile, key: bytes) -> Srtp:
    return Srtp(profile=profile.name, key=key[:16], salt=key[16 : 16 + profile.salt_len])


def channel(sent: Sequence[Sent], sealed: Sequence[bytes]) -> list[bytes]:
    """What arrives, in order of arrival."""
    arriving = sorted(range(len(sent)), key=lambda at: (at + sent[at].delay, at))
    arrived = []
    for at in arriving:
        packet = sealed[at]
        match sent[at].fate:
            case "arrives":
                arrived.append(packet)
            case "repeated":
                arrived += [packet, packet]
            case "damaged":
                arrived.append(packet[:-1] + bytes([packet[-1] ^ 1]))
            case "lost":
                pass
    return arrived


def opened(unprotect: Callable[[bytes], bytes], packet: bytes) -> bytes | None:
    try:
        return unprotect(packet)
    except (ValueError, Error):
        return None


@pytest.mark.parametrize("sealer", ["chorale", "libsrtp"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@settings(deadline=None, max_examples=60)
@given(key=KEYS, start=STARTS, sent=packets(GAPS))
def test_rtp_is_opened_and_refused_alike(
    profile: Profile, sealer: str, key: bytes, start: int, sent: list[Sent]
) -> None:
    indices = [start]
    for packet in sent[1:]:
        indices.append(indices[-1] + packet.gap)
    # Half way round the two guess differently, and neither is wrong (RFC 3711 §3.3.1).
    assume(all((later - index) % 65_536 != 32_768 for index in indices for later in indices))
    plain = [packet.rtp(index) for packet, index in zip(sent, indices, strict=True)]
    theirs = session(profile, key, Policy.SSRC_ANY_OUTBOUND)
    protect = ours(profile, key).protect if sealer == "chorale" else theirs.protect
    sealed = [protect(packet) for packet in plain]

    here, there = ours(profile, key), session(profile, key, Policy.SSRC_ANY_INBOUND)
    for arrived in channel(sent, sealed):
        result = opened(here.unprotect, arrived)
        assert result == opened(there.unprotect, arrived)
        assert result is None or result in plain


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@settings(deadline=None, max_examples=40)
@given(key=KEYS, start=STARTS, sent=packets(st.sampled_from([1, 1, 1, 2, 5])))
def test_both_seal_alike(profile: Profile, key: bytes, start: int, sent: list[Sent]) -> None:
    here, there = ours(profile, key), session(profile, key, Policy.SSRC_ANY_OUTBOUND)
    index = start
    for packet in sent:
        plain = packet.rtp(index)
        assert here.protect(plain) == there.protect(plain)
        index += packet.gap


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@settings(deadline=None, max_examples=40)
@given(key=KEYS, start=STARTS, sent=packets(st.just(1)))
def test_what_arrives_within_the_window_is_opened_once(
    profile: Profile, key: bytes, start: int, sent: list[Sent]
) -> None:
    # The first packet tells the receiver where it is; before it nothing can arrive from the other side of a rollover.
    sent = [replace(sent[0], delay=0, fate="arrives"), *sent[1:]]
    theirs = session(profile, key, Policy.SSRC_ANY_OUTBOUND)
    plain = [packet.rtp(start + at) for at, packet in enumerate(sent)]
    sealed = [theirs.protect(packet) for packet in plain]
    here = ours(profile, key)
    results = [opened(here.unprotect, packet) for packet in channel(sent, sealed)]
    expected = {packet for packet, each in zip(plain, sent, strict=True) if each.fate in ("arrives", "repeated")}
    assert sorted(result for result in results if result is not None) == sorted(expected)


@pytest.mark.parametrize("sealer", ["chorale", "libsrtp"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@settings(deadline=None, max_examples=40)
@given(key=KEYS, sent=packets(st.just(1)))
def test_rtcp_is_opened_and_refused_alike(profile: Profile, sealer: str, key: bytes, sent: list[Sent]) -> None:
    assert len(sent) < RTCP_WINDOW
    theirs = session(profile, key, Policy.SSRC_ANY_OUTBOUND)
    protect = ours(profile, key).protect_rtcp if sealer == "chorale" else theirs.protect_rtcp
    plain = [packet.rtcp() for packet in sent]
    sealed = [protect(packet) for packet in plain]

    here, there = ours(profile, key), session(profile, key, Policy.SSRC_ANY_INBOUND)
    for arrived in channel(sent, sealed):
        result = opened(here.unprotect_rtcp, arrived)
        assert result == opened(there.unprotect_rtcp, arrived)
        assert result is None or result in plain


def test_errors_say_what_is_wrong() -> None:
    def receiver() -> Srtp:
        return Srtp(profile="AEAD_AES_128_GCM", key=bytes(16), salt=bytes(12))

    packet = Sent(1, 0, "arrives", b"voice", 0, None)
    sealed, report = receiver().protect(packet.rtp(7)), receiver().protect_rtcp(packet.rtcp())
    srtp = receiver()
    assert srtp.unprotect(sealed) == packet.rtp(7)
    assert srtp.unprotect_rtcp(report) == packet.rtcp()
    for wrong, reason in [(sealed, "replay"), (sealed[:-1] + b"?", "replay"), (sealed[:20], "replay"), (b"", "short")]:
        with pytest.raises(ValueError, match=reason):
            srtp.unprotect(wrong)
    for wrong, reason in [(sealed[:-1] + b"?", "auth"), (sealed[:20], "short"), (b"\0" + sealed[1:], "header")]:
        with pytest.raises(ValueError, match=reason):
            receiver().unprotect(wrong)
    with pytest.raises(ValueError, match="replay"):
        srtp.unprotect_rtcp(report)
    with pytest.raises(ValueError, match="short"):
        srtp.protect_rtcp(report[:7])
    for profile, key, salt in [("NULL", 16, 12), ("AEAD_AES_128_GCM", 15, 12), ("AES_CM_128_HMAC_SHA1_80", 16, 12)]:
        with pytest.raises(ValueError, match=r"profile|length"):
            Srtp(profile=profile, key=bytes(key), salt=bytes(salt))
