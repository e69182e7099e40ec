"""Pooling on bands of rows, cells sorted by their place within the stride, so that a tap runs along whole rows.

A tap (p, q) of the window reads every sh-th row and every sw-th column. Copied to arrays of their own, one for each
place within the stride, those cells lie side by side: k*k steps over long rows, whatever the channels. Going back, dy
goes to the first tap, in row-major order, that held the maximum: its number, a byte, is all that is kept. It is counted
while the cells are in the cache: one more for each tap as long as no tap was the maximum.
"""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch, spans
from minicnn.backend.window import Window

BAND = 1 << 17  # numbers of x in a band


class Walk:
    """A pooling's way over images (N, H, W, C): some images at a time, and bands of rows of y within them."""

    def __init__(self, x_shape, size, window: Window):
        self.shape, self.pads = x_shape, window.explicit_pads(x_shape[1:3], size)
        self.out = window.output_size(x_shape[1:3], size)
        (self.sh, self.sw), (dh, dw) = window.strides, window.dilation
        reach = (size[0] - 1) * dh, (size[1] - 1) * dw
        self.places = min(self.sh, reach[0] + 1), min(self.sw, reach[1] + 1)
        self.apart = self.sh > reach[0] and self.sw > reach[1] and dh == dw == 1  # whether each cell has one tap
        self.more = reach[0] // self.sh, reach[1] // self.sw  # rows and columns of a place beyond those of y
        ends = ((n + m) * s - p[0] for n, m, s, p in zip(self.out, self.more, window.strides, self.pads, strict=True))
        far = all(end >= size for end, size in zip(ends, x_shape[1:3], strict=True))
        self.covers = far and self.places == window.strides  # whether every cell of x is among the sorted ones
        self.steps = [(p * dh, q * dw) for p in range(size[0]) for q in range(size[1])]
        n, h, w, c = x_shape
        self.images = spans(n, BAND // (h * w * c))
        self.bands = spans(self.out[0], BAND // (self.sh * w * c) if len(self.images) == n else self.out[0])

    def pieces(self) -> list[tuple[slice, slice]]:
        """Images and bands of rows of y, where each piece writes y alone."""
        return [(images, band) for images in self.images for band in self.bands]

    def array(self, name: str, count: int, band, dtype):
        """The sorted cells of a band: (places, N', rows, columns, C), this thread's memory."""
        size = band.stop - band.start + self.more[0], self.out[1] + self.more[1]
        return scratch(name, (*self.places, count, *size, self.shape[3]), dtype)

    def cells(self, cells, band):
        """For each place: where x's cells lie in the sorted array, and in x; what is left out lies in the padding."""
        rows, columns = cells.shape[3:5]
        for a in range(self.places[0]):
            tall, from_rows = one_in(self.sh, a + band.start * self.sh - self.pads[0][0], rows, self.shape[1])
            for b in range(self.places[1]):
                wide, from_columns = one_in(self.sw, b - self.pads[1][0], columns, self.shape[2])
                yield cells[a, b, :, tall, wide], (slice(None), from_rows, from_columns)

    def load(self, x, band, padding):
        """The cells of x that a band reads, sorted; pixels are copied whole."""
        cells = self.array("cells", len(x), band, x.dtype)
        if self.pads != ((0, 0), (0, 0)):
            cells[...] = padding
        pixel = np.dtype((np.void, x.shape[3] * x.itemsize))
        x = np.ascontiguousarray(x).view(pixel)
        for here, there in self.cells(cells.view(pixel), band):
            np.copyto(here, x[there])
        return cells

    def taps(self, cells, band):
        """What each tap of the window reads: (N', rows, OW, C)"""
        tall, wide = band.stop - band.start, self.out[1]
        for p, q in self.steps:
            (i, a), (j, b) = divmod(p, self.sh), divmod(q, self.sw)
            yield cells[a, b, :, i : i + tall, j : j + wide]


def one_in(stride: int, start: int, count: int, size: int) -> tuple[slice, slice]:
    """Of the cells start + stride * k, k < count: those k whose cell lies in 0 .. size, and the cells."""
    first = max(-(start // stride), 0)
    last = max(min(count, (size - 1 - start) // stride + 1), first)
    start += first * stride
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride) if last > first else slice(
        0
    )


def pool(x, size, window: Window, step, padding, finish=None):
    """Every window folded with `step`: (N, H, W, C) -> (N, OH, OW, C); finish(y, band) works on what is done."""
    walk = Walk(x.shape, size, window)
    y = empty((len(x), *walk.out, x.shape[3]), x.dtype)

    def work(piece):
        images, band = piece
        target = y[images, band]
        fold(step, walk.taps(walk.load(x[images], band, padding), band), target)
        if finish is not None:
            finish(target, band)

    run(work, walk.pieces())
    return y


def fold(step, taps, target):
    """Folds the taps of a band with `step`, into target."""
    first, *others = taps
    np.copyto(target, first) if not others else step(first, others[0], out=target)
    for tap in others[1:]:
        step(target, tap, out=target)


def max_pool(x, size, window: Window):
    """y of `Backend.max_pool`"""
    return pool(x, size, window, np.maximum, -np.inf)


def max_pool_winners(x, size, window: Window):
    """y and the winners of `Backend.max_pool_winners`: (N, OH, OW, C) both"""
    walk = Walk(x.shape, size, window)
    y = empty((len(x), *walk.out, x.shape[3]), x.dtype)
    winners = np.empty(y.shape, np.min_scalar_type(len(walk.steps)))

    def work(piece):
        images, band = piece
        target, count = y[images, band], winners[images, band]
        cells = walk.load(x[images], band, -np.inf)
        fold(np.maximum, walk.taps(cells, band), target)
        if walk.pads != ((0, 0), (0, 0)):
            cells = walk.load(x[images], band, np.nan)  # equal to no maximum, not even to one of -inf
        free, other = (scratch(name, target.shape, bool) for name in ("free", "hit"))
        for number, tap in enumerate(walk.taps(cells, band)):
            if not number:
                np.copyto(count, np.not_equal(tap, target, out=free))
                continue
            np.logical_and(free, np.not_equal(tap, target, out=other), out=free)
            np.add(count, free.view(np.uint8), out=count)  # a bool would be converted first, in snippets

    run(work, walk.pieces())
    return y, winners


def avg_pool(x, size, window: Window, cells):
    """y of `Backend.avg_pool`; cells: how many of each window are real, (OH, OW, 1)."""
    return pool(x, size, window, np.add, 0, lambda y, band: np.divide(y, cells[band], out=y))


def max_pool_grad(dy, winners, x_shape, size, window: Window):
    """dx of `Backend.max_pool_grad`: (N, H, W, C)"""
    walk = Walk(x_shape, size, window)

    def spread(images, band, gradients):
        upstream, which = dy[images, band], winners[images, band]
        hit = scratch("hit", upstream.shape, bool)
        for number, gradient in enumerate(walk.taps(gradients, band)):
            part = gradient if walk.apart else scratch("part", upstream.shape, dy.dtype)
            np.multiply(upstream, np.equal(which, number, out=hit), out=part)
            if not walk.apart:
                np.add(gradient, part, out=gradient)

    return sweep_back(walk, dy.dtype, spread)


def avg_pool_grad(dy, x_shape, size, window: Window, cells):
    """dx of `Backend.avg_pool_grad`: (N, H, W, C)"""
    walk = Walk(x_shape, size, window)

    def spread(images, band, gradients):
        part = dy[images, band]
        share = np.divide(part, cells[band], out=scratch("part", part.shape, dy.dtype))
        for gradient in walk.taps(gradients, band):
            np.copyto(gradient, share) if walk.apart else np.add(gradient, share, out=gradient)

    return sweep_back(walk, dy.dtype, spread)


def sweep_back(walk: Walk, dtype, spread):
    """dx of all images: spread(images, band, gradients) adds to the sorted cells what a band of dy gives them.

    Bands overlap in x where windows do, so those of an image belong to one worker, and the last rows of one, which are
    not complete yet, are the first of the next. Windows that are apart write.
    """
    dx = empty(walk.shape, dtype)
    pixel = np.dtype((np.void, dx.shape[3] * dx.itemsize))

    def work(images):
        part = dx[images]
        if not walk.covers:
            part[...] = 0
        for band in walk.bands:
            gradients = walk.array("gradients", len(part), band, dtype)
            rest = gradients[:, :, :, band.stop - band.start :]
            done = gradients if band.stop == walk.out[0] else gradients[:, :, :, : band.stop - band.start]
            if not walk.apart:
                carried = scratch("carried", rest.shape, dtype)
                gradients[...] = 0
                if band.start:
                    gradients[:, :, :, : rest.shape[3]] = carried
            spread(images, band, gradients)
            if not walk.apart:
                np.copyto(carried, rest)
            for here, there in walk.cells(done.view(pixel), band):
                np.copyto(part.view(pixel)[there], here)

    run(work, walk.images)
    return dx
