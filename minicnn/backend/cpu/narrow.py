"""3x3 convolutions of stride 1 with few channels: Winograd's F(4, 3) along the height, patches along the width.

Idea: F(4x4) needs t*t products of C channels each, too thin where C is 16. Along the height alone four rows of y come
from t = 6 products, half of the multiplications; a patch of r + 2 neighbours and its C channels makes them r*F columns
wide and (r+2)*C deep, and one product of B^T with the patches where they overlap both copies and transforms them.
Shapes: V (6, P, (r+2)*C)   U (6, (r+2)*C, r*F)   M (6, P, r*F), P tiles of 4 x r cells of y (N, OH, OW, F).
Source: Lavin & Gray 2015, arXiv:1509.09308, section 4.1 (F(m, r) in one dimension), with the points of F(4x4).
Error in float32, against the largest y, unit-variance data of 64 channels: 1.1e-6; a direct convolution's 2e-7.
"""

import numpy as np

from minicnn.backend.cpu.choice import neighbours_of_rows
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.winograd import place
from minicnn.backend.cpu.winograd_points import row_points

M, T = 4, 6
PIECE_BYTES = 1 << 19  # of V in a piece
GROUPS = 8  # sums kept side by side for the gradient of a kernel: the most threads that can work on it


class Tiles:
    """How y is cut: tiles of M rows and `together` columns, pieces of some rows of tiles or of whole images."""

    def __init__(self, x_shape, w_shape, out):
        self.n, (self.oh, self.ow), (c, self.f) = x_shape[0], out, w_shape[2:]
        self.together = neighbours_of_rows(self.f)
        self.depth, self.columns = (self.together + 2) * c, self.together * self.f
        self.tall, self.wide = -(-self.oh // M), -(-self.ow // self.together)
        self.exact = (self.oh, self.ow) == (self.tall * M, self.wide * self.together)

    def pieces(self, itemsize: int) -> list[tuple[slice, slice]]:
        """Pieces of about PIECE_BYTES, as (images, rows of tiles)."""
        row = T * self.wide * self.depth * itemsize
        if PIECE_BYTES >= row * self.tall:
            return [(images, slice(0, self.tall)) for images in image_spans(self.n, self.tall * row, PIECE_BYTES)]
        bands = -(-self.tall * row // PIECE_BYTES)
        return [(slice(i, i + 1), rows) for i in range(self.n) for rows in spans(self.tall, -(-self.tall // bands))]

    def inputs(self, x, rows, pads, dtype):
        """V of some rows of tiles: (6, P, depth), in this thread's memory. x: (N', H, W, C), not padded."""
        n, c, tall = len(x), x.shape[3], rows.stop - rows.start
        band = scratch("band", (n, tall * M + 2, self.wide * self.together + 2, c), dtype)
        place(x, band, rows.start * M - pads[0][0], -pads[1][0])
        image, row, pixel, number = band.strides
        shape, steps = (n, tall, self.wide, T, self.depth), (image, M * row, self.together * pixel, row, number)
        patches = np.lib.stride_tricks.as_strided(band, shape, steps, writeable=False)
        v = scratch("transformed", (T, n, tall, self.wide, self.depth), dtype)
        np.matmul(row_points().input, patches, out=v.transpose(1, 2, 3, 0, 4))
        return v.reshape(T, -1, self.depth)

    def upstream(self, dy, rows, dtype):
        """A dy of some rows of tiles: (6, P, columns), in this thread's memory."""
        n, tall = len(dy), rows.stop - rows.start
        if self.exact:
            band = dy[:, rows.start * M : rows.stop * M]
        else:
            band = scratch("tiles", (n, tall * M, self.wide * self.together, self.f), dtype)
            place(dy, band, rows.start * M, 0)
        found = scratch("upstream", (T, n, tall, self.wide * self.columns), dtype)
        np.matmul(row_points().upstream, band.reshape(n, tall, M, -1), out=found.transpose(1, 2, 0, 3))
        return found.reshape(T, -1, self.columns)

    def put(self, products, target):
        """Writes A^T M to (N', rows, OW, F); what sticks out is left away."""
        n, tall = len(target), -(-target.shape[1] // M)
        products = products.reshape(T, n, tall, -1).transpose(1, 2, 0, 3)
        if self.exact:
            np.matmul(row_points().output, products, out=target.reshape(n, tall, M, -1))
            return
        whole = scratch("transformed", (n, tall, M, products.shape[3]), target.dtype)
        np.matmul(row_points().output, products, out=whole)
        whole = whole.reshape(n, tall * M, -1, self.f)
        np.copyto(target, whole[:, : target.shape[1], : target.shape[2]])


def transform_kernel(w):
    """U of a kernel: (3, 3, C, F) -> (6, (r+2)*C, r*F), its r copies shifted."""
    c, f = w.shape[2:]
    r = neighbours_of_rows(f)
    g = np.matmul(row_points().kernel, np.ascontiguousarray(w).reshape(3, -1)).reshape(T, 3, c, f)
    if r == 1:
        return g.reshape(T, 3 * c, f)
    u = np.zeros((T, r + 2, c, r, f), w.dtype)
    for j in range(r):
        u[:, j : j + 3, :, j] = g
    return u.reshape(T, (r + 2) * c, r * f)


def conv2d(x, w, pads, out, finish=None, u=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on the rows of y that are done, while they are warm.

    x: (N, H, W, C)   w: (3, 3, C, F)   u: its transform, where it is at hand   -> (N, OH, OW, F)
    """
    tiles = Tiles(x.shape, w.shape, out)
    u = transform_kernel(w) if u is None else u
    y = empty((len(x), *out, tiles.f), u.dtype)

    def work(piece):
        images, rows = piece
        span = slice(rows.start * M, min(rows.stop * M, out[0]))
        v = tiles.inputs(x[images], rows, pads, u.dtype)
        products = product(v, u, scratch("tiles", (T, v.shape[1], tiles.columns), u.dtype))
        tiles.put(products, y[images, span])
        if finish is not None:
            finish(y[images, span], images, span)

    run(work, tiles.pieces(u.itemsize))
    return y


def input_grad(dy, w, pads, size):
    """dx of `Backend.conv2d_input_grad`, dy convolved with the turned kernel: (N, H, W, C), (H, W) = size."""
    (top, bottom), (left, right) = pads
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
    return conv2d(dy, turned, ((2 - top, 2 - bottom), (2 - left, 2 - right)), size)


def weight_grad(x, dy, pads):
    """dw of `Backend.conv2d_weight_grad`: (3, 3, C, F) = G^T sum over tiles of V^T (A dy), the r copies added up."""
    c, f = x.shape[3], dy.shape[3]
    tiles, dtype = Tiles(x.shape, (3, 3, c, f), dy.shape[1:3]), np.result_type(x, dy)
    pieces = tiles.pieces(dtype.itemsize)
    groups = [pieces[span] for span in spans(len(pieces), -(-len(pieces) // GROUPS))]
    sums = np.zeros((len(groups), T, tiles.depth, tiles.columns), dtype)

    def work(g):
        for images, rows in groups[g]:
            v = tiles.inputs(x[images], rows, pads, dtype)
            part = scratch("part", sums.shape[1:], dtype)
            np.add(sums[g], sum_of_products(v, tiles.upstream(dy[images], rows, dtype), part), out=sums[g])

    run(work, range(len(groups)))
    r = tiles.together
    total = np.matmul(row_points().kernel.T, sums.sum(axis=0).reshape(T, -1)).reshape(3, r + 2, c, r, f)
    return sum(total[:, j : j + 3, :, j] for j in range(r))
