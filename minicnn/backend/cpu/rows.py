"""Arrays of pixels with few channels as matrices of long rows, in which NumPy's loops are at their best.

A ufunc takes some 100 ns for each row beside the numbers in it, and copies a vector for all rows until a row fills its
buffer of 8192 numbers: 16 channels cost 0.5 ns a number, rows of 2048 numbers 0.22, of 8192 numbers 0.13. A maximum
with one number takes 0.23 ns, with a row of zeros 0.13. Sums over rows are products with ones: 0.05 ns in rows of 1024
(x.sum(0) 0.1).

Calls should be long: a thread that comes out of a short one finds another in the interpreter and goes to sleep, for
longer than the call took. So a piece is as large as the second cache of a core allows.
"""

from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import spans

WIDE = 1 << 13  # numbers of a joined row, at least
SUMMED = 1 << 10  # and of one that is summed up
LONGEST = 1 << 15  # and of either, at most
PIECE = 3 << 16  # numbers of a piece, about


class Rows:
    """(..., C) as a matrix of rows of `joined` pixels each, (M / joined, joined * C), cut into pieces.

    Sums are taken in shorter rows, of `summed` pixels: `parts` are the pieces in those.
    """

    def __init__(self, pixels: int, channels: int):
        self.pixels, self.channels = pixels, channels
        self.joined = joined_pixels(pixels, channels, WIDE)
        self.summed = joined_pixels(self.joined, channels, SUMMED)
        self.shape = pixels // self.joined, self.joined * channels
        count, times = number_of_pieces(pixels * channels), self.joined // self.summed
        self.pieces = spans(self.shape[0], -(-self.shape[0] // count))
        self.parts = [slice(piece.start * times, piece.stop * times) for piece in self.pieces]

    def matrix(self, x):
        """x as that matrix: a view, unless its rows do not lie side by side."""
        return x.reshape(self.shape)

    def short(self, x):
        """x in rows that are summed up."""
        return x.reshape(-1, self.summed * self.channels)

    def ones(self, dtype):
        """As many as a piece has short rows."""
        return constants(1, self.parts[0].stop, dtype)

    def tiled(self, vectors, dtype):
        """Vectors of a number for each channel, repeated along a joined row: (vectors, joined * C)"""
        wide = empty((len(vectors), self.joined, self.channels), dtype)
        wide[...] = np.array(vectors, dtype)[:, None]
        return wide.reshape(len(vectors), -1)

    def empty_sums(self, kinds: int, dtype):
        """Room for so many kinds of sums of each piece, in short rows: (kinds, pieces, summed * C)"""
        return np.empty((kinds, len(self.pieces), self.summed * self.channels), dtype)

    def fold(self, sums):
        """Sums in short rows as sums of the channels, in float64: (kinds, ..., summed * C) -> (kinds, C)"""
        return np.add.reduce(sums.astype(np.float64).reshape(len(sums), -1, self.channels), axis=1)


def rows_of(x) -> Rows:
    """How x is cut, which depends on its shape alone."""
    return _rows(x.size // x.shape[-1], x.shape[-1], WIDE, SUMMED, PIECE)


@lru_cache(maxsize=256)
def _rows(pixels: int, channels: int, *_constants: int) -> Rows:
    return Rows(pixels, channels)


def number_of_pieces(size: int, piece: int | None = None) -> int:
    """Into how many an array of so many numbers is cut: one of few, else an even number, equally much for two
    workers."""
    piece = piece or PIECE
    return 1 if 3 * size < piece else 2 * max(round(size / (2 * piece)), 1)


def add_up(piece, ones, out, other=None) -> None:
    """The sums over the short rows of a piece, or those of its products with another.

    (np.matmul keeps the interpreter's lock where it gives 500 numbers or fewer; np.dot never does.)
    """
    if other is None:
        np.dot(ones[: len(piece)], piece, out=out)
    else:
        np.einsum("ij,ij->j", piece, other, out=out)


@lru_cache(maxsize=1024)
def joined_pixels(pixels: int, channels: int, wanted: int) -> int:
    """How many pixels make a row of `wanted` numbers or a few more, where that divides their number, else the most that
    are fewer."""
    least = -(-wanted // channels)
    some = (d for d in range(least, LONGEST // channels + 1) if pixels % d == 0)
    return next(some, None) or next(d for d in range(min(least, pixels), 0, -1) if pixels % d == 0)


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
