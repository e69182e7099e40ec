"""ResNet v2: the figures of Keras and of notebook 003, and of timm's resnetv2_50, 101, 152 for "paper"."""

import pytest

from minicnn.zoo import resnet_v2
from tests.zoo.counting import block, build, counts, kinds


@pytest.mark.parametrize(
    ("name", "variant", "total", "trainable", "statistics"),
    [
        ("resnet50v2", "keras", 25_613_800, 25_568_360, 45_440),
        ("resnet101v2", "keras", 44_675_560, 44_577_896, 97_664),
        ("resnet152v2", "keras", 60_380_648, 60_236_904, 143_744),
        ("resnet50v2", "paper", 25_594_792, 25_549_352, 45_440),
        ("resnet101v2", "paper", 44_639_144, 44_541_480, 97_664),
        ("resnet152v2", "paper", 60_328_872, 60_185_128, 143_744),
    ],
)
def test_parameters(name, variant, total, trainable, statistics):
    model = build(name, variant)
    assert counts(model) == (total, trainable, statistics) and model.name == name


@pytest.mark.parametrize(
    ("name", "total"), [("resnet50v2", 23_564_800), ("resnet101v2", 42_626_560), ("resnet152v2", 58_331_648)]
)
def test_parameters_without_top(name, total):
    assert build(name, include_top=False).count_params() == total


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50v2", "Act49 Add16 BN49 Conv53 Dense1 GAP1 In1 MaxP4 ZPad18"),
        ("resnet101v2", "Act100 Add33 BN100 Conv104 Dense1 GAP1 In1 MaxP4 ZPad35"),
        ("resnet152v2", "Act151 Add50 BN151 Conv155 Dense1 GAP1 In1 MaxP4 ZPad52"),
    ],
)
def test_layers_by_type(name, expected):
    assert kinds(build(name)) == expected


def test_small_images_and_ten_classes():
    model = build("resnet50v2", input_shape=(32, 32, 3), classes=10)
    assert counts(model) == (23_585_290, 23_539_850, 45_440) and model.output.shape == (None, 10)


def test_where_the_images_shrink():
    """Keras: in the last unit of a stage; the paper: in the first one of the next."""
    keras, paper = build("resnet50v2"), build("resnet50v2", "paper")
    ends = ["conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]
    assert [keras.get_layer(name).output.shape[1] for name in ends] == [28, 14, 7, 7]
    assert [paper.get_layer(name).output.shape[1] for name in ends] == [56, 28, 14, 7]


def stack(x, strides):
    for i, stride in enumerate(strides, start=1):
        x = resnet_v2.unit_keras(x, 64, stride, project=i == 1, name=f"conv2_block{i}")
    return x


@pytest.mark.parametrize(
    ("make", "shape", "arguments", "options", "counted", "output", "by_type"),
    [
        (
            resnet_v2.unit_keras, (56, 56, 64), (64, 1), {"project": True, "name": "a"},
            (75_008, 74_624, 384), (56, 56, 256), "Act3 Add1 BN3 Conv4 In1 ZPad1",
        ),
        (
            resnet_v2.unit_keras, (56, 56, 256), (64, 1), {"project": False, "name": "a"},
            (71_424, 70_656, 768), (56, 56, 256), "Act3 Add1 BN3 Conv3 In1 ZPad1",
        ),
        (
            resnet_v2.unit_keras, (56, 56, 256), (64, 2), {"project": False, "name": "a"},
            (71_424, 70_656, 768), (28, 28, 256), "Act3 Add1 BN3 Conv3 In1 MaxP1 ZPad1",
        ),
        (
            stack, (56, 56, 64), ((1, 1, 2),), {},
            (217_856, 215_936, 1_920), (28, 28, 256), "Act9 Add3 BN9 Conv10 In1 MaxP1 ZPad3",
        ),
    ],
)  # fmt: skip
def test_units_of_keras(make, shape, arguments, options, counted, output, by_type):
    model = block(make, shape, *arguments, **options)
    assert (counts(model), model.output.shape, kinds(model)) == (counted, (None, *output), by_type)


def test_the_path_is_free():
    """From the end back to conv2_block1 there are only additions, projections and every second pixel."""
    for variant in ("keras", "paper"):
        symbol, passed = build("resnet50v2", variant).get_layer("conv5_block3_out").output, set()
        while symbol.name != "conv2_block1_out":
            passed.add(type(symbol.node.layer).__name__)
            first = symbol.node.parents[0]
            if first.name.endswith("_0_conv"):  # which comes behind a ReLU and a batch norm
                first = first.node.parents[0].node.parents[0].node.parents[0]
            symbol = first
        assert passed == ({"Add", "MaxPooling2D"} if variant == "keras" else {"Add"})
