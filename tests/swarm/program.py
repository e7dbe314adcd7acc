"""The program `swarm`, and what it says."""

import asyncio
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
from scipy.signal import correlate

from tests.clients import opus
from tests.clients.aiortc_client import RATE, Samples
from tests.swarm.conftest import NATIVE, Programs

SPEECH = NATIVE / "swarm" / "data" / "speech.opus"


def frames() -> list[bytes]:
    """The Opus packets that a swarm says, by another reader of Ogg."""
    with av.open(str(SPEECH)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def speech(rounds: int = 1) -> Samples:
    """What a swarm says, decoded."""
    return np.tile(opus.decode(opus.packetize(frames(), ssrc=1)), rounds)


def likeness(heard: Samples, said: Samples) -> float:
    """The highest normalized cross-correlation of the first half second of sound in `heard` with any part of `said`."""
    loud = np.flatnonzero(np.abs(heard) > 0.02)
    piece = heard[loud[0] :][: RATE // 2]
    products = correlate(said, piece, "valid", "fft")
    energies = correlate(np.square(said), np.ones(len(piece)), "valid", "fft")
    return float(np.max(products / np.sqrt(np.maximum(energies, 1e-3) * np.sum(np.square(piece)))))


async def run(programs: Programs, *words: str | Path) -> dict[str, Any]:
    """The report of a load that must go well."""
    process = await asyncio.create_subprocess_exec(
        programs.swarm,
        *words,
        "--json",
        "--quiet",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    report: dict[str, Any] = json.loads(output)
    assert process.returncode == 0, report
    return report
