"""Batch norm, ReLU and max pooling at once, as at the stem of a ResNet, where images are still large.

What is normalised is pooled in bands, while it is in the cache, and never written to memory. Since a maximum that is 0
passes nothing on, ReLU and its mask are left to what has been pooled, a quarter of the numbers where windows move by
two; and going back, dy's cells and their products with x are summed up on each band when it is written.
"""

import numpy as np

from minicnn.backend.cpu import norm, pieces, pool
from minicnn.backend.cpu.rows import SUMMED, add_up, constants, joined_pixels, tiled


def forward(x, scale, shift, size, window, zeros=False):
    """y of `Backend.batch_norm_relu_pool`, with a scale and a shift for each channel, and the winners.

    x: (N, H, W, C)   scale, shift: (C,)   -> (N, OH, OW, C) both
    """
    wide = (tiled(a.astype(x.dtype, copy=False), x.shape[2]).reshape(x.shape[2:]) for a in (scale, shift))
    return pool.max_pool_winners(x, size, window, zeros, tuple(wide))


def gradient(dy, y, winners, x, mean, variance, gamma, epsilon, size, window):
    """dx, dgamma, dbeta of `Backend.batch_norm_relu_pool_grad`"""
    dy, c, sums = pieces.relu_grad(dy, y), x.shape[3], {}

    def sum_up(cells, images, rows):
        if not cells.size:  # a band of what is around x
            return
        joined = joined_pixels(cells.size // c, c, SUMMED)
        upstream, source = (a.reshape(-1, joined * c) for a in (cells, x[images, rows]))
        ones, found = constants(1, len(upstream), x.dtype), np.empty((2, joined * c), x.dtype)
        add_up(upstream, ones, found[0])
        add_up(source, ones, found[1], upstream)
        sums[images.start, rows.start] = found.astype(np.float64).reshape(2, -1, c).sum(axis=1)

    dx = pool.max_pool_grad(dy, winners, x.shape, size, window, sum_up)
    total = sum(sums[key] for key in sorted(sums))
    return dx, *norm.input_grad(dx, x, total, mean, variance, gamma, epsilon, dx)
