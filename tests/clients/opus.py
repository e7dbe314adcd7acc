"""Speech to RTP packets and back: Opus by libopus (through PyAV), headers by `native.rtp`."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from native import rtp

RATE = 48_000  # Hz: Opus in RTP always counts in it (RFC 7587 §4.1)
FRAME = 960  # samples of 20 ms
BIT_RATE = 32_000

Samples = NDArray[np.float32]


def encode(samples: Samples) -> list[bytes]:
    """Opus frames of 20 ms of mono `samples` at `RATE`; the rest that fills no frame is left out."""
    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = RATE, "mono", "flt"
    context.bit_rate, context.time_base = BIT_RATE, Fraction(1, RATE)
    context.options = {"application": "voip", "frame_duration": "20"}
    frames: list[bytes] = []
    for at in range(0, len(samples) - FRAME + 1, FRAME):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + FRAME], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        frames += [bytes(packet) for packet in context.encode(frame)]
    return frames


def packetize(frames: Iterable[bytes], *, ssrc: int, payload_type: int = 111, first: int = 65_500) -> list[bytes]:
    """RTP packets; their sequence numbers start at `first`, so that they soon wrap around."""
    return [
        rtp.Header(
            payload_type=payload_type,
            sequence=(first + n) % 2**16,
            timestamp=(2**32 - 10 * FRAME + n * FRAME) % 2**32,
            ssrc=ssrc,
            marker=n == 0,
        ).serialize()
        + frame
        for n, frame in enumerate(frames)
    ]


def decode(packets: Sequence[bytes]) -> Samples:
    """Mono samples at `RATE` of one RTP stream: in order of sequence number, silence where packets are missing."""
    context = av.CodecContext.create("libopus", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = RATE, "mono"
    by_time: dict[int, bytes] = {}
    start = 0
    for n, packet in enumerate(packets):
        header, payload = rtp.parse(packet)
        start = header.timestamp if n == 0 else start
        since = (header.timestamp - start + 2**31) % 2**32 - 2**31  # modulo 2**32: the timeline may wrap
        by_time[since] = payload
    if not by_time:
        return np.zeros(0, np.float32)
    origin = min(by_time)
    heard = np.zeros(max(by_time) - origin + FRAME, np.float32)
    for since, payload in sorted(by_time.items()):
        for frame in context.decode(av.Packet(payload)):
            plane = frame.to_ndarray().reshape(-1)
            samples = plane.astype(np.float32) / 32768 if plane.dtype == np.int16 else plane.astype(np.float32)
            at = since - origin
            heard[at : at + FRAME] = samples[: len(heard[at : at + FRAME])]
    return heard
