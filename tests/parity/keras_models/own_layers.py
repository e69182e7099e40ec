"""The layers that Keras does not have, from its operations; their classes have the names of ours."""

import tensorflow as tf
from keras import layers, ops


class LocalResponseNormalization(layers.Layer):
    """x / (bias + alpha * squares of 2 * radius + 1 channels)^beta. tf.nn.lrn has no kernel for float64."""

    def __init__(self, radius, bias, alpha, beta, **common):
        super().__init__(**common)
        self.radius, self.bias, self.alpha, self.beta = radius, bias, alpha, beta

    def call(self, x):
        squares = tf.pad(tf.square(x), ((0, 0), (0, 0), (0, 0), (self.radius, self.radius)))
        around = tf.add_n([squares[..., i : i + x.shape[-1]] for i in range(2 * self.radius + 1)])
        return x / (self.bias + self.alpha * around) ** self.beta


class ScaledAdd(layers.Layer):
    """[x, r] -> x + scale * r"""

    def __init__(self, scale, **common):
        super().__init__(**common)
        self.scale = scale

    def call(self, inputs):
        return inputs[0] + inputs[1] * self.scale


class Subsampling2D(layers.Layer):
    """LeCun et al. 1998, section II.B: four inputs are added, multiplied by a coefficient, a bias is added."""

    def build(self, shape):
        self.coefficient = self.add_weight(name="gamma", shape=(shape[-1],))
        self.bias = self.add_weight(name="bias", shape=(shape[-1],))

    def call(self, x):
        sums = x[:, ::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, ::2] + x[:, 1::2, 1::2]
        return ops.tanh(sums * self.coefficient + self.bias)
