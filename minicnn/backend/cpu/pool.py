"""Pooling on bands of rows: along one side of the window, then along the other, in few and long steps.

The columns that a band reads are copied to arrays of their own, one for each place within the stride, where those of a
tap lie side by side; so kh + kw - 2 steps over long rows fold a window of kh x kw. A winner is found on the same way:
its column in each row of the window, then its row, a byte each time. Going back, taps with the same shift between the
cells of x and of y, a stride's worth of them, get their part of dy at once.
"""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.window import Window

BAND = 1 << 19  # numbers of x in a band, as many as keep the steps long; half of it where there are few of them


class Walk:
    """A pooling's way over images (N, H, W, C): some images at a time, and bands of rows of y within them."""

    def __init__(self, x_shape, size, window: Window, about: int):
        self.shape, self.size, self.strides = x_shape, size, window.strides
        self.pads = window.explicit_pads(x_shape[1:3], size)
        self.padded = self.pads != ((0, 0), (0, 0))
        self.out = window.output_size(x_shape[1:3], size)
        (kh, kw), (sh, sw) = size, window.strides
        self.more = (kh - 1) // sh, (kw - 1) // sw  # rows and columns of a place beyond those of y
        n, h, w, c = x_shape
        self.images = image_spans(n, h * w * c, about)
        self.bands = spans(self.out[0], -(-self.out[0] // -(-h * w * c // about)))

    def pieces(self) -> list[tuple[slice, slice]]:
        """Images and bands of rows of y, where each piece writes y alone."""
        return [(images, band) for images in self.images for band in self.bands]

    def load(self, x, band, padding, divisor=None):
        """The cells of x that a band reads, columns sorted by their place: (places, N', rows, columns, C)

        Where all lie as they should they are not copied. divisor: what cells are divided by on the way, (H, W, 1).
        """
        (kh, kw), (sh, sw) = self.size, self.strides
        start, rows = band.start * sh - self.pads[0][0], (band.stop - band.start - 1) * sh + kh
        if sw == 1 and not self.padded and divisor is None:
            return x[None, :, start : start + rows]
        cells = scratch("cells", (min(sw, kw), len(x), rows, self.out[1] + self.more[1], self.shape[3]), x.dtype)
        tall, from_rows = one_in(1, start, rows, self.shape[1])
        cells[:, :, : tall.start] = cells[:, :, tall.stop :] = padding
        for place, target in enumerate(cells):
            wide, from_columns = one_in(sw, place - self.pads[1][0], cells.shape[3], self.shape[2])
            target[:, tall, : wide.start] = target[:, tall, wide.stop :] = padding
            target, source = target[:, tall, wide], x[:, from_rows, from_columns]
            if divisor is None:
                np.copyto(target, source)
            else:
                np.divide(source, divisor[from_rows, from_columns], out=target)
        return cells

    def rows(self, cells, count: int):
        """What each row of the window reads of them, for so many rows of y."""
        (kh, _), (sh, _) = self.size, self.strides
        return [cells[..., p : p + (count - 1) * sh + 1 : sh, :, :] for p in range(kh)]

    def columns(self, cells):
        """What each column of the window reads of sorted cells."""
        places = (divmod(q, self.strides[1]) for q in range(self.size[1]))
        return [cells[place, ..., j : j + self.out[1], :] for j, place in places]

    def groups(self):
        """Taps by their shift: by how many rows and columns of y, and the taps' numbers, (a, b, 1, 1, 1, 1)."""
        (kh, kw), (sh, sw) = self.size, self.strides
        numbers = np.arange(kh * kw, dtype=np.min_scalar_type(kh * kw)).reshape(kh, kw, 1, 1, 1, 1)
        for i in range(self.more[0] + 1):
            for j in range(self.more[1] + 1):
                yield i, j, numbers[i * sh : (i + 1) * sh, j * sw : (j + 1) * sw]


def one_in(stride: int, start: int, count: int, size: int) -> tuple[slice, slice]:
    """Of the cells start + stride * k, k < count: those k whose cell lies in 0 .. size, and the cells."""
    first = max(-(start // stride), 0)
    last = max(min(count, (size - 1 - start) // stride + 1), first)
    start += first * stride
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride) if last > first else slice(
        0
    )


def pool(x, size, window: Window, step, padding, finish=None, divisor=None):
    """Every window folded with `step`: (N, H, W, C) -> (N, OH, OW, C); finish(y, band) works on what is done.

    divisor: of the cells of x, (H, W, 1).
    """
    walk = Walk(x.shape, size, window, BAND // 2)
    y = empty((len(x), *walk.out, x.shape[3]), x.dtype)

    def work(piece):
        images, band = piece
        target = y[images, band]
        rows = walk.rows(walk.load(x[images], band, padding, divisor), target.shape[1])
        folded = rows[0] if len(rows) == 1 else fold(step, rows, scratch("folded", rows[0].shape, x.dtype))
        fold(step, walk.columns(folded), target)
        if finish is not None:
            finish(target, band)

    run(work, walk.pieces())
    return y


def fold(step, taps, target):
    """The taps folded with `step`, into target."""
    first, *others = taps
    np.copyto(target, first) if not others else step(first, others[0], out=target)
    for tap in others[1:]:
        step(target, tap, out=target)
    return target


def max_pool(x, size, window: Window):
    """y of `Backend.max_pool`"""
    return pool(x, size, window, np.maximum, -np.inf)


def max_pool_winners(x, size, window: Window):
    """y and the winners of `Backend.max_pool_winners`: (N, OH, OW, C) both"""
    walk = Walk(x.shape, size, window, BAND)
    y = empty((len(x), *walk.out, x.shape[3]), x.dtype)
    taps = size[0] * size[1]
    winners = empty(y.shape, np.min_scalar_type(taps))
    real = first_real(walk, winners.dtype) if walk.padded else None

    def work(piece):
        images, band = piece
        target, code = y[images, band], winners[images, band]
        columns = walk.columns(walk.load(x[images], band, -np.inf))
        row = scratch("row", columns[0].shape, x.dtype)
        column_code = scratch("column code", row.shape, code.dtype)
        first_maximum(columns, None, 1, row, column_code)
        rows, codes = (walk.rows(cells, target.shape[1]) for cells in (row, column_code))
        first_maximum(rows, codes, size[1], target, code)
        if real is not None:
            np.maximum(code, real[band], out=code)
        if np.not_equal(target, target, out=scratch("greater", target.shape, bool)).any():
            code[np.isnan(target)] = taps  # as no cell is equal to it

    run(work, walk.pieces())
    return y, winners


def first_maximum(taps, codes, unit: int, best, code):
    """best: the maximum of the taps; code: that of the first that holds it, + its number times unit.

    Numbers grow, so that the larger of two codes is that of the later tap: nothing has to be chosen.
    """
    if len(taps) == 1:
        np.copyto(best, taps[0])
        np.copyto(code, 0 if codes is None else codes[0])
        return
    greater = scratch("greater", best.shape, bool)
    number = scratch("number", best.shape, code.dtype)
    before, code_before = taps[0], None if codes is None else codes[0]
    for p, tap in enumerate(taps[1:], 1):
        np.greater(tap, before, out=greater)
        np.maximum(before, tap, out=best)
        if codes is None:
            found = np.multiply(greater.view(np.uint8), p * unit, out=code if code_before is None else number)
        else:
            found = np.multiply(np.add(codes[p], p * unit, out=number), greater.view(np.uint8), out=number)
        if code_before is not None:
            np.maximum(code_before, found, out=code)
        before, code_before = best, code


def first_real(walk: Walk, dtype):
    """The number of each window's first tap that is not padding, (OH, OW, 1): where all are -inf it wins."""
    found, none = [], []
    for k, stride, (before, _), size, count in zip(
        walk.size, walk.strides, walk.pads, walk.shape[1:3], walk.out, strict=True
    ):
        start = np.arange(count) * stride - before
        found.append(np.maximum(-start, 0))
        none.append((start >= size) | (-start >= k))
    taps = walk.size[0] * walk.size[1]
    numbers = found[0][:, None] * walk.size[1] + found[1]
    return np.where(none[0][:, None] | none[1], taps, numbers).astype(dtype)[:, :, None]


def avg_pool(x, size, window: Window, cells):
    """y of `Backend.avg_pool`; cells: how many of each window are real, (OH, OW, 1)."""
    return pool(x, size, window, np.add, 0, lambda y, band: np.divide(y, cells[band], out=y))


def max_pool_grad(dy, winners, x_shape, size, window: Window):
    """dx of `Backend.max_pool_grad`: (N, H, W, C)"""

    def spread(images, band, targets):
        upstream, which = dy[images, band], winners[images, band]
        for number, (target, taps) in enumerate(targets):
            hit = np.equal(which, taps, out=scratch("hit", target.shape, bool))
            part = scratch("part", target.shape, dy.dtype) if number else target
            np.copyto(part, hit)  # not left to the product, which would convert it in snippets
            np.multiply(part, upstream, out=part)
            if number:
                np.add(target, part, out=target)

    return sweep_back(Walk(x_shape, size, window, BAND), dy.dtype, spread)


def avg_pool_grad(dy, x_shape, size, window: Window, cells):
    """dx of `Backend.avg_pool_grad`: (N, H, W, C); with stride 1 it is a sum over windows of dy as well."""
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], size)
    pads = (size[0] - 1 - top, size[0] - 1 - bottom), (size[1] - 1 - left, size[1] - 1 - right)
    if window.strides == (1, 1) and min(*pads[0], *pads[1]) >= 0:
        return pool(dy, size, Window(pads=pads), np.add, 0, divisor=cells)

    def spread(images, band, targets):
        part = dy[images, band]
        share = np.divide(part, cells[band], out=scratch("part", part.shape, dy.dtype))
        np.copyto(targets[0][0], share)
        for target, _ in targets[1:]:
            np.add(target, share, out=target)

    return sweep_back(Walk(x_shape, size, window, BAND), dy.dtype, spread)


def sweep_back(walk: Walk, dtype, spread):
    """dx of all images: spread(images, band, targets) hands out what a band of dy gives to the sorted cells of x, to
    the first of the targets as it is, to the others added.

    Bands overlap in x where windows do, so those of an image belong to one worker, and the last rows of one, which are
    not complete yet, are added to the first of the next.
    """
    dx = empty(walk.shape, dtype)
    (sh, sw), (more, more_columns), wide = walk.strides, walk.more, walk.out[1]
    gaps = sh > walk.size[0] or sw > walk.size[1]
    groups = list(walk.groups())
    end = [(n + m) * s - p[0] for n, m, s, p in zip(walk.out, walk.more, walk.strides, walk.pads, strict=True)]

    def work(images):
        part = dx[images]
        part[:, end[0] :] = part[:, :, end[1] :] = 0
        for band in walk.bands:
            rows = band.stop - band.start
            cells = scratch("cells", (sw, len(part), rows + more, sh, wide + more_columns, walk.shape[3]), dtype)
            places = cells.transpose(3, 0, 1, 2, 4, 5)
            if gaps:
                cells[...] = 0
            cells[:, :, rows:] = cells[:, :, :, :, wide:] = 0
            targets = [(places[: t.shape[0], : t.shape[1], :, i : i + rows, j : j + wide], t) for i, j, t in groups]
            spread(images, band, targets)
            if more:
                carried = scratch("carried", (*cells.shape[:2], more, *cells.shape[3:]), dtype)
                if band.start:
                    np.add(cells[:, :, :more], carried, out=cells[:, :, :more])
                np.copyto(carried, cells[:, :, rows:])
            last = band.stop == walk.out[0]
            store(walk, part, cells, band.start, rows + more if last else rows)

    run(work, walk.images)
    return dx


def store(walk: Walk, dx, cells, start: int, count: int):
    """The first rows of sorted cells where they belong in dx, columns of all places side by side as far as they go."""
    (sh, sw), (top, left) = walk.strides, (before for before, _ in walk.pads)
    rows, to_rows = one_in(1, start * sh - top, count * sh, dx.shape[1])
    cells, dx = cells.reshape(sw, len(dx), -1, *cells.shape[4:])[:, :, rows], dx[:, to_rows]
    end = min(dx.shape[2], cells.shape[3] * sw - left)
    begin = min(-left % sw, end)
    together, first = (end - begin) // sw, (begin + left) // sw
    stop = begin + together * sw
    whole = dx[:, :, begin:stop].reshape(*dx.shape[:2], together, sw, -1)
    np.copyto(whole, cells[:, :, :, first : first + together].transpose(1, 2, 3, 0, 4))
    for column in (*range(begin), *range(stop, end)):
        k, place = divmod(column + left, sw)
        np.copyto(dx[:, :, column], cells[place, :, :, k])
