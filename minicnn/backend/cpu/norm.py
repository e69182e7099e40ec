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
from minicnn.backend.cpu.pieces import kept_where_positive
from minicnn.backend.cpu.rows import Rows, add_up, constants, rows_of

LARGE_MEAN = 3.0  # of deviations: the squares lose one digit


def channel_sum(x):
    """(..., C) -> (C,)"""
    rows = rows_of(x)
    short, ones, sums = rows.short(x), rows.ones(x.dtype), rows.empty_sums(1, x.dtype)

    def work(i):
        add_up(short[rows.parts[i]], ones, sums[0, i])

    run(work, range(len(rows.parts)))
    return rows.fold(sums)[0].astype(x.dtype)


def channel_moments(x):
    """Mean and biased variance of each channel: (..., C) -> (C,), (C,)"""
    rows = rows_of(x)
    short, ones, sums = rows.short(x), rows.ones(x.dtype), rows.empty_sums(2, x.dtype)

    def work(i):
        piece = short[rows.parts[i]]
        add_up(piece, ones, plain[i])
        add_up(piece, ones, square[i], piece)

    plain, square = sums
    run(work, range(len(plain)))
    mean, square = rows.fold(sums) / rows.pixels
    squared = mean * mean
    variance = square - squared
    if not (squared <= LARGE_MEAN**2 * variance).all():
        return moments_about_means(short, rows)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def moments_about_means(short, rows: Rows):
    """`channel_moments`, each piece about its own means."""
    dtype, ones = short.dtype, rows.ones(short.dtype)
    count = np.array([(part.stop - part.start) * rows.summed for part in rows.parts], np.float64)[:, None]
    means, sums = np.empty((len(count), rows.channels)), rows.empty_sums(2, dtype)

    def work(i):
        piece = short[rows.parts[i]]
        add_up(piece, ones, plain[i])
        means[i] = rows.fold(plain[i : i + 1]) / count[i]
        middle = np.tile(means[i].astype(dtype), rows.summed)
        centred = np.subtract(piece, middle, out=scratch("piece", piece.shape, dtype))
        add_up(centred, ones, square[i], centred)

    plain, square = sums
    run(work, range(len(count)))
    squares = rows.fold(square)
    mean = (means * count).sum(axis=0) / rows.pixels
    variance = (squares + count * (means - mean) ** 2).sum(axis=0) / rows.pixels
    return mean.astype(dtype), variance.astype(dtype)


def scale_and_shift(mean, variance, gamma, beta, epsilon):
    """A batch norm as x * scale + shift: (C,) both"""
    scale = 1 / np.sqrt(variance + variance.dtype.type(epsilon))
    scale = scale if gamma is None else scale * gamma
    shift = -mean * scale
    return scale, shift if beta is None else shift + beta


def batch_norm(x, scale, shift, residual=None, relu=False):
    """[ReLU](x * scale + shift [+ residual]) with a scale and a shift for each channel: (..., C)"""
    rows = rows_of(x)
    y = empty(x.shape, np.result_type(x, scale))
    source, target = rows.matrix(x), rows.matrix(y)
    other = None if residual is None else rows.matrix(residual)
    (scale, shift), zero = rows.tiled((scale, shift), y.dtype), constants(0, rows.shape[1], y.dtype)

    def work(span):
        piece = target[span]
        np.multiply(source[span], scale, out=piece)
        np.add(piece, shift, out=piece)
        if other is not None:
            np.add(piece, other[span], out=piece)
        if relu:
            np.maximum(piece, zero, out=piece)

    run(work, rows.pieces[::-1])
    return y


def batch_norm_grad(dy, x, mean, variance, gamma, epsilon, y=None, residual=False):
    """dx, dgamma, dbeta and what goes to the residual, as `Backend.batch_norm_relu_grad`; without y, dy is not masked.

    One sweep masks dy and sums it up, alone and times x; the second, which begins with what the first ended with, makes
    dx = factor*dy + slope*x + offset of the sums. The masked dy waits in dx's own memory, or in that of the residual's
    gradient. (Rounding grows with |mean| / std, as in the forward pass's x * scale + shift.)
    """
    rows, dx = rows_of(x), empty(x.shape, x.dtype)
    masked = dy if y is None else empty(x.shape, x.dtype) if residual else dx
    sums = masked_sums(dy, x, y, masked, rows)
    dgamma, dbeta = input_grad(masked, x, sums, mean, variance, gamma, epsilon, dx)
    return dx, dgamma, dbeta, masked if residual else None


def input_grad(dy, x, sums, mean, variance, gamma, epsilon, dx):
    """The second sweep, to dx, which may be dy.   sums: of dy and of dy * x, (2, C)   -> dgamma, dbeta"""
    dtype, rows, (dbeta, with_x) = x.dtype, rows_of(x), sums
    inverse = 1 / np.sqrt(variance + dtype.type(epsilon))
    dgamma = (with_x - mean * dbeta) * inverse
    factor, slope, offset = rows.tiled(coefficients(dbeta, dgamma, mean, inverse, gamma, rows.pixels), dtype)
    xs, upstream, target = rows.matrix(x), rows.matrix(dy), rows.matrix(dx)

    def work(span):
        source, out = xs[span], target[span]
        piece = np.multiply(source, slope, out=scratch("piece", source.shape, dtype))
        np.add(piece, offset, out=piece)
        np.multiply(upstream[span], factor, out=out)
        np.add(out, piece, out=out)

    run(work, rows.pieces[::-1])
    return dgamma.astype(dtype), dbeta.astype(dtype)


def masked_sums(dy, x, y, masked, rows: Rows):
    """The sums of dy and of dy * x over the pixels, (2, C) in float64; with a y, `masked` becomes dy where y > 0."""
    long = [] if y is None else [rows.matrix(a) for a in (dy, y, masked)]
    xs, dys = rows.short(x), rows.short(masked)
    ones, sums = rows.ones(x.dtype), rows.empty_sums(2, x.dtype)

    def work(i):
        piece, part = rows.pieces[i], rows.parts[i]
        if long:
            kept_where_positive(*(a[piece] for a in long))
        add_up(dys[part], ones, plain[i])
        add_up(xs[part], ones, with_x[i], dys[part])

    plain, with_x = sums
    run(work, range(len(plain)))
    return rows.fold(sums)


def coefficients(dbeta, dgamma, mean, inverse, gamma, count: int):
    """factor, slope and offset with dx = factor*dy + slope*x + offset, collected from `Backend.batch_norm_grad`."""
    factor = inverse if gamma is None else inverse * gamma
    slope = -factor * inverse * (dgamma / count)
    return factor, slope, -factor * (dbeta / count) - slope * mean
