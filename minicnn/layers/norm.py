"""Normalisation."""

from typing import Any

from minicnn import ops
from minicnn.layers import initializers, regularizers
from minicnn.layers.core import SameShape
from minicnn.tensor import apply


class BatchNormalization(SameShape):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, each channel over the batch.  x: (N, ..., C)

    Ioffe & Szegedy 2015. In training: the batch's own mean and biased variance, which also move the statistics,
    moving = moving * momentum + batch * (1 - momentum). In inference, or where the layer is frozen: the statistics.
    Weights: gamma, beta, moving_mean, moving_variance, each (C,); without gamma for scale=False, beta for center=False.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        **common,
    ):
        super().__init__(**common)
        self.axis, self.momentum, self.epsilon, self.center, self.scale = axis, momentum, epsilon, center, scale
        self.beta_initializer, self.gamma_initializer = (
            initializers.get(beta_initializer),
            initializers.get(gamma_initializer),
        )
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer, self.gamma_regularizer = (
            regularizers.get(beta_regularizer),
            regularizers.get(gamma_regularizer),
        )

    def build(self, shape):
        axis = self.axis[0] if isinstance(self.axis, list | tuple) and len(self.axis) == 1 else self.axis
        if axis not in (-1, len(shape) - 1):
            raise ValueError(f"axis must be the last one, -1 or {len(shape) - 1}, got {self.axis!r}")
        size = (shape[-1],)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight("gamma", size, self.gamma_initializer, regularizer=self.gamma_regularizer)
        if self.center:
            self.beta = self.add_weight("beta", size, self.beta_initializer, regularizer=self.beta_regularizer)
        self.moving_mean = self.add_weight("moving_mean", size, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(
            "moving_variance", size, self.moving_variance_initializer, trainable=False
        )

    def output_shape(self, shape):
        if shape[-1] != self.moving_mean.shape[0]:
            raise ValueError(f"expected inputs of shape (None, ..., {self.moving_mean.shape[0]}), got {shape}")
        return shape

    def call(self, x, training):
        self.output_shape(x.shape)
        if not (training and self.trainable):
            op = ops.BatchNormInference(self.moving_mean.data, self.moving_variance.data, self.epsilon)
            return apply(op, x, self.gamma, self.beta)
        batch = ops.BatchNorm(self.epsilon)
        y = apply(batch, x, self.gamma, self.beta)
        self.move(self.moving_mean, batch.mean)
        self.move(self.moving_variance, batch.variance)
        return y

    def move(self, statistic, value) -> None:
        """statistic * momentum + value * (1 - momentum)"""
        statistic.assign(statistic.data * self.momentum + value * (1 - self.momentum))


class LocalResponseNormalization(SameShape):
    """x / (bias + alpha * sum of x^2 over the 2 * depth_radius + 1 neighbouring channels)^beta.  x: (N, H, W, C)

    Krizhevsky et al. 2012, section 3.3, with k = bias, n = 2 * depth_radius + 1. The defaults are tf.nn.lrn's; the
    paper has depth_radius=2, bias=2, alpha=1e-4, beta=0.75.
    """

    def __init__(self, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5, **common):
        super().__init__(**common)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def call(self, x):
        return apply(ops.LocalResponseNorm(self.depth_radius, self.bias, self.alpha, self.beta), x)
