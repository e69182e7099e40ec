"""The ResNets of section 4.2 and their plain twins."""

import numpy as np
import pytest

from minicnn import config, layers, zoo
from minicnn.layers.initializers import placeholders
from minicnn.model import Model
from minicnn.zoo import resnet_cifar
from tests.zoo.counting import build, counts, kinds

DEPTHS = {  # trainable, moving statistics: with option A, and without shortcuts
    8: (75_290, 480),
    14: (172_506, 928),
    20: (269_722, 1_376),
    32: (464_154, 2_272),
    44: (658_586, 3_168),
    56: (853_018, 4_064),
    110: (1_727_962, 8_096),
    1202: (19_421_274, 89_632),
}


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_plain_twins_have_the_same_parameters(depth):
    with_shortcuts, plain = build(f"resnet{depth}", "A"), build(f"plain{depth}")
    assert counts(with_shortcuts)[1:] == counts(plain)[1:] == DEPTHS[depth]
    assert [w.shape for w in with_shortcuts.weights] == [w.shape for w in plain.weights]
    assert with_shortcuts.multiply_adds() == plain.multiply_adds()
    names, plain_names = [[layer.name for layer in model.layers[1:]] for model in (with_shortcuts, plain)]
    added = [name for name in names if name not in plain_names]
    assert len(added) == (depth - 2) // 2 + 2 and all(name.endswith(("_add", "_0_shortcut")) for name in added)
    assert [name for name in names if name not in added] == plain_names


@pytest.mark.parametrize("shortcut", ["A", None])
@pytest.mark.parametrize("depth", [8, 14, pytest.param(1202, marks=pytest.mark.slow)])
def test_depths_without_an_entry(depth, shortcut):
    with placeholders():
        model = resnet_cifar.residual("other", (depth - 2) // 6, shortcut, (32, 32, 3), 10, True, None)
    assert counts(model)[1:] == DEPTHS[depth]


@pytest.mark.parametrize(
    ("name", "variant", "trainable", "statistics"),
    [
        ("resnet20", "B", 272_474, 1_568),
        ("resnet56", "B", 855_770, 4_256),
        ("resnet110", "B", 1_730_714, 8_288),
        ("preact110", "A", 1_727_962, 8_096),
        ("preact164", "B", 1_703_258, 24_224),
    ],
)
def test_parameters(name, variant, trainable, statistics):
    model = build(name, variant)
    assert counts(model)[1:] == (trainable, statistics) and model.name == name


def test_preact_1001():
    with placeholders():
        shape = (32, 32, 3)
        model = resnet_cifar.preactivated("other", 111, resnet_cifar.unit_bottleneck, 4, "B", shape, 10, True, None)
    assert counts(model)[1:] == (10_327_706, 149_216)


def test_defaults():
    assert counts(build("resnet20")) == counts(build("resnet20", "A"))
    assert counts(build("preact164")) == counts(build("preact164", "B"))


def test_layers_by_type():
    assert kinds(build("resnet20")) == "Act19 Add9 BN19 Conv19 Dense1 GAP1 In1 PadShortcut2 ZPad2"
    assert kinds(build("plain20")) == "Act19 BN19 Conv19 Dense1 GAP1 In1 ZPad2"


@pytest.mark.parametrize("name", ["resnet20", "plain20", "preact110", "preact164"])
@pytest.mark.parametrize(("shape", "last"), [((32, 32, 3), (8, 8)), ((8, 8, 1), (2, 2)), ((9, 30, 2), (3, 8))])
def test_sizes(name, shape, last):
    model = build(name, input_shape=shape, include_top=False)
    assert model.output.shape[1:3] == last
    assert build(name, input_shape=shape, classes=7).output.shape == (None, 7)


def test_a_strided_convolution_sees_the_pixels_that_the_shortcut_keeps():
    """An image that is 0 but at one even pixel: both paths of a block that halves it move it to the same place."""
    x = layers.Input((8, 8, 1))
    model = Model(x, resnet_cifar.conv(x, 1, 3, 2, name="c"))
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.set_weights([kernel])
    image = np.zeros((1, 8, 8, 1))
    image[0, 4, 6] = 1
    shortcut = layers.PadShortcut(1)
    np.testing.assert_array_equal(model(image).data, shortcut(image).data)
    assert model(image).data[0, 2, 3] == 1


def test_it_learns():
    """A few steps on images of the digits' shape lower the loss."""
    config.set_random_seed(0)
    model = zoo.build("resnet20", input_shape=(8, 8, 1))
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 8, 8, 1)), np.arange(16) % 10
    losses = [float(np.ravel(model.train_on_batch(x, y))[0]) for _ in range(5)]
    assert losses[-1] < losses[0]
