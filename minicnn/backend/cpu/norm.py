"""Sums over channels and per-channel arithmetic, in pieces that stay in the cache: all steps on one before the next.

Each piece's sums are taken in its own type by a product with ones (up to 11 times faster than x.sum(0)), and the sums
of the pieces are added in float64: pieces are short, so nothing is lost.
"""

import numpy as np

from minicnn.backend.cpu.parallel import row_spans, run, scratch


def piece_sums(rows, count, dtype, make):
    """Sums over pieces: make(span) gives `count` matrices (M', C) of a piece; -> (count, C) in float64."""
    spans = row_spans(rows)
    sums = np.empty((len(spans), count, rows.shape[1]), dtype)

    def work(i):
        span = spans[i]
        ones = np.ones(span.stop - span.start, dtype)
        for k, matrix in enumerate(make(span)):
            np.matmul(ones, matrix, out=sums[i, k])

    run(work, range(len(spans)))
    return sums.sum(axis=0, dtype=np.float64)


def channel_sum(x):
    """(..., C) -> (C,)"""
    rows = x.reshape(-1, x.shape[-1])
    return piece_sums(rows, 1, x.dtype, lambda span: (rows[span],))[0].astype(x.dtype)


def channel_moments(x):
    """Mean and biased variance of each channel: (..., C) -> (C,), (C,). Two passes: squares of x itself would
    cancel."""
    rows = x.reshape(-1, x.shape[-1])
    mean = (piece_sums(rows, 1, x.dtype, lambda span: (rows[span],))[0] / len(rows)).astype(x.dtype)

    def centred_squares(span):
        centred = np.subtract(rows[span], mean, out=scratch("centred", rows[span].shape, x.dtype))
        return (np.multiply(centred, centred, out=centred),)

    variance = piece_sums(rows, 1, x.dtype, centred_squares)[0] / len(rows)
    return mean, variance.astype(x.dtype)


def scale_shift(x, scale, shift):
    """x * scale + shift with a number for each channel: (..., C)"""
    y = np.empty(x.shape, np.result_type(x, scale))
    source, target = x.reshape(-1, x.shape[-1]), y.reshape(-1, x.shape[-1])

    def work(span):
        np.multiply(source[span], scale, out=target[span])
        np.add(target[span], shift, out=target[span])

    run(work, row_spans(source))
    return y


def batch_norm_grad(dy, x, mean, variance, gamma, epsilon):
    """dx, dgamma, dbeta, as `Backend.batch_norm_grad`: one pass for the two sums, one for dx."""
    dtype = x.dtype
    dys, xs = dy.reshape(-1, x.shape[-1]), x.reshape(-1, x.shape[-1])
    inverse = 1 / np.sqrt(variance + dtype.type(epsilon))

    def normalised(span):
        xhat = np.subtract(xs[span], mean, out=scratch("xhat", xs[span].shape, dtype))
        return np.multiply(xhat, inverse, out=xhat)

    def parts(span):
        xhat = normalised(span)
        return dys[span], np.multiply(xhat, dys[span], out=xhat)

    dbeta, dgamma = piece_sums(xs, 2, dtype, parts).astype(dtype)
    mean_dy, mean_dy_xhat = dbeta / dtype.type(len(xs)), dgamma / dtype.type(len(xs))
    factor = inverse if gamma is None else inverse * gamma
    dx = np.empty(x.shape, dtype)
    target = dx.reshape(-1, x.shape[-1])

    def work(span):
        xhat, out = normalised(span), target[span]
        np.multiply(xhat, mean_dy_xhat, out=xhat)
        np.subtract(dys[span], mean_dy, out=out)
        np.subtract(out, xhat, out=out)
        np.multiply(out, factor, out=out)

    run(work, row_spans(xs))
    return dx, dgamma, dbeta
