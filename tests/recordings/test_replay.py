"""Recordings go through a real node in virtual time, and a viewer is switched between their layers everywhere.

`native/sfu/examples/replay` does that, and fails when what a viewer gets has a hole, a frame that is not whole, or a
number that jumps. Here a decoder says whether it is what the uncut recording shows, sample by sample.
"""

import asyncio
import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.recordings import payloads, receiver, recording
from tests.recordings.dependency import Reader
from tests.recordings.receiver import Picture, Piece
from tests.recordings.recording import FOLDER, Recording
from tests.recordings.source import stream

NATIVE = Path(__file__).parents[2] / "native"
BUILD = 1800  # seconds
PAYLOAD_TYPE, DESCRIPTOR_ID = 100, 7  # of the viewer, as native/sfu/examples/replay/stage.rs has them

# How many boundaries between packets there are to one that is tried, for each pair of layers; each pair begins
# elsewhere. `make soak` tries all of them for every pair.
EVERY_SIMULCAST = int(os.environ.get("REPLAY_EVERY", "8"))
EVERY_SVC = int(os.environ.get("REPLAY_EVERY", "48"))
# Outputs that are decoded, of those that differ.
DECODED = int(os.environ.get("REPLAY_DECODED", "3"))
# Courses of each bad network.
SEEDS = range(1, 1 + int(os.environ.get("REPLAY_SEEDS", "1")))

NAMES = recording.names()
# Each to a viewer that does not take descriptors, and to one that does where there are any.
VIEWS = [(name, False) for name in NAMES] + [
    (name, True) for name in NAMES if "dependency_descriptor" in recording.load(name).description.extensions
]
SOURCES = [("vp8", "vp8_descriptor"), ("vp9", "vp9_descriptor"), ("h264", "h264_descriptor"), ("av1", "av1_alone")]


@pytest.fixture(scope="session")
def program() -> Path:
    """Built for release, as otherwise it takes ten times as long."""
    words = ["cargo", "build", "--quiet", "--locked", "--release", "-p", "sfu", "--example", "replay"]
    subprocess.run(words, cwd=NATIVE, check=True, stdin=subprocess.DEVNULL, timeout=BUILD)
    return NATIVE / "target" / "release" / "examples" / "replay"


async def run(program: Path, *words: str | Path) -> bytes:
    """What it writes. Fails with what it says."""
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return output


@dataclass(frozen=True)
class Everywhere:
    """What came out of all schedules of one recording, or of two."""

    folder: Path
    schedules: int
    outputs: list[str]  # files, each another output

    def sample(self) -> list[str]:
        step = max(1, len(self.outputs) // DECODED)
        return self.outputs[::step]


async def everywhere(program: Path, folder: Path, *names: str, descriptors: bool, every: int) -> Everywhere:
    words: list[str | Path] = [
        *(FOLDER / f"{name}.json" for name in names),
        "--everywhere",
        folder,
        "--every",
        str(every),
    ]
    await run(program, *words, *(["--descriptors"] if descriptors else []))
    index = json.loads((folder / "index.json").read_text())
    return Everywhere(folder, index["schedules"], [output["file"] for output in index["outputs"]])


def spatial_of(codec: str, piece: Piece, reader: Reader) -> int:
    if piece.descriptor is not None:
        return reader.read(piece.descriptor).spatial
    return payloads.vp9(piece.payload).spatial if codec == "vp9" else 0


@cache
def shown_uncut(name: str) -> frozenset[tuple[int, int, str]]:
    """(number, width, digest) of every picture that the recording shows, of each encoding, up to each spatial layer."""
    recorded = recording.load(name)
    codec = recorded.description.codec
    shown = set[tuple[int, int, str]]()
    for encoding in recorded.description.encodings:
        pieces = stream(recorded, encoding, True)
        reader = Reader()
        layers = [spatial_of(codec, piece, reader) for piece in pieces]
        for highest in range(max(layers) + 1):
            kept = [piece for piece, layer in zip(pieces, layers, strict=True) if layer <= highest]
            shown |= {look(picture) for picture in receiver.watch(codec, renumbered(kept))}
    return frozenset(shown)


def renumbered(pieces: list[Piece]) -> list[Piece]:
    """Without holes for what was left out, as a node would forward it."""
    return [
        Piece(sequence, piece.timestamp, piece.marker, piece.payload, piece.descriptor)
        for sequence, piece in enumerate(pieces)
    ]


def look(picture: Picture) -> tuple[int, int, str]:
    assert picture.number is not None, "a picture without its bar code"
    return picture.number, picture.width, picture.digest


def got(recorded: Recording, output: bytes, *, descriptors: bool) -> list[Piece]:
    packets = (packet.data for packet in recording.parse(output, "replay"))
    described = descriptors and "dependency_descriptor" in recorded.description.extensions
    identifier = DESCRIPTOR_ID if described else None
    return receiver.pieces(packets, payload_type=PAYLOAD_TYPE, descriptor_id=identifier)


def check(names: tuple[str, ...], output: bytes, *, descriptors: bool, lossless: bool) -> int:
    """How many pictures are shown: such as the recordings show, and when none is lost all that are complete."""
    recorded = recording.load(names[0])
    codec = recorded.description.codec
    pieces = got(recorded, output, descriptors=descriptors)
    pictures = receiver.watch(codec, pieces)
    uncut = frozenset[tuple[int, int, str]]().union(*(shown_uncut(name) for name in names))
    assert {look(picture) for picture in pictures} <= uncut
    times = [picture.timestamp for picture in pictures]
    assert times == sorted(set(times)), "each picture once, and in order"
    if len(names) == 1:
        # The key frame that begins another encoding may be of the picture that was just shown, only better or smaller.
        shown = [look(picture)[:2] for picture in pictures]
        assert shown == sorted(shown, key=lambda each: each[0]), "never back"
        assert len(shown) == len(set(shown)), "none twice"
    if lossless:
        complete = {frame.timestamp for frame in receiver.frames(codec, pieces)}
        assert set(times) == complete, "every picture that is complete is decoded"
    return len(pictures)


@pytest.mark.timeout(BUILD)
@pytest.mark.parametrize(("name", "descriptors"), VIEWS)
async def test_layers_are_switched_at_every_boundary_and_all_decodes(
    program: Path, tmp_path: Path, name: str, descriptors: bool
) -> None:
    recorded = recording.load(name)
    every = EVERY_SIMULCAST if recorded.description.scalability_mode.startswith("L1") else EVERY_SVC
    all_of_it = await everywhere(program, tmp_path, name, descriptors=descriptors, every=every)
    assert all_of_it.schedules * every >= len(recorded.packets)
    for file in all_of_it.sample():
        assert check((name,), (tmp_path / file).read_bytes(), descriptors=descriptors, lossless=True) > 0


@pytest.mark.timeout(BUILD)
@pytest.mark.parametrize("names", SOURCES, ids=lambda names: names[0])
async def test_a_slot_goes_from_one_camera_to_another_at_every_boundary(
    program: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    all_of_it = await everywhere(program, tmp_path, *names, descriptors=False, every=EVERY_SIMULCAST)
    for file in all_of_it.sample():
        assert check(names, (tmp_path / file).read_bytes(), descriptors=False, lossless=True) > 0


def switches(recorded: Recording) -> list[str]:
    """Down in the first third, and up in the second."""
    layers = recorded.description.scalability_mode
    spatial, temporal = int(layers[1]) - 1, int(layers[3]) - 1
    encodings = len(recorded.description.encodings) - 1
    best, less = f"0.{encodings}.{spatial}.{temporal}", f"0.0.0.{max(0, temporal - 1)}"
    third = len(recorded.packets) // 3
    return ["--at", "0", best, "--at", str(third // 2), less, "--at", str(third), best]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "network",
    [
        ("--loss-up", "0.03"),
        ("--loss-down", "0.03"),
        ("--reordering", "0.1"),
        ("--loss-up", "0.02", "--loss-down", "0.02"),
    ],
    ids=["lost_on_the_way_in", "lost_on_the_way_out", "out_of_order", "lost_both_ways"],
)
@pytest.mark.parametrize("name", NAMES)
async def test_what_a_bad_network_leaves_decodes(program: Path, name: str, network: tuple[str, ...], seed: int) -> None:
    recorded = recording.load(name)
    descriptors = seed % 2 == 1
    words: list[str | Path] = [FOLDER / f"{name}.json", *switches(recorded), *network, "--seed", str(seed)]
    output = await run(program, *words, *(["--descriptors"] if descriptors else []))
    shown = check((name,), output, descriptors=descriptors, lossless=False)
    pictures = len({piece.timestamp for piece in stream(recorded, recorded.description.encodings[-1], True)})
    assert shown > pictures / 2, "most of it was repaired"
