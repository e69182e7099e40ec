"""Kernels of one row or column (1xK, Kx1), and larger ones (5x5) row by row, of stride 1: Winograd's F(4, K) on lines.

Idea: K + 3 products give four numbers of y instead of 4*K. A whole line of up to 20 numbers of y is transformed by one
matrix that holds the tiles' B^T along its diagonal, cut off where the padding would be: nothing is copied or padded.
A kernel of J rows is as many of them, one below the other. Transformed lines lie one below the other as well, so J of
them are a row of a matrix as they lie; the matrices that begin at line 0, 1, .. J-1 hold all windows of J lines.
Shapes: lines X (N, L, cells, D), D = C or, along the height, L = 1 and D = W*C   V (t, P, C)   U (t, J*C, F)
M (t, P, F), t = K + 3.
Source: Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308, section 4.1, in one dimension.
Error in float32, against the largest number, unit-variance data of 64 channels: 6e-7 (1x3), 3e-6 (5x5), 4.7e-6 (1x7);
of 192 to 384 channels 2.6e-6 (1x3) and 6e-6 (1x7), the gradient of a kernel of K = 7 there 1.2e-5.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.winograd_points import ROW_POINTS, row_points
from minicnn.backend.window import Window

M = 4
TILES = 5  # of a segment of a line: a longer one would be multiplied with more zeros
PIECE_BYTES = 1 << 20  # of V in a piece
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


@dataclass(frozen=True)
class Segment:
    """Up to TILES tiles of a line: what they read and write of it, and the matrices from and to the t points of each.

    input: (t*tiles, read)   output: (written, t*tiles)   upstream: (t*tiles, written)
    """

    read: slice
    written: slice
    tiles: int
    input: np.ndarray
    output: np.ndarray
    upstream: np.ndarray


@lru_cache(maxsize=256)
def segments(k: int, length: int, before: int, out: int) -> tuple[Segment, ...]:
    """Those of a line of so many cells with `before` zeros before it, which gives `out` numbers; of even length."""
    tiles = -(-out // M)
    count = -(-tiles // TILES)
    edges = [tiles * i // count for i in range(count + 1)]
    return tuple(
        _segment(k, length, before, slice(M * first, min(M * last, out)), last - first)
        for first, last in zip(edges, edges[1:], strict=False)
    )


def _segment(k: int, length: int, before: int, written: slice, tiles: int) -> Segment:
    p, t = row_points(k), k + M - 1
    cells = M * tiles + k - 1
    inputs = np.zeros((t, tiles, cells), np.float32)
    outputs = np.zeros((M * tiles, t, tiles), np.float32)
    for j in range(tiles):
        inputs[:, j, M * j : M * j + t] = p.input
        outputs[M * j : M * (j + 1), :, j] = p.output
    start = written.start - before  # of the first cell in the line; zeros lie outside of it
    read = slice(max(start, 0), max(min(start + cells, length), max(start, 0)))
    inputs = inputs.reshape(t * tiles, cells)[:, read.start - start : read.stop - start]
    outputs = outputs.reshape(M * tiles, t * tiles)[: written.stop - written.start]
    return Segment(read, written, tiles, *map(np.ascontiguousarray, (inputs, outputs, outputs.T)))


def as_lines(x, along: int):
    """(N, H, W, C) as lines of cells along axis 1 or 2: (N, 1, H, W*C) or (N, H, W, C)"""
    n, h, w, c = x.shape
    return x.reshape(n, 1, h, w * c) if along == 1 else x


def transform_kernel(w):
    """U of a kernel: (J, K, C, F), or (K, 1, C, F) -> (t, J*C, F)"""
    rows, k, c, f = w.shape if axis(w.shape) == 2 else (1, *w.shape[:1], *w.shape[2:])
    u = np.matmul(row_points(k).kernel, np.ascontiguousarray(w).reshape(rows, k, c * f))
    return np.ascontiguousarray(u.reshape(rows, -1, c, f).transpose(1, 0, 2, 3)).reshape(-1, rows * c, f)


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


def conv2d(x, u, pads, out, along: int, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on images that are done, while they are warm.

    x: (N, H, W, C)   u: (t, J*C, F)   along: the axis of the kernel, 1 or 2   out: (OH, OW)   -> (N, OH, OW, F)
    """
    (t, depth, f), c = u.shape, x.shape[3]
    y = empty((len(x), *out, f), u.dtype)
    stack = Stack(depth // c, pads, out, along)
    parts = segments(t - M + 1, x.shape[along], pads[along - 1][0], out[along - 1])
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


def pieces(n: int, parts, t: int, bytes_of_a_cell: int) -> list[slice]:
    """Whole images, with about PIECE_BYTES of V. bytes_of_a_cell: of all lines of an image"""
    return image_spans(n, t * max(part.tiles for part in parts) * bytes_of_a_cell, PIECE_BYTES)


def weight_grad(x, dy, w_shape, pads):
    """dw of `Backend.conv2d_weight_grad`: G^T [sum over tiles of V^T (A dy)], (J, K, C, F) or (K, 1, C, F)

    Images are transformed some at a time; then each worker takes whole products of the t, so that every sum has one
    owner and one order.
    """
    along, (c, f), out = axis(w_shape), w_shape[2:], dy.shape[1:3]
    k, rows = w_shape[along - 1], w_shape[0] if along == 2 else 1
    stack, t, dtype = Stack(rows, pads, out, along), k + M - 1, np.result_type(x, dy)
    parts = segments(k, x.shape[along], pads[along - 1][0], out[along - 1])
    across = stack.height if along == 2 else x.shape[2]
    each = t * max(part.tiles for part in parts) * across * (c + f) * dtype.itemsize
    sums = np.zeros((t, rows * c, f), dtype)
    dy = np.ascontiguousarray(dy)
    for images in spans(len(x), SHARED_BYTES // each):
        for part in parts:
            lines, upstream = as_lines(x[images], along), as_lines(dy[images], along)
            _add_up(lines[:, :, part.read], upstream[:, :, part.written], part, stack, c, sums)
    dw = np.matmul(row_points(k).kernel.T, sums.reshape(t, rows, c * f).transpose(1, 0, 2))
    return dw.reshape(w_shape)


def _add_up(lines, upstream, part: Segment, stack: Stack, c: int, sums):
    """sums += V^T (A dy) for one segment of some lines: (t, J*C, F)"""
    t, _, f = sums.shape
    v, d = stack.empty("inputs", part.input, lines), stack.empty("upstream", part.upstream, upstream)

    def transform(images):
        stack.forth(part.input, lines[images], v[:, images])
        d[:, images, stack.out :] = 0
        np.matmul(part.upstream, upstream[images], out=d[:, images, : stack.out].transpose(1, 2, 0, 3))

    def multiply(k):
        found = scratch("tiles", (stack.rows, *sums.shape[1:]), sums.dtype)
        sum_of_products(windows[k], spread[k], found)
        for one in found:
            np.add(sums[k], one, out=sums[k])

    run(transform, image_spans(len(lines), v[:, 0].nbytes, PIECE_BYTES))
    windows, spread = stack.windows(v, t, c), stack.spread(d, t, f)
    run(multiply, range(t))
