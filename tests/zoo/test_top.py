"""Inputs that fit and pools that exist, in every network that takes them."""

import inspect

import pytest

from minicnn import layers, zoo
from minicnn.zoo.top import averaged_top, images, pooled
from tests.zoo.counting import build


def test_images():
    assert images("net", [33, None, 1], smallest=32).shape == (None, 33, None, 1)


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3, 1), (32, 0, 3), (32, 32, None)])
def test_images_of_another_form(shape):
    with pytest.raises(ValueError, match="net: input_shape must be \\(height, width, channels\\), got "):
        images("net", shape, smallest=1)


def test_pooled():
    x = layers.Input((5, 4, 3))
    assert pooled(x, None) is x
    assert pooled(x, "avg", {"avg": "avg_pool"}).name == "avg_pool" and pooled(x, "max").shape == (None, 3)


def test_pooling_says_nothing_beside_the_top():
    """As in Keras."""
    x = layers.Input((5, 4, 3))
    assert averaged_top(x, 7, True, "max").shape == (None, 7)


POOLING = [name for name in zoo.names() if "pooling" in inspect.signature(zoo.entry(name).builder).parameters]


@pytest.mark.parametrize("name", POOLING)
def test_unknown_pooling(name):
    with pytest.raises(ValueError, match="unknown pooling 'average': did you mean 'avg'"):
        build(name, include_top=False, pooling="average")
    with pytest.raises(ValueError, match="unknown pooling"):
        build(name, pooling="average")
