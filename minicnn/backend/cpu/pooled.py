"""A convolution of few channels, its bias, ReLU and 2x2 max pooling at once, forward and backward.

Idea: one patch of (KH+1) x (KW-1+2q) pixels holds all that q neighbours of the pooled y read, so that one product with
the kernel, shifted into its 4q places, gives the four cells of q windows side by side; their maximum is taken while
they are in the cache, and one number of four is written. What goes on is three bits a window: which cell it was.
Shapes: patches (P, (KH+1)*(KW-1+2q)*C)   kernel (that, 2*2*q*F), columns by cell, neighbour, filter   y (N, H', W', F).
Source: as direct convolutions (`conv.py`); max(z) + b = max(z + b), and so for ReLU. Error in float32: rounding, 2e-7.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.backend.cpu.choice import algorithm, pooled_neighbours
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, lasting, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.rows import constants, tiled
from minicnn.backend.window import Window

PIECE_NUMBERS = 1 << 15  # of y in a piece that is pooled
PIECE_BYTES = 3 << 19  # of patches and products of a piece
GROUPS = 8  # sums kept side by side for the gradient of a kernel: the most threads that can work on it
MOST_CHANNELS, MOST_FILTERS = 16, 32  # beyond them products are wide enough without four cells in each


@lru_cache(maxsize=256)
def fits(x_shape, w_shape, window: Window) -> bool:
    """Whether the convolution is one for this file: small, stride 1, even sizes and pads, so that windows are blocks.

    A 3x3 kernel of many channels is better off with Winograd.
    """
    kh, kw, c, f = w_shape
    pads = sum(window.explicit_pads(x_shape[1:3], (kh, kw)), ())
    few = c <= MOST_CHANNELS and f <= MOST_FILTERS and not (max(kh, kw) <= 3 and c > 4)
    plain = window.strides == window.dilation == (1, 1) and window.groups == 1
    even = not any(n % 2 for n in (*pads, *x_shape[1:3]))
    inside = max(pads[:2]) < kh and max(pads[2:]) < kw and min(window.output_size(x_shape[1:3], (kh, kw))) > 1
    return plain and few and even and inside and min(kh, kw) > 1


@lru_cache(maxsize=256)
class Blocks:
    """How y is cut: q neighbours a row of the products, pieces of whole images."""

    def __init__(self, x_shape, w_shape, window: Window):
        self.kh, self.kw, self.c, self.f = w_shape
        oh, ow = window.output_size(x_shape[1:3], w_shape[:2])
        self.n, self.out = x_shape[0], (oh // 2, ow // 2)
        self.q = pooled_neighbours(w_shape, self.out[1])
        self.rows, self.length = self.kh + 1, self.kw - 1 + 2 * self.q
        self.depth, self.run = self.rows * self.length * self.c, self.q * self.f
        self.wide = self.out[1] // self.q
        self.band = 2 * self.out[0] + self.kh - 1, 2 * self.out[1] + self.kw - 1  # pixels that patches lie in
        (top, _), (left, _) = window.explicit_pads(x_shape[1:3], w_shape[:2])
        self.read = slice(0, self.band[0] - top), slice(0, self.band[1] - left)  # of x, and where that lies in the band
        self.inside = slice(top, top + x_shape[1]), slice(left, left + x_shape[2])

    def pieces(self, itemsize: int) -> list[slice]:
        """Images whose patches and products take about PIECE_BYTES."""
        return image_spans(self.n, self.out[0] * self.wide * (self.depth + 4 * self.run) * itemsize, PIECE_BYTES)

    def patches(self, x, dtype):
        """Those of some images, not padded: (P, depth), in this thread's memory."""

        def make():
            band = scratch("band of blocks", (len(x), *self.band, self.c), dtype)
            band[...] = 0
            image, row, pixel, number = band.strides
            shape = len(x), self.out[0], self.wide, self.rows, self.length * self.c
            view = np.ndarray(shape, dtype, band, 0, (image, 2 * row, 2 * self.q * pixel, row, number))
            found = scratch("patches of blocks", shape, dtype)
            return band[:, *self.inside], as_runs(view), as_runs(found), found.reshape(-1, self.depth)

        inside, view, target, found = lasting("patches of blocks", (self, len(x), dtype), make)
        np.copyto(inside, x[:, *self.read])
        np.copyto(target, view)
        return found

    def kernel(self, w):
        """w in its 4q places: (depth, 4 * q * F)"""
        wide = np.zeros((self.rows, self.length, self.c, 2, 2, self.q, self.f), w.dtype)
        in_places(wide, self.kh, self.kw)[...] = w
        return wide.reshape(self.depth, -1)

    def fold(self, wide):
        """The gradient of `kernel`: (depth, 4 * q * F) -> (KH, KW, C, F)"""
        wide = wide.reshape(self.rows, self.length, self.c, 2, 2, self.q, self.f)
        return in_places(wide, self.kh, self.kw).sum(axis=(0, 1, 2))


def in_places(wide, kh: int, kw: int):
    """Where in a patch the kernel lies for each cell of each neighbour's window, a view.

    (rows, length, C, 2, 2, q, F) -> (2, 2, q, KH, KW, C, F)
    """
    row, pixel, channel, tall, broad, neighbour, number = wide.strides
    strides = row + tall, pixel + broad, 2 * pixel + neighbour, row, pixel, channel, number
    return np.ndarray((*wide.shape[3:6], kh, kw, wide.shape[2], wide.shape[6]), wide.dtype, wide, 0, strides)


def conv2d(x, w, window: Window, bias=None, relu=True, keep=True):
    """y (N, H', W', F), and the bits of each window, (3, N, H', W'/q, q*F), if they are to be kept: the second cell of
    the upper two is the larger, that of the lower two, the lower two's maximum."""
    blocks = Blocks(x.shape, w.shape, window)
    kernel = blocks.kernel(w)
    y = empty((len(x), *blocks.out, blocks.f), np.result_type(x, w))
    bits = np.empty((3, len(x), blocks.out[0], blocks.wide, blocks.run), bool) if keep else None
    finish = pool_of(bias, relu, y, bits, blocks.q)

    def work(images):
        patches = blocks.patches(x[images], y.dtype)
        cells = product(patches, kernel, scratch("cells", (len(patches), 4 * blocks.run), y.dtype))
        finish(cells, images, slice(0, blocks.out[0]))

    run(work, blocks.pieces(y.itemsize))
    return y, bits


def pool_of(bias, relu: bool, y, bits, q: int):
    """finish(cells, images, rows): from the cells (P, 4 * q*F) of some images their rows of y, and their bits if they
    are kept."""
    wide, f = y.shape[2:]
    wide_bias = None if bias is None else tiled(bias, wide)
    zero = constants(0, wide * f, y.dtype)

    def finish(cells, images, rows):
        count = images.stop - images.start
        if count > 1 and rows.stop - rows.start < y.shape[1]:  # which lie apart
            for i in range(count):
                finish(cells[i], slice(images.start + i, images.start + i + 1), rows)
            return
        target = y[images, rows].reshape(-1, q * f)
        planes = scratch("planes", (2, 2, *target.shape), y.dtype)
        as_runs(planes)[...] = as_runs(cells.reshape(-1, 2, 2, q * f)).transpose(1, 2, 0)
        first, second = planes[:, 0], planes[:, 1]
        if bits is not None:
            np.greater(second, first, out=bits[:2, images, rows].reshape(first.shape))
        upper, lower = np.maximum(first, second, out=first)
        if bits is not None:
            np.greater(lower, upper, out=bits[2, images, rows].reshape(target.shape))
        np.maximum(upper, lower, out=target)
        target = target.reshape(-1, wide * f)
        if wide_bias is not None:
            np.add(target, wide_bias, out=target)
        if relu:
            np.maximum(target, zero, out=target)

    return finish


def as_runs(cells):
    """(..., q*F) as items that are copied whole: (...)"""
    return cells.view(np.dtype((np.void, cells.shape[-1] * cells.itemsize)))[..., 0]


def gradients(dy, y, bits, x, w, window: Window, relu=True, cells_wanted=False):
    """dw, db, and, where dx is wanted, the gradient of the cells as blocks (N, H', W', 4F)."""
    blocks = Blocks(x.shape, w.shape, window)
    dtype = y.dtype
    pieces = blocks.pieces(dtype.itemsize)
    groups = [pieces[span] for span in spans(len(pieces), -(-len(pieces) // GROUPS))]
    sums = np.zeros((len(groups), blocks.depth, 4 * blocks.run), dtype)
    biases = np.zeros((len(groups), blocks.run), dtype)
    found = empty((*y.shape[:3], 4, blocks.f), dtype) if cells_wanted else None

    def work(g):
        for images in groups[g]:
            cells = scratch("cells", (len(y[images]) * blocks.out[0] * blocks.wide, 4, blocks.run), dtype)
            biases[g] += share_out(dy, y, bits, images, relu, cells)
            if found is not None:
                by_cell = cells.reshape(*found[images].shape[:2], blocks.wide, 4, blocks.q, blocks.f)
                np.copyto(found[images].reshape(*by_cell.shape[:3], blocks.q, 4, -1), by_cell.swapaxes(3, 4))
            patches, part = blocks.patches(x[images], dtype), scratch("part", sums.shape[1:], dtype)
            np.add(sums[g], sum_of_products(patches, cells.reshape(len(cells), -1), part), out=sums[g])

    run(work, range(len(groups)))
    db = channel_sums(biases, blocks.f)
    return blocks.fold(sums.sum(axis=0)), db, None if found is None else found.reshape(*y.shape[:3], -1)


def gradient_of_cells(dy, y, bits, relu=True):
    """The gradient of the cells as blocks, (N, H', W', 4F), and db, for q = 1."""
    f, pieces = y.shape[3], image_spans(len(y), y[:1].size, PIECE_NUMBERS)
    cells, biases = empty((*y.shape[:3], 4, f), y.dtype), np.empty((len(pieces), f), y.dtype)

    def work(i):
        biases[i] = share_out(dy, y, bits, pieces[i], relu, cells[pieces[i]].reshape(-1, 4, f))

    run(work, range(len(pieces)))
    return cells.reshape(*y.shape[:3], 4 * f), channel_sums(biases, f)


def channel_sums(sums, f: int):
    """(..., q*F) -> (F,), in float64 on the way."""
    return sums.reshape(-1, f).sum(axis=0, dtype=np.float64).astype(sums.dtype)


def share_out(dy, y, bits, images, relu: bool, cells):
    """Each number of dy to the cell of its window that was the maximum, (P, 4, q*F); gives their sum (q*F,)."""
    shape, dtype = (len(cells), cells.shape[2]), y.dtype
    planes, halves = (scratch(name, (2, *k, *shape), dtype) for name, k in (("planes", (2,)), ("halves", ())))
    share = planes[0, 0]  # of what is not handed out yet; a mask is made a number before it multiplies
    upstream = dy[images].reshape(shape)
    if relu:
        positive = np.greater(y[images].reshape(shape), 0, out=scratch("hit", shape, bool))
        np.copyto(share, positive)
        upstream = np.multiply(upstream, share, out=scratch("rest", shape, dtype))
    sums = np.matmul(constants(1, len(cells), dtype), upstream)
    upper, lower = halves
    np.copyto(share, bits[2, images].reshape(shape))
    np.multiply(upstream, share, out=lower)
    np.subtract(upstream, lower, out=upper)
    first, second = planes[:, 0], planes[:, 1]
    np.copyto(second, bits[:2, images].reshape(second.shape))
    np.multiply(halves, second, out=second)
    np.subtract(halves, second, out=first)
    as_runs(cells)[...] = as_runs(planes).reshape(4, -1).T
    return sums


# As blocks of 2x2 pixels ----------------------------------------------------------------------------------------------


def in_blocks(x_shape, w_shape, window: Window, dtype) -> bool:
    """Whether Winograd serves: for blocks of 2x2 pixels a kernel of 4x4 or 5x5 is one of 3x3."""
    return algorithm(*between_blocks(x_shape, w_shape, window), dtype) != "direct"


@lru_cache(maxsize=256)
def between_blocks(x_shape, w_shape, window: Window) -> tuple[Any, Any, Window, tuple[int, int]]:
    """The convolution between blocks: the shapes of x and of w, the window, (OH, OW)."""
    kh, kw, c, f = w_shape
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], w_shape[:2])
    halved = Window(pads=((top // 2, bottom // 2), (left // 2, right // 2)))
    oh, ow = window.output_size(x_shape[1:3], w_shape[:2])
    shapes = (x_shape[0], x_shape[1] // 2, x_shape[2] // 2, 4 * c), (kh // 2 + 1, kw // 2 + 1, 4 * c, 4 * f)
    return *shapes, halved, (oh // 2, ow // 2)


def pooled_blocks(shape, f: int, dtype, bias, relu: bool, keep: bool):
    """y and the bits, as of `conv2d`, and finish(tile, images, rows), which makes them from the cells as blocks,
    (N', rows, W', 4F)."""
    y = empty((*shape, f), dtype)
    bits = np.empty((3, *y.shape), bool) if keep else None
    return y, bits, pool_of(bias, relu, y, bits, 1)


def block_kernel(w):
    """The kernel as one between blocks of 2x2 pixels: (KH, KW, C, F) -> (KH//2 + 1, KW//2 + 1, 4C, 4F)"""
    kh, kw, c, f = w.shape
    tall, wide = kh // 2 + 1, kw // 2 + 1
    found = np.zeros((2 * tall, 2 * wide, c, 2, 2, 1, f), w.dtype)
    in_places(found, kh, kw)[...] = w
    found = found.reshape(tall, 2, wide, 2, c, 4 * f).transpose(0, 2, 1, 3, 4, 5)
    return found.reshape(tall, wide, 4 * c, 4 * f)


def kernel_of_blocks(kernel, w_shape):
    """The gradient of `block_kernel`: (KH//2 + 1, KW//2 + 1, 4C, 4F) -> (KH, KW, C, F)"""
    kh, kw, c, f = w_shape
    tall, wide = kernel.shape[:2]
    cells = kernel.reshape(tall, wide, 2, 2, c, 4 * f).transpose(0, 2, 1, 3, 4, 5)
    return in_places(cells.reshape(2 * tall, 2 * wide, c, 2, 2, 1, f), kh, kw).sum(axis=(0, 1, 2))
