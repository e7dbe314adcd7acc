"""RFC 3550 §5.1 with RFC 8285, and RFC 3550 A.8, in plain Python: slow, plain, written apart from native/rtp.pyx."""

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class Parsed:
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool
    csrcs: tuple[int, ...]
    extensions: tuple[tuple[int, bytes], ...]
    payload: bytes


def elements(profile: int, block: bytes) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    while block and (profile == 0xBEDE or profile >> 4 == 0x100):
        if block[0] == 0:
            block = block[1:]
            continue
        if profile == 0xBEDE:
            number, length, block = block[0] >> 4, (block[0] & 15) + 1, block[1:]
            if number == 15:
                break
            if number == 0:
                raise ValueError("extension")
        else:
            if len(block) < 2:
                raise ValueError("extension")
            number, length, block = block[0], block[1], block[2:]
        if len(block) < length:
            raise ValueError("extension")
        found.append((number, block[:length]))
        block = block[length:]
    return tuple(found)


def parse(packet: bytes) -> Parsed:
    if len(packet) < 12:
        raise ValueError("short")
    first, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", packet)
    if first >> 6 != 2:
        raise ValueError("version")
    count = first & 15
    rest = packet[12:]
    if len(rest) < 4 * count:
        raise ValueError("short")
    csrcs = struct.unpack_from(f"!{count}I", rest)
    rest = rest[4 * count :]
    profile, block = 0, b""
    if first & 0x10:
        if len(rest) < 4:
            raise ValueError("short")
        profile, words = struct.unpack_from("!HH", rest)
        if len(rest) < 4 + 4 * words:
            raise ValueError("short")
        block, rest = rest[4 : 4 + 4 * words], rest[4 + 4 * words :]
    if first & 0x20:
        if not rest or not 1 <= rest[-1] <= len(rest):
            raise ValueError("padding")
        rest = rest[: len(rest) - rest[-1]]
    return Parsed(second & 127, sequence, timestamp, ssrc, second > 127, csrcs, elements(profile, block), rest)


def jitter(clock_rate: int, packets: list[tuple[int, int]]) -> int:
    """The estimate after (timestamp, arrival in ns) pairs, in timestamp units."""
    scaled, previous = 0, None
    for timestamp, arrival_ns in packets:
        transit = (arrival_ns * clock_rate // 10**9 - timestamp) % 2**32
        if previous is not None:
            difference = (transit - previous + 2**31) % 2**32 - 2**31
            scaled += abs(difference) - ((scaled + 8) >> 4)
        previous = transit
    return scaled >> 4
