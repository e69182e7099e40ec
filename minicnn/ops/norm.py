"""Normalisation and dropout."""

import numpy as np

from minicnn.ops.base import Op


class BatchNorm(Op):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with the batch's own moments (Ioffe & Szegedy 2015).

    x: (..., C)   gamma, beta: (C,) or None   y: (..., C)
    Afterwards `mean` and `variance` (biased) hold the moments, (C,): the layer moves its statistics with them.
    """

    fresh = True

    def __init__(self, epsilon: float = 1e-3):
        self.epsilon = epsilon

    def forward(self, x, gamma=None, beta=None):
        self.x, self.gamma = x, gamma
        self.mean, self.variance = self.backend.channel_moments(x)
        return self.backend.batch_norm(x, self.mean, self.variance, gamma, beta, self.epsilon)

    def backward(self, dy):
        return self.backend.batch_norm_grad(dy, self.x, self.mean, self.variance, self.gamma, self.epsilon)


class BatchNormInference(Op):
    """The same with moments that are given: each channel is scaled and shifted, nothing couples the images.

    x: (..., C)   mean, variance: (C,)   gamma, beta: (C,) or None   y: (..., C)
    """

    def __init__(self, mean, variance, epsilon: float = 1e-3):
        self.mean, self.variance, self.epsilon = mean, variance, epsilon

    def forward(self, x, gamma=None, beta=None):
        self.x, self.gamma = x, gamma
        return self.backend.batch_norm(x, self.mean, self.variance, gamma, beta, self.epsilon)

    def backward(self, dy):
        std = self.xp.sqrt(self.variance + self.variance.dtype.type(self.epsilon))
        dx = dy / std if self.gamma is None else dy * (self.gamma / std)
        dgamma = self.backend.channel_sum(dy * ((self.x - self.mean) / std)) if any(self.needs[1:2]) else None
        dbeta = self.backend.channel_sum(dy) if any(self.needs[2:3]) else None
        return dx, dgamma, dbeta


class LocalResponseNorm(Op):
    """y[..., i] = x[..., i] / d[..., i]^beta,  d[..., i] = bias + alpha * sum of x[..., j]^2 over |j - i| <=
    depth_radius.

    x, y: (..., C). Krizhevsky et al. 2012, section 3.3; as tf.nn.lrn, the sum is not divided by the number of
    neighbours.
    """

    def __init__(self, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5):
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def forward(self, x):
        self.x = x
        self.d = self.bias + self.alpha * self.backend.neighbour_sum(x * x, self.depth_radius)
        return x * self.d**-self.beta

    def backward(self, dy):
        # y_i depends on x_i directly, and through d_j on every neighbour's square.
        scaled = dy * self.d**-self.beta
        spread = self.backend.neighbour_sum(scaled * self.x / self.d, self.depth_radius)
        return (scaled - 2 * self.alpha * self.beta * self.x * spread,)


class Dropout(Op):
    """y = x * mask / (1 - rate), where a cell is kept with probability 1 - rate (Srivastava et al. 2014, inverted).

    The mask is drawn by a NumPy generator and moved, so that a seed gives the same mask on every device.
    """

    def __init__(self, rate: float, generator: np.random.Generator):
        self.rate, self.generator = rate, generator

    def forward(self, x):
        keep = self.generator.random(x.shape, dtype=np.float32) >= self.rate
        self.mask = self.backend.asarray(keep, x.dtype) / x.dtype.type(1 - self.rate)
        return x * self.mask

    def backward(self, dy):
        return (dy * self.mask,)
