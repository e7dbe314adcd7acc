"""The bar code that publisher.js paints: which frame of its source a picture shows."""

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 10, 2
BITS, CHECK_BITS = 16, 4


def checksum(number: int) -> int:
    return ((number ^ number >> 4 ^ number >> 8 ^ number >> 12) ^ 0b1010) & 0b1111


def read(luma: NDArray[np.uint8]) -> int | None:
    """The frame's number from a picture's luma plane (rows, columns); None when there is no bar code."""
    height, width = luma.shape
    tall, wide = height / 2 / ROWS, width / COLUMNS
    bits = 0
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        # The middle of the cell: what compression blurs is its edges.
        top, left = int((row + 0.3) * tall), int((column + 0.3) * wide)
        cell = luma[top : top + max(1, int(0.4 * tall)), left : left + max(1, int(0.4 * wide))]
        bits = bits << 1 | int(cell.mean() > 127)
    gray, check = bits >> CHECK_BITS, bits & (1 << CHECK_BITS) - 1
    number = gray
    for shift in (1, 2, 4, 8):
        number ^= number >> shift
    return number if checksum(number) == check else None
