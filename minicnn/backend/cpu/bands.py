"""How pools walk: bands of rows of images, the rows and columns that their windows read, and the way back.

Rows of x are long and read where they lie: those of a window come first, at an edge those that there are. Of the rows
that this gives (`Sheet`), columns are copied tap by tap where the window moves by more than one. Going back (`Cells`),
taps are sorted by how many strides their windows lie from the cells of x; each group of taps gives to all its cells at
once, and each cell of dx is written once.
"""

from contextlib import contextmanager
from itertools import pairwise
from threading import get_ident

import numpy as np

from minicnn.backend.cpu.cells import items
from minicnn.backend.cpu.parallel import image_pieces, scratch
from minicnn.backend.window import Window

BUFFER = 1 << 11  # numbers, as many as a row has at least


@contextmanager
def short_buffers():
    """Steps on rows that do not lie side by side: NumPy copies them until its buffer is full, but no long ones."""
    before = np.setbufsize(BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)


class Walk:
    """A pooling's way over images (N, H, W, C): pieces of bands of rows of y, and where their windows lie."""

    def __init__(self, x_shape, size, window: Window, about: int):
        self.shape, self.size, self.strides = x_shape, size, window.strides
        (self.top, _), (self.left, _) = window.explicit_pads(x_shape[1:3], size)
        self.out = window.output_size(x_shape[1:3], size)
        n, h, w, c = x_shape
        self.about = about
        self.wide = max((self.out[1] - 1) * self.strides[1] + size[1], self.left + w)
        self.pieces = image_pieces(n, self.out[0], max(h * w * c // self.out[0], 1), about)
        self.rooms: dict[tuple, object] = {}

    def pieces_of_x(self) -> list[tuple[slice, slice]]:
        """The same for x, in rows of as many cells as the window moves by, from where the first window begins."""
        n, h, w, c = self.shape
        step = self.strides[0]
        return image_pieces(n, -(-(h + self.top) // step), step * w * c, self.about)

    def room(self, images, band, make):
        """What make(images, band) gives, views of this thread's memory, once for all pieces of a shape."""
        key = get_ident(), images.stop - images.start, band.start
        found = self.rooms.get(key)
        if found is None:
            found = self.rooms[key] = make(images.stop - images.start, band)
        return found

    def source(self, band) -> slice:
        """The rows of x that the windows of a band of y read."""
        first, h = band.start * self.strides[0] - self.top, self.shape[1]
        last = (band.stop - 1) * self.strides[0] - self.top + self.size[0]
        return slice(min(max(first, 0), h), min(max(last, 0), h))

    def runs(self, band):
        """The rows of y of a band, from its beginning, as (rows, which of its `source` each row of the window reads):
        many at once where x has all of these, else one by one; None stands for a row of padding."""
        (k, _), (s, _), h, zeroth = self.size, self.strides, self.shape[1], self.source(band).start
        first = min(max(-(-self.top // s), band.start), band.stop)
        last = min(max((h + self.top - k) // s + 1, first), band.stop)
        cuts = [*range(band.start, first), *([first] if last > first else []), *range(last, band.stop), band.stop]
        for start, stop in pairwise(cuts):
            begin, count = start * s - self.top, (stop - start - 1) * s + 1
            taps = [slice(p - zeroth, p - zeroth + count, s) if 0 <= p < h else None for p in range(begin, begin + k)]
            yield slice(start - band.start, stop - band.start), taps


class Sheet:
    """Memory of this thread for rows folded along the height, the padding at their sides, and their taps.

    inner: (N', rows, W, C), to be written
    """

    def __init__(self, walk: Walk, name: str, images: int, rows: int, dtype, padding):
        (_, kw), (_, sw), (_, _, w, c) = walk.size, walk.strides, walk.shape
        cells = scratch(name, (images, rows, walk.wide, c), dtype)
        self.inner, self.padding = cells[:, :, walk.left : walk.left + w], padding
        self.sides = [side for side in at_sides(cells, walk.left, w) if side.size]
        image, row, pixel, number = cells.strides
        shape = kw, images, rows, walk.out[1], c
        self.taps = np.ndarray(shape, dtype, cells, 0, (pixel, image, row, sw * pixel, number))
        self.copied = None
        if sw > 1:
            copy = scratch(f"taps of {name}", shape, dtype)
            self.copied, self.taps = (items(copy), items(self.taps)), copy

    def columns(self):
        """What each column of the window reads: (KW, N', rows, OW, C)"""
        for side in self.sides:
            side[...] = self.padding
        if self.copied is not None:
            np.copyto(*self.copied)
        return self.taps


def at_sides(x, left: int, width: int):
    """The columns of x before and behind those `width` that begin with `left`."""
    return x[:, :, :left], x[:, :, left + width :]


def fold(step, taps, target):
    """The taps folded with `step`, into target."""
    first, *others = taps
    np.copyto(target, first) if not others else step(first, others[0], out=target)
    for tap in others[1:]:
        step(target, tap, out=target)
    return target


def some_rows(x, taps, padding, wins=False):
    """The rows of x that a window reads, and padding in place of a row if it may win or there is nothing else."""
    found = [padding if tap is None else x[:, tap] for tap in taps if wins or tap is not None]
    return found or [padding]


class Cells:
    """Memory of this thread for a band of dx, in steps of the stride from where windows begin: (SW, N', rows, SH,
    columns, C), and the groups of taps that lie as many steps from there, as (what of dy they read, their numbers and
    that, the cells that they give it to); the first group comes first and all others are added."""

    def __init__(self, walk: Walk, dtype, images: int, band):
        (kh, kw), (sh, sw), (oh, ow), (_, _, w, c) = walk.size, walk.strides, walk.out, walk.shape
        more, rows, wide = (kh - 1) // sh, band.stop - band.start, -(-(w + walk.left) // sw)
        self.walk, self.begin = walk, band.start * sh - walk.top
        self.rows = slice(min(max(band.start - more, 0), oh), min(band.stop, oh))
        self.cells = scratch("cells", (sw, images, rows, sh, wide, c), dtype)
        self.empty = [self.cells] if sh > kh or sw > kw else []  # what no window reads, or the first group's do not
        self.empty += [self.cells[:, :, max(oh - band.start, 0) :]] if band.stop > oh else []
        self.empty += [self.cells[..., ow:, :]] if wide > ow else []
        places = self.cells.transpose(3, 0, 1, 2, 4, 5)
        self.groups = []
        for i in range(more + 1):
            begin, end = max(band.start, i), min(band.stop, oh + i)
            for j in range((kw - 1) // sw + 1 if end > begin else 0):
                count = min(ow, wide - j)
                key = slice(None), slice(begin - i - self.rows.start, end - i - self.rows.start), slice(0, count)
                taps = slice(i * sh, min((i + 1) * sh, kh)), slice(j * sw, min((j + 1) * sw, kw))
                target = places[
                    : taps[0].stop - i * sh, : taps[1].stop - j * sw, :, begin - band.start : end - band.start
                ]
                self.groups.append((key, (*taps, *key), target[..., j : j + count, :], i == j == 0))

    def clear(self):
        """Writes zeros where the first group gives nothing."""
        for cells in self.empty:
            cells[...] = 0

    def store(self, dx) -> slice:
        """Writes the cells to where they belong in dx, of these images, and says which rows these are."""
        walk, sw = self.walk, len(self.cells)
        cells = self.cells.reshape(sw, len(dx), -1, *self.cells.shape[4:])
        start = max(self.begin, 0)
        stop = max(min(self.begin + cells.shape[2], dx.shape[1]), start)
        dx, cells = items(dx[:, start:stop]), items(cells[:, :, start - self.begin : stop - self.begin])
        first = min(-walk.left % sw, dx.shape[2])
        together, k = (dx.shape[2] - first) // sw, (first + walk.left) // sw
        end = first + together * sw
        whole = dx[:, :, first:end].reshape(*dx.shape[:2], together, sw)
        np.copyto(whole, cells[:, :, :, k : k + together].transpose(1, 2, 3, 0))
        for column in (*range(first), *range(end, dx.shape[2])):
            k, place = divmod(column + walk.left, sw)
            np.copyto(dx[:, :, column], cells[place, :, :, k])
        return slice(start, stop)
