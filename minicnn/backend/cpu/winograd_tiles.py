"""From x to the transforms of its tiles and back to y, for `winograd.py`: along columns, then along rows.

A transform of a tile is a product with one small matrix from each side. The products along a row of x are a stack over
overlapping views of x, and their results lie side by side, so that those across the rows are one product for all tiles
of a row, with overlapping views again. No tile is copied, and x is padded by leaving away what a matrix would multiply
with zeros. On the way back the products along a row come last, and write straight to y.
"""

import numpy as np

from minicnn.backend.cpu.parallel import scratch


class Tiles:
    """The tiles of x (N, H, W, C) that `matrix` (t, k) transforms: k x k cells, one every m cells, `wide` in a row."""

    def __init__(self, x, matrix, m: int, wide: int, pads, dtype):
        (n, h, w, c), (_, k) = x.shape, matrix.shape
        x = np.asarray(x, dtype)
        if x.strides[3] != x.itemsize or x.strides[2] < c * x.itemsize:  # BLAS could not read it
            x = np.ascontiguousarray(x)
        self.x, self.matrix, self.m, self.wide, self.c, self.dtype = x, matrix, m, wide, c, x.dtype
        (self.top, _), (left, _) = pads
        starts = [q * m - left for q in range(wide)]
        inside = [q for q, start in enumerate(starts) if 0 <= start <= w - k]
        self.inside = slice(inside[0], inside[-1] + 1) if inside else slice(0, 0)
        self.ragged = [(q, max(-a, 0), max(min(k, w - a), 0), a) for q, a in enumerate(starts) if q not in inside]
        a, b, d, e = x.strides
        first = x[:, :, starts[inside[0]] :] if inside else x
        shape = n, h, len(inside), k, c
        self.windows = np.lib.stride_tricks.as_strided(first, shape, (a, b, d * m, d, e), writeable=False)

    def transform(self, images, rows, out):
        """Those of some rows of tiles of some images, to out (t*t, P, C)."""
        t, k = self.matrix.shape
        n, tall = images.stop - images.start, rows.stop - rows.start
        high = (tall - 1) * self.m + k
        columns = scratch("tiles", (t, n, high, self.wide, self.c), self.dtype)
        self.by_columns(images, rows.start * self.m - self.top, columns)
        a, b, d, _, e = columns.strides
        shape = t, n, tall, k, self.wide * self.c
        view = np.ndarray(shape, self.dtype, columns, 0, (a, b, d * self.m, d, e))
        np.matmul(self.matrix, view, out=out.reshape(t, t, n, tall, shape[4]).transpose(1, 2, 3, 0, 4))

    def by_columns(self, images, top: int, out):
        """The products along the columns of tiles, out (t, N', rows, wide, C), for rows of x from `top` on."""
        high = out.shape[2]
        first = min(max(-top, 0), high)
        last = max(min(self.x.shape[1] - top, high), first)
        out[:, :, :first] = 0
        out[:, :, last:] = 0
        if first == last:
            return
        rows, out = slice(top + first, top + last), out[:, :, first:last].transpose(1, 2, 3, 0, 4)
        if self.inside.stop:
            np.matmul(self.matrix, self.windows[images, rows], out=out[:, :, self.inside])
        for q, start, stop, left in self.ragged:
            np.matmul(self.matrix[:, start:stop], self.x[images, rows, left + start : left + stop], out=out[:, :, q])


def put(products, matrix, y, wide: int):
    """What `matrix` (m, t) makes of products (t*t, P, F), `wide` in a row of tiles, to y (N', rows, OW, F)."""
    (m, t), (n, rows, across, f) = matrix.shape, y.shape
    tall = -(-rows // m)
    columns = scratch("transformed", (t, n, tall, m, wide * f), products.dtype)
    np.matmul(matrix, products.reshape(t, t, n, tall, wide * f).transpose(1, 2, 3, 0, 4), out=columns)
    columns = columns.reshape(t, n, tall * m, wide, f)[:, :, :rows].transpose(1, 2, 3, 0, 4)
    whole = across // m
    if whole:
        np.matmul(matrix, columns[:, :, :whole], out=y[:, :, : whole * m].reshape(n, rows, whole, m, f))
    if whole < wide:
        np.matmul(matrix[: across - whole * m], columns[:, :, whole], out=y[:, :, whole * m :])
