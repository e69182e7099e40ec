"""Pooling on bands of rows: along the height of the window, then along its width, in few and long steps (`bands.py`).

A winner is found on the same way: how many rows of its column follow the first that holds the column's maximum, then
the first of the columns that hold the window's, a byte each time. An average is a sum times a factor; with stride 1 its
gradient is a sum of windows as well, of dy times the factors, else cells get it tap by tap.
"""

import math
from functools import partial
from itertools import pairwise

import numpy as np

from minicnn.backend.cpu.bands import Cells, Sheet, Walk, at_sides, fold, short_buffers, some_rows
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch
from minicnn.backend.cpu.rows import constants
from minicnn.backend.window import Window

BAND = 3 << 17  # numbers of x in a piece: as many as keep the steps long and their results in the second cache
SUMMED = 1 << 18  # where windows are summed up


def max_pool(x, size, window: Window, zeros=False):
    """y of `Backend.max_pool`"""
    padding = 0.0 if zeros else -np.inf
    walk = Walk(x.shape, size, window, BAND)
    y = empty((len(x), *walk.out, x.shape[3]), x.dtype)
    make = partial(folding, walk, x.dtype, padding)

    def work(piece):
        images, band = piece
        source = x[images, walk.source(band)]
        with short_buffers():
            sheet, runs = walk.room(images, band, make)
            for part, taps in runs:
                fold(np.maximum, some_rows(source, taps, padding, zeros), part)
            fold(np.maximum, sheet.columns(), y[images, band])

    run(work, walk.pieces)
    return y


def folding(walk: Walk, dtype, padding, images: int, band):
    """Memory for what is folded along the height, and the rows of it with the rows of x that each is made of."""
    sheet = Sheet(walk, "rows", images, band.stop - band.start, dtype, padding)
    return sheet, [(sheet.inner[:, rows], taps) for rows, taps in walk.runs(band)]


class Ranks:
    """Memory of this thread for maxima along the height, for how many rows follow the first that holds each, and for
    what is found of the columns."""

    def __init__(self, walk: Walk, dtype, code, zeros: bool, images: int, band):
        (kh, kw), rows = walk.size, band.stop - band.start
        self.padding, self.zeros = 0.0 if zeros else -np.inf, zeros
        self.best = Sheet(walk, "rows", images, rows, dtype, self.padding)
        self.after = Sheet(walk, "ranks", images, rows, np.uint8, kh - 1)
        holds = scratch("holds", self.after.inner.shape, bool)
        shape = kw, images, rows, walk.out[1], walk.shape[3]
        self.equal, self.number = scratch("equal", shape, bool), scratch("number", shape, code)
        self.runs, self.outside = [], []
        for some, taps in walk.runs(band):
            missing = 0 if zeros else next((i for i, tap in enumerate(reversed(taps)) if tap), kh)
            self.runs.append((self.best.inner[:, some], self.after.inner[:, some], holds[:, some], taps, missing))
            self.outside += [self.equal[:, :, some]] if missing == kh else []
        columns = range(walk.left, walk.left + walk.shape[2])
        if not zeros:
            cells = ((q, j) for q in range(kw) for j in range(walk.out[1]) if j * walk.strides[1] + q not in columns)
            self.outside += [self.equal[q, :, :, j] for q, j in cells]

    def fill(self, x):
        """The maxima along the height of the rows of x that are read."""
        for best, after, holds, taps, missing in self.runs:
            first_maximum(some_rows(x, taps, self.padding, self.zeros), best, after, holds)
            if missing:
                np.add(after, np.uint8(missing), out=after)


def max_pool_winners(x, size, window: Window, zeros=False, norm=None):
    """y and the winners of `Backend.max_pool_winners`: (N, OH, OW, C) both.

    norm: a scale and a shift, (W, C); then x * scale + shift is pooled, and y is the ReLU of that.
    """
    walk = Walk(x.shape, size, window, BAND)
    y = empty((len(x), *walk.out, x.shape[3]), x.dtype)
    winners = empty(y.shape, np.min_scalar_type(size[0] * size[1]))
    number = winners.dtype.type
    kw, taps = number(size[1]), number(size[0] * size[1])
    to_the_right = np.arange(size[1], 0, -1, dtype=number).reshape(-1, 1, 1, 1, 1)
    make = partial(Ranks, walk, x.dtype, winners.dtype, zeros)
    floor = None if norm is None else constants(0, math.prod(y.shape[2:]), y.dtype).reshape(y.shape[2:])

    def work(piece):
        images, band = piece
        source, target, code = x[images, walk.source(band)], y[images, band], winners[images, band]
        with short_buffers():
            room = walk.room(images, band, make)
            room.fill(source if norm is None else scaled(source, *norm))
            columns = room.best.columns()
            fold(np.maximum, columns, target)
            np.equal(columns, target, out=room.equal)  # where it is no number nothing is, and the winner `taps`
            for cells in room.outside:
                cells[...] = False
            np.multiply(room.after.columns(), kw, out=room.number)
            np.add(room.number, to_the_right, out=room.number)
            np.multiply(room.number, room.equal.view(np.uint8), out=room.number)
            np.subtract(taps, fold(np.maximum, room.number, code), out=code)
            if floor is not None:
                np.maximum(target, floor, out=target)

    run(work, walk.pieces)
    return y, winners


def scaled(x, scale, shift):
    """x * scale + shift in this thread's memory.   x: (N', rows, W, C)   scale, shift: (W, C)"""
    z = np.multiply(x, scale, out=scratch("scaled", x.shape, x.dtype))
    return np.add(z, shift, out=z)


def first_maximum(taps, best, after, holds):
    """best: the maximum of the taps; after: how many follow the first that holds it."""
    if len(taps) == 1:
        np.copyto(best, taps[0])
        after[...] = 0
        return
    before, *others = taps
    for p, tap in enumerate(others):
        np.less_equal(tap, before, out=holds if p else after.view(bool))
        np.maximum(before, tap, out=best)
        if p:
            np.add(after, np.uint8(1), out=after)
            np.multiply(after, holds.view(np.uint8), out=after)
        before = best


def max_pool_grad(dy, winners, x_shape, size, window: Window, finish=None):
    """dx of `Backend.max_pool_grad`: (N, H, W, C); finish(dx, images, rows) works on rows of dx while they are warm."""
    walk = Walk(x_shape, size, window, BAND)
    numbers = np.arange(size[0] * size[1], dtype=winners.dtype).reshape(*size, 1, 1, 1, 1)
    dx = empty(x_shape, dy.dtype)

    def make(images, band):
        room = Cells(walk, dy.dtype, images, band)
        all_hits = scratch("hits", (*size, images, room.rows.stop - room.rows.start, *dy.shape[2:]), bool)
        groups = [(key, all_hits[taps], target, first) for key, taps, target, first in room.groups]
        parts = [target if first else scratch("part", target.shape, dy.dtype) for _, _, target, first in groups]
        return room, all_hits, list(zip(groups, parts, strict=True))

    def work(piece):
        images, band = piece
        with short_buffers():
            room, all_hits, groups = walk.room(images, band, make)
            upstream = dy[images, room.rows]
            np.equal(winners[images, room.rows], numbers, out=all_hits)
            room.clear()
            for (key, hits, target, first), part in groups:
                np.multiply(upstream[key], hits, out=part)
                if not first:
                    np.add(target, part, out=target)
            rows = room.store(dx[images])
        if finish is not None:
            finish(dx[images, rows], images, rows)

    run(work, walk.pieces_of_x())
    return dx


def avg_pool(x, size, window: Window, cells):
    """y of `Backend.avg_pool`; cells: how many of each window are real, (OH, OW, 1)."""
    walk = Walk(x.shape, size, window, SUMMED)
    y, factors = empty((len(x), *walk.out, x.shape[3]), x.dtype), shares(cells, x)
    make = partial(folding, walk, x.dtype, 0)

    def work(piece):
        images, band = piece
        target = y[images, band]
        with short_buffers():
            sheet, runs = walk.room(images, band, make)
            add_up(x[images, walk.source(band)], sheet, runs, target)
            multiply(target, factors, band, target)

    run(work, walk.pieces)
    return y


def add_up(x, sheet: Sheet, runs, y):
    """The sums of windows of x."""
    for part, taps in runs:
        fold(np.add, some_rows(x, taps, 0), part)
    fold(np.add, sheet.columns(), y)


def shares(cells, x) -> list[tuple[int, int, np.ndarray]]:
    """1 / cells for each channel of x, as (first row, last row + 1, numbers (OW, C)) for rows that are alike."""
    changes = (cells[1:] != cells[:-1]).any(axis=(1, 2)).nonzero()[0] + 1
    starts = [0, *changes.tolist(), len(cells)]
    found = []
    for start, stop in pairwise(starts):
        row = empty((cells.shape[1], x.shape[3]), x.dtype)
        row[...] = 1 / cells[start]
        found.append((start, stop, row))
    return found


def multiply(x, factors, rows: slice, out):
    """x times the factors of these rows, into out; both (N', rows, OW, C)."""
    for start, stop, row in factors:
        some = slice(max(start, rows.start) - rows.start, max(min(stop, rows.stop) - rows.start, 0))
        if some.start < some.stop:
            np.multiply(x[:, some], row, out=out[:, some])
    return out


def avg_pool_grad(dy, x_shape, size, window: Window, cells):
    """dx of `Backend.avg_pool_grad`: (N, H, W, C)"""
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], size)
    pads = (size[0] - 1 - top, size[0] - 1 - bottom), (size[1] - 1 - left, size[1] - 1 - right)
    if window.strides == (1, 1) and min(*pads[0], *pads[1]) >= 0:
        return sums_of_shares(dy, x_shape, size, Window(pads=pads), cells)
    return shares_by_tap(dy, x_shape, size, window, shares(cells, dy))


def sums_of_shares(dy, x_shape, size, window: Window, cells):
    """The same with stride 1, as the sums over windows of dy around each cell, with zeros around what is summed up."""
    walk = Walk(dy.shape, size, window, SUMMED)
    dx, factors, (h, w, c) = empty(x_shape, dy.dtype), 1 / cells, dy.shape[1:]

    def make(images, band):
        rows, begin = band.stop - band.start, band.start - walk.top
        some = slice(max(begin, 0), min(begin + rows + size[0] - 1, h))
        share = scratch("share", (images, rows + size[0] - 1, walk.wide, c), dy.dtype)
        sides = share[:, : some.start - begin], share[:, some.stop - begin :], *at_sides(share, walk.left, w)
        inner = share[:, some.start - begin : some.stop - begin, walk.left : walk.left + w]
        taps = [share[:, p : p + rows] for p in range(size[0])]
        folded = scratch("rows", taps[0].shape, dy.dtype)
        columns = [folded[:, :, q : q + walk.out[1]] for q in range(size[1])]
        return some, inner, [side for side in sides if side.size], taps, folded, columns

    def work(piece):
        images, band = piece
        with short_buffers():
            some, inner, sides, taps, folded, columns = walk.room(images, band, make)
            for side in sides:
                side[...] = 0
            np.multiply(dy[images, some], factors[some], out=inner)
            fold(np.add, taps, folded)
            fold(np.add, columns, dx[images, band])

    run(work, walk.pieces)
    return dx


def shares_by_tap(dy, x_shape, size, window: Window, factors):
    """The same for any strides."""
    walk = Walk(x_shape, size, window, SUMMED)
    dx, make = empty(x_shape, dy.dtype), partial(Cells, walk, dy.dtype)

    def work(piece):
        images, band = piece
        with short_buffers():
            room = walk.room(images, band, make)
            upstream = dy[images, room.rows]
            share = multiply(upstream, factors, room.rows, scratch("share", upstream.shape, dy.dtype))
            room.clear()
            for key, _, target, first in room.groups:
                if first:
                    np.copyto(target, share[key])
                else:
                    np.add(target, share[key], out=target)
            room.store(dx[images])

    run(work, walk.pieces_of_x())
    return dx
