"""A layer of your own: a subclass with build, output_shape and call. Run it: python examples/own_layer.py

Squeeze and excitation (Hu et al. 2018, arXiv:1709.01507, section 3): each channel is scaled by a gate that sees all
of them.
"""

import numpy as np

from minicnn import functions, layers
from minicnn.gradcheck import check_function
from minicnn.layers import Layer
from minicnn.model import Model


class SqueezeExcite(Layer):
    """x * sigmoid(relu(mean(x) @ squeeze) @ excite).  x, y: (N, H, W, C)"""

    def __init__(self, ratio: int = 4, **common):
        super().__init__(**common)
        self.ratio = ratio

    def build(self, shape):
        channels = shape[-1]
        self.squeeze = self.add_weight("squeeze", (channels, channels // self.ratio), "he_normal")
        self.excite = self.add_weight("excite", (channels // self.ratio, channels), "glorot_uniform")

    def output_shape(self, shape):
        return shape

    def call(self, x):
        gate = functions.sigmoid(functions.relu(x.mean((1, 2)) @ self.squeeze) @ self.excite)  # N, C
        return x * gate.reshape(x.shape[0], 1, 1, x.shape[3])


def main() -> None:
    """Builds a model with the layer, and checks its gradients."""
    inputs = layers.Input((8, 8, 3), dtype="float64")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", dtype="float64")(inputs)
    x = SqueezeExcite(dtype="float64")(x)
    outputs = layers.Dense(10, activation="softmax", dtype="float64")(layers.GlobalAveragePooling2D()(x))
    model = Model(inputs, outputs)
    model.summary()

    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
    check_function(lambda: model(images), model.trainable_weights)
    print("the gradients of all weights agree with finite differences")


if __name__ == "__main__":
    main()
