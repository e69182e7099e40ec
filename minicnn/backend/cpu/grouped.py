"""Grouped convolutions: several groups as one direct convolution whose kernel is zero between them.

A group of four channels (ResNeXt 32x4d; Xie et al. 2017, arXiv:1611.05431, section 3.3) makes products too thin to be
fast; four such groups, side by side in one kernel of 16 channels, cost four times the multiplications and less time.
Depthwise convolutions, one channel a group, have no products: each tap scales and adds whole rows of pixels.
x: (N, H, W, C)   w: (KH, KW, C/G, F)   y: (N, OH, OW, F). Error in float32: rounding, as for direct convolutions.
"""

import numpy as np

from minicnn.backend.cpu import conv, phases
from minicnn.backend.cpu.blocks import Blocks, is_depthwise
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch, spans
from minicnn.backend.window import Window

BAND = 1 << 16  # numbers of a band of a depthwise convolution


def conv2d(x, w, window: Window, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) runs on y when it is whole."""
    (kh, kw), groups = w.shape[:2], window.groups
    out = window.output_size(x.shape[1:3], (kh, kw))
    y = empty((len(x), *out, w.shape[3]), np.result_type(x, w))
    x = conv.padded(x, window.explicit_pads(x.shape[1:3], (kh, kw)))
    if is_depthwise(w.shape, groups):
        depthwise(x, w, window, y)
    else:
        blocks = Blocks(w.shape, groups)
        for b in range(blocks.count):
            conv.correlate(
                x[blocks.channels(b)], blocks.kernel(w, b), window.strides, window.dilation, y[blocks.filters(b)]
            )
    if finish is not None:
        everything = slice(0, out[0])
        count = max(BAND * len(y) // max(y.size, 1), 1)
        run(lambda images: finish(y[images], images, everything), spans(len(y), count))
    return y


def input_grad(dy, w, x_shape, window: Window):
    """dx of `Backend.conv2d_input_grad`, for groups that are not depthwise and dilation 1."""
    blocks, plain = Blocks(w.shape, window.groups), Window(window.strides, window.pads)
    dx = empty(x_shape, np.result_type(dy, w))
    for b in range(blocks.count):
        shape = *x_shape[:3], blocks.shape[2]
        dx[blocks.channels(b)] = phases.input_grad(dy[blocks.filters(b)], blocks.kernel(w, b), shape, plain)
    return dx


def weight_grad(x, dy, w_shape, window: Window):
    """dw of `Backend.conv2d_weight_grad`"""
    x = conv.padded(x, window.explicit_pads(x.shape[1:3], w_shape[:2]))
    if is_depthwise(w_shape, window.groups):
        return depthwise_weight_grad(x, dy, w_shape, window)
    blocks, plain = Blocks(w_shape, window.groups), Window(window.strides, dilation=window.dilation)
    dw = empty(w_shape, np.result_type(x, dy))
    for b in range(blocks.count):
        whole = conv.weight_grad(x[blocks.channels(b)], dy[blocks.filters(b)], blocks.shape, plain)
        dw[blocks.filters(b)] = blocks.own(whole)
    return dw


# Depthwise -----------------------------------------------------------------------------------------------------------


def bands(shape) -> list[tuple[slice, slice]]:
    """Pieces of y: some rows of one image."""
    n, oh, ow, c = shape
    return [(slice(i, i + 1), rows) for i in range(n) for rows in spans(oh, BAND // (ow * c))]


def tap_of(x, rows, columns, band, stride: int):
    """What a tap reads for a band of rows of y."""
    images, span = band
    start = rows.start + span.start * stride
    return x[images, start : start + (span.stop - span.start - 1) * stride + 1 : stride, columns]


def depthwise(x, w, window: Window, y):
    """y += x[tap] * w[tap] for every tap, a band at a time; x is padded, y written."""
    taps = window.taps(w.shape[:2], y.shape[1:3])

    def work(band):
        target = y[band]
        part = scratch("part", target.shape, y.dtype)
        for k, (p, q, (rows, columns)) in enumerate(taps):
            out = part if k else target
            np.multiply(tap_of(x, rows, columns, band, window.strides[0]), w[p, q, 0], out=out)
            if k:
                np.add(target, part, out=target)

    run(work, bands(y.shape))


def depthwise_input_grad(dy, w, x_shape, window: Window):
    """dx[tap] += dy * w[tap] for every tap; an image belongs to one worker."""
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], w.shape[:2])
    n, h, wide, c = x_shape
    dx = np.zeros((n, top + h + bottom, left + wide + right, c), np.result_type(dy, w))
    taps = window.taps(w.shape[:2], dy.shape[1:3])

    def work(i):
        for band in bands((1, *dy.shape[1:])):
            upstream = dy[i : i + 1][band]
            part = scratch("part", upstream.shape, dx.dtype)
            for p, q, (rows, columns) in taps:
                target = tap_of(dx[i : i + 1], rows, columns, band, window.strides[0])
                np.add(target, np.multiply(upstream, w[p, q, 0], out=part), out=target)

    run(work, range(n))
    return dx[:, top : top + h, left : left + wide]


def depthwise_weight_grad(x, dy, w_shape, window: Window):
    """dw[tap] = sum over pixels of x[tap] * dy, a sum for each band, the bands' in float64."""
    taps, pieces = window.taps(w_shape[:2], dy.shape[1:3]), bands(dy.shape)
    sums = np.empty((len(pieces), len(taps), dy.shape[3]), np.result_type(x, dy))

    def work(i):
        upstream = dy[pieces[i]]
        ones = np.ones(upstream.size // upstream.shape[3], sums.dtype)
        part = scratch("part", upstream.shape, sums.dtype)
        for k, (_, _, (rows, columns)) in enumerate(taps):
            np.multiply(tap_of(x, rows, columns, pieces[i], window.strides[0]), upstream, out=part)
            np.matmul(ones, part.reshape(len(ones), -1), out=sums[i, k])

    run(work, range(len(pieces)))
    return sums.sum(axis=0, dtype=np.float64).astype(sums.dtype).reshape(w_shape)
