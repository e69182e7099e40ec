"""ResNet v1: the figures of the notebooks, of Keras and of torchvision (whose "params" are the trainable ones)."""

import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import resnet
from tests.zoo.counting import block, build, counts, kinds

KERAS_50 = "Act49 Add16 BN53 Conv53 Dense1 GAP1 In1 MaxP1 ZPad2"


@pytest.mark.parametrize(
    ("name", "variant", "total", "trainable", "statistics"),
    [
        ("resnet18", "keras", 11_703_912, 11_694_312, 9_600),
        ("resnet34", "keras", 21_823_208, 21_806_184, 17_024),
        ("resnet50", "keras", 25_636_712, 25_583_592, 53_120),
        ("resnet101", "keras", 44_707_176, 44_601_832, 105_344),
        ("resnet152", "keras", 60_419_944, 60_268_520, 151_424),
        ("resnet18", "torch", 11_699_112, 11_689_512, 9_600),
        ("resnet34", "torch", 21_814_696, 21_797_672, 17_024),
        ("resnet50", "torch", 25_610_152, 25_557_032, 53_120),
        ("resnet101", "torch", 44_654_504, 44_549_160, 105_344),
        ("resnet152", "torch", 60_344_232, 60_192_808, 151_424),
        ("resnet18", "notebook003", 11_703_912, 11_694_312, 9_600),
        ("resnet34", "notebook003", 21_823_208, 21_806_184, 17_024),
        ("resnet50", "notebook003", 25_636_712, 25_583_592, 53_120),
        ("resnet101", "notebook003", 44_707_176, 44_601_832, 105_344),
        ("resnet152", "notebook003", 60_419_944, 60_268_520, 151_424),
        ("resnet50", "notebook002", 42_020_712, 41_967_592, 53_120),
    ],
)
def test_parameters(name, variant, total, trainable, statistics):
    model = build(name, variant)
    assert counts(model) == (total, trainable, statistics)
    assert model.name == name and model.output_shape((None, 224, 224, 3)) == (None, 1000)


@pytest.mark.parametrize(
    ("name", "total"), [("resnet50", 23_587_712), ("resnet101", 42_658_176), ("resnet152", 58_370_944)]
)
def test_parameters_without_top(name, total):
    assert build(name, include_top=False).count_params() == total


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("resnet50", "keras", KERAS_50),
        ("resnet50", "notebook002", "Act49 Add16 AvgP1 BN53 Conv53 Dense1 Flatten1 In1 MaxP1 ZPad1"),
        ("resnet18", "notebook003", "Act8 Add8 BN20 Conv20 Dense1 GAP1 In1 MaxP1"),
        ("resnet34", "notebook003", "Act16 Add16 BN36 Conv36 Dense1 GAP1 In1 MaxP1"),
        ("resnet50", "notebook003", "Act32 Add16 BN53 Conv53 Dense1 GAP1 In1 MaxP1"),
        ("resnet101", "notebook003", "Act66 Add33 BN104 Conv104 Dense1 GAP1 In1 MaxP1"),
        ("resnet152", "notebook003", "Act100 Add50 BN155 Conv155 Dense1 GAP1 In1 MaxP1"),
    ],
)
def test_layers_by_type(name, variant, expected):
    assert kinds(build(name, variant)) == expected


@pytest.mark.parametrize(
    ("name", "counted"), [("resnet18", (11_196_042, 11_186_442, 9_600)), ("resnet50", (23_608_202, 23_555_082, 53_120))]
)
def test_small_images_and_ten_classes(name, counted):
    model = build(name, "notebook003", input_shape=(32, 32, 3), classes=10)
    assert counts(model) == counted and model.output.shape == (None, 10)


@pytest.mark.parametrize(
    ("name", "variant", "giga"),
    [
        ("resnet18", "keras", 1.814),
        ("resnet34", "keras", 3.664),
        ("resnet50", "keras", 3.858),
        ("resnet50", "torch", 4.089),
    ],
)
def test_multiply_adds(name, variant, giga):
    assert round(build(name, variant).multiply_adds() / 1e9, 3) == giga


@pytest.mark.parametrize(
    ("variant", "sizes"),
    [("keras", [112, 56, 28, 14, 7]), ("torch", [112, 56, 28, 14, 7]), ("notebook003", [112, 56, 28, 14, 7])],
)
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_sizes(name, variant, sizes):
    shapes = [layer.output.shape for layer in build(name, variant).layers if len(layer.output.shape) == 4]
    assert [n for n in dict.fromkeys(shape[1] for shape in shapes) if n in sizes] == sizes


def test_sizes_of_notebook_002():
    model = build("resnet50", "notebook002")
    assert [model.get_layer(f"res{i}a_branch2c").output.shape[1] for i in (2, 3, 4, 5)] == [55, 28, 14, 7]
    assert model.get_layer("avg_pooling").output.shape == (None, 3, 3, 2048)


@pytest.mark.parametrize("variant", ["keras", "torch", "notebook003", "notebook002"])
@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_without_top(variant, pooling):
    model = build("resnet50", variant, input_shape=(97, 64, 1), include_top=False, pooling=pooling)
    pixels = (3, 2) if variant == "notebook002" else (4, 2)
    assert model.output.shape == ((None, *pixels, 2048) if pooling is None else (None, 2048))


def test_unknown_pooling():
    with pytest.raises(ValueError, match="unknown pooling 'average'"):
        build("resnet50", include_top=False, pooling="average")


@pytest.mark.parametrize(
    ("make", "shape", "arguments", "options", "counted", "by_type"),
    [
        (resnet.basic_003, (56, 56, 64), (64, 1), {}, (74_368, 74_112, 256), "Act1 Add1 BN2 Conv2 In1"),
        (resnet.basic_003, (56, 56, 64), (128, 2), {}, (231_296, 230_528, 768), "Act1 Add1 BN3 Conv3 In1"),
        (resnet.bottleneck_003, (56, 56, 64), (64, 1), {}, (76_928, 75_648, 1_280), "Act2 Add1 BN4 Conv4 In1"),
        (resnet.bottleneck_003, (56, 56, 256), (64, 1), {}, (71_552, 70_784, 768), "Act2 Add1 BN3 Conv3 In1"),
        (resnet.bottleneck_003, (56, 56, 256), (128, 2), {}, (383_232, 380_672, 2_560), "Act2 Add1 BN4 Conv4 In1"),
    ],
)
def test_blocks_of_notebook_003(make, shape, arguments, options, counted, by_type):
    model = block(make, shape, *arguments, **options)
    assert (counts(model), kinds(model)) == (counted, by_type)


def test_stem_of_notebook_003():
    whole = build("resnet18", "notebook003")
    pool = next(layer for layer in whole.layers if isinstance(layer, layers.MaxPooling2D))
    model = Model(whole.input, pool.output)
    assert (counts(model), kinds(model)) == ((9_728, 9_600, 128), "BN1 Conv1 In1 MaxP1")
    assert model.output.shape == (None, 56, 56, 64)


@pytest.mark.parametrize(
    ("shape", "filters", "strides", "project", "counted", "output"),
    [
        ((55, 55, 64), 64, 1, True, (76_928, 75_648, 1_280), (55, 55, 256)),
        ((55, 55, 256), 128, 2, True, (383_232, 380_672, 2_560), (28, 28, 512)),
        ((28, 28, 512), 256, 2, True, (1_520_128, 1_515_008, 5_120), (14, 14, 1024)),
        ((14, 14, 1024), 512, 2, True, (6_054_912, 6_044_672, 10_240), (7, 7, 2048)),
        ((55, 55, 256), 64, 1, False, (71_552, 70_784, 768), (55, 55, 256)),
        ((28, 28, 512), 128, 1, False, (282_368, 280_832, 1_536), (28, 28, 512)),
        ((14, 14, 1024), 256, 1, False, (1_121_792, 1_118_720, 3_072), (14, 14, 1024)),
        ((7, 7, 2048), 512, 1, False, (4_471_808, 4_465_664, 6_144), (7, 7, 2048)),
    ],
)
def test_blocks_of_notebook_002(shape, filters, strides, project, counted, output):
    model = block(resnet.bottleneck_002, shape, filters, strides, project=project, name="2a")
    assert (counts(model), model.output.shape) == (counted, (None, *output))
    assert kinds(model) == ("Act3 Add1 BN4 Conv4 In1" if project else "Act3 Add1 BN3 Conv3 In1")
