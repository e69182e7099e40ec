"""The kernels for NumPy arrays: overrides that run in pieces on threads. What is not here runs as in `reference.py`."""

import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from minicnn.backend.cpu import (
    conv,
    grouped,
    lines,
    narrow,
    norm,
    normed_pool,
    phases,
    pieces,
    pool,
    pooled,
    products,
    winograd,
)
from minicnn.backend.cpu.awake import cores_awake
from minicnn.backend.cpu.cells import pixels_of_blocks, room_for_blocks, room_for_pixels, write_blocks, write_pixels
from minicnn.backend.cpu.choice import PREPARED, TILES, algorithm
from minicnn.backend.cpu.epilogue import epilogue_on_tiles
from minicnn.backend.cpu.parallel import in_images, one_blas_thread, run, side_by_side, spans, workers
from minicnn.backend.cpu.rows import constants
from minicnn.backend.cpu.subnormals import flushed
from minicnn.backend.reference import Backend
from minicnn.config import config

SMALL = 1 << 15  # numbers below which cutting costs more than it saves
FEW_ROWS = 256  # that are summed up in their own type
PART_BYTES, FEWEST_IMAGES = 1 << 24, 4  # of a sub-batch: in its largest layer, and at least


@dataclass(frozen=True)
class Prepared:
    """The transform of a kernel for one of Winograd's algorithms, as that one's `transform_kernel` gives it; of a
    convolution with pooling ("planes", "blocks") the kernel as `pooled.py` has it, and between blocks its transform."""

    algorithm: str
    u: np.ndarray
    transform: "Prepared | None" = None


def prepared_for(kind: str, prepared) -> bool:
    """Whether a kernel was prepared for this algorithm."""
    return prepared is not None and prepared.algorithm == kind


def transformed(w, kind: str, groups: int, out):
    """The transform of w for one of Winograd's algorithms, and images of y of the size `out`."""
    if kind == "winograd4x1":
        return narrow.transform_kernel(w)
    if kind == "lines":
        return lines.transform_kernel(w, out)
    return winograd.transform_kernel(w, TILES[kind], groups)


class CpuBackend(Backend):
    """Runs on NumPy."""

    name = "cpu"

    def __init__(self):
        super().__init__(np)

    # A batch in parts ----------------------------------------------------------------------------------------------

    def sub_batches(self, count, bytes_of_an_image):
        """Parts of 4 to 64 images, about PART_BYTES in their largest layer: as many as a GEMM needs to be quick, and
        as small images need to pay for the calls."""
        size = min(max(PART_BYTES // max(bytes_of_an_image, 1), FEWEST_IMAGES), 64)
        return spans(count, -(-count // -(-count // size))) if count else [slice(0, 0)]

    def spread(self, work, pieces, bytes_of_an_image):
        """A piece for each worker at a time; what is left over or large one by one, with all workers on each.

        Of large images the pieces of one layer are many, and two sub-batches at a time would take twice the memory.
        """
        large = FEWEST_IMAGES * bytes_of_an_image > 2 * PART_BYTES
        together = 0 if large else len(pieces) - len(pieces) % workers()
        run(work, pieces[:together])
        for piece in pieces[together:]:
            work(piece)

    @contextmanager
    def working(self):
        """NumPy's BLAS on one thread, since the workers are ours; the cores stay awake; subnormal numbers are zeros."""
        with one_blas_thread(), cores_awake(workers()), flushed():
            yield

    # Matrix products -----------------------------------------------------------------------------------------------

    def matmuls(self, *pairs):
        """As the reference, two matrices cut along the longer side of their product."""
        plain = all(a.ndim == b.ndim == 2 for a, b in pairs)
        return products.matmuls(pairs) if plain else super().matmuls(*pairs)

    # Convolution ---------------------------------------------------------------------------------------------------

    def prepare_kernel(self, w, window, x_shape):
        """Winograd's transform of w, where that is how images of `x_shape` are convolved."""
        out = window.output_size(x_shape[1:3], w.shape[:2])
        kind = algorithm(x_shape, w.shape, window, out, w.dtype, PREPARED)
        return None if kind == "direct" else Prepared(kind, transformed(w, kind, window.groups, out))

    def conv2d(self, x, w, window, bias=None, scale=None, shift=None, residual=None, relu=False, prepared=None):
        """As the reference, tile by tile; the epilogue is done on the tile while it is in the cache."""
        return self.convolve(x, w, window, epilogue_on_tiles(bias, scale, shift, residual, relu), prepared)

    def convolve(self, x, w, window, finish=None, prepared=None, begin=None):
        """y of `conv2d`; finish(tile, images, rows) works on each tile, y[images, rows], while it is in the cache, and
        begin(images) writes images of x, if they are not there before."""
        out = window.output_size(x.shape[1:3], w.shape[:2])
        passes = PREPARED if prepared is not None else 1.0
        kind = algorithm(x.shape, w.shape, window, out, np.result_type(x, w), passes)
        if begin is not None and kind != "winograd4x1":
            in_images(begin, x)
        if kind == "direct":
            kernel = conv if window.groups == 1 else grouped
            return kernel.conv2d(x, w, window, finish)
        pads = window.explicit_pads(x.shape[1:3], w.shape[:2])
        fits = prepared_for(kind, prepared)
        if kind in TILES and not fits:
            return winograd.convolve(x, w, pads, out, TILES[kind], window.groups, finish=finish)
        u = prepared.u if fits else transformed(w, kind, window.groups, out)
        if kind == "winograd4x1":
            return narrow.conv2d(x, w, pads, out, finish, u, begin)
        if kind == "lines":
            return lines.conv2d(x, u, pads, out, w.shape, finish)
        return winograd.conv2d(x, u, pads, out, TILES[kind], finish)

    def conv2d_input_grad(self, dy, w, x_shape, window):
        """As the reference, as a convolution of dy."""
        pads, size = window.explicit_pads(x_shape[1:3], w.shape[:2]), x_shape[1:3]
        turned = *w.shape[:2], w.shape[3] // window.groups, w.shape[2] * window.groups
        kind = algorithm(dy.shape, turned, window, size, np.result_type(dy, w))
        if kind in TILES:
            (top, bottom), (left, right) = pads
            pads = (2 - top, 2 - bottom), (2 - left, 2 - right)
            return winograd.convolve(dy, w, pads, size, TILES[kind], window.groups, turned=True)
        if kind == "winograd4x1":
            return narrow.input_grad(dy, w, pads, size)
        if kind == "lines":
            pads = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip(w.shape[:2], pads, strict=True))
            return lines.conv2d(dy, lines.transform_kernel(w, size, turned=True), pads, size, w.shape)
        if grouped.is_depthwise(w.shape, window.groups):
            return grouped.depthwise_input_grad(dy, w, x_shape, window)
        if window.dilation == (1, 1):
            kernel = phases if window.groups == 1 else grouped
            return kernel.input_grad(dy, w, x_shape, window)

        def some(part):
            return Backend.conv2d_input_grad(self, part, w, (part.shape[0], *x_shape[1:]), window)

        return self.by_images(some, x_shape[0], int(np.prod(x_shape)), (dy,))

    def conv2d_weight_grad(self, x, dy, w_shape, window):
        """As the reference, cut along taps and channels."""
        kind = algorithm(x.shape, w_shape, window, dy.shape[1:3], np.result_type(x, dy))
        if kind in TILES:
            return winograd.weight_grad(x, dy, window.explicit_pads(x.shape[1:3], (3, 3)), TILES[kind], window.groups)
        if kind == "winograd4x1":
            return narrow.weight_grad(x, dy, window.explicit_pads(x.shape[1:3], (3, 3)))
        if kind == "lines":
            pads = window.explicit_pads(x.shape[1:3], w_shape[:2])
            return lines.weight_grad(x, dy, w_shape, pads)
        kernel = conv if window.groups == 1 else grouped
        return kernel.weight_grad(x, dy, w_shape, window)

    def prepare_pooled_kernel(self, w, bias, window, x_shape):
        """The kernel and the bias as `pooled.py` has them, or the kernel between blocks and its transform."""
        if not pooled.fits(x_shape, w.shape, window):
            return super().prepare_pooled_kernel(w, bias, window, x_shape)
        if not pooled.in_blocks(x_shape, w.shape, window, w.dtype):
            return Prepared("planes", pooled.kernel_of_cells(w, bias))
        kernel, (shape, _, halved, _) = pooled.block_kernel(w), pooled.between_blocks(x_shape, w.shape, window)
        return Prepared("blocks", kernel, self.prepare_kernel(kernel, halved, shape))

    def conv2d_pool(self, x, w, window, bias=None, relu=True, keep=True, prepared=None):
        """As the reference, at once where channels are few; then what is kept are the winners of `pooled.py`."""
        if not pooled.fits(x.shape, w.shape, window):
            return super().conv2d_pool(x, w, window, bias, relu, keep, prepared)
        dtype = np.result_type(x, w)
        if not pooled.in_blocks(x.shape, w.shape, window, dtype):
            kernel = prepared.u if prepared_for("planes", prepared) else pooled.kernel_of_cells(w, bias)
            return pooled.conv2d(x, w.shape, kernel, window, relu, keep)
        halved, out = pooled.between_blocks(x.shape, w.shape, window)[2:]
        y, kept, finish = pooled.pooled_blocks((len(x), *out), w.shape[3], dtype, bias, relu, keep)
        fits = prepared_for("blocks", prepared)
        kernel, transform = (prepared.u, prepared.transform) if fits else (pooled.block_kernel(w), None)
        x, blocks = np.ascontiguousarray(x), room_for_blocks(x)

        def begin(images):
            write_blocks(x[images], blocks[images])

        self.convolve(blocks, kernel, halved, finish, transform, begin)
        return y, pooled.InBlocks(kept, blocks, kernel) if keep else None

    def conv2d_pool_grad(self, dy, y, kept, x, w, window, relu=True, needs=(True,) * 3):
        """As the reference; dx as a convolution of blocks of 2x2 pixels, and dw, where that may be Winograd's."""
        if not pooled.fits(x.shape, w.shape, window):
            return super().conv2d_pool_grad(dy, y, kept, x, w, window, relu, needs)
        shape, kernel_shape, halved, _ = pooled.between_blocks(x.shape, w.shape, window)
        y = y if relu else None

        def for_x(cells, kernel):
            return pixels_of_blocks(self.conv2d_input_grad(cells, kernel, shape, halved))

        if not isinstance(kept, pooled.InBlocks):
            dw, db, cells = pooled.gradients(dy, y, kept, x, w.shape, window, needs[0])
            return for_x(cells, pooled.block_kernel(w)) if needs[0] else None, dw, db
        cells = pooled.UpstreamOfCells(dy, y, kept.winners)
        dx, dw = self.both_in_rows(kept, cells, halved) if needs[0] else (None, None)
        if dw is None:
            in_images(cells.write, cells.blocks)
            for_w = partial(self.conv2d_weight_grad, kept.x, cells.blocks, kernel_shape, halved)
            dx, dw = side_by_side(partial(for_x, cells.blocks, kept.kernel), for_w) if needs[0] else (None, for_w())
        return dx, pooled.kernel_of_blocks(dw, w.shape), cells.bias()

    def both_in_rows(self, kept, cells, window):
        """dx as pixels and dw, both at once, where `narrow.py` makes them; (None, None) elsewhere."""
        x, w, dy = kept.x, kept.kernel, cells.blocks
        turned = *w.shape[:2], w.shape[3], w.shape[2]
        of_w = algorithm(x.shape, w.shape, window, dy.shape[1:3], x.dtype)
        of_x = algorithm(dy.shape, turned, window, x.shape[1:3], x.dtype)
        if not (of_w == of_x == "winograd4x1" and x.dtype == dy.dtype == w.dtype):
            return None, None
        dx = room_for_pixels(x)

        def finish(blocks, images):
            write_pixels(blocks, dx[images])

        pads = window.explicit_pads(x.shape[1:3], w.shape[:2])
        return dx, narrow.gradients(x, dy, w, pads, cells.write, finish)

    # Pooling, without dilation, which no layer asks for --------------------------------------------------------------

    def max_pool(self, x, size, window, zeros=False):
        """As the reference, along one side of the window, then along the other."""
        kernel = pool.max_pool if window.dilation == (1, 1) else super().max_pool
        return kernel(x, size, window, zeros)

    def max_pool_winners(self, x, size, window, zeros=False):
        """As the reference, along one side of the window, then along the other."""
        kernel = pool.max_pool_winners if window.dilation == (1, 1) else super().max_pool_winners
        return kernel(x, size, window, zeros)

    def max_pool_grad(self, dy, winners, x_shape, size, window):
        """As the reference, band by band."""
        kernel = pool.max_pool_grad if window.dilation == (1, 1) else super().max_pool_grad
        return kernel(dy, winners, x_shape, size, window)

    def avg_pool(self, x, size, window):
        """As the reference, along one side of the window, then along the other."""
        if window.dilation != (1, 1):
            return super().avg_pool(x, size, window)
        return pool.avg_pool(x, size, window, self.real_cells(x.shape, size, window, x.dtype))

    def avg_pool_grad(self, dy, x_shape, size, window):
        """As the reference, band by band."""
        if window.dilation != (1, 1):
            return super().avg_pool_grad(dy, x_shape, size, window)
        return pool.avg_pool_grad(dy, x_shape, size, window, self.real_cells(x_shape, size, window, dy.dtype))

    def by_images(self, kernel, count, size, arrays, *arguments):
        """kernel(arrays of some images, *arguments) on pieces of the batch, put together again."""
        if size < SMALL:
            return kernel(*arrays, *arguments)
        pieces = spans(count, SMALL * count // size)
        results: list = [None] * len(pieces)

        def work(i):
            results[i] = kernel(*(a[pieces[i]] for a in arrays), *arguments)

        run(work, range(len(pieces)))
        return np.concatenate(results)

    # Padding and joining ---------------------------------------------------------------------------------------------

    def pad_images(self, x, pads, value=0.0):
        """As the reference, zeros in pieces."""
        return super().pad_images(x, pads, value) if value or x.size < SMALL else conv.padded(x, pads)

    def crop_images(self, y, pads):
        """As the reference, in pieces, an array of its own."""
        inner = super().crop_images(y, pads)
        return inner if inner.size < SMALL else pieces.contiguous(inner)

    def concatenate(self, xs, axis):
        """As the reference, in pieces."""
        return pieces.concatenate(xs, axis) if sum(x.size for x in xs) >= SMALL else super().concatenate(xs, axis)

    def split(self, y, sizes, axis):
        """As the reference, in pieces, each part an array of its own."""
        return pieces.split(y, sizes, axis) if y.size >= SMALL else super().split(y, sizes, axis)

    def place(self, x, shape, key):
        """As the reference, some images at a time."""
        if math.prod(shape) < SMALL or not key or key[0].indices(shape[0]) != (0, len(x), 1):
            return super().place(x, shape, key)
        return pieces.place(x, shape, key)

    # Channels ------------------------------------------------------------------------------------------------------

    def channel_sum(self, x):
        """As the reference, in pieces; up to FEW_ROWS rows are summed up in their own type, as a product with ones."""
        if x.size >= SMALL:
            return norm.channel_sum(x)
        few = x.ndim == 2 and 0 < len(x) <= FEW_ROWS and config.precision != "highest"
        if few and x.dtype.kind == "f" and x.itemsize >= 4:
            return self.matmul(constants(1, len(x), x.dtype)[None], x)[0]
        return super().channel_sum(x)

    def channel_moments(self, x):
        """As the reference, in pieces."""
        return super().channel_moments(x) if x.size < SMALL else norm.channel_moments(x)

    def batch_norm(self, x, mean, variance, gamma, beta, epsilon, residual=None, relu=False):
        """As the reference, as one scale and one shift for each channel, in one sweep."""
        if x.size < SMALL:
            return super().batch_norm(x, mean, variance, gamma, beta, epsilon, residual, relu)
        scale, shift = norm.scale_and_shift(mean, variance, gamma, beta, epsilon)
        return norm.batch_norm(x, scale, shift, residual, relu)

    def batch_norm_grad(self, dy, x, mean, variance, gamma, epsilon):
        """As the reference, in two sweeps."""
        if x.size < SMALL:
            return super().batch_norm_grad(dy, x, mean, variance, gamma, epsilon)
        return norm.batch_norm_grad(dy, x, mean, variance, gamma, epsilon)[:3]

    def batch_norm_relu_grad(self, dy, y, x, mean, variance, gamma, epsilon, residual=False):
        """As the reference, in two sweeps."""
        if x.size < SMALL:
            return super().batch_norm_relu_grad(dy, y, x, mean, variance, gamma, epsilon, residual)
        return norm.batch_norm_grad(dy, x, mean, variance, gamma, epsilon, y, residual)

    def batch_norm_relu_pool(self, x, mean, variance, gamma, beta, epsilon, size, window, zeros=False):
        """As the reference, in bands: what is between the two is never written to memory."""
        if x.size < SMALL or window.dilation != (1, 1):
            return super().batch_norm_relu_pool(x, mean, variance, gamma, beta, epsilon, size, window, zeros)
        scale, shift = norm.scale_and_shift(mean, variance, gamma, beta, epsilon)
        return normed_pool.forward(x, scale, shift, size, window, zeros)

    def batch_norm_relu_pool_grad(self, dy, y, winners, x, mean, variance, gamma, epsilon, size, window):
        """As the reference, a sweep less over what is as large as x."""
        arguments = dy, y, winners, x, mean, variance, gamma, epsilon, size, window
        if x.size < SMALL or window.dilation != (1, 1):
            return super().batch_norm_relu_pool_grad(*arguments)
        return normed_pool.gradient(*arguments)

    # Elementwise -----------------------------------------------------------------------------------------------------

    def relu(self, x):
        """As the reference, in pieces."""
        return pieces.relu(x) if x.size >= SMALL else super().relu(x)

    def relu_grad(self, dy, y):
        """As the reference, in pieces."""
        return pieces.relu_grad(dy, y) if y.size >= SMALL else super().relu_grad(dy, y)

    def add(self, a, b, relu=False, overwrite=False):
        """As the reference, in one sweep."""
        return pieces.add(a, b, relu, overwrite) if a.size >= SMALL else super().add(a, b, relu)

    # Weights -------------------------------------------------------------------------------------------------------

    def number_by_number(self, tasks):
        """As the reference, all of them in pieces: the steps of a piece are done while it is in the cache."""
        pieces.number_by_number(tasks)
