"""What Chromium's cameras film: files that it loops (YUV4MPEG2)."""

from pathlib import Path

import numpy as np

from tests.clients.picture import Picture

HEADER = "YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n"


def _write(file: Path, width: int, height: int, rate: int, frames: list[bytes]) -> Path:
    header = HEADER.format(width=width, height=height, rate=rate).encode()
    file.write_bytes(header + b"".join(b"FRAME\n" + frame for frame in frames))
    return file


def still(file: Path, picture: Picture, rate: int = 15) -> Path:
    """320 by 180."""
    return _write(file, 320, 180, rate, [picture.i420] * rate)


def crowd(file: Path, width: int, height: int, rate: int, seconds: int = 2) -> Path:
    """Patches of light that come and go everywhere: as much to encode as a lively picture has."""
    chance = np.random.default_rng(4)
    frames = []
    for _ in range(rate * seconds):
        coarse = chance.integers(60, 200, (height // 40, width // 40), np.uint8)
        luma = np.kron(coarse, np.ones((40, 40), np.uint8))
        luma = np.pad(luma, ((0, height - luma.shape[0]), (0, width - luma.shape[1])), "edge")
        frames.append(luma.tobytes() + bytes([128]) * (width * height // 2))
    return _write(file, width, height, rate, frames)
