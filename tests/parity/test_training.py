"""Five steps of training against Keras's: a network with a convolution, batch norm and a penalty, by every weight."""

import numpy as np
import pytest

from minicnn import layers as our_layers
from minicnn import model as our_models
from minicnn.layers import regularizers as our_regularizers
from minicnn.training import optimizers
from tests.checks import assert_close

RULES = [
    ("SGD", {"learning_rate": 0.0625}),
    ("SGD", {"learning_rate": 0.0625, "momentum": 0.875, "nesterov": True, "weight_decay": 0.015625}),
    ("Adam", {"learning_rate": 0.0625, "beta_1": 0.875, "beta_2": 0.9921875}),
]


def network(layers, models, regularizers):
    """The same lines for both libraries."""
    x = inputs = layers.Input((7, 6, 2))
    penalty = regularizers.L2(0.0078125)  # as the rules above: Keras takes such numbers through float32
    x = layers.Conv2D(4, 3, strides=2, padding="same", kernel_regularizer=penalty, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.875, epsilon=0.0009765625)(x)
    x = layers.ReLU()(x)
    x = layers.Flatten()(x)
    return models.Model(inputs, layers.Dense(3, activation="softmax")(x))


@pytest.mark.parametrize(("name", "settings"), RULES)
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_five_steps(keras, double, rng, name, settings, loss):
    mine = network(our_layers, our_models, our_regularizers)
    other = network(keras.layers, keras.models, keras.regularizers)
    mine.set_weights(other.get_weights())
    mine.compile(getattr(optimizers, name)(**settings), loss, metrics=["accuracy"])
    other.compile(getattr(keras.optimizers, name)(**settings), loss, metrics=["accuracy"])
    for _ in range(5):
        x, y = rng.normal(size=(9, 7, 6, 2)), rng.integers(0, 3, 9)
        y = y if loss.startswith("sparse") else np.eye(3)[y]
        np.testing.assert_allclose(mine.train_on_batch(x, y), other.train_on_batch(x, y), rtol=1e-9)
    for weight, expected in zip(mine.weights, other.get_weights(), strict=True):
        assert_close(weight.data, expected)
