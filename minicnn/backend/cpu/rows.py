"""Arrays of pixels with few channels as matrices of long rows, in which NumPy's loops are at their best.

A ufunc takes some 100 ns for each row beside the numbers in it, and with a vector for all rows, the more the shorter
they are: 16 channels cost 1.2 ns a number, rows of 2048 numbers 0.22, of 8192 numbers 0.14. A maximum with one number
takes 0.22 ns, with a row of zeros 0.13. Sums over rows are products with ones: 0.06 ns in rows of 512 (x.sum(0) 0.13).
"""

from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import spans

WIDE = 1 << 13  # numbers of a joined row
SUMMED = 1 << 9  # and of one that is summed up
PIECE = 1 << 16  # numbers of a piece that stays in the cache


class Rows:
    """(..., C) as a matrix of rows of `joined` pixels each, (M / joined, joined * C), cut into pieces."""

    def __init__(self, x):
        self.channels = x.shape[-1]
        self.pixels = x.size // self.channels
        self.joined = joined_pixels(self.pixels, self.channels, WIDE)
        self.summed = joined_pixels(self.pixels, self.channels, SUMMED)
        self.shape = self.pixels // self.joined, self.joined * self.channels
        self.pieces = spans(self.shape[0], PIECE // self.shape[1])

    def matrix(self, x):
        """x as that matrix: a view, unless its rows do not lie side by side."""
        return x.reshape(self.shape)

    def tiled(self, vector):
        """A number for each channel, repeated along a joined row."""
        return tiled(vector, self.joined)

    def empty_sums(self, kinds: int, dtype):
        """Room for so many kinds of sums of each piece, in short rows: (pieces, kinds, summed * C)"""
        return np.empty((len(self.pieces), kinds, self.summed * self.channels), dtype)

    def add_up(self, piece, out, other=None):
        """The sums over the pixels of a piece, or those of its products with another, into a short row."""
        short = piece.reshape(-1, len(out))
        if other is None:
            np.matmul(constants(1, len(short), short.dtype), short, out=out)
        else:
            np.einsum("ij,ij->j", short, other.reshape(short.shape), out=out)

    def fold(self, sums):
        """Short rows as sums of the channels, in float64: (..., summed * C) -> (..., C)"""
        return sums.reshape(*sums.shape[:-1], self.summed, self.channels).sum(axis=-2, dtype=np.float64)


@lru_cache(maxsize=1024)
def joined_pixels(pixels: int, channels: int, most: int) -> int:
    """How many pixels make a row of up to `most` numbers: a power of 2 that divides their number."""
    joined = 1
    while 2 * joined * channels <= most and pixels % (2 * joined) == 0:
        joined *= 2
    return joined


def tiled(vector, count: int):
    """A vector so many times, one after the other."""
    wide = empty((count, len(vector)), vector.dtype)
    wide[...] = vector
    return wide.reshape(-1)


@lru_cache(maxsize=64)
def constants(value: float, count: int, dtype) -> np.ndarray:
    """A number so many times, read-only: zeros for a maximum with them, ones for a sum."""
    found = empty((count,), dtype)
    found[...] = value
    found.flags.writeable = False
    return found
