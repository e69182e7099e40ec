"""Batch norm, ReLU and max pooling at once, as at the stem of a ResNet, where images are still large.

What is normalised is pooled in bands, while it is in the cache, and never written to memory. Since a maximum that is 0
passes nothing on, ReLU and its mask are left to what has been pooled, a quarter of the numbers where windows move by
two; and going back, dy * x is summed up on each band of dy's cells when these are written.
"""

import math

import numpy as np

from minicnn.backend.cpu import norm, pieces, pool
from minicnn.backend.cpu.rows import tiled


def forward(x, scale, shift, size, window, zeros=False):
    """y of `Backend.batch_norm_relu_pool`, with a scale and a shift for each channel, and the winners.

    x: (N, H, W, C)   scale, shift: (C,)   -> (N, OH, OW, C) both
    """
    wide = (tiled(a.astype(x.dtype, copy=False), x.shape[2]).reshape(x.shape[2:]) for a in (scale, shift))
    return pool.max_pool_winners(x, size, window, zeros, tuple(wide))


def gradient(dy, y, winners, x, mean, variance, gamma, epsilon, size, window):
    """dx, dgamma, dbeta of `Backend.batch_norm_relu_pool_grad`"""
    dy, wide, sums = pieces.relu_grad(dy, y), math.prod(x.shape[2:]), {}

    def add_up(cells, images, rows):
        found = cells.reshape(-1, wide), x[images, rows].reshape(-1, wide)
        sums[images.start, rows.start] = np.einsum("ij,ij->j", *found)

    dx = pool.max_pool_grad(dy, winners, x.shape, size, window, add_up)
    with_x = sum(sums[key].astype(np.float64) for key in sorted(sums)).reshape(x.shape[2:]).sum(axis=0)
    return dx, *norm.input_grad(dx, x, (norm.channel_sum(dy), with_x), mean, variance, gamma, epsilon, dx)
