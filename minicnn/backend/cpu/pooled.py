"""A convolution of few channels, its bias, ReLU and 2x2 max pooling at once, forward and backward.

Idea: between blocks of 2x2 pixels it is a convolution of stride 1 that gives all four cells of a window. Numbers of one
place in a block lie in a plane, and a tap of the kernel is that plane shifted, a copy of one long run; a column of all
taps is a patch. So one product gives each cell of all windows as a plane, and their maximum is one of long runs, taken
while they are in the cache; the number that remains of four is written. What goes on is which cell it was, as four
booleans: the first one equal to it. The ends of the runs, between two rows, are nobody's and are left out.
Shapes: planes (N', 4C, rows * pitch)   taps (N', K, R), R = H' * pitch, K = tall * wide * 4C and a row of ones for the
bias   kernel (4F, K)   cells (N', 4F, R)   y (N, H', W', F)
Source: as direct convolutions (`conv.py`); max(z) + b = max(z + b), and so for ReLU. Error in float32: rounding, 2e-7.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend.cpu.cells import items
from minicnn.backend.cpu.choice import algorithm
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, lasting, run, scratch, spans
from minicnn.backend.cpu.rows import constants, tiled
from minicnn.backend.window import Window

PIECE_BYTES = 1 << 20  # of taps and cells of a piece
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
    return x_shape[0] > 0 and plain and few and even and inside and min(kh, kw) > 1


# As blocks of 2x2 pixels ----------------------------------------------------------------------------------------------


def in_blocks(x_shape, w_shape, window: Window, dtype) -> bool:
    """Whether Winograd serves: for blocks of 2x2 pixels a kernel of 4x4 or 5x5 is one of 3x3."""
    return algorithm(*between_blocks(x_shape, w_shape, window), dtype) != "direct"


class InBlocks(NamedTuple):
    """What a forward pass keeps: the winners (N, 4, H', W', F), x as blocks, the kernel between them."""

    winners: Any
    x: Any
    kernel: Any


@lru_cache(maxsize=256)
def between_blocks(x_shape, w_shape, window: Window) -> tuple[Any, Any, Window, tuple[int, int]]:
    """The convolution between blocks: the shapes of x and of w, the window, (OH, OW)."""
    kh, kw, c, f = w_shape
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], w_shape[:2])
    halved = Window(pads=((top // 2, bottom // 2), (left // 2, right // 2)))
    oh, ow = window.output_size(x_shape[1:3], w_shape[:2])
    shapes = (x_shape[0], x_shape[1] // 2, x_shape[2] // 2, 4 * c), (kh // 2 + 1, kw // 2 + 1, 4 * c, 4 * f)
    return *shapes, halved, (oh // 2, ow // 2)


def block_kernel(w):
    """The kernel as one between blocks of 2x2 pixels: (KH, KW, C, F) -> (KH//2 + 1, KW//2 + 1, 4C, 4F)"""
    kh, kw, c, f = w.shape
    tall, wide = kh // 2 + 1, kw // 2 + 1
    found = np.zeros((2 * tall, 2 * wide, c, 2, 2, f), w.dtype)
    in_places(found, kh, kw)[...] = w
    found = found.reshape(tall, 2, wide, 2, c, 4 * f).transpose(0, 2, 1, 3, 4, 5)
    return found.reshape(tall, wide, 4 * c, 4 * f)


def kernel_of_blocks(kernel, w_shape):
    """The gradient of `block_kernel`: (KH//2 + 1, KW//2 + 1, 4C, 4F) -> (KH, KW, C, F)"""
    return copies(kernel, w_shape).sum(axis=(0, 1))


def copies(kernel, w_shape):
    """The numbers of a kernel of blocks that stand for those of w, for each cell: (2, 2, KH, KW, C, F)"""
    kh, kw, c, f = w_shape
    tall, wide = kernel.shape[:2]
    cells = kernel.reshape(tall, wide, 2, 2, c, 4 * f).transpose(0, 2, 1, 3, 4, 5)
    return in_places(cells.reshape(2 * tall, 2 * wide, c, 2, 2, f), kh, kw)


def in_places(patch, kh: int, kw: int):
    """Where in a patch the kernel lies for each cell of a window, a view.

    (2 tall, 2 wide, C, 2, 2, F) -> (2, 2, KH, KW, C, F)
    """
    row, pixel, channel, tall, broad, number = patch.strides
    shape = 2, 2, kh, kw, patch.shape[2], patch.shape[5]
    return np.ndarray(shape, patch.dtype, patch, 0, (row + tall, pixel + broad, row, pixel, channel, number))


# In planes ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
class Planes:
    """How blocks lie in planes, and how they are cut: pieces of whole images."""

    def __init__(self, x_shape, w_shape, window: Window):
        blocks, kernel, halved, self.out = between_blocks(x_shape, w_shape, window)
        (self.n, height, width, self.places), self.f = blocks, w_shape[3]
        self.tall, self.wide = kernel[:2]
        self.rows, self.pitch = self.out[0] + self.tall - 1, self.out[1] + self.wide - 1
        self.run = self.out[0] * self.pitch
        self.depth = self.tall * self.wide * self.places + 1
        (top, _), (left, _) = halved.explicit_pads(blocks[1:3], kernel[:2])
        self.inside = slice(top, top + height), slice(left, left + width)

    def pieces(self, itemsize: int) -> tuple[slice, ...]:
        """Images whose taps and cells take about twice PIECE_BYTES."""
        return image_spans(self.n, self.run * (self.depth + 4 * self.f) * itemsize, 2 * PIECE_BYTES)

    def halves(self, itemsize: int, images: slice) -> tuple[slice, ...]:
        """Such a piece in two, counted from its beginning. What is small is done for both at once: each call ends with
        waiting for the interpreter's lock, which another worker may hold."""
        return spans(images.stop - images.start, -(-self.longest(itemsize) // 2))

    def longest(self, itemsize: int) -> int:
        """The images of a piece, at most."""
        first = self.pieces(itemsize)[0]
        return first.stop - first.start

    def views(self, x, dtype):
        """The planes of some images, in this thread's memory, as they are read for all taps: (N', tall, wide, 4C, R)"""

        def make():
            count, area = self.longest(dtype.itemsize), self.rows * self.pitch
            planes = scratch("planes of blocks", (count, self.places * area + self.wide - 1), dtype)
            planes[...] = 0
            pixels = planes[:, : self.places * area].reshape(count, 2, 2, -1, self.rows, self.pitch)
            image, number = planes.strides
            shape = count, self.tall, self.wide, self.places, self.run
            strides = image, self.pitch * number, number, area * number, number
            inside = pixels[..., *self.inside].transpose(0, 4, 1, 5, 2, 3)
            return inside, np.ndarray(shape, dtype, planes, 0, strides)

        inside, views = lasting("planes of blocks", (self, dtype, PIECE_BYTES), make)
        np.copyto(inside[: len(x)], x.reshape(len(x), *inside.shape[1:]))
        return views[: len(x)]

    def taps(self, views):
        """Those of half a piece, (N', K, R), in this thread's memory."""

        def make():
            count = -(-self.longest(views.itemsize) // 2)
            found = scratch("taps of blocks", (count, self.depth, self.run), views.dtype)
            found[:, -1] = 1
            return found, found[:, :-1].reshape(count, *views.shape[1:])

        found, target = lasting("taps of blocks", (self, views.dtype, PIECE_BYTES), make)
        np.copyto(target[: len(views)], views)
        return found[: len(views)]

    def upstream(self, count: int, dtype):
        """Room for numbers of so many images, (N', F, R), zero at the ends of rows; and without these,
        (N', H', W', F)."""

        def make():
            found = scratch("upstream of blocks", (self.longest(dtype.itemsize), self.f, self.run), dtype)
            found[...] = 0
            return found, self.pooled(found)

        found, inside = lasting("upstream of blocks", (self, dtype, PIECE_BYTES), make)
        return found[:count], inside[:count]

    def pooled(self, numbers):
        """Planes as images, without what lies at the ends of rows: (N', F, R) -> (N', H', W', F), a view."""
        rows = numbers.reshape(len(numbers), self.f, self.out[0], self.pitch)
        return rows[..., : self.out[1]].transpose(0, 2, 3, 1)


def kernel_of_cells(w, bias=None):
    """w as the kernel of each cell, and the bias, which all of them have: (4F, K)"""
    bias = constants(0, w.shape[3], w.dtype) if bias is None else bias
    return np.concatenate((constants(0, 1, w.dtype), w.reshape(-1), bias))[numbers_of_cells(w.shape)]


@lru_cache(maxsize=256)
def numbers_of_cells(w_shape):
    """Which number of (0, w, bias) stands where in the kernel of cells: (4F, K)"""
    size, f = math.prod(w_shape), w_shape[3]
    kernel = block_kernel(np.arange(1, size + 1).reshape(w_shape)).reshape(-1, 4 * f)
    return np.concatenate((kernel, [np.tile(np.arange(size + 1, size + f + 1), 4)])).T.copy()


@lru_cache(maxsize=256)
def places_in_cells(w_shape):
    """Where each number of w stands in the kernel of cells, laid flat, for each cell: (4, KH, KW, C, F)"""
    tall, wide, (c, f) = w_shape[0] // 2 + 1, w_shape[1] // 2 + 1, w_shape[2:]
    depth = tall * wide * 4 * c
    places = np.arange(4 * f * (depth + 1)).reshape(4 * f, -1)[:, :depth]
    return copies(places.T.reshape(tall, wide, 4 * c, 4 * f), w_shape).reshape(4, *w_shape)


def conv2d(x, w_shape, kernel, window: Window, relu=True, keep=True):
    """y (N, H', W', F), and `winners` (N, 4, F * R), if they are to be kept.   kernel: (4F, K), of `kernel_of_cells`"""
    planes, dtype = Planes(x.shape, w_shape, window), np.result_type(x, kernel)
    y, size = empty((len(x), *planes.out, planes.f), dtype), planes.f * planes.run
    kept = np.empty((len(x), 4, size), bool) if keep else None

    def work(images):
        views, found = planes.views(x[images], dtype), None if kept is None else kept[images]
        most = scratch("most", (len(views), size), dtype)
        for half in planes.halves(dtype.itemsize, images):
            taps, largest = planes.taps(views[half]), most[half]
            cells = scratch("cells", (len(taps), 4, size), dtype)
            np.matmul(kernel, taps, out=cells.reshape(len(taps), 4 * planes.f, -1))
            np.maximum.reduce(cells, axis=1, out=largest, initial=0 if relu else None)
            if found is not None:
                np.equal(cells, largest[:, None], out=found[half])
        np.copyto(y[images], planes.pooled(most))
        if found is not None:
            first_ones(found)

    run(work, planes.pieces(y.itemsize))
    return y, kept


def gradients(dy, y, kept, x, w_shape, window: Window, cells_wanted=False):
    """dw, db, and, where dx is wanted, the gradient of the cells as blocks (N, H', W', 4F).   y: None without ReLU"""
    planes, dtype = Planes(x.shape, w_shape, window), dy.dtype
    pieces, f = planes.pieces(dtype.itemsize), planes.f
    groups = [pieces[span] for span in spans(len(pieces), -(-len(pieces) // GROUPS))]
    sums = np.zeros((len(groups), 4 * f, planes.depth), dtype)
    found = empty((*dy.shape[:3], 4, f), dtype) if cells_wanted else None

    def work(g):
        for images in groups[g]:
            count = len(dy[images])
            upstream, target = planes.upstream(count, dtype)
            through_relu(dy, y, images, target)
            upstream, won, views = upstream.reshape(count, -1), kept[images], planes.views(x[images], dtype)
            parts = scratch("part", (count, *sums.shape[1:]), dtype)
            for half in planes.halves(dtype.itemsize, images):
                cells = share_out(upstream[half], won[half]).reshape(-1, 4 * f, planes.run)
                if found is not None:
                    for i in range(4):
                        np.copyto(found[images][half, :, :, i], planes.pooled(cells[:, i * f : (i + 1) * f]))
                np.matmul(cells, planes.taps(views[half]).swapaxes(1, 2), out=parts[half])
            sums[g] += np.add.reduce(parts)

    run(work, range(len(groups)))
    total = np.add.reduce(sums)
    dw = np.add.reduce(total.reshape(-1)[places_in_cells(w_shape)])
    return dw, channel_sums(total[:, -1], f), None if found is None else found.reshape(*dy.shape[:3], -1)


def winners(cells, most, found) -> None:
    """Which cell of a window was the largest, the first of equal ones: booleans (N', 4, R).

    cells: (N', 4, R)   most: (N', R)
    """
    np.equal(cells, most[:, None], out=found)
    first_ones(found)


def first_ones(found) -> None:
    """Of booleans (N', 4, R) the first true one of four alone."""
    np.greater(found[:, 1::2], found[:, ::2], out=found[:, 1::2])  # the second of two equal ones loses
    above = np.logical_or(found[:, 0], found[:, 1], out=scratch("above", found[:, 0].shape, bool))
    np.greater(found[:, 2:], above[:, None], out=found[:, 2:])


def through_relu(dy, y, images, out) -> None:
    """Of some images dy where ReLU's y is positive, else 0; all of it where y is None.   (N', H', W', F)"""
    if y is None:
        np.copyto(out, dy[images])
        return
    positive = scratch("positive", out.shape, dy.dtype)
    np.greater(y[images], 0, out=positive)
    np.multiply(dy[images], positive, out=out)


def share_out(upstream, kept):
    """Each number of a window, (N', R), to the cell that won, (N', 4, R), in this thread's memory."""
    cells = scratch("cells", kept.shape, upstream.dtype)
    np.copyto(cells, kept)  # a boolean is made a number before it multiplies
    return np.multiply(cells, upstream[:, None], out=cells)


def channel_sums(sums, f: int):
    """(..., F) -> (F,), in float64 on the way."""
    return sums.reshape(-1, f).sum(axis=0, dtype=np.float64).astype(sums.dtype)


# Cells from a convolution of blocks -----------------------------------------------------------------------------------


def pooled_blocks(shape, f: int, dtype, bias, relu: bool, keep: bool):
    """y and the winners, (N, 4, H', W', F), and finish(tile, images, rows), which makes them from the cells as blocks,
    (N', rows, W', 4F)."""
    y = empty((*shape, f), dtype)
    kept = np.empty((shape[0], 4, *y.shape[1:]), bool) if keep else None
    bias = None if bias is None else tiled(bias, shape[2])
    zero = constants(0, shape[2] * f, dtype)

    def finish(blocks, images, rows):
        target = y[images, rows].reshape(images.stop - images.start, -1, len(zero))
        flat = len(target), target[0].size
        cells = scratch("cells", (flat[0], 4, flat[1]), dtype)
        items(cells.reshape(len(cells), 4, -1, f))[...] = items(blocks.reshape(len(cells), -1, 4, f)).swapaxes(1, 2)
        most = np.maximum.reduce(cells, axis=1, out=scratch("most", flat, dtype))
        if bias is None:
            np.copyto(target, most.reshape(target.shape))
        else:
            np.add(most.reshape(target.shape), bias, out=target)
        if relu:
            np.maximum(target, zero, out=target)
        if kept is not None:
            winners(cells, most, kept[images, :, rows].reshape(cells.shape))

    return y, kept, finish


class UpstreamOfCells:
    """The gradient of the cells as blocks, (N, H', W', 4F), and of the bias; `write` makes some images of both.

    dy: (N, H', W', F)   y: None without ReLU   winners: (N, 4, H', W', F)
    """

    def __init__(self, dy, y, winners):
        self.dy, self.y, self.winners = dy, y, winners
        (n, *size), self.f = dy.shape[:3], dy.shape[3]
        self.blocks, self.sums = empty((n, *size, 4 * self.f), dy.dtype), empty((n, 1, self.f), dy.dtype)

    def write(self, images):
        """Those of some images."""
        target, upstream = self.blocks[images], scratch("upstream", self.dy[images].shape, self.dy.dtype)
        through_relu(self.dy, self.y, images, upstream)
        n, f = len(target), self.f
        cells = share_out(upstream.reshape(n, -1), self.winners[images].reshape(n, 4, -1)).reshape(n, 4, -1, f)
        items(target.reshape(n, -1, 4, f))[...] = items(cells).swapaxes(1, 2)
        windows = upstream.reshape(n, -1, f)
        np.matmul(constants(1, windows.shape[1], windows.dtype)[None], windows, out=self.sums[images])

    def bias(self):
        """db (F,), once all images are there."""
        return channel_sums(self.sums, self.f)
