"""Every kernel as plain array maths: the text to study, the oracle of the faster ones, and what runs where none is
faster.

Written with `self.xp`, so that it runs on NumPy and on CuPy alike. Layouts: images (N, H, W, C), kernels
(KH, KW, C/groups, F). Sums over many rows are taken in float64: in float32 they lose digits beyond about 100,000.
"""

import itertools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from minicnn.backend.window import Window

Array = Any  # numpy.ndarray or cupy.ndarray


class Backend:
    """The kernels of one kind of device. A subclass overrides those that it makes faster, so what is missing is
    slow, not wrong."""

    name = "reference"

    def __init__(self, xp):
        self.xp = xp

    def asarray(self, array, dtype=None) -> Array:
        """`array` (a list, a NumPy array, ...) as an array of this backend."""
        return self.xp.asarray(array, dtype=dtype)

    def working(self) -> AbstractContextManager:
        """To be held around a whole step: what the device keeps ready, or quiet, as long as it lasts."""
        return nullcontext()

    def matmul(self, a, b):
        """a @ b.  a: (..., M, K)   b: (K, N) or (..., K, N)"""
        return self.matmuls((a, b))[0]

    def matmuls(self, *pairs) -> list:
        """a @ b for pairs of matrices that have nothing to do with each other."""
        return [self.xp.matmul(a, b) for a, b in pairs]

    # A batch in parts --------------------------------------------------------------------------------------------

    def sub_batches(self, count, bytes_of_an_image) -> list[slice]:
        """How a batch of images that have nothing to do with each other is best cut: here, not at all."""
        return [slice(0, count)]

    def spread(self, work, pieces, bytes_of_an_image) -> None:
        """work(piece) for all pieces of a batch, at the same time where that is faster."""
        for piece in pieces:
            work(piece)

    # Windows -----------------------------------------------------------------------------------------------------

    def pad_images(self, x, pads, value=0.0):
        """(N, H, W, C) -> (N, top + H + bottom, left + W + right, C); x itself where there is nothing to pad."""
        if pads == ((0, 0), (0, 0)):
            return x
        return self.xp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=value)

    def crop_images(self, y, pads):
        """The reverse: y without what `pad_images` put around x."""
        (top, bottom), (left, right) = pads
        return y[:, top : y.shape[1] - bottom, left : y.shape[2] - right]

    def patches(self, x, kernel, window: Window):
        """Every window of x, padded with zeros, as a view: (N, OH, OW, KH, KW, C).

        Strides make it: the cell (i, j, p, q) lies at row i*sh + p*dh and column j*sw + q*dw. Only the padding copies.
        """
        oh, ow = window.output_size(x.shape[1:3], kernel)
        x = self.pad_images(x, window.explicit_pads(x.shape[1:3], kernel))
        n, _, _, c = x.shape
        step_n, step_h, step_w, step_c = x.strides
        (sh, sw), (dh, dw) = window.strides, window.dilation
        shape = (n, oh, ow, *kernel, c)
        strides = (step_n, step_h * sh, step_w * sw, step_h * dh, step_w * dw, step_c)
        return self.xp.lib.stride_tricks.as_strided(x, shape, strides)

    def columns(self, x, kernel, window: Window):
        """im2col: the patches as one matrix a group, (G, N*OH*OW, KH*KW*C/G). This copies KH*KW times the input."""
        p = self.patches(x, kernel, window)
        n, oh, ow, kh, kw, c = p.shape
        g = window.groups
        p = p.reshape(n, oh, ow, kh, kw, g, c // g).transpose(5, 0, 1, 2, 3, 4, 6)
        return p.reshape(g, n * oh * ow, kh * kw * (c // g))

    def by_group(self, y, groups):
        """(N, OH, OW, F) -> (G, N*OH*OW, F/G)"""
        return y.reshape(-1, groups, y.shape[-1] // groups).transpose(1, 0, 2)

    # Convolution -------------------------------------------------------------------------------------------------

    def prepare_kernel(self, w, window: Window, x_shape):
        """What can be computed from w alone, once for all convolutions with it until it changes; None where nothing is.

        Its holder gives it back as `prepared=` and throws it away when w changes: a backend cannot see that.
        """
        return None

    def conv2d(self, x, w, window: Window, bias=None, scale=None, shift=None, residual=None, relu=False, prepared=None):
        """y[n,i,j,f] = sum over p,q,c of x[n, i*sh + p*dh, j*sw + q*dw, c] * w[p,q,c,f], then the epilogue.

        x: (N, H, W, C)   w: (KH, KW, C/G, F)   y: (N, OH, OW, F)   prepared: of `prepare_kernel`
        """
        kh, kw, cg, f = w.shape
        g = window.groups
        kernel = w.reshape(kh * kw * cg, g, f // g).transpose(1, 0, 2)  # G, KH*KW*C/G, F/G
        y = self.xp.matmul(self.columns(x, (kh, kw), window), kernel)  # G, N*OH*OW, F/G
        y = y.transpose(1, 0, 2).reshape(x.shape[0], *window.output_size(x.shape[1:3], (kh, kw)), f)
        return self.epilogue(y, bias, scale, shift, residual, relu)

    def epilogue(self, y, bias=None, scale=None, shift=None, residual=None, relu=False):
        """ReLU((y + bias) * scale + shift + residual), each part optional: what follows a convolution at inference."""
        if bias is not None:
            y = y + bias
        if scale is not None:
            y = y * scale
        if shift is not None:
            y = y + shift
        if residual is not None:
            y = y + residual
        return self.relu(y) if relu else y

    def conv2d_input_grad(self, dy, w, x_shape, window: Window):
        """dx[n, i*sh + p*dh, j*sw + q*dw, c] += sum over f of dy[n,i,j,f] * w[p,q,c,f], for every tap (p, q).

        dy: (N, OH, OW, F)   w: (KH, KW, C/G, F)   dx: (N, H, W, C)
        """
        kh, kw, cg, f = w.shape
        n, h, wide, c = x_shape
        g = window.groups
        (top, bottom), (left, right) = window.explicit_pads((h, wide), (kh, kw))
        dx = self.xp.zeros((n, top + h + bottom, left + wide + right, c), dy.dtype)
        upstream = self.by_group(dy, g)  # G, N*OH*OW, F/G
        for p, q, (rows, cols) in window.taps((kh, kw), dy.shape[1:3]):
            kernel = w[p, q].reshape(cg, g, f // g).transpose(1, 2, 0)  # G, F/G, C/G
            part = self.xp.matmul(upstream, kernel)  # G, N*OH*OW, C/G
            dx[:, rows, cols] += part.transpose(1, 0, 2).reshape(*dy.shape[:3], c)
        return dx[:, top : top + h, left : left + wide]

    def conv2d_weight_grad(self, x, dy, w_shape, window: Window):
        """dw[p,q,c,f] = sum over n,i,j of x[n, i*sh + p*dh, j*sw + q*dw, c] * dy[n,i,j,f]

        x: (N, H, W, C)   dy: (N, OH, OW, F)   dw: (KH, KW, C/G, F)
        """
        kh, kw, cg, f = w_shape
        g = window.groups
        columns = self.columns(x, (kh, kw), window).transpose(0, 2, 1)  # G, KH*KW*C/G, N*OH*OW
        dw = self.xp.matmul(columns, self.by_group(dy, g))  # G, KH*KW*C/G, F/G
        return dw.transpose(1, 0, 2).reshape(kh, kw, cg, f)

    # Pooling -----------------------------------------------------------------------------------------------------

    def max_pool(self, x, size, window: Window, zeros=False):
        """y[n,i,j,c] = the maximum of the window at (i, j); padding never wins, unless it is to hold zeros.

        (N, H, W, C) -> (N, OH, OW, C)
        """
        out = window.output_size(x.shape[1:3], size)
        x = self.pad_images(x, window.explicit_pads(x.shape[1:3], size), 0.0 if zeros else -self.xp.inf)
        y = None
        for _, _, (rows, cols) in window.taps(size, out):
            tap = x[:, rows, cols]
            y = tap.copy() if y is None else self.xp.maximum(y, tap, out=y)
        return y

    def max_pool_winners(self, x, size, window: Window, zeros=False):
        """y of `max_pool`, and the number of the tap, the first in row-major order, that holds it: like y, small."""
        y = self.max_pool(x, size, window, zeros)
        pads = window.explicit_pads(x.shape[1:3], size)
        x = self.pad_images(x, pads, 0.0 if zeros else self.xp.nan)  # equal to no maximum, not even to one of -inf
        winners = self.xp.zeros(y.shape, self.xp.min_scalar_type(size[0] * size[1]))
        free = self.xp.ones(y.shape, bool)  # windows that have not yet met their maximum
        for _, _, (rows, cols) in window.taps(size, y.shape[1:3]):
            free &= x[:, rows, cols] != y
            winners += free
        return y, winners

    def max_pool_grad(self, dy, winners, x_shape, size, window: Window):
        """Each dy goes to the cell that won its window.  -> dx (N, H, W, C)"""
        n, h, w, c = x_shape
        (top, bottom), (left, right) = window.explicit_pads((h, w), size)
        dx = self.xp.zeros((n, top + h + bottom, left + w + right, c), dy.dtype)
        for number, (_, _, (rows, cols)) in enumerate(window.taps(size, dy.shape[1:3])):
            dx[:, rows, cols] += dy * (winners == number)
        return dx[:, top : top + h, left : left + w]

    def avg_pool(self, x, size, window: Window):
        """y = the sum of the window's cells over the number of its real ones (padding does not count)."""
        out = window.output_size(x.shape[1:3], size)
        padded = self.pad_images(x, window.explicit_pads(x.shape[1:3], size))
        y = self.xp.zeros((x.shape[0], *out, x.shape[3]), x.dtype)
        for _, _, (rows, cols) in window.taps(size, out):
            y += padded[:, rows, cols]
        return y / self.real_cells(x.shape, size, window, x.dtype)

    def avg_pool_grad(self, dy, x_shape, size, window: Window):
        """Each dy is shared evenly by the real cells of its window.  -> dx (N, H, W, C)"""
        n, h, w, c = x_shape
        (top, bottom), (left, right) = window.explicit_pads((h, w), size)
        dx = self.xp.zeros((n, top + h + bottom, left + w + right, c), dy.dtype)
        share = dy / self.real_cells(x_shape, size, window, dy.dtype)
        for _, _, (rows, cols) in window.taps(size, dy.shape[1:3]):
            dx[:, rows, cols] += share
        return dx[:, top : top + h, left : left + w]

    def real_cells(self, x_shape, size, window: Window, dtype):
        """How many cells of each window are not padding: (OH, OW, 1)"""
        out = window.output_size(x_shape[1:3], size)
        ones = self.xp.ones((1, *x_shape[1:3], 1), dtype)
        ones = self.pad_images(ones, window.explicit_pads(x_shape[1:3], size))
        return sum(ones[0, rows, cols] for _, _, (rows, cols) in window.taps(size, out))

    # Convolution and pooling at once -------------------------------------------------------------------------------

    def prepare_pooled_kernel(self, w, bias, window: Window, x_shape):
        """As `prepare_kernel`, for `conv2d_pool` with this kernel and this bias."""
        return self.prepare_kernel(w, window, x_shape)

    def conv2d_pool(self, x, w, window: Window, bias=None, relu=True, keep=True, prepared=None):
        """max_pool([ReLU](conv2d(x, w) + bias)) over windows of 2x2 cells, and what its gradient needs of the rest.

        x: (N, H, W, C)   w: (KH, KW, C/G, F)   -> (N, OH // 2, OW // 2, F), the windows' winners or None
        """
        z = self.conv2d(x, w, window, bias=bias, relu=relu, prepared=prepared)
        pooling = (2, 2), Window((2, 2))
        return self.max_pool_winners(z, *pooling) if keep else (self.max_pool(z, *pooling), None)

    def conv2d_pool_grad(self, dy, y, kept, x, w, window: Window, relu=True, needs=(True,) * 3):
        """dx, dw, db of `conv2d_pool`, which gave y and `kept`; what is not needed may be None."""
        if relu:  # what won is y, and ReLU's mask its sign
            dy = self.relu_grad(dy, y)
        out = window.output_size(x.shape[1:3], w.shape[:2])
        dz = self.max_pool_grad(dy, kept, (len(x), *out, w.shape[3]), (2, 2), Window((2, 2)))
        dx = self.conv2d_input_grad(dz, w, x.shape, window) if needs[0] else None
        dw = self.conv2d_weight_grad(x, dz, w.shape, window) if needs[1] else None
        return dx, dw, self.channel_sum(dz) if needs[2] else None

    # Sums over the channels' cells ---------------------------------------------------------------------------------

    def channel_sum(self, x):
        """(..., C) -> (C,), summed in float64 (or wider) and given in x's type."""
        return x.reshape(-1, x.shape[-1]).sum(axis=0, dtype=self.xp.float64).astype(x.dtype)

    def channel_moments(self, x):
        """Mean and biased variance of each channel: (..., C) -> (C,), (C,)"""
        count = x.size // x.shape[-1]
        mean = self.channel_sum(x) / x.dtype.type(count)
        centred = x - mean
        return mean, self.channel_sum(centred * centred) / x.dtype.type(count)

    # Normalisation -----------------------------------------------------------------------------------------------

    def batch_norm(self, x, mean, variance, gamma, beta, epsilon, residual=None, relu=False):
        """[ReLU](xhat * gamma + beta [+ residual]), xhat = (x - mean) / sqrt(variance + epsilon).

        x: (..., C)   gamma, beta: (C,) or None   residual: as x, or None
        """
        y = (x - mean) / self.xp.sqrt(variance + x.dtype.type(epsilon))
        if gamma is not None:
            y = y * gamma
        return self.epilogue(y, shift=beta, residual=residual, relu=relu)

    def batch_norm_grad(self, dy, x, mean, variance, gamma, epsilon):
        """dx, dgamma, dbeta of a batch norm over batch statistics.

        With xhat = (x - mean) / std over M cells a channel (Ioffe & Szegedy 2015, section 3; the sums collected):
        dx = gamma / std * (dy - mean(dy) - xhat * mean(dy * xhat))
        """
        count = x.dtype.type(x.size // x.shape[-1])
        std = self.xp.sqrt(variance + x.dtype.type(epsilon))
        xhat = (x - mean) / std
        dbeta = self.channel_sum(dy)
        dgamma = self.channel_sum(dy * xhat)
        dx = (dy - dbeta / count - xhat * (dgamma / count)) / std
        return dx if gamma is None else dx * gamma, dgamma, dbeta

    def batch_norm_relu_grad(self, dy, y, x, mean, variance, gamma, epsilon, residual=False):
        """dx, dgamma, dbeta, dresidual of y = ReLU(batch norm(x) [+ residual]); without a residual the last is None.

        xhat comes from x again and the ReLU's mask from y, so that neither was kept.
        """
        dy = self.relu_grad(dy, y)
        return *self.batch_norm_grad(dy, x, mean, variance, gamma, epsilon), dy if residual else None

    def batch_norm_relu_pool(self, x, mean, variance, gamma, beta, epsilon, size, window: Window, zeros=False):
        """ReLU(max_pool(batch norm(x))), which is max_pool(ReLU(batch norm(x))), and the windows' winners.

        (N, H, W, C) -> (N, OH, OW, C) both
        """
        z = self.batch_norm(x, mean, variance, gamma, beta, epsilon)
        y, winners = self.max_pool_winners(z, size, window, zeros)
        return self.relu(y), winners

    def batch_norm_relu_pool_grad(self, dy, y, winners, x, mean, variance, gamma, epsilon, size, window: Window):
        """dx, dgamma, dbeta of `batch_norm_relu_pool`, which gave y and the winners: ReLU's mask is the sign of y."""
        dy = self.max_pool_grad(self.relu_grad(dy, y), winners, x.shape, size, window)
        return self.batch_norm_grad(dy, x, mean, variance, gamma, epsilon)

    def neighbour_sum(self, x, radius):
        """y[..., i] = sum of x[..., j] over |j - i| <= radius, along the channels."""
        c = x.shape[-1]
        padded = self.xp.pad(x, [(0, 0)] * (x.ndim - 1) + [(radius, radius)])
        return sum(padded[..., shift : shift + c] for shift in range(2 * radius + 1))

    # Joining -----------------------------------------------------------------------------------------------------

    def concatenate(self, xs, axis: int):
        """The arrays one after the other along an axis, from 0 up."""
        return self.xp.concatenate(xs, axis=axis)

    def split(self, y, sizes, axis: int):
        """The reverse: parts of these sizes."""
        ends = list(itertools.accumulate(sizes))
        around = (slice(None),) * axis
        return [y[(*around, slice(end - size, end))] for size, end in zip(sizes, ends, strict=True)]

    def place(self, x, shape, key):
        """Zeros of this shape with x at `key`, a slice for each axis."""
        y = self.xp.zeros(shape, x.dtype)
        y[key] = x
        return y

    # Activations and losses --------------------------------------------------------------------------------------

    def relu(self, x):
        """max(x, 0); NaN stays NaN."""
        return self.xp.maximum(x, x.dtype.type(0))

    def relu_grad(self, dy, y):
        """dy where y = ReLU(x) is above 0, else 0."""
        return dy * (y > 0)

    def add(self, a, b, relu=False, overwrite=False):
        """[ReLU](a + b), two arrays of one shape; with `overwrite` it may be written to a."""
        return self.relu(a + b) if relu else a + b

    def log_softmax(self, x, axis=-1):
        """x - log(sum(exp(x))), shifted by the maximum so that nothing overflows."""
        x = x - x.max(axis=axis, keepdims=True)
        return x - self.xp.log(self.xp.exp(x).sum(axis=axis, keepdims=True))

    # Weights, in place ---------------------------------------------------------------------------------------------

    def number_by_number(self, tasks) -> None:
        """work(*arrays) for pairs (work, arrays): it changes arrays of one shape in place, each number by itself, so
        that it may be called for pieces of them."""
        for work, arrays in tasks:
            work(*arrays)

    def decay(self, w, amount: float) -> None:
        """w -= w * amount"""
        w -= w * amount

    def sgd(self, w, g, v, rate: float, momentum: float, nesterov: bool) -> None:
        """v = momentum * v - rate * g, w += v, or w += momentum * v - rate * g (nesterov); without v: w -= rate * g."""
        step = g * rate
        if v is None:
            w -= step
            return
        v *= momentum
        v -= step
        w += v * momentum - step if nesterov else v

    def adam(self, w, g, m, v, alpha: float, beta_1: float, beta_2: float, epsilon: float) -> None:
        """m += (g - m) * (1 - beta_1), v += (g^2 - v) * (1 - beta_2), w -= alpha * m / (sqrt(v) + epsilon)"""
        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        w -= m * alpha / (self.xp.sqrt(v) + epsilon)

    def amsgrad(self, w, g, m, v, top, alpha: float, beta_1: float, beta_2: float, epsilon: float) -> None:
        """As adam, with the largest v so far: top = max(top, v), w -= alpha * m / (sqrt(top) + epsilon)"""
        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        self.xp.maximum(top, v, out=top)
        w -= m * alpha / (self.xp.sqrt(top) + epsilon)

    def rmsprop(self, w, g, v, m, mean, rate: float, rho: float, momentum: float, epsilon: float) -> None:
        """v = rho * v + (1 - rho) * g^2, step = rate * g / sqrt(v + epsilon); m = momentum * m + step, w -= m.

        mean: of the gradients, mean = rho * mean + (1 - rho) * g; then its square is taken from v below the root. With
        None for m or mean they are left out.
        """
        v *= rho
        v += g * g * (1 - rho)
        below = v + epsilon
        if mean is not None:
            mean *= rho
            mean += g * (1 - rho)
            below -= mean * mean
        step = g * rate / self.xp.sqrt(below)
        if m is not None:
            m *= momentum
            m += step
            step = m
        w -= step

    def average(self, a, w, momentum: float) -> None:
        """a = momentum * a + (1 - momentum) * w"""
        a *= momentum
        a += w * (1 - momentum)

    def norm(self, arrays):
        """The Euclidean norm of all numbers in the arrays, a scalar array."""
        return self.xp.sqrt(sum((a * a).sum() for a in arrays))
