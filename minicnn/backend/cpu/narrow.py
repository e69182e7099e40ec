"""3x3 convolutions of stride 1 with few channels: Winograd's F(4, 3) along the height, patches along the width.

Idea: F(4x4) needs t*t products of C channels each, too thin where C is 16. Along the height alone four rows of y come
from t = 6 products, half of the multiplications; a patch of r + 2 neighbours and its C channels makes them r*F columns
wide and (r+2)*C deep. Rows of x are transformed as they lie, into lines with zeros at the ends; of the tiles of all
lines every q-th one shares no pixel with the next, so q matrices hold all patches without a copy of any. A few rows of
such a matrix lie across the end of a line: what they give is left out.
Shapes: V (6, lines * pitch * r*C), seen as (6, q, P/q, (r+2)*C)   U (6, (r+2)*C, r*F)   M (6, P, r*F)
Source: Lavin & Gray 2015, arXiv:1509.09308, section 4.1 (F(m, r) in one dimension), with the points of F(4x4).
Error in float32, against the largest y, unit-variance data of 64 channels: 1.1e-6; a direct convolution's 2e-7.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backend.cpu.blocks import turn
from minicnn.backend.cpu.choice import neighbours_of_rows
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import even_step, image_pieces, in_images, lasting, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.winograd_points import row_points

M, T = 4, 6
PIECE_BYTES = 3 << 19  # of V and M in a piece
GROUPS = 8  # sums kept side by side for the gradient of a kernel: the most threads that can work on it


@lru_cache(maxsize=256)
class Tiles:
    """How y is cut: tiles of M rows and r columns, in lines of `pitch` tiles; pieces of some rows of tiles or of whole
    images. x begins `start` pixels after the beginning of a line; the zeros before it end the line before."""

    def __init__(self, x_shape, w_shape, pads, out, dtype, r: int, about: int):
        (self.n, _, width, self.c), self.f = x_shape, w_shape[3]
        self.dtype, self.out, (self.top, left) = dtype, out, (pads[0][0], pads[1][0])
        self.together, self.apart = r, -(-(r + 2) // r)
        self.tall, wide = -(-out[0] // M), -(-out[1] // r)
        self.start, self.cut = max(left, 0), max(-left, 0)
        self.read = min(width - self.cut, wide * r + 2 - self.start)
        self.pitch = -(-max(self.start + self.read, wide * r + 2 - self.start, wide * r) // r)
        line = T * self.pitch * r * (self.c + self.f) * dtype.itemsize
        self.pieces = image_pieces(self.n, self.tall, line, about)  # (images, rows of tiles)
        heights = {(rows.start, rows.stop - rows.start) for _, rows in self.pieces}
        self.whole = heights == {(0, self.tall)}  # whether pieces are whole images
        self.taken = {start: strips(x_shape[1], T, start * M - self.top, tall) for start, tall in heights}
        self.given = {start: strips(out[0], M, start * M, tall) for start, tall in heights}

    def inputs(self, x):
        """By their first row of tiles, the strips of x (N, H, W, C) that pieces read."""
        x, columns = np.ascontiguousarray(x, self.dtype), (self.cut * self.c, self.read * self.c)
        return {start: [strip.of(x, *columns) for strip in taken] for start, taken in self.taken.items()}

    def outputs(self, y):
        """By their first row of tiles, the strips of y or dy (N, OH, OW, F), contiguous, that pieces write or read."""
        columns = 0, y.shape[2] * y.shape[3]
        return {start: [strip.of(y, *columns) for strip in given] for start, given in self.given.items()}

    def of_inputs(self, name, images, rows):
        """Memory of this thread for V: its lines (N', tall, 6, numbers) to write, its matrices (6, q, P/q, (r+2)*C)."""
        return self.memory(name, images, rows, self.c, 2, self.start, self.read)

    def of_outputs(self, name, images, rows):
        """The same for M or A dy, (6, q, P/q, r*F): zero in the rows that are no tile's."""
        return self.memory(name, images, rows, self.f, 0, 0, self.out[1])

    def memory(self, name, images, rows, channels, more, start, width):
        """Lines of the pixels from `start` on, and matrices of rows of r + `more` pixels."""
        n, tall, step = images.stop - images.start, rows.stop - rows.start, self.together * channels
        count, more = -(-n * tall * self.pitch // self.apart), more * channels

        def make():
            flat = scratch(name, (T, count * self.apart * step + more), self.dtype)
            flat[...] = 0
            lines = flat[:, : n * tall * self.pitch * step].reshape(T, n, tall, -1).transpose(1, 2, 0, 3)
            strides = (numbers * flat.itemsize for numbers in (flat.shape[1], step, self.apart * step, 1))
            matrices = np.ndarray((T, self.apart, count, step + more), self.dtype, flat, 0, tuple(strides))
            return lines[..., start * channels : (start + width) * channels], matrices

        return lasting(name, (self.dtype, n, tall, self.pitch, step, more, start, width), make)


def tiles_of(x_shape, w_shape, pads, out, dtype) -> Tiles:
    """Those of this convolution, in pieces of about PIECE_BYTES."""
    pads = tuple(map(tuple, pads))
    return Tiles(x_shape, tuple(w_shape), pads, tuple(out), dtype, neighbours_of_rows(w_shape[3]), PIECE_BYTES)


class Strip(NamedTuple):
    """Some rows of x for some rows of tiles: those of the first one begin with `first`, of each next one M later."""

    taps: slice  # which of the rows of a tile
    first: int
    tiles: slice

    def of(self, x, start: int, count: int):
        """(taps, rows of x (N, tiles, taps, count), tiles): so many numbers of a row.   x: (N, H, W, C), contiguous"""
        number = x.itemsize
        row = x.shape[2] * x.shape[3] * number  # an axis of length 1 may have any stride
        image = x.shape[1] * row
        shape = len(x), self.tiles.stop - self.tiles.start, self.taps.stop - self.taps.start, count
        offset, strides = self.first * row + start * number, (image, M * row, row, number)
        return self.taps, np.ndarray(shape, x.dtype, x, offset, strides), self.tiles


def strips(height: int, k: int, top: int, tall: int) -> list[Strip]:
    """The k rows of x from top + 4*i on, for each row i of tiles: many rows of tiles at once where x has all k."""
    begin = min(max(-(top // M), 0), tall)
    end = max(min((height - k - top) // M + 1, tall), begin)
    found = [Strip(slice(0, k), begin * M + top, slice(begin, end))] if end > begin else []
    for i in (*range(begin), *range(end, tall)):
        first = i * M + top
        start, stop = min(max(first, 0), height), min(max(first + k, 0), height)
        found.append(Strip(slice(start - first, stop - first), start, slice(i, i + 1)))
    return found


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


class Convolution:
    """y (N, OH, OW, F) of a convolution, made piece by piece.

    x: (N, H, W, C)   u: the transformed kernel
    names: of the memory, whose zeros last as long as it serves one shape
    """

    def __init__(self, x, u, tiles: Tiles, names=("lines of x", "lines of y")):
        self.u, self.tiles, self.names = u, tiles, names
        self.y = empty((len(x), *tiles.out, tiles.f), tiles.dtype)
        self.inputs, self.outputs = tiles.inputs(x), tiles.outputs(self.y)

    def write(self, images, rows):
        """Some rows of tiles of some images."""
        points = row_points()
        lines, v = self.tiles.of_inputs(self.names[0], images, rows)
        for taps, source, part in self.inputs[rows.start]:
            np.matmul(points.input[:, taps], source[images], out=lines[:, part])
        lines, products = self.tiles.of_outputs(self.names[1], images, rows)
        product(v, self.u[:, None], products)
        for taps, target, part in self.outputs[rows.start]:
            np.matmul(points.output[taps], lines[:, part], out=target[images])


class WeightGrad:
    """dw (3, 3, C, F) = G^T sum over tiles of V^T (A dy), the r copies added up; the sum is made piece by piece.

    x: (N, H, W, C)   dy: (N, OH, OW, F)
    """

    def __init__(self, x, dy, pads):
        (c, f), dtype = (x.shape[3], dy.shape[3]), np.result_type(x, dy)
        self.tiles = tiles_of(x.shape, (3, 3, c, f), pads, dy.shape[1:3], dtype)
        self.shape = (self.tiles.together + 2) * c, self.tiles.together * f
        self.inputs, self.outputs = self.tiles.inputs(x), self.tiles.outputs(np.ascontiguousarray(dy, dtype))

    def sums(self, count: int):
        """Room for the sums of so many groups of pieces."""
        return empty((count, T, *self.shape), self.tiles.dtype)

    def add(self, images, rows, sums, first: bool):
        """Adds some rows of tiles of some images to the sum of their group; the first ones are that sum."""
        points = row_points()
        lines, v = self.tiles.of_inputs("lines of x", images, rows)
        for taps, source, part in self.inputs[rows.start]:
            np.matmul(points.input[:, taps], source[images], out=lines[:, part])
        lines, upstream = self.tiles.of_outputs("lines of dy", images, rows)
        for taps, source, part in self.outputs[rows.start]:
            np.matmul(points.upstream[:, taps], source[images], out=lines[:, part])
        found = scratch("part", (T, self.tiles.apart, *self.shape), sums.dtype)
        sum_of_products(v, upstream, found)
        if first:
            np.add.reduce(found, axis=1, out=sums)
        else:
            np.add(sums, np.add.reduce(found, axis=1), out=sums)

    def folded(self, sums):
        """dw of all sums."""
        r, c, f = self.tiles.together, self.tiles.c, self.tiles.f
        total = np.matmul(row_points().kernel.T, np.add.reduce(sums).reshape(T, -1)).reshape(3, r + 2, c, r, f)
        return sum(total[:, j : j + 3, :, j] for j in range(r))


def conv2d(x, w, pads, out, finish=None, u=None, begin=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on the rows of y that are done, while they are warm.

    x: (N, H, W, C)   w: (3, 3, C, F)   u: its transform, where it is at hand   -> (N, OH, OW, F)
    begin: begin(images) writes images of x, which are not there before
    """
    u = transform_kernel(w) if u is None else u
    tiles = tiles_of(x.shape, w.shape, pads, out, u.dtype)
    if begin is not None and not (tiles.whole and x.dtype == u.dtype):
        in_images(begin, x)
        begin = None
    convolution = Convolution(x, u, tiles)

    def work(piece):
        images, rows = piece
        if begin is not None:
            begin(images)
        convolution.write(images, rows)
        if finish is not None:
            span = slice(rows.start * M, min(rows.stop * M, out[0]))
            finish(convolution.y[images, span], images, span)

    run(work, tiles.pieces)
    return convolution.y


def of_input(dy, w, pads, size) -> Convolution:
    """dx (N, H, W, C), (H, W) = size: dy convolved with the turned kernel."""
    (top, bottom), (left, right) = pads
    pads, turned = ((2 - top, 2 - bottom), (2 - left, 2 - right)), turn(w)
    u = transform_kernel(turned)
    tiles = tiles_of(dy.shape, turned.shape, pads, size, u.dtype)
    return Convolution(dy, u, tiles, ("lines of dy for dx", "lines of dx"))


def input_grad(dy, w, pads, size):
    """dx of `Backend.conv2d_input_grad`: (N, H, W, C), (H, W) = size."""
    convolution = of_input(dy, w, pads, size)
    run(lambda piece: convolution.write(*piece), convolution.tiles.pieces)
    return convolution.y


def weight_grad(x, dy, pads):
    """dw of `Backend.conv2d_weight_grad`: (3, 3, C, F)"""
    gradient = WeightGrad(x, dy, pads)
    groups = grouped(gradient.tiles.pieces)
    sums = gradient.sums(len(groups))

    def work(g):
        for i, (images, rows) in enumerate(groups[g]):
            gradient.add(images, rows, sums[g], first=not i)

    run(work, range(len(groups)))
    return gradient.folded(sums)


def gradients(x, dy, w, pads, begin, finish):
    """dw, and dx with it, some images at a time while dy is in the cache; None where images are too large for that.

    begin: begin(images) writes images of dy, which are not there before   finish: finish(tile, images) takes those of
    dx that are done
    """
    kernel = WeightGrad(x, dy, pads)
    if not kernel.tiles.whole:
        return None
    back = of_input(dy, w, pads, x.shape[1:3])
    if not back.tiles.whole:
        return None
    groups = grouped(kernel.tiles.pieces)
    sums = kernel.sums(len(groups))

    def work(g):
        for i, (images, _) in enumerate(groups[g]):
            begin(images)
            back.write(images, slice(0, back.tiles.tall))
            finish(back.y[images], images)
            kernel.add(images, slice(0, kernel.tiles.tall), sums[g], first=not i)

    run(work, range(len(groups)))
    return kernel.folded(sums)


def grouped(pieces) -> list:
    """Pieces whose sums are added up one after the other, at most GROUPS of such groups."""
    fewest = max(-(-len(pieces) // GROUPS), 1)
    return [pieces[span] for span in spans(len(pieces), even_step(len(pieces), fewest, 2 * fewest))]
