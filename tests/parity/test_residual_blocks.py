"""The residual blocks of notebook 000 against the same from Keras's layers, listed by what stands on the branch."""

import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import residual_blocks as blocks
from tests.parity.harness import compare

RELU = [("Activation", "relu")]


def conv(filters, size):
    return [("Conv2D", filters, size, 1, "same")]


BN = [("BatchNormalization",)]
BRANCHES = {
    blocks.post_activation_pair: ((3, 6), [conv(3, 1), BN, RELU, conv(6, (3, 5)), BN], True),
    blocks.post_activation: ((3, 4, 6), [conv(3, 1), BN, RELU, conv(4, (3, 5)), BN, RELU, conv(6, 1), BN], True),
    blocks.pre_activation: ((3, 6), [BN, RELU, conv(3, (3, 5)), BN, RELU, conv(6, 1)], False),
    blocks.squeeze_and_restore: ((3, 6), [conv(3, 1), BN, RELU, conv(3, (3, 5)), BN, RELU, conv(6, 1)], False),
}


@pytest.mark.parametrize("block", BRANCHES, ids=lambda block: block.__name__)
def test_block(keras, double, rng, block):
    filters, branch, relu_after = BRANCHES[block]
    x = layers.Input((7, 8, 6))
    arguments = filters if block is blocks.squeeze_and_restore else (filters,)
    ours = Model(x, block(x, *arguments, kernel_size=(3, 5)))
    first = y = keras.Input((7, 8, 6))
    for kind, *options in sum(branch, []):
        y = getattr(keras.layers, kind)(*options)(y)
    y = keras.layers.Add()([y, first])
    if relu_after:
        y = keras.layers.Activation("relu")(y)
    compare(ours, keras.Model(first, y), rng.normal(size=(3, 7, 8, 6)), rng)
