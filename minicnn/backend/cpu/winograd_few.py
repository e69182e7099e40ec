"""Winograd's convolution of few tiles with a large kernel, whose transform U need not be written to memory.

At 7x7x512 a batch of 8 has 32 tiles: U = G w G^T takes four times the memory of w, longer to write and to read back
than the products, and serves once where w changes with each step. Here a worker takes a panel of filters for itself: U
of a few channels of it is made in the cache, multiplied, and overwritten by that of the next; their products add up.
Where U is there already, as in a prediction, this is how two workers share the tiles of a single image, or read a large
U once between them.
Error: that of `winograd.py`, whose matrices these are.
"""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product, product_of_panels
from minicnn.backend.cpu.winograd_kernel import by_cells, transform
from minicnn.backend.cpu.winograd_points import points
from minicnn.backend.cpu.winograd_tiles import Tiles, put

CHANNELS, FILTERS = 128, 64  # of U that are in the cache: 1.2 MB for F(4x4, 3x3)
PARTS = 4  # of a U that is in memory, where it has that many panels
PIECE_BYTES = 1 << 21  # of transformed tiles that a worker makes at a time


def conv2d(x, w, pads, out, m: int, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on images of y that are done.

    x: (N, H, W, C)   w: (3, 3, C, F), any strides   pads: ((top, bottom), (left, right))   -> (N, *out, F)
    """
    (c, f), w, matrices = w.shape[2:], w.reshape(9, *w.shape[2:]), points(m)

    def multiply(v, filters, products):
        for channels in spans(c, CHANNELS):
            u = scratch("transformed", (len(v), channels.stop - channels.start, products.shape[2]), v.dtype)
            transform(w[:, channels, filters], matrices, u)
            part = scratch("part", products.shape, v.dtype) if channels.start else products
            product(v[:, :, channels], u, part)
            if channels.start:
                np.add(products, part, out=products)

    return by_filters(x, multiply, spans(f, FILTERS), pads, out, m, np.result_type(x, w), finish)


def conv2d_of_panels(x, u, pads, out, m: int, finish=None):
    """The same with the transform of `winograd_kernel.py`, whose panels are shared out."""
    (panels, _, width), u = u.shape[2:], u[:, 0]
    together = panels // PARTS if panels % PARTS == 0 else 1

    def multiply(v, filters, products):
        product_of_panels(v, u[:, filters.start // width : filters.stop // width], products)

    return by_filters(x, multiply, spans(panels * width, together * width), pads, out, m, u.dtype, finish)


def by_filters(x, multiply, parts, pads, out, m: int, dtype, finish):
    """y, after multiply(V, filters, M) for each part of the filters."""
    p, n, f = points(m), len(x), parts[-1].stop
    squared, tall, wide = p.t * p.t, -(-out[0] // m), -(-out[1] // m)
    y = empty((n, *out, f), dtype)
    tiles = Tiles(x, p.input, m, wide, pads, dtype)
    v = scratch("inputs", (squared, n * tall * wide, x.shape[3]), dtype)

    def forth(images):
        transform_images(tiles, images, tall, v)

    def back(filters):
        products = scratch("upstream", (squared, v.shape[1], filters.stop - filters.start), dtype)
        multiply(v, filters, products)
        put(products, p.output, y[..., filters], wide)

    images = image_spans(n, v[:, : tall * wide].nbytes, PIECE_BYTES)
    run(forth, images)
    run(back, parts)
    if finish is not None:
        run(lambda some: finish(y[some], some, slice(0, out[0])), images)
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
