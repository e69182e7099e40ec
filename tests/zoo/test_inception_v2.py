"""BN-Inception: Fig. 5 of the paper, and TF-slim's figures."""

import pytest

from minicnn.layers import SeparableConv2D
from tests.zoo.counting import build, counts


@pytest.mark.parametrize(
    ("variant", "classes", "total", "trainable", "statistics"),
    [
        ("paper", 1000, 11_305_256, 11_285_224, 20_032),
        ("slim", 1000, 11_198_240, 11_178_336, 19_904),
        ("slim", 1001, 11_199_265, 11_179_361, 19_904),
    ],
)
def test_parameters(variant, classes, total, trainable, statistics):
    model = build("inception_v2", variant, classes=classes)
    assert counts(model) == (total, trainable, statistics) and model.output.shape == (None, classes)


def test_cadene():
    """Caffe's model, and Cadene's, keep the biases of the convolutions in front of the batch norms."""
    _, trainable, statistics = counts(build("inception_v2", "paper"))
    assert trainable + statistics // 2 == 11_295_240


@pytest.mark.parametrize(
    ("variant", "channels"),
    [
        ("paper", (256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024)),
        ("slim", (256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024)),
    ],
)
def test_figure_5(variant, channels):
    model = build("inception_v2", variant)
    names = ("3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
    pixels = (28, 28, 14, 14, 14, 14, 14, 7, 7, 7)
    sizes = [model.get_layer(f"inception_{name}").output.shape[1:] for name in names]
    assert sizes == [(n, n, c) for n, c in zip(pixels, channels, strict=True)]


def test_multiply_adds():
    """2.033 G and, with a full first convolution, 2.019 G for slim; its separable one costs less."""
    paper, slim = build("inception_v2", "paper"), build("inception_v2", "slim")
    assert round(sum(node.multiply_adds() for node in paper.nodes) / 1e9, 3) == 2.033
    separable = next(layer for layer in slim.layers if isinstance(layer, SeparableConv2D)).calls[0].multiply_adds()
    others = sum(node.multiply_adds() for node in slim.nodes) - separable
    assert round((others + 112 * 112 * 7 * 7 * 3 * 64) / 1e9, 3) == 2.019


def test_without_top():
    assert build("inception_v2", include_top=False).output.shape == (None, 7, 7, 1024)
    assert build("inception_v2", include_top=False, pooling="avg").output.shape == (None, 1024)
    with pytest.raises(ValueError, match="inception_v2: needs images of at least 32 x 32"):
        build("inception_v2", input_shape=(31, 224, 3))
