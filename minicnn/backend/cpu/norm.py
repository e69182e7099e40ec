"""Batch norm, alone or with the addition and the ReLU behind it, in sweeps over pieces that stay in the cache.

All steps are done on one piece before the next, so that an array is read once a sweep. Rows of few channels are joined
into wide ones, since a NumPy loop costs more than 16 numbers; sums over rows are products with ones (up to 11 times
faster than x.sum(0)), taken in x's type within a piece and added in float64. Statistics need one sweep: each piece
gives its mean and its squares about that mean, which are put together as in Chan, Golub & LeVeque 1983, eq. 2.1.
"""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch, spans

WIDE = 2048  # numbers of a joined row
PIECE = 1 << 16  # numbers of a piece


class Rows:
    """(..., C) as a matrix of rows of `joined` pixels each, (M / joined, joined * C), cut into pieces."""

    def __init__(self, x):
        self.channels = x.shape[-1]
        self.pixels = x.size // self.channels
        self.joined = 1
        while self.joined * self.channels < WIDE and self.pixels % (2 * self.joined) == 0:
            self.joined *= 2
        self.shape = self.pixels // self.joined, self.joined * self.channels
        self.pieces = spans(self.shape[0], PIECE // self.shape[1])

    def matrix(self, x):
        """x as that matrix: a view, unless its rows do not lie side by side."""
        return x.reshape(self.shape)

    def tiled(self, vector):
        """A number for each channel, repeated along a joined row."""
        return np.tile(vector, self.joined)

    def fold(self, sums):
        """Sums of the columns of joined rows as sums of the channels, in float64: (..., joined * C) -> (..., C)"""
        return sums.reshape(*sums.shape[:-1], self.joined, self.channels).sum(axis=-2, dtype=np.float64)


def channel_sum(x):
    """(..., C) -> (C,)"""
    rows = Rows(x)
    matrix = rows.matrix(x)
    sums = np.empty((len(rows.pieces), rows.shape[1]), x.dtype)

    def work(i):
        piece = matrix[rows.pieces[i]]
        np.matmul(np.ones(len(piece), x.dtype), piece, out=sums[i])

    run(work, range(len(sums)))
    return rows.fold(sums).sum(axis=0).astype(x.dtype)


def channel_moments(x):
    """Mean and biased variance of each channel: (..., C) -> (C,), (C,)"""
    rows = Rows(x)
    matrix = rows.matrix(x)
    count = np.array([(piece.stop - piece.start) * rows.joined for piece in rows.pieces], np.float64)[:, None]
    means, squares = np.empty((2, len(count), rows.channels))

    def work(i):
        piece = matrix[rows.pieces[i]]
        means[i] = rows.fold(np.matmul(np.ones(len(piece), x.dtype), piece)) / count[i]
        about = rows.tiled(means[i].astype(x.dtype))
        centred = np.subtract(piece, about, out=scratch("piece", piece.shape, x.dtype))
        squares[i] = rows.fold(np.einsum("ij,ij->j", centred, centred))

    run(work, range(len(count)))
    mean = (means * count).sum(axis=0) / rows.pixels
    variance = (squares + count * (means - mean) ** 2).sum(axis=0) / rows.pixels
    return mean.astype(x.dtype), variance.astype(x.dtype)


def batch_norm(x, scale, shift, residual=None, relu=False):
    """[ReLU](x * scale + shift [+ residual]) with a scale and a shift for each channel: (..., C)"""
    rows = Rows(x)
    y = empty(x.shape, np.result_type(x, scale))
    source, target = rows.matrix(x), rows.matrix(y)
    other = None if residual is None else rows.matrix(residual)
    scale, shift = rows.tiled(scale), rows.tiled(shift)

    def work(span):
        piece = target[span]
        np.multiply(source[span], scale, out=piece)
        np.add(piece, shift, out=piece)
        if other is not None:
            np.add(piece, other[span], out=piece)
        if relu:
            np.maximum(piece, 0, out=piece)

    run(work, rows.pieces)
    return y


def batch_norm_grad(dy, x, mean, variance, gamma, epsilon, y=None, residual=False):
    """dx, dgamma, dbeta and what goes to the residual, as `Backend.batch_norm_relu_grad`; without y, dy is not masked.

    One sweep masks dy and sums it up, alone and times x; the second makes dx = factor*dy + slope*x + offset of the
    sums. The masked dy waits in dx's own memory, or in that of the residual's gradient. (Rounding grows with
    |mean| / std, as in the forward pass's x * scale + shift.)
    """
    dtype, rows = x.dtype, Rows(x)
    xs, dys = rows.matrix(x), rows.matrix(dy)
    ys = None if y is None else rows.matrix(y)
    dx = empty(x.shape, dtype)
    target = rows.matrix(dx)
    masked = dys if ys is None else rows.matrix(empty(x.shape, dtype)) if residual else target
    sums = np.empty((len(rows.pieces), 2, rows.shape[1]), dtype)

    def add_up(i):
        span = rows.pieces[i]
        piece = masked[span]
        if ys is not None:
            positive = np.greater(ys[span], 0, out=scratch("positive", piece.shape, bool))
            np.multiply(dys[span], positive, out=piece)
        np.matmul(np.ones(len(piece), dtype), piece, out=sums[i, 0])
        np.einsum("ij,ij->j", xs[span], piece, out=sums[i, 1])

    run(add_up, range(len(sums)))
    inverse = 1 / np.sqrt(variance + dtype.type(epsilon))
    dbeta, with_x = rows.fold(sums).sum(axis=0)
    dgamma = (with_x - mean * dbeta) * inverse
    wide = [rows.tiled(v.astype(dtype)) for v in coefficients(dbeta, dgamma, mean, inverse, gamma, rows.pixels)]

    def make(span):
        piece = np.multiply(xs[span], wide[1], out=scratch("piece", xs[span].shape, dtype))
        np.add(piece, wide[2], out=piece)
        out = np.multiply(masked[span], wide[0], out=target[span])
        np.add(out, piece, out=out)

    run(make, rows.pieces)
    to_residual = (masked.reshape(x.shape) if ys is not None else dy) if residual else None
    return dx, dgamma.astype(dtype), dbeta.astype(dtype), to_residual


def coefficients(dbeta, dgamma, mean, inverse, gamma, count: int):
    """factor, slope and offset with dx = factor*dy + slope*x + offset, collected from `Backend.batch_norm_grad`."""
    factor = inverse if gamma is None else inverse * gamma
    slope = -factor * inverse * (dgamma / count)
    return factor, slope, -factor * (dbeta / count) - slope * mean
