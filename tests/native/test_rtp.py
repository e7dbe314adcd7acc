import array
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from native import rtp
from tests.native import rtp_oracle

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)

EXTENSIONS = st.one_of(
    st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=6),
    st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=6),
)

HEADERS = st.builds(
    rtp.Header,
    payload_type=st.integers(0, 127),
    sequence=U16,
    timestamp=U32,
    ssrc=U32,
    marker=st.booleans(),
    csrcs=st.lists(U32, max_size=15),
    extensions=EXTENSIONS,
)


@st.composite
def near_packets(draw: st.DrawFn) -> bytes:
    """Bytes that get past the first checks often enough to reach the last ones: sound packets, then bent and cut."""
    wire = bytearray(draw(HEADERS).serialize() + draw(st.binary(max_size=40)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255)), max_size=4)):
        wire[at] = value
    return bytes(wire[: draw(st.integers(0, len(wire)))])


@given(HEADERS, st.binary(max_size=100))
def test_what_was_written_is_what_is_read(header: rtp.Header, payload: bytes) -> None:
    wire = header.serialize()
    assert len(wire) == header.size
    assert rtp.parse(wire + payload) == (header, payload)


@given(st.one_of(st.binary(max_size=80), near_packets()))
@example(b"")
@example(bytes.fromhex("90000000 00000000 00000000 bede0001 10aa3122"))  # an element longer than its block
@example(bytes.fromhex("90000000 00000000 00000000 10000001 00000005"))  # an id without its length
@example(bytes.fromhex("90000000 00000000 00000000 bede0001 03000000"))  # id 0 with a length
@example(bytes.fromhex("90000000 00000000 00000000 bede0001 f0aabbcc"))  # id 15 ends the block
@example(bytes.fromhex("90000000 00000000 00000000 12340001 f0aabbcc"))  # somebody else's profile
@example(bytes.fromhex("a0000000 00000000 00000000 00"))  # padding of nothing
@example(bytes.fromhex("a0000000 00000000 00000000 02"))  # more padding than packet
def test_any_bytes_are_read_as_the_plain_reader_reads_them(packet: bytes) -> None:
    try:
        expected = rtp_oracle.parse(packet)
    except ValueError as error:
        with pytest.raises(ValueError, match=f"^{error}$"):
            rtp.parse(packet)
        return
    header, payload = rtp.parse(packet)
    assert (
        rtp_oracle.Parsed(
            header.payload_type,
            header.sequence,
            header.timestamp,
            header.ssrc,
            header.marker,
            header.csrcs,
            header.extensions,
            payload,
        )
        == expected
    )


def test_a_packet_may_lie_in_any_contiguous_buffer_and_is_let_go() -> None:
    wire = rtp.Header(payload_type=0, sequence=1, timestamp=2, ssrc=3, extensions=[(1, b"z")]).serialize() + b"speech"
    backing = bytearray(wire)
    header, payload = rtp.parse(memoryview(backing))
    backing[:] = bytes(len(wire))  # would raise BufferError, or change the results, were the buffer still held
    backing.clear()
    assert (header.extensions, payload) == (((1, b"z"),), b"speech")
    assert rtp.parse(array.array("B", wire)) == rtp.parse(wire)


def test_a_buffer_with_gaps_is_refused() -> None:
    with pytest.raises(BufferError):
        rtp.parse(memoryview(bytes(100))[::2])


def test_text_is_no_packet() -> None:
    with pytest.raises(TypeError):
        rtp.parse("0" * 20)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload_type": 128},
        {"payload_type": -1},
        {"sequence": 2**16},
        {"timestamp": 2**32},
        {"ssrc": -1},
        {"csrcs": [2**32]},
    ],
)
def test_a_number_too_large_for_its_field_is_refused(wrong: dict[str, int]) -> None:
    fields = {"payload_type": 0, "sequence": 0, "timestamp": 0, "ssrc": 0} | wrong
    with pytest.raises(OverflowError):
        rtp.Header(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"csrcs": range(16)},
        {"extensions": [(0, b"a")]},
        {"extensions": [(256, b"a")]},
        {"extensions": [(1, bytes(256))]},
        {"extensions": [(1, bytes(255))] * 1100},
    ],
)
def test_what_no_header_can_carry_is_refused(wrong: dict[str, list[object]]) -> None:
    with pytest.raises(ValueError, match=r"15|id|bytes|longer"):
        rtp.Header(payload_type=0, sequence=0, timestamp=0, ssrc=0, **wrong)  # type: ignore[arg-type]


def test_the_two_byte_form_is_used_only_where_the_one_byte_form_cannot_serve() -> None:
    def profile(*extensions: tuple[int, bytes]) -> int:
        wire = rtp.Header(payload_type=0, sequence=0, timestamp=0, ssrc=0, extensions=extensions).serialize()
        return int(struct.unpack_from("!H", wire, 12)[0])

    assert profile((1, b"a"), (14, bytes(16))) == 0xBEDE
    assert profile((1, b"a"), (15, b"a")) == 0x1000
    assert profile((1, b"")) == 0x1000
    assert profile((1, bytes(17))) == 0x1000


def test_the_largest_block_of_extensions_goes_through() -> None:
    extensions = [(1, bytes(255))] * 1019 + [(1, bytes(255))]
    header = rtp.Header(payload_type=0, sequence=0, timestamp=0, ssrc=0, extensions=extensions)
    assert rtp.parse(header.serialize()) == (header, b"")


RATES = st.sampled_from([8000, 48000, 90000, 1, 2**32 - 1])
PACKETS = st.lists(st.tuples(U32, st.integers(-(2**62), 2**62)), max_size=50)


@given(RATES, PACKETS)
@example(48000, [(2**32 - 960 + 960 * n & 0xFFFFFFFF, 20_000_000 * n) for n in range(4)])
def test_jitter_is_what_the_formula_gives(clock_rate: int, packets: list[tuple[int, int]]) -> None:
    one_by_one = rtp.Jitter(clock_rate)
    for timestamp, arrival_ns in packets:
        one_by_one.receive(timestamp, arrival_ns)
    assert one_by_one.timestamp_units == rtp_oracle.jitter(clock_rate, packets)
    assert one_by_one.seconds == one_by_one.timestamp_units / clock_rate

    batch = rtp.Jitter(clock_rate)
    batch.receive_batch(
        np.array([timestamp for timestamp, _ in packets], np.uint32),
        np.array([arrival for _, arrival in packets], np.int64),
    )
    assert batch.timestamp_units == one_by_one.timestamp_units


@pytest.mark.parametrize("start", [0, 1, 2**31 - 480, 2**31, 2**32 - 961, 2**32 - 1])
def test_steady_packets_have_no_jitter_across_a_wraparound(start: int) -> None:
    jitter = rtp.Jitter(48000)
    for n in range(10):
        jitter.receive((start + 960 * n) % 2**32, 20_000_000 * n)
    assert jitter.timestamp_units == 0


def test_constant_displacement_converges_to_itself() -> None:
    jitter = rtp.Jitter(48000)
    for n in range(1000):
        jitter.receive(960 * n, 20_000_000 * n + (1_000_000 if n % 2 else 0))
    assert jitter.seconds == pytest.approx(0.001, rel=0.05)


def test_a_batch_of_unequal_lengths_counts_nothing() -> None:
    jitter = rtp.Jitter(48000)
    with pytest.raises(ValueError, match="each timestamp"):
        jitter.receive_batch(np.zeros(2, np.uint32), np.zeros(1, np.int64))
    assert jitter.timestamp_units == 0


def test_a_clock_that_stands_still_is_refused() -> None:
    with pytest.raises(ValueError, match="clock_rate"):
        rtp.Jitter(0)
