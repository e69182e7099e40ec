"""Kernels of one row or column (1xK, Kx1), and larger ones (5x5) row by row, of stride 1: Winograd's F(m, K) on lines.

Idea: K + m - 1 products give m numbers of y instead of m*K. A whole line of up to 21 numbers of y is transformed by one
matrix that holds the tiles' B^T along its diagonal, cut off where the padding would be: nothing is copied or padded.
Of the m that there are points for, that is taken which cuts a line into the fewest products: 3 tiles of 6 for 17.
A kernel of J rows is as many of them, one below the other. Transformed lines lie one below the other as well, so J of
them are a row of a matrix as they lie; the matrices that begin at line 0, 1, .. J-1 hold all windows of J lines.
Shapes: lines X (N, L, cells, D), D = C or, along the height, L = 1 and D = W*C   V (t, P, C)   U (t, J*C, F)
M (t, P, F), t = K + m - 1.
Source: Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308, section 4.1, in one dimension.
Error in float32, against the largest number, unit-variance data of 64 channels: 6e-7 (1x3), 7e-6 (5x5 and 1x7); of 192
to 384 channels 2e-6 (1x3) and 1.6e-5 (1x7), the gradient of a kernel of K = 7 there 2.4e-5.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.blocks import turn
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.winograd_points import ROW_POINTS, RowPoints, row_points
from minicnn.backend.window import Window

LONGEST = 21  # numbers of y in a segment of a line: a longer one would be multiplied with more zeros
CELLS = 1 << 14  # of a kernel, for each tap, that are transformed at a time
PIECE_BYTES = 1 << 21  # of V in a piece
SHARED_BYTES = 1 << 24  # of V and of dy's transform, kept for the gradient of the kernel


def fits(w_shape, window: Window) -> bool:
    """Whether this is such a kernel, of a length that has points, without lines of mere padding."""
    kh, kw = w_shape[:2]
    if window.strides != (1, 1) or window.dilation != (1, 1) or window.groups != 1:
        return False
    if min(kh, kw) > 1:
        return kw in ROW_POINTS and kw > 3  # 3x3 has algorithms of its own
    across = 2 - axis(w_shape)
    return max(kh, kw) in ROW_POINTS and (isinstance(window.pads, str) or window.pads[across] == (0, 0))


def axis(w_shape) -> int:
    """Along which the kernel is transformed: 1 where it is a column, else 2."""
    return 1 if w_shape[1] == 1 else 2


def points_for(w_shape, out) -> RowPoints:
    """F(m, K) with the m that takes the fewest products for a line of y, which has the size `out`."""
    along = axis(w_shape) - 1
    return row_points(w_shape[along], tile(w_shape[along], out[along]))


def tile(k: int, length: int) -> int:
    """That m, the smallest of several."""
    return min(sorted(ROW_POINTS[k]), key=lambda m: -(-length // m) * (m + k - 1))


@dataclass(frozen=True)
class Segment:
    """Some tiles of a line: what they read and write of it, and the matrices from and to the t points of each.

    input: (t*tiles, read)   output: (written, t*tiles)   upstream: (t*tiles, written)
    """

    read: slice
    written: slice
    tiles: int
    input: np.ndarray
    output: np.ndarray
    upstream: np.ndarray


@lru_cache(maxsize=256)
def segments(k: int, m: int, length: int, before: int, out: int) -> tuple[Segment, ...]:
    """Those of a line of so many cells with `before` zeros before it, which gives `out` numbers; of even length."""
    tiles = -(-out // m)
    count = -(-tiles // (LONGEST // m))
    edges = [tiles * i // count for i in range(count + 1)]
    return tuple(
        _segment(row_points(k, m), length, before, slice(m * first, min(m * last, out)), last - first)
        for first, last in zip(edges, edges[1:], strict=False)
    )


def _segment(p: RowPoints, length: int, before: int, written: slice, tiles: int) -> Segment:
    m, t, cells = p.m, p.t, p.m * (tiles - 1) + p.t
    inputs = np.zeros((t, tiles, cells), np.float32)
    outputs = np.zeros((m * tiles, t, tiles), np.float32)
    for j in range(tiles):
        inputs[:, j, m * j : m * j + t] = p.input
        outputs[m * j : m * (j + 1), :, j] = p.output
    start = written.start - before  # of the first cell in the line; zeros lie outside of it
    read = slice(max(start, 0), max(min(start + cells, length), max(start, 0)))
    inputs = inputs.reshape(t * tiles, cells)[:, read.start - start : read.stop - start]
    outputs = outputs.reshape(m * tiles, t * tiles)[: written.stop - written.start]
    return Segment(read, written, tiles, *map(np.ascontiguousarray, (inputs, outputs, outputs.T)))


def as_lines(x, along: int):
    """(N, H, W, C) as lines of cells along axis 1 or 2: (N, 1, H, W*C) or (N, H, W, C)"""
    n, h, w, c = x.shape
    return x.reshape(n, 1, h, w * c) if along == 1 else x


def transform_kernel(w, out, turned: bool = False):
    """U of a kernel, or of the turned one, for y of the size `out`: (J, K, C, F) or (K, 1, C, F) -> (t, J*C, F)"""
    if turned:
        w = turn(w)
    p, taps = points_for(w.shape, out), as_taps(w)
    rows, k, c, f = taps.shape
    u = empty((p.t, rows, c, f), w.dtype)

    def work(part):
        kernel = scratch("columns", (rows, k, part.stop - part.start, f), w.dtype)
        np.copyto(kernel, taps[:, :, part])
        target = u[:, :, part].reshape(p.t, rows, -1).transpose(1, 0, 2)
        np.matmul(p.kernel, kernel.reshape(rows, k, -1), out=target)

    run(work, spans(c, CELLS // f))
    return u.reshape(p.t, rows * c, f)


def as_taps(w):
    """A kernel, or its gradient, as rows of taps, a view: (J, K, C, F) or (K, 1, C, F) -> (J, K, C, F)"""
    return w if axis(w.shape) == 2 else w.swapaxes(0, 1)


class Stack:
    """How the transformed lines of an image lie: `height` of them, a multiple of J, those of the padding as zeros."""

    def __init__(self, rows: int, pads, out, along: int):
        self.rows, self.out = rows, out[0] if along == 2 else 1
        self.top = pads[0][0] if along == 2 else 0
        self.height = -(-(self.out + rows - 1) // rows) * rows

    def empty(self, name: str, matrix, lines):
        """Room for transformed lines in this thread's memory: (t*tiles, N, height, D), some zeros behind its end."""
        shape = len(matrix), len(lines), self.height, lines.shape[3]
        size, behind = math.prod(shape), (self.rows - 1) * shape[3]
        flat = scratch(name, (size + behind,), lines.dtype)
        flat[size:] = 0
        return flat[:size].reshape(shape)

    def forth(self, matrix, lines, v):
        """Writes the transform of lines of x to V."""
        first, last = max(self.top, 0), min(lines.shape[1] + self.top, self.height)
        v[:, :, :first] = v[:, :, last:] = 0
        lines = lines[:, first - self.top : last - self.top]
        np.matmul(matrix, lines, out=v[:, :, first:last].transpose(1, 2, 0, 3))

    def windows(self, v, t: int, c: int):
        """All windows of J lines of V: (t, J, P/J, J*C), those that begin at line 0, J, 2J ..., at line 1, J+1, ..."""
        j, size = self.rows, v.itemsize
        shape, steps = (t, j, v.size // (t * j * c), j * c), (v.size // t * size, c * size, j * c * size, size)
        return np.lib.stride_tricks.as_strided(v, shape, steps, writeable=False)

    def spread(self, m, t: int, f: int):
        """M (or the transform of dy) in the same order: (t, J, P/J, F)"""
        return m.reshape(t, -1, self.rows, f).transpose(0, 2, 1, 3)


def conv2d(x, u, pads, out, w_shape, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on images that are done, while they are warm.

    x: (N, H, W, C)   u: (t, J*C, F)   out: (OH, OW)   w_shape: (KH, KW, ...)   -> (N, OH, OW, F)
    """
    (t, depth, f), c, along = u.shape, x.shape[3], axis(w_shape)
    y = empty((len(x), *out, f), u.dtype)
    stack, k = Stack(depth // c, pads, out, along), w_shape[along - 1]
    parts = segments(k, t - k + 1, x.shape[along], pads[along - 1][0], out[along - 1])
    each = stack.height * (c if along == 2 else x.shape[2] * c) * u.itemsize

    def work(images):
        lines, target = as_lines(x[images], along), as_lines(y[images], along)
        for part in parts:
            v = stack.empty("transformed", part.input, lines)
            stack.forth(part.input, lines[:, :, part.read], v)
            found = scratch("tiles", (*v.shape[:3], v.shape[3] // c * f), u.dtype)
            product(stack.windows(v, t, c), u[:, None], stack.spread(found, t, f))
            np.matmul(part.output, found[:, :, : stack.out].transpose(1, 2, 0, 3), out=target[:, :, part.written])
        if finish is not None:
            finish(y[images], images, slice(0, out[0]))

    run(work, pieces(len(x), parts, t, each))
    return y


def pieces(n: int, parts, t: int, bytes_of_a_cell: int) -> tuple[slice, ...]:
    """Whole images, with about PIECE_BYTES of V. bytes_of_a_cell: of all lines of an image"""
    return image_spans(n, t * max(part.tiles for part in parts) * bytes_of_a_cell, PIECE_BYTES)


def weight_grad(x, dy, w_shape, pads):
    """dw of `Backend.conv2d_weight_grad`: G^T [sum over tiles of V^T (A dy)], (J, K, C, F) or (K, 1, C, F)

    Images are transformed some at a time; then each worker takes whole products of the t, so that every sum has one
    owner and one order.
    """
    along, (c, f), out = axis(w_shape), w_shape[2:], dy.shape[1:3]
    k, rows, p = w_shape[along - 1], w_shape[0] if along == 2 else 1, points_for(w_shape, out)
    stack, t, dtype = Stack(rows, pads, out, along), p.t, np.result_type(x, dy)
    parts = segments(k, p.m, x.shape[along], pads[along - 1][0], out[along - 1])
    across = stack.height if along == 2 else x.shape[2]
    each = t * max(part.tiles for part in parts) * across * (c + f) * dtype.itemsize
    sums = empty((t, rows * c, f), dtype) if len(x) else np.zeros((t, rows * c, f), dtype)
    dy = np.ascontiguousarray(dy)
    for images in spans(len(x), SHARED_BYTES // each):
        for part in parts:
            lines, upstream = as_lines(x[images], along), as_lines(dy[images], along)
            first = images.start == 0 and part is parts[0]
            _add_up(lines[:, :, part.read], upstream[:, :, part.written], part, stack, c, sums, first)
    dw, sums = empty(w_shape, dtype), sums.reshape(t, rows, -1).transpose(1, 0, 2)
    taps = as_taps(dw).reshape(rows, k, -1)
    run(lambda cells: np.matmul(p.kernel.T, sums[..., cells], out=taps[..., cells]), spans(c * f, CELLS))
    return dw


def _add_up(lines, upstream, part: Segment, stack: Stack, c: int, sums, first: bool):
    """sums += V^T (A dy) for one segment of some lines, or the first of them: (t, J*C, F)"""
    t, _, f = sums.shape
    v, d = stack.empty("inputs", part.input, lines), stack.empty("upstream", part.upstream, upstream)

    def transform(images):
        stack.forth(part.input, lines[images], v[:, images])
        d[:, images, stack.out :] = 0
        np.matmul(part.upstream, upstream[images], out=d[:, images, : stack.out].transpose(1, 2, 0, 3))

    def sum_up(k):
        straight = first and stack.rows == 1
        found = sums[k : k + 1] if straight else scratch("tiles", (stack.rows, *sums.shape[1:]), sums.dtype)
        sum_of_products(windows[k], spread[k], found)
        if first and not straight:
            np.add.reduce(found, axis=0, out=sums[k])
        for one in () if first else found:
            np.add(sums[k], one, out=sums[k])

    run(transform, image_spans(len(lines), v[:, 0].nbytes, PIECE_BYTES))
    windows, spread = stack.windows(v, t, c), stack.spread(d, t, f)
    run(sum_up, range(t))
