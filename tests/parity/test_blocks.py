"""The Inception-ResNet blocks of notebook 000 alone: outputs, gradients, one step, in float64."""

import importlib

import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo.vgg_inception_resnet import inception_resnet_block
from tests.parity.harness import compare


@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("kind", ["A", "B", "C"])
def test_inception_resnet_block(keras, double, rng, kind, activation):
    theirs = importlib.import_module("tests.parity.keras_models.vgg_inception_resnet")
    x = layers.Input((9, 8, 7))
    ours = Model(x, inception_resnet_block(x, 0.3, kind, activation))
    compare(ours, theirs.block_alone((9, 8, 7), kind, 0.3, activation), rng.normal(size=(2, 9, 8, 7)), rng, 1e-12)
