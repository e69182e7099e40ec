"""Batch norm, alone or with the addition and the ReLU behind it, in sweeps over pieces that stay in the cache.

All steps are done on one piece before the next, so that an array is read once a sweep. Pixels of few
channels are joined into long rows (`rows.py`); sums are taken in x's type within a piece and added in float64.
Statistics need one sweep: sums and sums of squares. Where a mean is large beside its deviation, the difference of the
two would lose digits: then each piece gives its mean and its squares about it, which are put together as in Chan,
Golub & LeVeque 1983, eq. 2.1.
"""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch
from minicnn.backend.cpu.rows import Rows, constants

LARGE_MEAN = 3.0  # of deviations: the squares lose one digit


def channel_sum(x):
    """(..., C) -> (C,)"""
    rows = Rows(x)
    matrix = rows.matrix(x)
    sums = rows.empty_sums(1, x.dtype)

    def work(i):
        rows.add_up(matrix[rows.pieces[i]], sums[i, 0])

    run(work, range(len(sums)))
    return rows.fold(sums).sum(axis=(0, 1)).astype(x.dtype)


def channel_moments(x):
    """Mean and biased variance of each channel: (..., C) -> (C,), (C,)"""
    rows = Rows(x)
    matrix = rows.matrix(x)
    sums = rows.empty_sums(2, x.dtype)

    def work(i):
        piece = matrix[rows.pieces[i]]
        rows.add_up(piece, sums[i, 0])
        rows.add_up(piece, sums[i, 1], piece)

    run(work, range(len(sums)))
    mean, square = rows.fold(sums).sum(axis=0) / rows.pixels
    variance = square - mean * mean
    if not (mean * mean <= LARGE_MEAN**2 * variance).all():
        return moments_about_means(matrix, rows)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def moments_about_means(matrix, rows: Rows):
    """`channel_moments`, each piece about its own means."""
    dtype = matrix.dtype
    count = np.array([(piece.stop - piece.start) * rows.joined for piece in rows.pieces], np.float64)[:, None]
    means, sums = np.empty((len(count), rows.channels)), rows.empty_sums(2, dtype)

    def work(i):
        piece, (total, square) = matrix[rows.pieces[i]], sums[i]
        rows.add_up(piece, total)
        means[i] = rows.fold(total) / count[i]
        centred = np.subtract(piece, rows.tiled(means[i].astype(dtype)), out=scratch("piece", piece.shape, dtype))
        rows.add_up(centred, square, centred)

    run(work, range(len(count)))
    squares = rows.fold(sums[:, 1])
    mean = (means * count).sum(axis=0) / rows.pixels
    variance = (squares + count * (means - mean) ** 2).sum(axis=0) / rows.pixels
    return mean.astype(dtype), variance.astype(dtype)


def batch_norm(x, scale, shift, residual=None, relu=False):
    """[ReLU](x * scale + shift [+ residual]) with a scale and a shift for each channel: (..., C)"""
    rows = Rows(x)
    y = empty(x.shape, np.result_type(x, scale))
    source, target = rows.matrix(x), rows.matrix(y)
    other = None if residual is None else rows.matrix(residual)
    scale, shift, zero = rows.tiled(scale), rows.tiled(shift), constants(0, rows.shape[1], y.dtype)

    def work(span):
        piece = target[span]
        np.multiply(source[span], scale, out=piece)
        np.add(piece, shift, out=piece)
        if other is not None:
            np.add(piece, other[span], out=piece)
        if relu:
            np.maximum(piece, zero, out=piece)

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
    sums = rows.empty_sums(2, dtype)

    def add_up(i):
        span = rows.pieces[i]
        piece = masked[span]
        if ys is not None:
            positive = np.greater(ys[span], 0, out=scratch("positive", piece.shape, bool))
            np.multiply(dys[span], positive, out=piece)
        rows.add_up(piece, sums[i, 0])
        rows.add_up(xs[span], sums[i, 1], piece)

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
