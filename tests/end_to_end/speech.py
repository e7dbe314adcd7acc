"""Voices for browsers to speak with: sentences by espeak-ng, looped by Chromium as its microphone."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from scipy.signal import resample_poly

MICROPHONE_RATE = 48_000  # Hz: what WebRTC carries
SCORING_RATE = 16_000  # Hz: what wideband PESQ is defined for (ITU-T P.862.2)
PAUSE = 0.4  # seconds of silence that end each round, so that rounds do not run into each other

Samples = NDArray[np.float32]

# Different words, pitch, speed and accent, so that no alignment can mistake one for another.
SCRIPT = {
    "ada": (
        ["-v", "en-us", "-p", "35", "-s", "150"],
        "The engine weaves patterns of numbers, just as the loom weaves flowers and leaves. It never tires of work.",
    ),
    "grace": (
        ["-v", "en-gb-x-rp+f3", "-p", "60", "-s", "165"],
        "A ship in the harbour is safe, but that is not what ships are for. Sail out and do new things every morning.",
    ),
    "alan": (
        ["-v", "en-gb-scotland+m7", "-p", "50", "-s", "140"],
        "We can only see a short distance ahead, yet we can see plenty there that needs to be done before winter.",
    ),
}


@dataclass(frozen=True)
class Voice:
    """One speaker: the file that is looped, and one round of it at `SCORING_RATE`."""

    name: str
    file: Path
    reference: Samples

    @property
    def seconds(self) -> float:
        return len(self.reference) / SCORING_RATE


def resample(samples: Samples, rate: int, to: int) -> Samples:
    return resample_poly(samples, to, rate).astype(np.float32)


def speak(name: str, folder: Path) -> Voice:
    """Write the named speaker's file into `folder`. Raises RuntimeError without espeak-ng."""
    if shutil.which("espeak-ng") is None:
        raise RuntimeError("these tests speak through espeak-ng: apt-get install espeak-ng")
    options, words = SCRIPT[name]
    raw = folder / f"{name}-raw.wav"
    subprocess.run(["espeak-ng", *options, "-w", str(raw), words], check=True)
    rate, integers = wavfile.read(raw)
    spoken = resample((integers / 32768).astype(np.float32), rate, MICROPHONE_RATE)
    spoken *= 0.5 / np.abs(spoken).max()  # headroom for the codec's overshoot
    round_ = np.concatenate([spoken, np.zeros(int(PAUSE * MICROPHONE_RATE), np.float32)])
    file = folder / f"{name}.wav"
    wavfile.write(file, MICROPHONE_RATE, (round_ * 32767).astype(np.int16))
    return Voice(name, file, resample(round_, MICROPHONE_RATE, SCORING_RATE))
