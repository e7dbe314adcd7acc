"""The Cython codec beside plain Python, on the packet that is read most: a voice packet with a level and a MID."""

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from native import rtp
from tests.native import rtp_oracle

HEADER = rtp.Header(
    payload_type=111, sequence=4711, timestamp=960, ssrc=7, csrcs=[9], extensions=[(1, b"\x85"), (4, b"0")]
)
PACKET = HEADER.serialize() + bytes(100)
PACKETS = 10_000  # of one stream: more than three minutes of speech
TIMESTAMPS = np.arange(PACKETS, dtype=np.uint32) * 960
ARRIVALS = np.arange(PACKETS, dtype=np.int64) * 20_000_000


@pytest.mark.benchmark(group="rtp parse")
@pytest.mark.parametrize(("contestant", "read"), [("cython", rtp.parse), ("python", rtp_oracle.parse)])
def test_parse(benchmark: BenchmarkFixture, contestant: str, read: Callable[[bytes], object]) -> None:
    benchmark.extra_info.update(contestant=contestant, items=1)
    benchmark(read, PACKET)


@pytest.mark.benchmark(group="rtp jitter")
def test_jitter_cython(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info.update(contestant="cython", items=PACKETS)

    def estimate() -> int:
        jitter = rtp.Jitter(48_000)
        jitter.receive_batch(TIMESTAMPS, ARRIVALS)
        return jitter.timestamp_units

    assert benchmark(estimate) == 0


@pytest.mark.benchmark(group="rtp jitter")
def test_jitter_python(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info.update(contestant="python", items=PACKETS)
    packets = list(zip(TIMESTAMPS.tolist(), ARRIVALS.tolist(), strict=True))
    assert benchmark(rtp_oracle.jitter, 48_000, packets) == 0
