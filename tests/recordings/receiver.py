"""A receiver of one stream, from packets to pictures: what a browser would make of them, and nothing that it would not.

Frames that miss a packet, or something that they refer to, are not decoded. What refers to what is known from the
dependency descriptor where there is one; else from VP8's and VP9's. H264 and AV1 without it need every frame.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from native import rtp
from tests.recordings import barcode, dependency, payloads

DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9", "h264": "h264", "av1": "libdav1d"}
TEMPORAL_DELIMITER = b"\x12\x00"


@dataclass(frozen=True)
class Piece:
    """One media packet."""

    sequence: int  # extended
    timestamp: int  # extended
    marker: bool
    payload: bytes
    descriptor: bytes | None


@dataclass(frozen=True)
class Frame:
    """One spatial layer of one picture, complete."""

    first: int  # extended sequence numbers; that of padding before it, if there is some
    last: int
    timestamp: int  # extended
    ends_picture: bool
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Picture:
    """`digest` is of its planes: two decoders that got the same have the same."""

    timestamp: int  # extended
    number: int | None  # what its bar code says
    width: int
    height: int
    digest: str


@dataclass
class Counter:
    """Numbers of `bits` bits that go on beyond their width (RFC 3550 §A.1)."""

    bits: int
    newest: int | None = None

    def extend(self, value: int) -> int:
        if self.newest is None:
            self.newest = value + (1 << self.bits)  # so that what comes before it is not below zero
            return self.newest
        half, whole = 1 << (self.bits - 1), 1 << self.bits
        extended = self.newest + (value - self.newest + half) % whole - half
        self.newest = max(self.newest, extended)
        return extended


def pieces(packets: Iterable[bytes], *, payload_type: int, descriptor_id: int | None) -> list[Piece]:
    """Media of one SSRC in the order of its numbers, each packet once. Those of nothing but padding stay, empty."""
    sequences, timestamps = Counter(16), Counter(32)
    found: dict[int, Piece] = {}
    for packet in packets:
        header, payload = rtp.parse(packet)
        if header.payload_type != payload_type:
            continue
        sequence, timestamp = sequences.extend(header.sequence), timestamps.extend(header.timestamp)
        descriptor = dict(header.extensions).get(descriptor_id) if descriptor_id is not None else None
        found.setdefault(sequence, Piece(sequence, timestamp, header.marker, bytes(payload), descriptor))
    return [found[sequence] for sequence in sorted(found)]


def bounds(codec: str, piece: Piece) -> tuple[bool, bool]:
    """Whether a packet can be the first of its frame, and is the last."""
    if piece.descriptor is not None:
        return bool(piece.descriptor[0] & 0x80), bool(piece.descriptor[0] & 0x40)
    match codec:
        case "vp8":
            return payloads.vp8(piece.payload).begins, piece.marker
        case "vp9":
            descriptor = payloads.vp9(piece.payload)
            return descriptor.begins, descriptor.ends
        case "h264":
            return payloads.h264_begins(piece.payload), piece.marker
        case _:
            return not piece.payload[0] & 0x80, piece.marker


def frames(codec: str, stream: Iterable[Piece]) -> Iterator[Frame]:
    """Those of which every packet is there."""
    gathered = list[Piece]()
    previous: int | None = None
    # H264 and AV1 do not say where a frame begins: it is behind the end of the one before.
    tells_begin = codec in ("vp8", "vp9")
    at_boundary = True
    padded: int | None = None  # where the padding before the present frame begins, or the frame itself
    for piece in stream:
        whole = previous is None or piece.sequence == previous + 1
        previous = piece.sequence
        if not whole:
            gathered, at_boundary = [], False
        if not gathered and not (whole and padded is not None):
            padded = piece.sequence
        if not piece.payload:
            continue
        begins, ends = bounds(codec, piece)
        told = tells_begin or piece.descriptor is not None
        if gathered and gathered[0].timestamp != piece.timestamp:
            gathered, padded = [], piece.sequence
        if not gathered and not (begins and (told or at_boundary or starts_anew(codec, piece))):
            at_boundary, padded = ends, None
            continue
        gathered.append(piece)
        at_boundary = ends
        if ends:
            first = gathered[0].sequence if padded is None else padded
            yield Frame(first, piece.sequence, piece.timestamp, piece.marker, tuple(gathered))
            gathered, padded = [], None


def starts_anew(codec: str, piece: Piece) -> bool:
    """Whether it is known to be a frame's first packet without what came before it: parameter sets, a new sequence."""
    if codec == "h264":
        unit = payloads.H264()
        if piece.payload[0] & 0x1F == 28:
            return False
        unit.take(piece.payload)
        return any(each[0] & 0x1F == payloads.SPS for each in unit.units)
    return codec == "av1" and bool(piece.payload[0] & 0x08)


class References:
    """Says of one frame after the other whether everything it refers to has been decoded."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.reader = dependency.Reader()
        self.numbers = Counter(16)
        self.pictures = Counter(15)
        self.decoded = set[tuple[int, int]]()  # (number, spatial layer; 0 where numbers are the descriptor's)
        self.alive = False  # something could be decoded, and nothing was missing since
        self.layers: dict[int, list[int]] = {}  # VP8: by extended TL0PICIDX the latest picture of each temporal layer
        self.levels = Counter(8)
        self.last_sequence: int | None = None

    def satisfied(self, frame: Frame) -> bool:
        if frame.pieces[0].descriptor is not None:
            return self._by_descriptor(frame, frame.pieces[0].descriptor)
        match self.codec:
            case "vp8":
                return self._vp8(frame)
            case "vp9":
                return self._vp9(frame)
            case _:
                return self._everything(frame)

    def _by_descriptor(self, frame: Frame, descriptor: bytes) -> bool:
        try:
            read = self.reader.read(descriptor)
        except dependency.Malformed:
            return False
        number = self.numbers.extend(read.frame)
        if read.brings_structure and not read.differences:
            self.decoded.clear()
        good = all((number - difference, 0) in self.decoded for difference in read.differences)
        # What refers to nothing begins anew only with a structure: before one, nobody knows what it is.
        if good:
            self.decoded.add((number, 0))
        return good

    def _vp8(self, frame: Frame) -> bool:
        """As RFC 7741 §4.2 describes TL0PICIDX, TID and Y; pictures may not be missing in between."""
        first = payloads.vp8(frame.pieces[0].payload)
        if first.picture_id is None or first.tl0 is None:
            return self._everything(frame)
        picture, level = self.pictures.extend(first.picture_id), self.levels.extend(first.tl0)
        if first.key:
            self.layers = {level: [picture]}
            self.decoded = {(picture, 0)}
            return True
        if first.temporal == 0:
            before = self.layers.get(level - 1)
            if before is None:
                return False
            self.layers[level] = [picture, *before[1:]]
        else:
            before = self.layers.get(level)
            if before is None:
                return False
            if not first.sync:
                # It may refer to the latest of every layer up to its own; a picture that is missing may be one of them.
                oldest = min(before[: first.temporal + 1])
                if any((missing, 0) not in self.decoded for missing in range(oldest, picture)):
                    return False
                if len(before) < first.temporal + 1:
                    return False
            latest = before[: first.temporal]
            latest += [before[0]] * (first.temporal - len(latest))
            self.layers[level] = [*latest, picture, *before[first.temporal + 1 :]]
        self.decoded.add((picture, 0))
        return True

    def _vp9(self, frame: Frame) -> bool:
        """RFC 9628 §4.2, flexible mode, the only one that Chromium sends."""
        first = payloads.vp9(frame.pieces[0].payload)
        if first.picture_id is None or not first.flexible:
            return self._everything(frame)
        picture = self.pictures.extend(first.picture_id)
        if not first.predicted and first.spatial == 0:
            self.decoded.clear()
        needed = [(picture - difference, first.spatial) for difference in first.differences]
        if first.inter_layer:
            needed.append((picture, first.spatial - 1))
        if first.predicted and not first.differences:
            return False
        good = all(each in self.decoded for each in needed)
        if not needed and first.spatial:
            good = False
        if good:
            self.decoded.add((picture, first.spatial))
        return good

    def _everything(self, frame: Frame) -> bool:
        """Nothing may be missing since the last frame that refers to none."""
        whole = self.alive and self.last_sequence is not None and frame.first == self.last_sequence + 1
        self.last_sequence = frame.last
        self.alive = whole or is_key(self.codec, frame)
        return self.alive


def is_key(codec: str, frame: Frame) -> bool:
    match codec:
        case "vp8":
            return payloads.vp8(frame.pieces[0].payload).key
        case "vp9":
            first = payloads.vp9(frame.pieces[0].payload)
            return not first.predicted and first.spatial == 0
        case "h264":
            unit = payloads.H264()
            for piece in frame.pieces:
                unit.take(piece.payload)
            return unit.key
        case _:
            return bool(frame.pieces[0].payload[0] & 0x08)


def bitstream(codec: str, frame: Frame) -> bytes:
    """What the decoder gets for it. Raises payloads.Malformed."""
    match codec:
        case "vp8":
            return b"".join(payloads.vp8(piece.payload).data for piece in frame.pieces)
        case "vp9":
            return b"".join(payloads.vp9(piece.payload).data for piece in frame.pieces)
        case "h264":
            unit = payloads.H264()
            for piece in frame.pieces:
                unit.take(piece.payload)
            return unit.annex_b()
        case _:
            obus = payloads.Av1()
            for piece in frame.pieces:
                obus.take(piece.payload)
            return obus.data()


class Decoder:
    """The pictures of one stream. A decoder that complains raises av.FFmpegError: it was given what it cannot use."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        context = av.CodecContext.create(DECODERS[codec], "r")
        assert isinstance(context, VideoCodecContext)
        self.context = context
        self.context.thread_count = 1
        if codec == "h264":
            self.context.options = {"flags": "+low_delay"}

    def decode(self, timestamp: int, units: list[bytes]) -> list[Picture]:
        """Of one picture: the highest of its spatial layers is shown."""
        packet = av.Packet((TEMPORAL_DELIMITER if self.codec == "av1" else b"") + b"".join(units))
        packet.pts = timestamp
        return [self._picture(shown) for shown in self.context.decode(packet)]

    def end(self) -> list[Picture]:
        return [self._picture(shown) for shown in self.context.decode(None)]

    @staticmethod
    def _picture(shown: av.VideoFrame) -> Picture:
        planes = [plane_of(plane) for plane in shown.planes]
        digest = hashlib.blake2b(digest_size=8)
        for plane in planes:
            digest.update(np.ascontiguousarray(plane).tobytes())
        assert shown.pts is not None
        return Picture(shown.pts, barcode.read(planes[0]), shown.width, shown.height, digest.hexdigest())


def plane_of(plane: VideoPlane) -> NDArray[np.uint8]:
    rows: NDArray[np.uint8] = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def watch(codec: str, stream: list[Piece]) -> list[Picture]:
    """Everything that is shown of a stream, in order."""
    references, decoder = References(codec), Decoder(codec)
    pictures, units = list[Picture](), list[bytes]()
    current: int | None = None
    for frame in frames(codec, stream):
        if units and frame.timestamp != current:
            assert current is not None
            pictures += decoder.decode(current, units)
            units = []
        current = frame.timestamp
        if references.satisfied(frame):
            units.append(bitstream(codec, frame))
    if units and current is not None:
        pictures += decoder.decode(current, units)
    return pictures + decoder.end()
