"""U = G w G^T of kernels for `winograd.py`, as one product for some thousand cells of the kernel at a time.

The cells of some channels and filters are copied side by side first, which also turns those of a turned kernel.
Products are small enough for OpenBLAS not to pack what it reads once, and a stack of them is one call.
"""

import numpy as np

from minicnn.backend.cpu.blocks import Blocks, turn
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch, spans
from minicnn.backend.cpu.products import panel_width
from minicnn.backend.cpu.winograd_points import Points, points

COLUMNS, CHUNKS = 2048, 8  # of a kernel in a product, and such products at a time
NARROW = 32  # channels that are read across at a time: the cache holds a line of each


def transform_kernel(w, m: int, groups: int = 1, turned: bool = False):
    """U of a kernel, or of the turned one: (3, 3, C/G, F) -> (t*t, B, J, C/B, F/(B*J)), in J panels of columns.

    B blocks of groups are convolutions of their own, each with a kernel that is zero between its groups (`blocks.py`).
    """
    if turned:
        w = turn(w, groups)
    blocks = Blocks(w.shape, groups)
    (_, _, c, f), p = blocks.shape, points(m)
    width = panel_width(f)
    panels = blocks.kernels(w).reshape(9, c, blocks.count * f // width, width)
    u = empty((p.t * p.t, panels.shape[2], c, width), w.dtype)

    def work(piece):
        j, rows = piece
        transform(panels[:, rows, j], p, u[:, j, rows])

    run(work, [(j, rows) for j in range(u.shape[1]) for rows in spans(c, CHUNKS * max(COLUMNS // width, 1))])
    return u.reshape(p.t * p.t, blocks.count, -1, c, width)


def transform(w, p: Points, out):
    """U of some channels and filters.   w: (9, C', F'), any strides   out: (t*t, C', F'), each [k] without gaps"""
    f = w.shape[2]
    kernel = scratch("columns", w.shape, w.dtype)
    for part in spans(f, f if w.strides[2] == w.itemsize else NARROW):
        np.copyto(kernel[:, :, part], w[:, :, part])
    by_cells(p.kernel, kernel, out)


def by_cells(matrix, x, out):
    """matrix @ x into out for each channel and filter.   (t, k), (k, C, F) -> (t, C, F), each [i] without gaps"""
    _, c, f = x.shape
    rows = max(COLUMNS // f, 1)
    whole = c // rows * rows
    for part in (slice(0, whole), slice(whole, c)):
        if part.start < part.stop:
            count = max((part.stop - part.start) // rows, 1)
            cells, target = (a[:, part].reshape(len(a), count, -1).transpose(1, 0, 2) for a in (x, out))
            np.matmul(matrix, cells, out=target)
