"""Direct convolutions tile by tile: a band of output rows at a time, so that its patches stay in the cache.

Whole im2col writes KH*KW times the input to memory and reads it back; here the patches of a band (about 1 MB) are
written,
multiplied while they are warm, and overwritten by the next. The gradient of the input is a convolution of dy with the
turned kernel, one for each phase of the stride. The gradient of the kernel is summed up over bands, in a fixed
number of
groups whose sums are added in order. Dumoulin & Visin 2016, arXiv:1603.07285, section 4 (transposed convolutions).
"""

import numpy as np

from minicnn.backend.cpu.parallel import run, scratch, spans
from minicnn.backend.window import Window

TILE_BYTES = 1 << 20  # the patches of a band
THIN = 16  # numbers that lie together in a patch, or filters: below this, long rows of pixels are faster
GROUPS = 8  # sums kept side by side for the gradient of a kernel: the most threads that can work on it
LARGE_KERNEL = 1 << 17  # cells, beyond which the sums are kept for one tap at a time


def conv2d(x, w, window: Window, finish=None):
    """The convolution of `Backend.conv2d` for groups = 1; finish(tile, images, rows) works on each tile before it
    cools.

    x: (N, H, W, C)   w: (KH, KW, C, F)   -> (N, OH, OW, F)
    """
    kh, kw, _, f = w.shape
    oh, ow = window.output_size(x.shape[1:3], (kh, kw))
    y = np.empty((x.shape[0], oh, ow, f), np.result_type(x, w))
    x = padded(x, window.explicit_pads(x.shape[1:3], (kh, kw)))
    correlate(x, w, window.strides, window.dilation, y, finish)
    return y


def padded(x, pads):
    """x with zeros around it, written once; x itself where there is nothing to pad."""
    (top, bottom), (left, right) = pads
    if not (top or bottom or left or right):
        return x
    n, h, w, c = x.shape
    out = np.empty((n, top + h + bottom, left + w + right, c), x.dtype)

    def work(i):
        out[i, :top] = out[i, top + h :] = 0
        out[i, top : top + h, :left] = out[i, top : top + h, left + w :] = 0
        out[i, top : top + h, left : left + w] = x[i]

    run(work, range(n))
    return out


def correlate(x, w, strides, dilation, y, finish=None):
    """y[n,i,j] = sum over p,q of x[n, i*sh + p*dh, j*sw + q*dw] @ w[p,q], x padded already, y of any strides.

    x: (N, H', W', C)   w: (KH, KW, C, F)   y: (N, OH, OW, F), written
    """
    kh, kw, c, f = w.shape
    n, oh, ow, _ = y.shape
    depth = kh * kw * c
    kernel = np.ascontiguousarray(w).reshape(depth, f)
    view = patches(x, (kh, kw), strides, dilation, (oh, ow))
    thin = is_thin(kw * c, dilation) or f < THIN
    direct = y.flags.c_contiguous and f >= THIN

    def work(tile):
        images, rows = tile
        matrix = columns(view[images, rows], thin)
        target = y[images, rows]
        if direct:
            np.matmul(matrix, kernel, out=target.reshape(-1, f))
        elif f < THIN:  # few filters: turned round, the product has long rows
            turned = np.matmul(kernel.T, matrix.T, out=scratch("tile", (f, len(matrix)), y.dtype))
            target[...] = turned.T.reshape(target.shape)
        else:
            product = np.matmul(matrix, kernel, out=scratch("tile", (len(matrix), f), y.dtype))
            target[...] = product.reshape(target.shape)
        if finish is not None:
            finish(target, images, rows)

    run(work, tiles(n, oh, ow * depth * x.itemsize))


def is_thin(together: int, dilation: tuple[int, int]) -> bool:
    """Whether a patch has only short runs of numbers, so that copying it tap by tap is faster."""
    return dilation[1] != 1 or together < THIN


def columns(source, thin: bool):
    """The patches (N', OH', OW, KH, KW, C) as a matrix (pixels, KH*KW*C): copied, unless they lie like that already.

    thin: tap by tap into (KH, KW, C, pixels), whose transpose a matrix product takes as it is.
    """
    pixels = source.shape[0] * source.shape[1] * source.shape[2]
    if source.shape[3:5] == (1, 1) and source.flags.c_contiguous:
        return source.reshape(pixels, -1)
    if thin:
        source = source.transpose(3, 4, 5, 0, 1, 2)
    copied = scratch("columns", source.shape, source.dtype)
    np.copyto(copied, source)
    return copied.reshape(-1, pixels).T if thin else copied.reshape(pixels, -1)


def tiles(n: int, rows: int, bytes_of_a_row: int) -> list[tuple[slice, slice]]:
    """Pieces of about TILE_BYTES: some rows of one image, or several small images whole."""
    fit = max(TILE_BYTES // max(bytes_of_a_row, 1), 1)
    if fit >= rows:
        return [(images, slice(0, rows)) for images in spans(n, fit // rows)]
    bands = -(-rows // fit)
    return [(slice(i, i + 1), band) for i in range(n) for band in spans(rows, -(-rows // bands))]


def patches(x, kernel, strides, dilation, out):
    """A view of every window of a padded x: (N, OH, OW, KH, KW, C)"""
    step_n, step_h, step_w, step_c = x.strides
    (sh, sw), (dh, dw) = strides, dilation
    steps = (step_n, step_h * sh, step_w * sw, step_h * dh, step_w * dw, step_c)
    return np.lib.stride_tricks.as_strided(x, (x.shape[0], *out, *kernel, x.shape[3]), steps, writeable=False)


def input_grad(dy, w, x_shape, window: Window):
    """dx of `Backend.conv2d_input_grad` for groups = 1 and dilation 1: dy convolved with the turned kernel.

    With a stride s the rows a, a + s, a + 2s, ... of the padded x are read by the taps p = a mod s alone: each of the
    s*s phases is a convolution of stride 1 with its own part of the kernel.
    """
    kh, kw, c, _ = w.shape
    sh, sw = window.strides
    n, h, wide, _ = x_shape
    (top, bottom), (left, right) = window.explicit_pads((h, wide), (kh, kw))
    dx = np.empty((n, top + h + bottom, left + wide + right, c), np.result_type(dy, w))
    for a in range(min(sh, dx.shape[1])):
        for b in range(min(sw, dx.shape[2])):
            phase, part = dx[:, a::sh, b::sw], w[a::sh, b::sw]
            if not part.size:  # a stride beyond the kernel: nothing reads these cells
                phase[...] = 0
                continue
            turned = part[::-1, ::-1].transpose(0, 1, 3, 2)  # KH', KW', F, C
            around = [
                (k - 1, max(out - size, 0))
                for k, out, size in zip(part.shape[:2], phase.shape[1:3], dy.shape[1:3], strict=True)
            ]
            correlate(padded(dy, tuple(around)), turned, (1, 1), (1, 1), phase)
    return dx[:, top : top + h, left : left + wide]


def weight_grad(x, dy, w_shape, window: Window):
    """dw of `Backend.conv2d_weight_grad` for groups = 1.

    A piece is some bands of dy and the whole kernel, or, where the kernel is large, a tap and all of dy: so that
    what is
    summed up for each piece stays small. The pieces' sums are added in their order.
    """
    kh, kw, c, f = w_shape
    x = padded(x, window.explicit_pads(x.shape[1:3], (kh, kw)))
    view = patches(x, (kh, kw), window.strides, window.dilation, dy.shape[1:3])
    dy = np.ascontiguousarray(dy)
    if kh * kw * c * f <= LARGE_KERNEL or kh * kw == 1:
        return _by_bands(view, dy, is_thin(kw * c, window.dilation)).reshape(w_shape)
    dw = np.empty(w_shape, np.result_type(view, dy))
    for p in range(kh):
        for q in range(kw):
            dw[p, q] = _by_bands(view[:, :, :, p : p + 1, q : q + 1], dy, thin=False)
    return dw


def _by_bands(view, dy, thin: bool):
    """The sum over pixels of patch.T @ dy: (KH*KW*C, F), bands of rows shared out in GROUPS, each with its own sum."""
    n, oh, ow, kh, kw, c = view.shape
    depth, f = kh * kw * c, dy.shape[3]
    bands = tiles(n, oh, ow * depth * dy.itemsize)
    groups = [bands[span] for span in spans(len(bands), -(-len(bands) // GROUPS))]
    sums = np.zeros((len(groups), depth, f), np.result_type(view, dy))

    def work(g):
        for images, rows in groups[g]:
            matrix = columns(view[images, rows], thin)
            part = np.matmul(matrix.T, dy[images, rows].reshape(-1, f), out=scratch("part", (depth, f), sums.dtype))
            np.add(sums[g], part, out=sums[g])

    run(work, range(len(groups)))
    return sums.sum(axis=0)
