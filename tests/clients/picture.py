"""What cameras of programs film: halves in plain colours, which survive any codec and are told from any other."""

import asyncio
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, VideoStreamTrack
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 320, 180, 15  # pixels, frames a second
TICKS = 90_000 // RATE  # of the RTP clock, a frame
FRAME_SIZE = WIDTH * HEIGHT * 3 // 2  # bytes of I420
TOLERANCE = 40  # of 255: what 4:2:0, limited range and an encoder's first frames may change

Pixels = NDArray[np.uint8]  # height × width × RGB
Colour = tuple[int, int, int]

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 30), (30, 30, 220), (220, 220, 30)


@dataclass(frozen=True)
class Picture:
    left: Colour
    right: Colour

    @property
    def pixels(self) -> Pixels:
        """With a bar of grey at the bottom, by which sides and heights are told apart."""
        pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        pixels[:, : WIDTH // 2], pixels[:, WIDTH // 2 :] = self.left, self.right
        pixels[-HEIGHT // 6 :] = 128
        return pixels

    @property
    def i420(self) -> bytes:
        return av.VideoFrame.from_ndarray(self.pixels, format="rgb24").reformat(format="yuv420p").to_ndarray().tobytes()

    def is_in(self, pixels: Pixels) -> bool:
        """Whether it is what these pixels show, in whatever size."""
        height, width, _ = pixels.shape
        for colour, x in ((self.left, width // 4), (self.right, 3 * width // 4)):
            if np.abs(_mean(pixels, x, height // 2) - colour).max() > TOLERANCE:
                return False
        return bool(np.abs(_mean(pixels, width // 4, height * 11 // 12) - 128).max() <= TOLERANCE)


def _mean(pixels: Pixels, x: int, y: int) -> NDArray[np.float64]:
    """Of some pixels around there."""
    mean: NDArray[np.float64] = pixels[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)
    return mean


def rgb(frame: av.VideoFrame) -> Pixels:
    return frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def from_i420(frame: bytes, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    planes = np.frombuffer(frame, np.uint8).reshape(height * 3 // 2, width)
    return rgb(av.VideoFrame.from_ndarray(planes, format="yuv420p"))


def write_i420(path: Path, picture: Picture, seconds: int) -> None:
    path.write_bytes(picture.i420 * (RATE * seconds))


def read_i420(path: Path) -> list[Pixels]:
    """Frames of `WIDTH` by `HEIGHT`; one that is not whole is left out."""
    data = path.read_bytes()
    return [from_i420(data[at : at + FRAME_SIZE]) for at in range(0, len(data) - FRAME_SIZE + 1, FRAME_SIZE)]


def read_sized_i420(path: Path) -> list[Pixels]:
    """Frames of any size, each behind its width and height (16 bits each, little endian)."""
    data, at, frames = path.read_bytes(), 0, []
    while at + 4 <= len(data):
        width, height = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (0, 2))
        size = width * height * 3 // 2
        if at + 4 + size > len(data):
            break
        frames.append(from_i420(data[at + 4 : at + 4 + size], width, height))
        at += 4 + size
    return frames


class Camera(VideoStreamTrack):
    """Films a picture with aiortc, at the pace of the clock."""

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self._pixels = picture.pixels
        self._count = 0
        self._began = 0.0

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        self._began = self._began or now
        await asyncio.sleep(max(0.0, self._began + self._count / RATE - now))
        frame = av.VideoFrame.from_ndarray(self._pixels, format="rgb24")
        frame.pts, frame.time_base = self._count * TICKS, Fraction(1, 90_000)
        self._count += 1
        return frame
