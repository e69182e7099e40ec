"""ResNeXt: torchvision's, timm's and Cadene's figures, and what Keras's old grouped convolution and torch's compute."""

import numpy as np
import pytest

from minicnn import functions, layers
from minicnn.backend import Window
from minicnn.config import config
from minicnn.layers import DepthwiseConv2D
from minicnn.model import Model
from minicnn.tensor import Tensor
from minicnn.zoo import resnext
from tests.checks import assert_close, leaf
from tests.zoo.counting import build, counts


@pytest.mark.parametrize(
    ("name", "variant", "total", "trainable", "statistics"),
    [
        ("resnext50", "32x4d", 25_097_128, 25_028_904, 68_224),
        ("resnext101", "32x4d", 44_315_560, 44_177_704, 137_856),
        ("resnext101", "32x8d", 88_994_216, 88_791_336, 202_880),
        ("resnext101", "64x4d", 83_658_152, 83_455_272, 202_880),
    ],
)
def test_parameters(name, variant, total, trainable, statistics):
    model = build(name, variant)
    assert counts(model) == (total, trainable, statistics) and model.name == name


def test_multiply_adds():
    assert round(build("resnext50").multiply_adds() / 1e9, 3) == 4.230


@pytest.mark.parametrize(
    ("variant", "kernel"), [("32x4d", (3, 3, 8, 256)), ("32x8d", (3, 3, 16, 512)), ("64x4d", (3, 3, 8, 512))]
)
def test_groups(variant, kernel):
    layer = build("resnext50", variant).get_layer("conv3_block2_2_conv")
    assert layer.groups == int(variant[:2]) and layer.kernel.shape == kernel


@pytest.fixture
def double():
    """float64 for the length of a test."""
    before, config.floatx = config.floatx, "float64"
    yield
    config.floatx = before


@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise_with_frozen_ones(rng, double, strides):
    """keras_applications: a depthwise kernel D (3, 3, F, c), then sums in a group. W[p,q,j,i] = D[p,q,(i//c)c+j,i%c]"""
    filters, c = 12, 3
    depthwise = DepthwiseConv2D(3, strides, depth_multiplier=c, use_bias=False)
    x = rng.normal(size=(2, 9, 8, filters))
    many = depthwise(x).data  # (2, OH, OW, filters * c)
    n, oh, ow, _ = many.shape
    expected = many.reshape(n, oh, ow, filters // c, c, c).sum(axis=4).reshape(n, oh, ow, filters)
    d = depthwise.kernel.data
    w = np.empty((3, 3, c, filters))
    for i in range(filters):
        for j in range(c):
            w[:, :, j, i] = d[:, :, i // c * c + j, i % c]
    grouped = functions.conv2d(Tensor(x), Tensor(w), None, Window((strides, strides), groups=filters // c))
    assert_close(grouped.data, expected, tol=1e-14)


@pytest.mark.parametrize("strides", [1, 2])
def test_block_against_torch(rng, double, strides):
    """One block, forward and every gradient, in training: torch has real grouped convolutions."""
    torch = pytest.importorskip("torch")
    x = layers.Input((9, 8, 10))
    model = Model(x, resnext.block(x, 12, 20, 4, strides, name="b"))
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, size=weight.shape) * rng.choice([-1.0, 1.0], size=weight.shape))
    nn = torch.nn
    theirs = {
        "b_0": (nn.Conv2d(10, 20, 1, strides, bias=False), nn.BatchNorm2d(20, eps=1.001e-5)),
        "b_1": (nn.Conv2d(10, 12, 1, bias=False), nn.BatchNorm2d(12, eps=1.001e-5)),
        "b_2": (nn.Conv2d(12, 12, 3, strides, padding=1, groups=4, bias=False), nn.BatchNorm2d(12, eps=1.001e-5)),
        "b_3": (nn.Conv2d(12, 20, 1, bias=False), nn.BatchNorm2d(20, eps=1.001e-5)),
    }
    pairs = {}
    for name, (conv, bn) in theirs.items():
        ours, norm = model.get_layer(f"{name}_conv"), model.get_layer(f"{name}_bn")
        conv.double().weight.data = torch.tensor(ours.kernel.data.transpose(3, 2, 0, 1).copy())
        bn.double().weight.data = torch.tensor(norm.gamma.data.copy())
        bn.bias.data = torch.tensor(norm.beta.data.copy())
        pairs |= {ours.kernel: conv.weight, norm.gamma: bn.weight, norm.beta: bn.bias}
    data = rng.normal(size=(3, 9, 8, 10))
    image = torch.tensor(data.transpose(0, 3, 1, 2).copy(), requires_grad=True)

    def run(name, value):
        conv, bn = theirs[name]
        return bn(conv(value))

    branch = run("b_3", torch.relu(run("b_2", torch.relu(run("b_1", image)))))
    expected = torch.relu(run("b_0", image) + branch)
    ours = leaf(np, data)
    y = model(ours, training=True)
    dy = rng.normal(size=y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2).copy()))
    assert_close(y.data, expected.detach().numpy().transpose(0, 2, 3, 1), tol=1e-12)
    assert_close(ours.grad, image.grad.numpy().transpose(0, 2, 3, 1), tol=1e-11)
    for weight, parameter in pairs.items():
        gradient = parameter.grad.numpy()
        assert_close(weight.grad, gradient.transpose(2, 3, 1, 0) if gradient.ndim == 4 else gradient, tol=1e-11)
