"""Winograd's convolution of few tiles with a large kernel, whose transform U is never written to memory.

At 7x7x512 a batch of 8 has 32 tiles: U = G w G^T takes four times the memory of w, longer to write and to read back
than the products, and serves once where w changes with each step. Here a worker takes a panel of filters for itself: U
of a few channels of it is made in the cache, multiplied, and overwritten by that of the next; their products add up.
Error: that of `winograd.py`, whose matrices these are.
"""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product
from minicnn.backend.cpu.winograd_kernel import by_cells, transform
from minicnn.backend.cpu.winograd_points import points
from minicnn.backend.cpu.winograd_tiles import Tiles, put

CHANNELS, FILTERS = 128, 64  # of U that are in the cache: 1.2 MB for F(4x4, 3x3)
PIECE_BYTES = 1 << 21  # of transformed tiles that a worker makes at a time


def conv2d(x, w, pads, out, m: int, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on images of y that are done.

    x: (N, H, W, C)   w: (3, 3, C, F), any strides   pads: ((top, bottom), (left, right))   -> (N, *out, F)
    """
    p, (c, f), w = points(m), w.shape[2:], w.reshape(9, *w.shape[2:])
    n, squared, tall, wide = len(x), p.t * p.t, -(-out[0] // m), -(-out[1] // m)
    y = empty((n, *out, f), np.result_type(x, w))
    tiles = Tiles(x, p.input, m, wide, pads, y.dtype)
    v = scratch("inputs", (squared, n * tall * wide, c), y.dtype)

    def forth(images):
        transform_images(tiles, images, tall, v)

    def multiply(filters):
        shape = squared, n * tall * wide, filters.stop - filters.start
        products = scratch("upstream", shape, y.dtype)
        for channels in spans(c, CHANNELS):
            u = scratch("transformed", (squared, channels.stop - channels.start, shape[2]), y.dtype)
            transform(w[:, channels, filters], p, u)
            part = scratch("part", shape, y.dtype) if channels.start else products
            product(v[:, :, channels], u, part)
            if channels.start:
                np.add(products, part, out=products)
        put(products, p.output, y[..., filters], wide)

    parts = image_spans(n, squared * tall * wide * c * y.itemsize, PIECE_BYTES)
    run(forth, parts)
    run(multiply, spans(f, FILTERS))
    if finish is not None:
        run(lambda images: finish(y[images], images, slice(0, out[0])), parts)
    return y


def transform_images(tiles: Tiles, images: slice, tall: int, out) -> None:
    """Some whole images, of `tall` rows of tiles each, to their place among those of all.   out: (t*t, P, C)"""
    each = tall * tiles.wide
    tiles.transform(images, slice(0, tall), out[:, images.start * each : images.stop * each])


def weight_grad(x, dy, pads, m: int):
    """dw of `Backend.conv2d_weight_grad`, all filters of some channels at a time.

    x: (N, H, W, C)   dy: (N, OH, OW, F)   -> (3, 3, C, F)
    """
    p, (n, oh, ow, f), c, dtype = points(m), dy.shape, x.shape[3], np.result_type(x, dy)
    squared, tall, wide = p.t * p.t, -(-oh // m), -(-ow // m)
    pair = Tiles(x, p.input, m, wide, pads, dtype), Tiles(dy, p.upstream, m, wide, ((0, 0), (0, 0)), dtype)
    v = scratch("inputs", (squared, n * tall * wide, c), dtype)
    upstream = scratch("upstream", (squared, n * tall * wide, f), dtype)
    dw = empty((9, c, f), dtype)

    def forth(images):
        for tiles, transformed in zip(pair, (v, upstream), strict=True):
            transform_images(tiles, images, tall, transformed)

    def multiply(channels):
        sums = scratch("transformed", (squared, channels.stop - channels.start, f), dtype)
        np.matmul(v[:, :, channels].swapaxes(1, 2), upstream, out=sums)
        by_cells(p.kernel_gradient, sums, dw[:, channels])

    run(forth, image_spans(n, squared * tall * wide * (c + f) * dtype.itemsize, PIECE_BYTES))
    run(multiply, spans(c, min(CHANNELS, -(-c // 2))))
    return dw.reshape(3, 3, c, f)
