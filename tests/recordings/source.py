"""The streams of a recording, and what each shows when nobody cuts it."""

from tests.recordings.receiver import Picture, Piece, pieces, watch
from tests.recordings.recording import Encoding, Recording

DESCRIPTOR = True  # with the dependency descriptor, where it was negotiated


def stream(recording: Recording, encoding: Encoding, descriptors: bool) -> list[Piece]:
    """An encoding's media; without `descriptors` as for a receiver that has not negotiated them."""
    packets = (packet.data for packet in recording.packets if not packet.rtcp)
    return pieces(
        (packet for packet in packets if int.from_bytes(packet[8:12], "big") == encoding.ssrc),
        payload_type=recording.description.payload_type,
        descriptor_id=recording.description.extensions.get("dependency_descriptor") if descriptors else None,
    )


_uncut: dict[tuple[str, int, bool], list[Picture]] = {}


def uncut(recording: Recording, encoding: Encoding, *, descriptors: bool = DESCRIPTOR) -> list[Picture]:
    key = (recording.name, encoding.ssrc, descriptors)
    if key not in _uncut:
        _uncut[key] = watch(recording.description.codec, stream(recording, encoding, descriptors))
    return _uncut[key]
