"""Our SRTP beside pylibsrtp's, both called from Python, one packet a call, in the same run.

This compares what a Python program gets, bindings included: pylibsrtp reaches libsrtp through cffi and copies each
packet in and out, and how much of its time that takes is not measured here. So it is not cipher against cipher, and
says nothing of libsrtp called from C. Our own code without a binding is Criterion's to measure (`cargo bench -p sfu`).
"""

from collections.abc import Callable, Iterator

import chorale_engine
import pylibsrtp
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from native import rtp

KEY = bytes(range(16))
BATCH = 1000  # packets a round; a packet can be protected and unprotected only once

PROFILES = {
    "AEAD_AES_128_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, bytes(range(12))),
    "AES_CM_128_HMAC_SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, bytes(range(14))),
}


def ours(profile: str) -> chorale_engine.Srtp:
    return chorale_engine.Srtp(profile=profile, key=KEY, salt=PROFILES[profile][1])


def theirs(profile: str, *, inbound: bool) -> pylibsrtp.Session:
    number, salt = PROFILES[profile]
    kind = pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    return pylibsrtp.Session(pylibsrtp.Policy(key=KEY + salt, ssrc_type=kind, srtp_profile=number))


def packets() -> Iterator[bytes]:
    """Voice packets of about 100 bytes, without end, in order."""
    n = 0
    while True:
        header = rtp.Header(payload_type=111, sequence=n % 2**16, timestamp=n * 960 % 2**32, ssrc=7)
        yield header.serialize() + bytes(100)
        n += 1


def measure(benchmark: BenchmarkFixture, work: Callable[[bytes], bytes], source: Iterator[bytes]) -> None:
    def prepare() -> tuple[tuple[list[bytes]], dict[str, object]]:
        return ([next(source) for _ in range(BATCH)],), {}

    def all_of(batch: list[bytes]) -> None:
        for packet in batch:
            work(packet)

    rounds = 5 if benchmark.disabled else 50
    benchmark.pedantic(all_of, setup=prepare, rounds=rounds)  # type: ignore[no-untyped-call]
    benchmark.extra_info["items"] = BATCH


@pytest.mark.parametrize("library", ["chorale", "pylibsrtp"])
@pytest.mark.parametrize("profile", PROFILES)
def test_protect(benchmark: BenchmarkFixture, profile: str, library: str) -> None:
    benchmark.group = f"srtp protect {profile}"
    benchmark.extra_info["contestant"] = library
    sender = ours(profile) if library == "chorale" else theirs(profile, inbound=False)
    measure(benchmark, sender.protect, packets())


@pytest.mark.parametrize("library", ["chorale", "pylibsrtp"])
@pytest.mark.parametrize("profile", PROFILES)
def test_unprotect(benchmark: BenchmarkFixture, profile: str, library: str) -> None:
    benchmark.group = f"srtp unprotect {profile}"
    benchmark.extra_info["contestant"] = library
    sender = theirs(profile, inbound=False)
    receiver = ours(profile) if library == "chorale" else theirs(profile, inbound=True)
    measure(benchmark, receiver.unprotect, map(sender.protect, packets()))
