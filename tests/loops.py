"""Slow oracles: every formula as plain loops over indices, written from its definition.

Nothing here calls minicnn, and nothing is clever: an oracle that shares code or a trick with what it
checks proves only that the two agree. Everything is computed in float64, whatever comes in. The
gradients are here for what finite differences cannot see: ties and kinks; and for checks in float32.

    N images  H W rows, columns  C channels  F filters  KH KW kernel  OH OW output
    i j output position  p q kernel tap  h w input position
"""

import math
from itertools import product

import numpy as np


def array(x):
    """x as a float64 NumPy array, wherever it lives."""
    return np.asarray(x.get() if hasattr(x, "get") else x, dtype=np.float64)


def indices(*sizes):
    """Every index of an array with these sizes, in row-major order."""
    return product(*(range(size) for size in sizes))


# ---------------------------------------------------------------------------------------------- padding


def same_pads(n, k, s=1, d=1):
    """(before, after) of 'same' along one axis: out = ceil(n/s), and the odd cell goes after."""
    out = math.ceil(n / s)
    total = max((out - 1) * s + (k - 1) * d + 1 - n, 0)
    return total // 2, total - total // 2


def explicit_pads(pads, sizes, kernel, strides, dilation=(1, 1)):
    """((top, bottom), (left, right)) of 'valid', 'same' or a pair of pairs."""
    if pads == "valid":
        return (0, 0), (0, 0)
    if pads == "same":
        return tuple(same_pads(*axis) for axis in zip(sizes, kernel, strides, dilation, strict=True))
    return pads


def output_size(n, k, s, before, after, d=1):
    """The number of places where a window of k cells, d apart, fits into the padded axis, s apart."""
    count = 0
    while count * s + (k - 1) * d < n + before + after:
        count += 1
    return count


def windows(sizes, kernel, strides, pads, dilation=(1, 1)):
    """For every output position (i, j): its taps [(p, q, h, w), ...] that hit real cells, row-major."""
    (top, bottom), (left, right) = explicit_pads(pads, sizes, kernel, strides, dilation)
    oh = output_size(sizes[0], kernel[0], strides[0], top, bottom, dilation[0])
    ow = output_size(sizes[1], kernel[1], strides[1], left, right, dilation[1])
    taps = {}
    for i, j in indices(oh, ow):
        taps[i, j] = []
        for p, q in indices(*kernel):
            h = i * strides[0] + p * dilation[0] - top
            w = j * strides[1] + q * dilation[1] - left
            if 0 <= h < sizes[0] and 0 <= w < sizes[1]:
                taps[i, j].append((p, q, h, w))
    return oh, ow, taps


# ------------------------------------------------------------------------------------------ convolution


def conv2d(x, w, strides=(1, 1), pads="valid", dilation=(1, 1), groups=1, b=None):
    """x: (N, H, W, C)   w: (KH, KW, C/groups, F)   b: (F,)   y: (N, OH, OW, F)

    Filter f belongs to group f // (F/groups) and sees that group's C/groups channels.
    """
    x, w = array(x), array(w)
    filters, per_group = w.shape[3], w.shape[2]
    oh, ow, taps = windows(x.shape[1:3], w.shape[:2], strides, pads, dilation)
    y = np.zeros((x.shape[0], oh, ow, filters))
    for n, i, j, f in indices(*y.shape):
        first = f // (filters // groups) * per_group
        total = 0.0 if b is None else float(b[f])
        for p, q, row, column in taps[i, j]:
            for c in range(per_group):
                total += x[n, row, column, first + c] * w[p, q, c, f]
        y[n, i, j, f] = total
    return y


def conv2d_grad(x, w, dy, strides=(1, 1), pads="valid", dilation=(1, 1), groups=1):
    """(dx, dw, db): each product x*w of conv2d sends dy*w to its x, and dy*x to its w."""
    x, w, dy = array(x), array(w), array(dy)
    filters, per_group = w.shape[3], w.shape[2]
    _, _, taps = windows(x.shape[1:3], w.shape[:2], strides, pads, dilation)
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(filters)
    for n, i, j, f in indices(*dy.shape):
        first = f // (filters // groups) * per_group
        db[f] += dy[n, i, j, f]
        for p, q, row, column in taps[i, j]:
            for c in range(per_group):
                dx[n, row, column, first + c] += dy[n, i, j, f] * w[p, q, c, f]
                dw[p, q, c, f] += dy[n, i, j, f] * x[n, row, column, first + c]
    return dx, dw, db


# ---------------------------------------------------------------------------------------------- pooling


def max_pool(x, size, strides, pads="valid"):
    """The largest real cell of every window: padding never wins."""
    x = array(x)
    oh, ow, taps = windows(x.shape[1:3], size, strides, pads)
    y = np.zeros((x.shape[0], oh, ow, x.shape[3]))
    for n, i, j, c in indices(*y.shape):
        y[n, i, j, c] = max(x[n, h, w, c] for _, _, h, w in taps[i, j])
    return y


def max_pool_grad(x, dy, size, strides, pads="valid"):
    """dx: all of dy goes to the FIRST maximum, in row-major order of the window."""
    x, dy = array(x), array(dy)
    _, _, taps = windows(x.shape[1:3], size, strides, pads)
    dx = np.zeros(x.shape)
    for n, i, j, c in indices(*dy.shape):
        best = None
        for _, _, h, w in taps[i, j]:
            if best is None or x[n, h, w, c] > x[n, best[0], best[1], c]:
                best = h, w
        dx[n, best[0], best[1], c] += dy[n, i, j, c]
    return dx


def avg_pool(x, size, strides, pads="valid"):
    """The mean over the real cells of every window."""
    x = array(x)
    oh, ow, taps = windows(x.shape[1:3], size, strides, pads)
    y = np.zeros((x.shape[0], oh, ow, x.shape[3]))
    for n, i, j, c in indices(*y.shape):
        y[n, i, j, c] = sum(x[n, h, w, c] for _, _, h, w in taps[i, j]) / len(taps[i, j])
    return y


def avg_pool_grad(x, dy, size, strides, pads="valid"):
    """dx: dy in equal parts to the real cells of the window."""
    x, dy = array(x), array(dy)
    _, _, taps = windows(x.shape[1:3], size, strides, pads)
    dx = np.zeros(x.shape)
    for n, i, j, c in indices(*dy.shape):
        for _, _, h, w in taps[i, j]:
            dx[n, h, w, c] += dy[n, i, j, c] / len(taps[i, j])
    return dx


# ---------------------------------------------------------------------------------------- normalisation


def moments(x):
    """(mean, biased variance) of every channel: over all axes but the last."""
    x = array(x)
    channels, count = x.shape[-1], x.size // x.shape[-1]
    mean, variance = np.zeros(channels), np.zeros(channels)
    for index in indices(*x.shape):
        mean[index[-1]] += x[index] / count
    for index in indices(*x.shape):
        variance[index[-1]] += (x[index] - mean[index[-1]]) ** 2 / count
    return mean, variance


def batch_norm(x, gamma=None, beta=None, epsilon=1e-3, mean=None, variance=None):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta; the batch's own moments if none are given."""
    x, y = array(x), np.zeros(x.shape)
    if mean is None:
        mean, variance = moments(x)
    for index in indices(*x.shape):
        c = index[-1]
        xhat = (x[index] - float(mean[c])) / math.sqrt(float(variance[c]) + epsilon)
        y[index] = xhat * (1.0 if gamma is None else float(gamma[c])) + (0.0 if beta is None else float(beta[c]))
    return y


def local_response_norm(x, depth_radius=5, bias=1.0, alpha=1.0, beta=0.5):
    """x_i / (bias + alpha * sum of x_j^2 over |j - i| <= depth_radius)^beta, along the last axis."""
    x = array(x)
    y = np.zeros(x.shape)
    for index in indices(*x.shape):
        total = 0.0
        for j in range(x.shape[-1]):
            if abs(j - index[-1]) <= depth_radius:
                total += x[index[:-1] + (j,)] ** 2
        y[index] = x[index] / (bias + alpha * total) ** beta
    return y


# ------------------------------------------------------------------------- elementwise, reductions, loss


def elementwise(function, *arrays):
    """function(numbers) at every index of arrays that broadcast."""
    arrays = np.broadcast_arrays(*(array(a) for a in arrays))
    y = np.zeros(arrays[0].shape)
    for index in np.ndindex(*y.shape):
        y[index] = function(*(float(a[index]) for a in arrays))
    return y


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def relu_grad(x, dy):
    """dx: dy where x > 0; nothing at the kink."""
    return elementwise(lambda value, upstream: upstream if value > 0 else 0.0, x, dy)


def reduce(function, x, axis=None, keepdims=False):
    """function(list of numbers) over one axis, several or all."""
    x = array(x)
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.atleast_1d(axis))
    kept = tuple(1 if a in axes else size for a, size in enumerate(x.shape))
    y = np.zeros(kept)
    for index in np.ndindex(*kept):
        cells = (range(size) if a in axes else (index[a],) for a, size in enumerate(x.shape))
        y[index] = function([float(x[cell]) for cell in product(*cells)])
    return y if keepdims else y.reshape([size for a, size in enumerate(x.shape) if a not in axes])


def max_grad(x, dy, axis=None, keepdims=False):
    """dx: dy in equal parts to all the cells that hold the maximum."""
    x = array(x)
    largest = np.broadcast_to(reduce(max, x, axis, keepdims=True), x.shape)
    ties = reduce(sum, x == largest, axis, keepdims=True)
    dy = array(dy).reshape(ties.shape)
    return elementwise(lambda v, top, n, up: up / n if v == top else 0.0, x, largest, ties, dy)


def matmul(a, b):
    """a: (..., M, K)   b: (..., K, N)   y: (..., M, N), the leading axes broadcast."""
    a, b = array(a), array(b)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = np.broadcast_to(a, lead + a.shape[-2:]), np.broadcast_to(b, lead + b.shape[-2:])
    y = np.zeros(lead + (a.shape[-2], b.shape[-1]))
    for index in np.ndindex(*y.shape):
        *first, m, n = index
        for k in range(a.shape[-1]):
            y[index] += a[(*first, m, k)] * b[(*first, k, n)]
    return y


def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along an axis, the largest subtracted first."""
    x = np.moveaxis(array(x), axis, -1)
    y = np.zeros(x.shape)
    for index in np.ndindex(*x.shape[:-1]):
        largest = max(x[index])
        total = math.fsum(math.exp(value - largest) for value in x[index])
        for c, value in enumerate(x[index]):
            y[index + (c,)] = math.exp(value - largest) / total
    return np.moveaxis(y, -1, axis)


def log_softmax(x, axis=-1):
    """x - max - log(sum(exp(x - max))) along an axis: finite where softmax rounds to 0."""
    x = np.moveaxis(array(x), axis, -1)
    y = np.zeros(x.shape)
    for index in np.ndindex(*x.shape[:-1]):
        largest = max(x[index])
        total = math.fsum(math.exp(value - largest) for value in x[index])
        for c, value in enumerate(x[index]):
            y[index + (c,)] = value - largest - math.log(total)
    return np.moveaxis(y, -1, axis)


def softmax_cross_entropy(logits, labels):
    """-sum over c of t_c * log_softmax(logits)_c. logits: (..., C)   labels: ints (...) or t (..., C)."""
    logp = log_softmax(logits)
    labels = np.asarray(labels.get() if hasattr(labels, "get") else labels)
    y = np.zeros(logp.shape[:-1])
    for index in np.ndindex(*y.shape):
        if labels.ndim < logp.ndim:
            y[index] = -logp[index + (int(labels[index]),)]
        else:
            y[index] = -sum(float(labels[index + (c,)]) * logp[index + (c,)] for c in range(logp.shape[-1]))
    return y
