"""Notebook 000's network and its blocks: the figures of its models in Keras."""

import pytest

from minicnn.zoo.vgg_inception_resnet import conv_bn, inception_resnet_block
from tests.zoo.counting import block, build, counts, kinds

BODY = "Act43 BN43 Cat6 Conv43"


@pytest.mark.parametrize(
    ("arguments", "expected", "shape", "types"),
    [
        ({}, (131_624_248, 131_611_096, 13_152), (None, 1000), f"{BODY} Dense3 Flatten1 In1 Lambda6 MaxP5"),
        ({"include_top": False}, (7_981_392, 7_968_240, 13_152), (None, 512), f"{BODY} GMP1 In1 Lambda6 MaxP5"),
        (
            {"include_top": False, "pooling": "avg"},
            (7_981_392, 7_968_240, 13_152),
            (None, 512),
            f"{BODY} GAP1 In1 Lambda6 MaxP5",
        ),
        (
            {"include_top": False, "pooling": None},
            (7_981_392, 7_968_240, 13_152),
            (None, 7, 7, 512),
            f"{BODY} In1 Lambda6 MaxP5",
        ),
    ],
)
def test_parameters(arguments, expected, shape, types):
    model = build("vgg16_inception_resnet", **arguments)
    assert counts(model) == expected and model.output.shape == shape
    assert kinds(model) == types


@pytest.mark.parametrize(
    ("kind", "shape", "options", "expected", "types"),
    [
        ("A", (224, 224, 32), {}, (58_672, 58_128, 544), "Act7 BN7 Cat1 Conv7 In1 Lambda1"),
        ("B", (224, 224, 32), {}, (383_040, 381_632, 1_408), "Act5 BN5 Cat1 Conv5 In1 Lambda1"),
        ("C", (224, 224, 32), {}, (248_160, 246_560, 1_600), "Act5 BN5 Cat1 Conv5 In1 Lambda1"),
        ("A", (56, 56, 128), {}, (80_464, 79_728, 736), "Act7 BN7 Cat1 Conv7 In1 Lambda1"),
        ("B", (14, 14, 512), {}, (722_400, 720_032, 2_368), "Act5 BN5 Cat1 Conv5 In1 Lambda1"),
        ("A", (56, 56, 128), {"activation": None}, (80_464, 79_728, 736), "Act6 BN7 Cat1 Conv7 In1 Lambda1"),
    ],
)
def test_blocks(kind, shape, options, expected, types):
    model = block(inception_resnet_block, shape, 0.1, kind, **options)
    assert counts(model) == expected and kinds(model) == types and model.output.shape == (None, *shape)


def test_convolution():
    assert counts(block(conv_bn, (224, 224, 1), 64, 3)) == (768, 640, 128)
    plain = block(conv_bn, (8, 8, 3), 4, 3, normalizer=False, activation=None)
    assert counts(plain) == (108, 108, 0) and kinds(plain) == "Conv1 In1"
    named = block(conv_bn, (8, 8, 3), 4, 3, name="block1_conv1")
    assert [x.name for x in named.layers[1:]] == ["block1_conv1_conv", "block1_conv1_bn", "block1_conv1_act"]


def test_errors():
    with pytest.raises(ValueError, match="is of kind 'A', 'B', 'C', got 'block35'"):
        block(inception_resnet_block, (8, 8, 32), 0.1, "block35")
    with pytest.raises(ValueError, match="vgg16_inception_resnet: needs images of at least 32 x 32"):
        build("vgg16_inception_resnet", input_shape=(16, 32, 1))
