"""Pictures to RTP packets and back by hand: VP8 by libvpx (through PyAV), payload descriptors as in RFC 7741 §4.2."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av

from native import rtp
from tests.clients.picture import HEIGHT, RATE, TICKS, WIDTH, Picture, Pixels, rgb

PAYLOAD_TYPE = 96
PAYLOAD = 1100  # bytes of a frame in one packet
START, EXTENDED, PICTURE_ID = 0x10, 0x80, 0x80  # bits of the descriptor's first and second byte


def encode(picture: Picture, seconds: int) -> list[bytes]:
    """VP8 frames. Every second is the same: it begins with a key frame, since nobody here listens for requests."""
    context = av.CodecContext.create("libvpx", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
    context.bit_rate, context.gop_size = 200_000, RATE
    context.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}
    frames: list[bytes] = []
    for n in range(RATE):
        frame = av.VideoFrame.from_ndarray(picture.pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = n, Fraction(1, RATE)
        frames += [bytes(packet) for packet in context.encode(frame)]
    return frames * seconds


def packetize(frames: Sequence[bytes], *, ssrc: int, first: int = 65_500) -> list[bytes]:
    """RTP packets; their sequence numbers start at `first`, so that they soon wrap around."""
    packets: list[bytes] = []
    for n, frame in enumerate(frames):
        pieces = [frame[at : at + PAYLOAD] for at in range(0, len(frame), PAYLOAD)]
        for index, piece in enumerate(pieces):
            header = rtp.Header(
                payload_type=PAYLOAD_TYPE,
                sequence=(first + len(packets)) % 2**16,
                timestamp=(2**32 - 5 * TICKS + n * TICKS) % 2**32,
                ssrc=ssrc,
                marker=index == len(pieces) - 1,
            )
            descriptor = bytes([EXTENDED | (START if index == 0 else 0), PICTURE_ID, 0x80 | n >> 8 & 0x7F, n & 0xFF])
            packets.append(header.serialize() + descriptor + piece)
    return packets


def decode(packets: Sequence[bytes]) -> list[Pixels]:
    """The frames of one RTP stream from its first key frame on. Raises ValueError where a packet is missing."""
    context = av.CodecContext.create("libvpx", "r")
    pixels: list[Pixels] = []
    for frame in _frames(packets):
        if pixels or not frame[0] & 1:  # RFC 7741 §4.3: P, the inverse key frame flag
            pixels += [rgb(each) for each in context.decode(av.Packet(frame))]
    return pixels


def _frames(packets: Sequence[bytes]) -> Iterator[bytes]:
    parsed = [rtp.parse(packet) for packet in packets]
    media = [(header, payload) for header, payload in parsed if header.payload_type == PAYLOAD_TYPE and payload]
    if not media:
        return
    origin = media[0][0].sequence
    by_number = {(header.sequence - origin + 2**15) % 2**16: (header, payload) for header, payload in media}
    frame, due = b"", None
    for number, (header, payload) in sorted(by_number.items()):
        start, piece = _piece(payload)
        if due is not None and number != due:
            raise ValueError(f"a packet is missing before {header.sequence}")
        if due is None and not start:
            continue  # the recording begins in the middle of a frame
        due = number + 1
        frame = piece if start else frame + piece
        if header.marker:
            yield frame


def _piece(payload: bytes) -> tuple[bool, bytes]:
    """Whether a frame starts here, and what of it is here."""
    at = 1
    if payload[0] & EXTENDED:
        extensions = payload[1]
        at += 1
        if extensions & PICTURE_ID:
            at += 2 if payload[at] & 0x80 else 1
        at += bool(extensions & 0x40) + bool(extensions & 0x30)  # TL0PICIDX; TID and KEYIDX
    return bool(payload[0] & START) and not payload[0] & 0x07, payload[at:]
