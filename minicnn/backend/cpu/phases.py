"""The gradient of the input of a direct convolution: convolutions of dy with the turned kernel, one for each phase.

With a stride s the rows a, a + s, a + 2s, ... of the padded x are read by the taps p = a mod s alone: each of the s*s
phases is a convolution of stride 1 with its own part of the kernel, made for those cells that x really has.
A 3x3 kernel of stride 2 has phases of 1, 2, 2 and 4 taps, which read the same windows of 2x2 pixels of dy. These are
written once, in such an order that what each phase reads lies together, and small products put it where it belongs.
Shapes: dy (N, OH, OW, F)   w (KH, KW, C, F)   dx (N, H, W, C)   windows (N, rows, columns, 4*F).
Dumoulin & Visin 2016, arXiv:1603.07285, section 4 (transposed convolutions). Error in float32: rounding, 2e-7.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from minicnn.backend.cpu.blocks import turn
from minicnn.backend.cpu.cells import pixels_of_blocks
from minicnn.backend.cpu.conv import correlate, padded
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_pieces, run, scratch, spans
from minicnn.backend.cpu.products import SMALL, height, panel_width
from minicnn.backend.window import Window

FEW = 16  # channels, up to which the gradient of an input by stride 2 is made of blocks
PIECE_BYTES = 1 << 20  # of windows
FEWEST = 256  # rows of a large product, so that the kernel, repacked for each, is used often enough
SHORTEST, LARGEST = 12, 1 << 18  # rows of a small product, and cells of panels that stay in the cache


@dataclass(frozen=True)
class Phase:
    """Cells of one axis of x, the taps that read them, and the cells of dy, start to stop, to which they gave."""

    cells: slice
    taps: slice
    start: int
    stop: int


def phases(size: int, before: int, k: int, stride: int) -> list[Phase]:
    """Those of an axis of so many cells, with `before` zeros before it."""
    found = []
    for a in range(stride):
        first = (a - before) % stride
        last_tap = (first + before) // stride  # the cell of dy that the first cell gave to by tap a
        reach = max(len(range(a, k, stride)) - 1, 0)
        cells = slice(first, max(size, first), stride)
        found.append(Phase(cells, slice(a, k, stride), last_tap - reach, last_tap + len(range(first, size, stride))))
    return found


def input_grad(dy, w, x_shape, window: Window):
    """dx of `Backend.conv2d_input_grad` for groups = 1 and dilation 1."""
    kh, kw, c, _ = w.shape
    if window.strides == (2, 2) and c <= FEW and 1 < max(kh, kw) <= 3:
        return _by_blocks(dy, w, x_shape, window)
    (top, _), (left, _) = window.explicit_pads(x_shape[1:3], (kh, kw))
    dx = empty(x_shape, np.result_type(dy, w))
    tall, wide = phases(x_shape[1], top, kh, window.strides[0]), phases(x_shape[2], left, kw, window.strides[1])
    if (kh, kw) == (3, 3) and window.strides == (2, 2):
        _by_windows(dy, w, tall, wide, dx)
        return dx
    if (kh, kw) == (1, 1) != window.strides and dx[:, tall[0].cells, wide[0].cells].size:
        _by_pixels(dy, w, tall[0], wide[0], dx)
        return dx
    if kh < window.strides[0] or kw < window.strides[1]:  # nothing reads some of the cells
        run(partial(clear, dx), spans(len(dx), 1))
    for down in tall:
        for across in wide:
            phase, part = dx[:, down.cells, across.cells], w[down.taps, across.taps]
            if phase.size and part.size:
                source = cut_out(dy, (down.start, down.stop), (across.start, across.stop))
                correlate(source, turn(part), (1, 1), (1, 1), phase)
    return dx


def clear(cells, images):
    """Writes zeros to some images."""
    cells[images] = 0


def cut_out(dy, *spans_of_axes):
    """dy between the given rows and columns, zeros where it has none."""
    inside, around = [], []
    for (start, stop), size in zip(spans_of_axes, dy.shape[1:3], strict=True):
        first = min(max(start, 0), size)
        last = max(min(stop, size), first)
        before = max(-start, 0)
        inside.append(slice(first, last))
        around.append((before, stop - start - before - (last - first)))
    return padded(dy[:, *inside], tuple(around))


def _by_blocks(dy, w, x_shape, window: Window):
    """The same for stride 2 and few channels: all four phases from one product, as blocks of 2x2 pixels.

    Four times the columns are worth 16/9 of the multiplications of a 3x3 kernel.
    """
    (kh, kw, c, f), (n, oh, ow, _) = w.shape, dy.shape
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], (kh, kw))
    tall, wide = -(-kh // 2), -(-kw // 2)
    kernel = np.zeros((2 * tall, 2 * wide, c, f), w.dtype)
    kernel[:kh, :kw] = w
    kernel = kernel.reshape(tall, 2, wide, 2, c, f).transpose(0, 2, 1, 3, 4, 5).reshape(tall, wide, 4 * c, f)
    size = -(-(top + x_shape[1] + bottom) // 2), -(-(left + x_shape[2] + right) // 2)
    blocks = empty((n, *size, 4 * c), np.result_type(dy, w))
    around = (tall - 1, size[0] - oh), (wide - 1, size[1] - ow)
    correlate(padded(dy, around), turn(kernel), (1, 1), (1, 1), blocks)
    return pixels_of_blocks(blocks)[:, top : top + x_shape[1], left : left + x_shape[2]]


def _by_pixels(dy, w, down: Phase, across: Phase, dx):
    """The same for a 1x1 kernel with strides: a pixel of dy for one of dx, and zeros between, while rows are warm."""
    phase, step = dx[:, down.cells, across.cells], down.cells.step
    high, broad = phase.shape[1:3]
    part = _Part(phase, [w[0, 0]], 0, broad)
    run(part.prepare, part.turned)
    source = cut_out(dy, (down.start, down.stop), (across.start, across.stop))

    def work(piece):
        images, rows = piece
        first = down.cells.start + step * rows.start if rows.start else 0
        dx[images, first : down.cells.start + step * rows.stop if rows.stop < high else None] = 0
        part.put(source[images, rows], images, rows)

    each = step * dx.shape[2] * dx.shape[3] * dx.itemsize
    least = 1 if part.rows else -(-FEWEST // broad)
    run(work, image_pieces(len(dx), high, 1, max(PIECE_BYTES // each, least)))


def _by_windows(dy, w, tall, wide, dx):
    """The same for a 3x3 kernel of stride 2. An axis has a phase of a pair of taps, 0 and 2, and one of tap 1 alone.

    A window is walked around: from the neighbour in a row of the cell that tap (1, 1) reads, by way of that cell.
    """
    (pair_h, alone_h), (pair_w, alone_w) = tall, wide
    i, j = alone_h.start - pair_h.start, alone_w.start - pair_w.start  # of that cell in its window: 0 or 1
    walk = (i, 1 - j), (i, j), (1 - i, j), (1 - i, 1 - j)
    taps = [(2 - 2 * p, 2 - 2 * q) for p, q in walk]  # of a pair, the later one reads the earlier cell
    high, broad = (-(-n // 2) for n in dx.shape[1:3])
    parts = [
        _Part(dx[:, down.cells, across.cells], [w[tap] for tap in read], first, broad)
        for down, across, first, read in (
            (alone_h, alone_w, 1, [(1, 1)]),
            (alone_h, pair_w, 0, [(1, q) for _, q in taps[:2]]),
            (pair_h, alone_w, 1, [(p, 1) for p, _ in taps[1:3]]),
            (pair_h, pair_w, 0, taps),
        )
    ]
    run(lambda piece: piece[0].prepare(piece[1]), [(part, k) for part in parts for k in part.turned])
    source = cut_out(dy, (pair_h.start, pair_h.start + high + 1), (pair_w.start, pair_w.start + broad + 1))

    def work(piece):
        images, rows = piece
        shape = images.stop - images.start, rows.stop - rows.start, broad, 4, dy.shape[3]
        windows = scratch("columns", shape, dx.dtype)
        for k, (p, q) in enumerate(walk):
            np.copyto(windows[..., k, :], source[images, rows.start + p : rows.stop + p, q : q + broad])
        windows = windows.reshape(*shape[:3], -1)
        for part in parts:
            part.put(windows, images, rows)

    each = broad * 4 * dy.shape[3] * dx.itemsize
    least = 1 if all(part.rows for part in parts) else -(-FEWEST // broad)
    run(work, image_pieces(len(dx), high, 1, max(PIECE_BYTES // each, least)))


class _Part:
    """One phase of dx (N, rows, columns, C), of some cells of each window, `first` and the next, by taps (C, F).

    Small products read the taps turned, from panels; large ones turn what they read anyway, a tap at a time.
    """

    def __init__(self, phase, taps, first: int, broad: int):
        self.phase, self.taps, (c, self.f) = phase, taps, taps[0].shape
        depth, width = len(taps) * self.f, panel_width(c)
        self.read = slice(first * self.f, first * self.f + depth)
        small = broad >= SHORTEST and depth * c <= LARGEST
        self.rows = height(broad, SMALL // (depth * width)) if small else 0  # of small products, if any
        self.panels = empty((c // width if self.rows else 0, depth, width), phase.dtype)
        self.turned = range(len(taps) if self.rows else 0)

    def prepare(self, k: int):
        """Turns tap k and puts it into the panels."""
        count, _, width = self.panels.shape
        tap = self.taps[k].reshape(count, width, self.f).transpose(0, 2, 1)
        np.copyto(self.panels[:, k * self.f : (k + 1) * self.f], tap)

    def put(self, windows, images, rows):
        """Multiplies the windows (N', rows, columns, 4*F) of some rows."""
        target = self.phase[images, rows]  # may have a row or column less than there are windows
        n, high, broad, c = target.shape
        if not self.rows:
            found = scratch("tile", (*windows.shape[:3], c), target.dtype)
            self.add_up(windows.reshape(-1, windows.shape[3])[:, self.read], found.reshape(-1, c))
            np.copyto(target, found[:, :high, :broad])
            return
        target = target.reshape(n, high, broad, *self.panels.shape[::2]).transpose(0, 1, 3, 2, 4)
        for some in spans(broad, self.rows):
            np.matmul(windows[:, :high, None, some, self.read], self.panels, out=target[:, :, :, some])

    def add_up(self, windows, out):
        """The products with all taps, added up.   windows: (P, taps * F)   out: (P, C)"""
        for k, tap in enumerate(self.taps):
            part = scratch("part", out.shape, out.dtype) if k else out
            np.matmul(windows[:, k * self.f : (k + 1) * self.f], tap.T, out=part)
            if k:
                np.add(out, part, out=out)
