"""Kernels of one row or one column (1xK and Kx1) of stride 1: Winograd's F(4, K) on whole lines of the image.

Idea: K + 3 products give four numbers of y instead of 4*K. A whole line of up to 20 numbers of y is transformed by one
matrix that holds the tiles' B^T along its diagonal, cut off where the padding would be: nothing is copied or padded.
Shapes: lines X (R, L, D), D = C or, along the height, W*C   V (t, P, C)   U (t, C, F)   M (t, P, F), t = K + 3.
Source: Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308, section 4.1, in one dimension.
Error in float32, against the largest number, unit-variance data of 64 channels: 6e-7 (K = 3), 3.5e-6 (K = 7); of 192 to
384 channels 2.6e-6 and 6e-6, the gradient of a kernel of K = 7 there 1.2e-5.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch
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
    if min(kh, kw) > 1 or max(kh, kw) not in ROW_POINTS:
        return False
    plain = window.strides == window.dilation == (1, 1) and window.groups == 1
    return plain and (isinstance(window.pads, str) or window.pads[2 - axis(w_shape)] == (0, 0))


def axis(w_shape) -> int:
    """Along which the kernel lies: 1 or 2."""
    return 1 if w_shape[0] > 1 else 2


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
    """(N, H, W, C) as lines of cells along axis 1 or 2: (N, H, W*C) or (N*H, W, C)"""
    n, h, w, c = x.shape
    return x.reshape(n, h, w * c) if along == 1 else x.reshape(n * h, w, c)


def transform_kernel(w):
    """U of a kernel: (1, K, C, F) or (K, 1, C, F) -> (t, C, F)"""
    k, (c, f) = max(w.shape[:2]), w.shape[2:]
    return np.matmul(row_points(k).kernel, np.ascontiguousarray(w).reshape(k, c * f)).reshape(-1, c, f)


def conv2d(x, u, pads, out, along: int, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on images that are done, while they are warm.

    x: (N, H, W, C)   u: (t, C, F)   along: the axis of the kernel, 1 or 2   out: (OH, OW)   -> (N, OH, OW, F)
    """
    t, c, f = u.shape
    y = empty((len(x), *out, f), u.dtype)
    parts = segments(t - M + 1, x.shape[along], pads[along - 1][0], out[along - 1])

    def work(images):
        lines, target = as_lines(x[images], along), as_lines(y[images], along)
        for part in parts:
            v = forth(part.input, lines[:, part.read], "transformed").reshape(t, -1, c)
            products = product(v, u, scratch("tiles", (t, v.shape[1], f), u.dtype))
            products = products.reshape(t * part.tiles, len(lines), -1)
            np.matmul(part.output, products.transpose(1, 0, 2), out=target[:, part.written])
        if finish is not None:
            finish(y[images], images, slice(0, out[0]))

    run(work, pieces(len(x), parts, t, x[0].size // x.shape[along] * u.itemsize))
    return y


def forth(matrix, lines, name: str):
    """The transform of lines (R, cells, D) in this thread's memory: (t*tiles, R, D)"""
    found = scratch(name, (len(matrix), len(lines), lines.shape[2]), lines.dtype)
    np.matmul(matrix, lines, out=found.transpose(1, 0, 2))
    return found


def pieces(n: int, parts, t: int, bytes_of_a_cell: int) -> list[slice]:
    """Whole images, with about PIECE_BYTES of V. bytes_of_a_cell: of all lines of an image"""
    return image_spans(n, t * max(part.tiles for part in parts) * bytes_of_a_cell, PIECE_BYTES)


def weight_grad(x, dy, pads, along: int, k: int):
    """dw of `Backend.conv2d_weight_grad`: G^T [sum over tiles of V^T (A dy)], (1, K, C, F) or (K, 1, C, F)

    Images are transformed some at a time; then each worker takes whole products of the t, so that every sum has one
    owner and one order.
    """
    (n, *out, f), c, t = dy.shape, x.shape[3], k + M - 1
    parts, dtype = segments(k, x.shape[along], pads[along - 1][0], out[along - 1]), np.result_type(x, dy)
    across = x.shape[3 - along]
    each = t * max(part.tiles for part in parts) * across * (c + f) * dtype.itemsize
    sums = np.zeros((t, c, f), dtype)
    dy = np.ascontiguousarray(dy)
    for images in image_spans(n, each, SHARED_BYTES):
        for part in parts:
            _add_up(as_lines(x[images], along)[:, part.read], as_lines(dy[images], along)[:, part.written], part, sums)
    dw = np.matmul(row_points(k).kernel.T, sums.reshape(t, -1))
    return dw.reshape(*((k, 1) if along == 1 else (1, k)), c, f)


def _add_up(lines, upstream, part: Segment, sums):
    """sums += V^T (A dy) for one segment of some lines: (t, C, F)"""
    t, c, f = sums.shape
    v = scratch("inputs", (t * part.tiles, *lines[:, 0].shape), sums.dtype)
    d = scratch("upstream", (t * part.tiles, *upstream[:, 0].shape), sums.dtype)

    def transform(rows):
        np.matmul(part.input, lines[rows], out=v[:, rows].transpose(1, 0, 2))
        np.matmul(part.upstream, upstream[rows], out=d[:, rows].transpose(1, 0, 2))

    def multiply(k):
        found = scratch("tiles", (c, f), sums.dtype)
        np.add(sums[k], sum_of_products(v_all[k], d_all[k], found), out=sums[k])

    v_all, d_all = v.reshape(t, -1, c), d.reshape(t, -1, f)
    run(transform, image_spans(len(lines), v[:, 0].nbytes, PIECE_BYTES))
    run(multiply, range(t))
