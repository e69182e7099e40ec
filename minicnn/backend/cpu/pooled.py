"""A convolution of few channels, its bias, ReLU and 2x2 max pooling at once, forward and backward.

Idea: one patch of (KH+1) x (KW-1+2q) pixels holds all that q neighbours of the pooled y read, so that one product with
the kernel, shifted into its 4q places, gives the four cells of q windows side by side; their maximum is taken while
they are in the cache, and one number of four is written. What goes on is three bits a window: which cell it was.
Shapes: patches (P, (KH+1)*(KW-1+2q)*C)   kernel (that, 2*2*q*F), columns by cell, neighbour, filter   y (N, H', W', F).
Source: as direct convolutions (`conv.py`); max(z) + b = max(z + b), and so for ReLU. Error in float32: rounding, 2e-7.
"""

import numpy as np

from minicnn.backend.cpu.choice import algorithm, pooled_neighbours
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.rows import constants, tiled
from minicnn.backend.cpu.winograd import place
from minicnn.backend.window import Window

PIECE_NUMBERS = 1 << 14  # of y in a piece that is pooled
PIECE_BYTES = 3 << 18  # of patches and products of a piece
GROUPS = 8  # sums kept side by side for the gradient of a kernel: the most threads that can work on it
MOST_CHANNELS, MOST_FILTERS = 16, 32  # beyond them products are wide enough without four cells in each


def fits(x_shape, w_shape, window: Window) -> bool:
    """Whether the convolution is one for this file: small, stride 1, even sizes and pads, so that windows are blocks.

    A 3x3 kernel of many channels is better off with Winograd.
    """
    kh, kw, c, f = w_shape
    pads = sum(window.explicit_pads(x_shape[1:3], (kh, kw)), ())
    few = c <= MOST_CHANNELS and f <= MOST_FILTERS and not (max(kh, kw) <= 3 and c > 4)
    plain = window.strides == window.dilation == (1, 1) and window.groups == 1
    even = not any(n % 2 for n in (*pads, *x_shape[1:3]))
    inside = max(pads[:2]) < kh and max(pads[2:]) < kw and min(window.output_size(x_shape[1:3], (kh, kw))) > 1
    return plain and few and even and inside and min(kh, kw) > 1


class Blocks:
    """How y is cut: q neighbours a row of the products, pieces of whole images."""

    def __init__(self, x_shape, w_shape, window: Window):
        self.kh, self.kw, self.c, self.f = w_shape
        self.pads = window.explicit_pads(x_shape[1:3], w_shape[:2])
        oh, ow = window.output_size(x_shape[1:3], w_shape[:2])
        self.n, self.out = x_shape[0], (oh // 2, ow // 2)
        self.q = pooled_neighbours(w_shape, self.out[1])
        self.rows, self.length = self.kh + 1, self.kw - 1 + 2 * self.q
        self.depth, self.run = self.rows * self.length * self.c, self.q * self.f
        self.wide = self.out[1] // self.q

    def pieces(self, itemsize: int) -> list[slice]:
        """Images whose patches and products take about PIECE_BYTES."""
        return image_spans(self.n, self.out[0] * self.wide * (self.depth + 4 * self.run) * itemsize, PIECE_BYTES)

    def patches(self, x, dtype):
        """Those of some images, not padded: (P, depth), in this thread's memory."""
        n = len(x)
        band = scratch("band", (n, 2 * self.out[0] + self.kh - 1, 2 * self.out[1] + self.kw - 1, self.c), dtype)
        place(x, band, -self.pads[0][0], -self.pads[1][0])
        image, row, pixel, number = band.strides
        shape = n, self.out[0], self.wide, self.rows, self.length * self.c
        steps = image, 2 * row, 2 * self.q * pixel, row, number
        item = np.dtype((np.void, self.length * self.c * band.itemsize))  # a row of a patch lies together
        view = np.lib.stride_tricks.as_strided(band, shape, steps, writeable=False).view(item)
        found = scratch("columns", shape, dtype)
        np.copyto(found.view(item), view)
        return found.reshape(-1, self.depth)

    def kernel(self, w):
        """w in its 4q places: (depth, 4 * q * F)"""
        wide = np.zeros((self.rows, self.length, self.c, 2, 2, self.q, self.f), w.dtype)
        for place_of, cell in self.places():
            wide[*place_of, :, *cell] = w
        return wide.reshape(self.depth, -1)

    def fold(self, wide):
        """The gradient of `kernel`: (depth, 4 * q * F) -> (KH, KW, C, F)"""
        wide = wide.reshape(self.rows, self.length, self.c, 2, 2, self.q, self.f)
        return sum(wide[*place_of, :, *cell] for place_of, cell in self.places())

    def places(self):
        """Where in a patch the kernel lies for each cell of each neighbour's window."""
        for a in range(2):
            for b in range(2):
                for j in range(self.q):
                    yield (slice(a, a + self.kh), slice(b + 2 * j, b + 2 * j + self.kw)), (a, b, j)


def conv2d(x, w, window: Window, bias=None, relu=True, keep=True):
    """y (N, H', W', F), and the bits of each window, (3, N, H', W'/q, q*F), if they are to be kept: the second cell of
    the upper two is the larger, that of the lower two, the lower two's maximum."""
    blocks = Blocks(x.shape, w.shape, window)
    kernel = blocks.kernel(w)
    y = empty((len(x), *blocks.out, blocks.f), np.result_type(x, w))
    bits = np.empty((3, len(x), blocks.out[0], blocks.wide, blocks.run), bool) if keep else None
    finish = pool_of(bias, relu, y, bits, blocks.q)

    def work(images):
        patches = blocks.patches(x[images], y.dtype)
        cells = product(patches, kernel, scratch("cells", (len(patches), 4 * blocks.run), y.dtype))
        finish(cells, images)

    run(work, blocks.pieces(y.itemsize))
    return y, bits


def pool_of(bias, relu: bool, y, bits, q: int):
    """finish(cells, images): from the cells (P, 4 * q*F) of some images their y, and their bits if they are kept."""
    wide, f = y.shape[2:]
    wide_bias = None if bias is None else tiled(bias, wide)
    zero = constants(0, wide * f, y.dtype)

    def finish(cells, images):
        target = y[images].reshape(-1, q * f)
        cells = cells.reshape(len(target), 4, -1)
        upper = np.maximum(cells[:, 0], cells[:, 1], out=scratch("upper", target.shape, y.dtype))
        lower = np.maximum(cells[:, 2], cells[:, 3], out=scratch("lower", target.shape, y.dtype))
        if bits is not None:
            right, right_below, below = (b[images].reshape(target.shape) for b in bits)
            np.greater(cells[:, 1], cells[:, 0], out=right)
            np.greater(cells[:, 3], cells[:, 2], out=right_below)
            np.greater(lower, upper, out=below)
        np.maximum(upper, lower, out=target)
        rows = target.reshape(-1, wide * f)
        if wide_bias is not None:
            np.add(rows, wide_bias, out=rows)
        if relu:
            np.maximum(rows, zero, out=rows)

    return finish


def gradients(dy, y, bits, x, w, window: Window, relu=True, cells_wanted=False):
    """dw, db, and, where dx is wanted, the gradient of the cells as blocks (N, H', W', 4F)."""
    blocks = Blocks(x.shape, w.shape, window)
    dtype = y.dtype
    pieces = blocks.pieces(dtype.itemsize)
    groups = [pieces[span] for span in spans(len(pieces), -(-len(pieces) // GROUPS))]
    sums = np.zeros((len(groups), blocks.depth, 4 * blocks.run), dtype)
    biases = np.zeros((len(groups), blocks.run), dtype)
    found = empty((*y.shape[:3], 4, blocks.f), dtype) if cells_wanted else None

    def work(g):
        for images in groups[g]:
            cells = scratch("cells", (len(y[images]) * blocks.out[0] * blocks.wide, 4, blocks.run), dtype)
            biases[g] += share_out(dy, y, bits, images, relu, cells)
            if found is not None:
                by_cell = cells.reshape(*found[images].shape[:2], blocks.wide, 4, blocks.q, blocks.f)
                np.copyto(found[images].reshape(*by_cell.shape[:3], blocks.q, 4, -1), by_cell.swapaxes(3, 4))
            patches, part = blocks.patches(x[images], dtype), scratch("part", sums.shape[1:], dtype)
            np.add(sums[g], sum_of_products(patches, cells.reshape(len(cells), -1), part), out=sums[g])

    run(work, range(len(groups)))
    db = channel_sums(biases, blocks.f)
    return blocks.fold(sums.sum(axis=0)), db, None if found is None else found.reshape(*y.shape[:3], -1)


def gradient_of_cells(dy, y, bits, relu=True):
    """The gradient of the cells as blocks, (N, H', W', 4F), and db, for q = 1."""
    f, pieces = y.shape[3], image_spans(len(y), y[:1].size, PIECE_NUMBERS)
    cells, biases = empty((*y.shape[:3], 4, f), y.dtype), np.empty((len(pieces), f), y.dtype)

    def work(i):
        biases[i] = share_out(dy, y, bits, pieces[i], relu, cells[pieces[i]].reshape(-1, 4, f))

    run(work, range(len(pieces)))
    return cells.reshape(*y.shape[:3], 4 * f), channel_sums(biases, f)


def channel_sums(sums, f: int):
    """(..., q*F) -> (F,), in float64 on the way."""
    return sums.reshape(-1, f).sum(axis=0, dtype=np.float64).astype(sums.dtype)


def share_out(dy, y, bits, images, relu: bool, cells):
    """Each number of dy to the cell of its window that was the maximum, (P, 4, q*F); gives their sum (q*F,)."""
    shape = len(cells), cells.shape[2]
    upstream, dtype = dy[images].reshape(shape), y.dtype
    if relu:
        positive = np.greater(y[images].reshape(shape), 0, out=scratch("hit", shape, bool))
        upstream = np.multiply(upstream, positive, out=scratch("rest", shape, dtype))
    right, right_below, below = (b[images].reshape(shape) for b in bits)
    lower = np.multiply(upstream, below, out=scratch("lower", shape, dtype))
    upper = np.subtract(upstream, lower, out=scratch("upper", shape, dtype))
    for part, second, cell in ((upper, right, 0), (lower, right_below, 2)):
        other = np.multiply(part, second, out=scratch("other", shape, dtype))
        np.subtract(part, other, out=cells[:, cell])
        np.copyto(cells[:, cell + 1], other)
    return np.matmul(constants(1, len(cells), dtype), upstream)


# As blocks of 2x2 pixels ----------------------------------------------------------------------------------------------


def in_blocks(x_shape, w_shape, window: Window, dtype) -> bool:
    """Whether Winograd serves: for blocks of 2x2 pixels a kernel of 4x4 or 5x5 is one of 3x3."""
    kh, kw, c, f = w_shape
    halved, out = halved_pads(window, x_shape, w_shape), window.output_size(x_shape[1:3], w_shape[:2])
    shapes = (x_shape[0], x_shape[1] // 2, x_shape[2] // 2, 4 * c), (kh // 2 + 1, kw // 2 + 1, 4 * c, 4 * f)
    return algorithm(*shapes, halved, (out[0] // 2, out[1] // 2), dtype) != "direct"


def halved_pads(window: Window, x_shape, w_shape) -> Window:
    """The window of the convolution between blocks."""
    (top, bottom), (left, right) = window.explicit_pads(x_shape[1:3], w_shape[:2])
    return Window(pads=((top // 2, bottom // 2), (left // 2, right // 2)))


def pool_cells(cells, bias, relu: bool, keep: bool):
    """y and the bits, as `conv2d`, from the cells as blocks (N, H', W', 4F)."""
    (n, tall, wide, _), f = cells.shape, cells.shape[3] // 4
    y = empty((n, tall, wide, f), cells.dtype)
    bits = np.empty((3, *y.shape), bool) if keep else None
    finish = pool_of(bias, relu, y, bits, 1)
    run(lambda images: finish(cells[images], images), image_spans(n, y[:1].size, PIECE_NUMBERS))
    return y, bits


def block_kernel(w):
    """The kernel as one between blocks of 2x2 pixels: (KH, KW, C, F) -> (KH//2 + 1, KW//2 + 1, 4C, 4F)"""
    kh, kw, c, f = w.shape
    tall, wide = kh // 2 + 1, kw // 2 + 1
    found = np.zeros((2 * tall, 2 * wide, c, 2, 2, f), w.dtype)
    for a in range(2):
        for b in range(2):
            found[a : a + kh, b : b + kw, :, a, b] = w
    found = found.reshape(tall, 2, wide, 2, c, 4 * f).transpose(0, 2, 1, 3, 4, 5)
    return np.ascontiguousarray(found).reshape(tall, wide, 4 * c, 4 * f)


def kernel_of_blocks(kernel, w_shape):
    """The gradient of `block_kernel`: (KH//2 + 1, KW//2 + 1, 4C, 4F) -> (KH, KW, C, F)"""
    kh, kw, c, f = w_shape
    tall, wide = kernel.shape[:2]
    cells = kernel.reshape(tall, wide, 2, 2, c, 4 * f).transpose(0, 2, 1, 3, 4, 5)
    cells = cells.reshape(2 * tall, 2 * wide, c, 2, 2, f)
    return sum(cells[a : a + kh, b : b + kw, :, a, b] for a in range(2) for b in range(2))
