"""Inception-ResNet: the paper's sizes; the figures of Keras, timm and Cadene."""

import pytest

from minicnn.layers import BatchNormalization
from minicnn.zoo import inception_resnet
from tests.zoo.counting import block, build, counts


def gammas(model):
    """What batch norms with a gamma would have more."""
    return sum(layer.beta.size for layer in model.layers if isinstance(layer, BatchNormalization))


@pytest.mark.parametrize(
    ("name", "variant", "arguments", "expected", "gigas"),
    [
        ("inception_resnet_v1", None, {}, (22_769_848, 22_742_808, 27_040), 6.206),
        ("inception_resnet_v2", "keras", {}, (55_873_736, 55_813_192, 60_544), 13.156),
        ("inception_resnet_v2", "paper", {}, (55_313_160, 55_255_816, 57_344), 14.142),
        ("inception_resnet_v2", "paper", {"blocks": (5, 10, 5)}, (32_450_360, 32_417_496, 32_864), 9.258),
    ],
)
def test_parameters(name, variant, arguments, expected, gigas):
    model = build(name, variant, **arguments)
    assert counts(model) == expected and model.name == name
    assert round(sum(node.multiply_adds() for node in model.nodes) / 1e9, 3) == gigas


def test_with_gamma():
    assert counts(build("inception_resnet_v1"))[0] + gammas(build("inception_resnet_v1")) == 22_783_368


@pytest.mark.parametrize(("classes", "parameters"), [(1000, 55_843_464), (1001, 55_845_001)], ids=["timm", "Cadene"])
def test_libraries(classes, parameters):
    model = build("inception_resnet_v2", classes=classes)
    assert counts(model)[1] + gammas(model) == parameters and counts(model)[2] == 60_544


def test_keras_layers():
    model = build("inception_resnet_v2")
    kinds = [type(layer).__name__ for layer in model.layers]
    assert len(kinds) == 782 and len(model.weights) == 898
    found = {kind: kinds.count(kind) for kind in ("Conv2D", "BatchNormalization", "ScaledAdd", "Concatenate")}
    assert found == {"Conv2D": 244, "BatchNormalization": 204, "ScaledAdd": 40, "Concatenate": 43}
    scales = [layer.scale for layer in model.layers if type(layer).__name__ == "ScaledAdd"]
    assert scales == [0.17] * 10 + [0.1] * 20 + [0.2] * 9 + [1.0]
    assert build("inception_resnet_v2", include_top=False).count_params() == 54_336_736


@pytest.mark.parametrize(
    ("name", "variant", "sizes"),
    [
        (
            "inception_resnet_v1",
            None,
            {"block35_5_ac": (35, 35, 256), "block17_10_ac": (17, 17, 896), "block8_5_ac": (8, 8, 1792)},
        ),
        (
            "inception_resnet_v2",
            "keras",
            {"block35_10_ac": (35, 35, 320), "block17_20_ac": (17, 17, 1088), "block8_10_conv": (8, 8, 2080)},
        ),
        (
            "inception_resnet_v2",
            "paper",
            {"block35_10_ac": (35, 35, 384), "block17_20_ac": (17, 17, 1152), "block8_10_ac": (8, 8, 2144)},
        ),
    ],
)
def test_sizes(name, variant, sizes):
    model = build(name, variant)
    assert {layer: model.get_layer(layer).output.shape[1:] for layer in sizes} == sizes


@pytest.mark.parametrize(
    ("form", "kind", "shape", "total"),
    [  # from the branches by hand: kernels, 3 numbers a batch norm's channel, and the last kernel with its bias
        ("V2", "A", (35, 35, 320), 320 * 96 + 9 * (32 * 32 + 32 * 48 + 48 * 64) + 3 * 240 + 129 * 320),
        ("V2", "B", (17, 17, 1088), 1088 * 320 + 7 * (128 * 160 + 160 * 192) + 3 * 672 + 385 * 1088),
        ("V2", "C", (8, 8, 2080), 2080 * 384 + 3 * (192 * 224 + 224 * 256) + 3 * 864 + 449 * 2080),
        ("V1", "C", (8, 8, 1792), 1792 * 384 + 3 * (192 * 192 + 192 * 192) + 3 * 768 + 385 * 1792),
    ],
)
def test_blocks(form, kind, shape, total):
    branches = getattr(inception_resnet, form)[kind]
    model = block(inception_resnet.block, shape, branches, 0.17, name="block")
    assert model.count_params() == total and model.output.shape == (None, *shape)


def test_errors():
    for name in ("inception_resnet_v1", "inception_resnet_v2"):
        with pytest.raises(ValueError, match=f"{name}: needs images of at least 75 x 75"):
            build(name, input_shape=(74, 75, 3))
        assert build(name, input_shape=(75, 75, 3), blocks=(1, 1, 1)).output.shape == (None, 1000)
