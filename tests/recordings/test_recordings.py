"""The recordings are whole: every layer is there, key frames in the middle too, and everything decodes."""

from collections import Counter

import numpy as np
import pytest

from native import rtp
from tests.recordings import barcode, payloads, receiver, recording
from tests.recordings.dependency import Reader
from tests.recordings.record import PLANS, Plan
from tests.recordings.recording import Encoding, Recording
from tests.recordings.source import DESCRIPTOR, stream, uncut

BUDGET = 6_000_000  # bytes, all recordings together
ON_EVERY_PACKET = {"transport_cc", "abs_send_time"}


@pytest.fixture(scope="module", params=PLANS, ids=lambda plan: plan.name)
def plan(request: pytest.FixtureRequest) -> Plan:
    assert isinstance(request.param, Plan)
    return request.param


@pytest.fixture(scope="module")
def recorded(plan: Plan) -> Recording:
    return recording.load(plan.name)


def test_there_is_one_of_every_plan_and_no_other() -> None:
    assert recording.names() == sorted(plan.name for plan in PLANS)


def test_all_together_they_stay_small() -> None:
    assert sum(file.stat().st_size for file in recording.FOLDER.iterdir()) < BUDGET


def test_a_file_that_ends_within_a_packet_is_refused() -> None:
    content = (recording.FOLDER / "vp8.rtpdump").read_bytes()
    last = len(recording.parse(content, "vp8")[-1].data) + 8
    for length in range(len(content) - last + 1, len(content)):
        with pytest.raises(ValueError, match="within a packet"):
            recording.parse(content[:length], "vp8")


def test_nothing_is_missing(recorded: Recording) -> None:
    for encoding in recorded.description.encodings:
        sequences = [piece.sequence for piece in stream(recorded, encoding, DESCRIPTOR)]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_every_picture_decodes_in_its_full_size_and_says_its_number(recorded: Recording) -> None:
    for encoding in recorded.description.encodings:
        for descriptors in (True, False):
            pictures = uncut(recorded, encoding, descriptors=descriptors)
            assert len(pictures) == len({piece.timestamp for piece in stream(recorded, encoding, descriptors)})
            assert {(picture.width, picture.height) for picture in pictures} == {(encoding.width, encoding.height)}
            numbers = [picture.number for picture in pictures if picture.number is not None]
            assert len(numbers) == len(pictures)
            assert numbers == sorted(set(numbers)), "strictly increasing"


def test_encodings_show_the_same_pictures(recorded: Recording) -> None:
    shown = [{each.number for each in uncut(recorded, encoding)} for encoding in recorded.description.encodings]
    assert all(len(each ^ shown[0]) <= 4 for each in shown), "but for those at the end"


def test_key_frames_come_in_the_middle_too(recorded: Recording) -> None:
    for encoding in recorded.description.encodings:
        keys = [
            frame.timestamp
            for frame in receiver.frames(recorded.description.codec, stream(recorded, encoding, DESCRIPTOR))
            if receiver.is_key(recorded.description.codec, frame)
        ]
        assert len(set(keys)) >= 2


def layers(recorded: Recording, encoding: Encoding) -> Counter[tuple[int, int]]:
    """How many frames of each spatial and temporal layer, as their descriptors tell."""
    counts: Counter[tuple[int, int]] = Counter()
    reader = Reader()
    for frame in receiver.frames(recorded.description.codec, stream(recorded, encoding, DESCRIPTOR)):
        piece = frame.pieces[0]
        if piece.descriptor is not None:
            read = reader.read(piece.descriptor)
            counts[read.spatial, read.temporal] += 1
        elif recorded.description.codec == "vp8":
            counts[0, payloads.vp8(piece.payload).temporal] += 1
        elif recorded.description.codec == "vp9":
            first = payloads.vp9(piece.payload)
            counts[first.spatial, first.temporal] += 1
    return counts


def test_every_layer_of_the_scalability_mode_is_there(recorded: Recording, plan: Plan) -> None:
    spatial, temporal = int(plan.scalability_mode[1]), int(plan.scalability_mode[3])
    for encoding in recorded.description.encodings:
        counts = layers(recorded, encoding)
        if plan.name == "h264":  # without the dependency descriptor it tells of no layers
            assert not counts
            continue
        assert set(counts) == {(s, t) for s in range(spatial) for t in range(temporal)}
        assert min(counts.values()) >= 10


def test_extensions_are_on_the_wire_as_the_readme_says(recorded: Recording, plan: Plan) -> None:
    description = recorded.description
    names = {identifier: name for name, identifier in description.extensions.items()}
    counts: Counter[str] = Counter()
    total = 0
    for packet in recorded.packets:
        if packet.rtcp:
            continue
        header, _ = rtp.parse(packet.data)
        if header.payload_type == description.payload_type:
            total += 1
            counts.update(names[identifier] for identifier, _ in header.extensions)
    everywhere = set(ON_EVERY_PACKET)
    if "dependency_descriptor" not in plan.leave_out:
        everywhere.add("dependency_descriptor")
    if "ForceSendPlayoutDelay" in plan.field_trials:
        everywhere.add("playout_delay")
    assert {name for name, count in counts.items() if count == total} == everywhere
    assert counts["abs_capture_time"] > 0
    assert counts["video_layers_allocation"] > 0
    assert counts["mid"] > 0
    assert bool(counts["rid"]) == bool(description.encodings[0].rid)


def test_the_publisher_reports_on_every_encoding(recorded: Recording) -> None:
    reported = {packet.data[4:8] for packet in recorded.packets if packet.rtcp and packet.data[1] == 200}
    assert {encoding.ssrc.to_bytes(4, "big") for encoding in recorded.description.encodings} <= reported


def test_a_picture_without_a_bar_code_says_no_number() -> None:
    assert barcode.read(np.zeros((360, 640), np.uint8)) is None
    assert barcode.read(np.full((90, 160), 255, np.uint8)) is None
