"""Inception v4: the paper's sizes, and timm's and Cadene's figures."""

import pytest

from minicnn.layers import BatchNormalization
from tests.zoo.counting import build, counts


def test_parameters():
    model = build("inception_v4")
    assert counts(model) == (42_711_400, 42_648_232, 63_168)
    assert sum(type(layer).__name__ == "Conv2D" for layer in model.layers) == 149
    assert round(sum(node.multiply_adds() for node in model.nodes) / 1e9, 3) == 12.254


@pytest.mark.parametrize(("classes", "parameters"), [(1000, 42_679_816), (1001, 42_681_353)], ids=["timm", "Cadene"])
def test_libraries(classes, parameters):
    """Their batch norms have a gamma."""
    model = build("inception_v4", classes=classes)
    gammas = sum(layer.beta.size for layer in model.layers if isinstance(layer, BatchNormalization))
    assert counts(model)[1] + gammas == parameters and counts(model)[2] == 63_168


def test_sizes():
    """Figs 3 and 9."""
    model = build("inception_v4")
    sizes = {
        "stem_73": (73, 73, 160),
        "stem_71": (71, 71, 192),
        "stem_35": (35, 35, 384),
        "inception_a_4": (35, 35, 384),
        "reduction_a": (17, 17, 1024),
        "inception_b_7": (17, 17, 1024),
        "reduction_b": (8, 8, 1536),
        "inception_c_3": (8, 8, 1536),
    }
    assert {name: model.get_layer(name).output.shape[1:] for name in sizes} == sizes


def test_smallest_input():
    assert build("inception_v4", input_shape=(75, 75, 3), classes=7).output.shape == (None, 7)
    with pytest.raises(ValueError, match="inception_v4: needs images of at least 75 x 75"):
        build("inception_v4", input_shape=(299, 74, 3))
