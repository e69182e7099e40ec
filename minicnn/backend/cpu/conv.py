"""Direct convolutions tile by tile: a band of output rows at a time, so that its patches stay in the cache.

Whole im2col writes KH*KW times the input to memory and reads it back; here the patches of a band (about 1 MB) are
written, multiplied while they are warm, and overwritten by the next. Where filters or channels are few, several
neighbours in a row of y share one patch: with a kernel that holds its copies shifted beside each other, filled up with
zeros (`widened`), patches overlap less and products get more columns, which is worth the multiplications with zeros.
The gradient of the input is in `phases.py`. Error in float32: rounding, 2e-7.
"""

import numpy as np

from minicnn.backend.cpu.choice import neighbours
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_pieces, run, scratch, spans
from minicnn.backend.cpu.products import (
    SHORTEST,
    SMALL,
    in_panels,
    panel_width,
    product,
    product_of_panels,
    sum_of_products,
)
from minicnn.backend.window import Window

TILE_BYTES = 1 << 20  # the patches of a band
READ_BYTES = 1 << 21  # of a band of x whose pixels are patches as they lie
STREAMED = 128  # channels, beyond which small products wait for numbers that are not in the cache yet
SHALLOW, BROAD = 160, 192  # channels up to which, filters from which on a kernel in panels makes up for that
FEWEST = 512  # rows of a product, so that the kernel, repacked for each, is used often enough
GROUPS = 8  # sums kept side by side for the gradient of a kernel: the most threads that can work on it
LARGE_KERNEL = 1 << 17  # cells, beyond which each worker sums up its own cells over all pixels instead
LARGE_1X1, PARTS = 1 << 16, 4  # cells of a 1x1 kernel, beyond which its gradient is made in so many parts
CHANNELS, PIXELS = 128, 1 << 13  # of a product for such a kernel


def conv2d(x, w, window: Window, finish=None):
    """The convolution of `Backend.conv2d` for groups = 1; finish(tile, images, rows) works on each warm tile.

    x: (N, H, W, C)   w: (KH, KW, C, F)   -> (N, OH, OW, F)
    """
    kh, kw, _, f = w.shape
    oh, ow = window.output_size(x.shape[1:3], (kh, kw))
    y = empty((x.shape[0], oh, ow, f), np.result_type(x, w))
    x = padded(x, window.explicit_pads(x.shape[1:3], (kh, kw)))
    correlate(x, w, window.strides, window.dilation, y, finish)
    return y


def padded(x, pads):
    """x with zeros around it, written once; x itself where there is nothing to pad."""
    (top, bottom), (left, right) = pads
    if not (top or bottom or left or right):
        return x
    n, h, w, c = x.shape
    out = empty((n, top + h + bottom, left + w + right, c), x.dtype)

    def work(images):
        part = out[images]
        part[:, :top] = part[:, top + h :] = 0
        part[:, top : top + h, :left] = part[:, top : top + h, left + w :] = 0
        part[:, top : top + h, left : left + w] = x[images]

    run(work, spans(n, TILE_BYTES // max(h * w * c * x.itemsize, 1)))
    return out


def correlate(x, w, strides, dilation, y, finish=None):
    """y[n,i,j] = sum over p,q of x[n, i*sh + p*dh, j*sw + q*dw] @ w[p,q], x padded already, y of any strides.

    x: (N, H', W', C)   w: (KH, KW, C, F)   y: (N, OH, OW, F), written
    """
    n, oh, ow, f = y.shape
    patches = Patches(x, w.shape, strides, dilation, (oh, ow))
    kernel = widened(w, patches.together, strides[1])
    direct, columns = y.flags.c_contiguous, kernel.shape[1]
    multiply = product
    if patches.x is not None:
        kernel, multiply = for_streams(kernel)

    def work(tile):
        images, rows = tile
        matrix, target = patches.matrix(images, rows), y[images, rows]
        shape = len(matrix), columns
        found = target.reshape(shape) if direct else scratch("tile", shape, y.dtype)
        multiply(matrix, kernel, found)
        if not direct:
            np.copyto(target, found.reshape(target.shape))
        if finish is not None:
            finish(target, images, rows)

    run(work, patches.tiles())


def for_streams(kernel):
    """The matrix of a 1x1 kernel, or its panels, and what multiplies by it where pixels come from memory."""
    width = panel_width(kernel.shape[1])
    if len(kernel) <= SHALLOW and kernel.shape[1] >= max(BROAD, 2 * width):
        return in_panels(kernel, width), product_of_panels
    return kernel, np.matmul if len(kernel) > STREAMED else product


def widened(w, together: int, stride: int):
    """The kernel for `together` neighbours: (KH, KW, C, F) -> (KH * columns * C, together * F), its copies shifted."""
    kh, kw, c, f = w.shape
    if together == 1:
        if (kh, kw) == (1, 1) and c * f * SHORTEST > SMALL:
            return w[0, 0]  # a turned one takes no longer to multiply, and long to copy
        return np.ascontiguousarray(w).reshape(kh * kw * c, f)
    wide = np.zeros((kh, kw + (together - 1) * stride, c, together, f), w.dtype)
    for j in range(together):
        wide[:, j * stride : j * stride + kw, :, j] = w
    return wide.reshape(-1, together * f)


class Patches:
    """The windows of a padded x as rows of a matrix, some at a time, each shared by `together` neighbours of y.

    Numbers that lie together in a window are copied as one item: NumPy's loop then costs once an item.
    """

    def __init__(self, x, w_shape, strides, dilation, out):
        kh, kw, c, f = w_shape
        self.dtype, (sh, sw), (dh, dw) = x.dtype, strides, dilation
        if x.strides[3] != x.itemsize:
            x = np.ascontiguousarray(x)
        in_rows = dw == 1 and x.strides[2] == c * x.itemsize  # whether a row of a window lies together
        self.together = neighbours(w_shape, strides, out[1]) if in_rows else 1
        columns = kw + (self.together - 1) * sw
        self.depth = kh * columns * c
        self.count = len(x), out[0], out[1] // self.together
        step_n, step_h, step_w, _ = x.strides
        steps = (step_n, step_h * sh, step_w * sw * self.together, step_h * dh)
        joined, shape = (columns * c, (kh,)) if in_rows else (c, (kh, kw))
        self.item = np.dtype((np.void, joined * x.itemsize))
        taps = () if in_rows else (step_w * dw,)
        shape, steps = (*self.count, *shape, joined), (*steps, *taps, x.itemsize)
        view = np.lib.stride_tricks.as_strided(x, shape, steps, writeable=False)
        self.view = view.view(self.item)[..., 0]
        self.x = x if (kh, kw) == (1, 1) and (sh, sw) == (1, 1) and self.together == 1 else None

    def matrix(self, images, rows):
        """The patches of some rows: (pixels, KH * columns * C), copied into this thread's memory, if they must be."""
        if self.x is not None:
            return self.x[images, rows].reshape(-1, self.depth)
        view = self.view[images, rows]
        copied = scratch("columns", (view.size // int(np.prod(view.shape[3:])), self.depth), self.dtype)
        np.copyto(copied.view(self.item).reshape(view.shape), view)
        return copied

    def tiles(self) -> list[tuple[slice, slice]]:
        """Pieces of about TILE_BYTES: some rows of one image, or several small images whole."""
        n, rows, wide = self.count
        about = TILE_BYTES if self.x is None else READ_BYTES
        fit = max(about // max(wide * self.depth * self.dtype.itemsize, 1), -(-FEWEST // wide))
        return image_pieces(n, rows, 1, fit)


def weight_grad(x, dy, w_shape, window: Window):
    """dw of `Backend.conv2d_weight_grad` for groups = 1; sums are cut by shape and added in a fixed order."""
    x = padded(x, window.explicit_pads(x.shape[1:3], w_shape[:2]))
    dy = np.ascontiguousarray(dy)
    if w_shape[:2] == window.strides == (1, 1) and np.prod(w_shape) > LARGE_1X1:
        return _by_parts(x, dy)
    if np.prod(w_shape) > LARGE_KERNEL:
        return _by_cells(x, dy, w_shape, window)
    return _by_bands(x, dy, w_shape, window)


def _by_parts(x, dy):
    """x^T @ dy for a 1x1 kernel, cut along its longer side, all pixels at once: nothing is copied or added up."""
    c, f = x.shape[3], dy.shape[3]
    pixels, upstream = x.reshape(-1, c).T, dy.reshape(-1, f)
    dw = np.empty((c, f), np.result_type(x, dy))
    if c >= f:
        run(lambda part: np.matmul(pixels[part], upstream, out=dw[part]), spans(c, -(-c // PARTS)))
    else:
        run(lambda part: np.matmul(pixels, upstream[:, part], out=dw[:, part]), spans(f, -(-f // PARTS)))
    return dw[None, None]


def _by_bands(x, dy, w_shape, window: Window):
    """The sum over bands of patches.T @ dy, bands shared out in GROUPS, each with its own sum."""
    kh, kw, c, f = w_shape
    patches = Patches(x, w_shape, window.strides, window.dilation, dy.shape[1:3])
    together = patches.together
    tiles = patches.tiles()
    groups = [tiles[span] for span in spans(len(tiles), -(-len(tiles) // GROUPS))]
    sums = np.zeros((len(groups), patches.depth, together * f), np.result_type(x, dy))

    def work(g):
        part = scratch("part", sums.shape[1:], sums.dtype)
        for images, rows in groups[g]:
            sum_of_products(patches.matrix(images, rows), dy[images, rows].reshape(-1, together * f), part)
            np.add(sums[g], part, out=sums[g])

    run(work, range(len(groups)))
    total = sums.sum(axis=0).reshape(kh, -1, c, together, f)
    if together == 1:
        return total.reshape(w_shape)
    sw = window.strides[1]
    return sum(total[:, j * sw : j * sw + kw, :, j] for j in range(together))


def _by_cells(x, dy, w_shape, window: Window):
    """Some channels of one tap at a time, summed up over all pixels: no sums but dw itself."""
    kh, kw, c, f = w_shape
    dw = np.zeros(w_shape, np.result_type(x, dy))
    taps = window.taps((kh, kw), dy.shape[1:3])
    parts = spans(c, -(-c // -(-c // CHANNELS)))
    pixels = spans(len(x), PIXELS // (dy.shape[1] * dy.shape[2]))

    def work(cell):
        (p, q, (rows, columns)), part = cell
        for images in pixels:
            source = x[images, rows, columns, part]
            matrix = scratch("columns", source.shape, x.dtype)
            np.copyto(matrix, source)
            upstream = dy[images].reshape(-1, f)
            target = dw[p, q, part]
            if len(pixels) == 1:
                np.matmul(matrix.reshape(len(upstream), -1).T, upstream, out=target)
            else:
                summand = scratch("part", target.shape, dw.dtype)
                np.add(target, np.matmul(matrix.reshape(len(upstream), -1).T, upstream, out=summand), out=target)

    run(work, [(tap, part) for tap in taps for part in parts])
    return dw
