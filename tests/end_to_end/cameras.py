"""What Chromium's cameras film: files that it loops (YUV4MPEG2)."""

from pathlib import Path

import numpy as np

from tests.clients.picture import Picture

PATCH = 40  # pixels
CHANGING = 0.15  # share of the patches that are others in the next frame
HEADER = "YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n"


def _write(file: Path, width: int, height: int, rate: int, frames: list[bytes]) -> Path:
    header = HEADER.format(width=width, height=height, rate=rate).encode()
    file.write_bytes(header + b"".join(b"FRAME\n" + frame for frame in frames))
    return file


def still(file: Path, picture: Picture, rate: int = 15) -> Path:
    """320 by 180."""
    return _write(file, 320, 180, rate, [picture.i420] * rate)


def crowd(file: Path, width: int, height: int, rate: int, seconds: int = 2) -> Path:
    """Patches of light, of which some change in every frame: about as much to encode as a lively picture has."""
    chance = np.random.default_rng(4)
    patches = chance.integers(60, 200, (-(-height // PATCH), -(-width // PATCH)), np.uint8)
    frames = []
    for _ in range(rate * seconds):
        changed = chance.random(patches.shape) < CHANGING
        patches = np.where(changed, chance.integers(60, 200, patches.shape, np.uint8), patches)
        luma = np.kron(patches, np.ones((PATCH, PATCH), np.uint8))[:height, :width]
        frames.append(luma.tobytes() + bytes([128]) * (width * height // 2))
    return _write(file, width, height, rate, frames)
