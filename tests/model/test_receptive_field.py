"""Receptive fields: against the pixels from which a gradient arrives, by hand, and what cannot be said."""

import numpy as np
import pytest

from minicnn import layers, zoo
from minicnn.layers.initializers import placeholders
from minicnn.model import Model
from minicnn.model.receptive_field import ReceptiveField, receptive_fields
from minicnn.tensor import Tensor
from minicnn.zoo import resnet_cifar


def seen(model, unit):
    """((first, last) row, (first, last) column) of the pixels that the last layer's unit has a gradient for.

    All kernels are positive, so that nothing cancels; activations see no negative number.
    """
    for weight in model.weights:
        weight.assign(
            np.ones(weight.shape) if weight.ndim < 4 else np.full(weight.shape, 1 / np.prod(weight.shape[:3]))
        )
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
    image = Tensor(np.ones((1, *model.input_shape[1:])), requires_grad=True)
    y = model(image)
    dy = np.zeros(y.shape)
    dy[0, unit[0], unit[1]] = 1
    y.backward(dy)
    rows, columns = np.nonzero(np.abs(image.grad[0]).sum(axis=2))
    return (rows.min(), rows.max()), (columns.min(), columns.max())


def said(field: ReceptiveField, unit):
    """The same from the formulas."""
    return tuple(
        (a.first + i * a.jump, a.last + i * a.jump) for a, i in zip((field.tall, field.wide), unit, strict=True)
    )


def chain(x):
    """Windows of every kind: stride, dilation, "same" on odd and even sizes, padding and cropping, pools."""
    x = layers.Conv2D(2, (3, 5), strides=(2, 1), padding="same")(x)
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    x = layers.DepthwiseConv2D(3, dilation_rate=(2, 3))(x)
    x = layers.AveragePooling2D((2, 3), strides=(2, 2), padding="same")(x)
    x = layers.Cropping2D(((2, 1), (1, 0)))(x)
    x = layers.SeparableConv2D(3, (2, 4), padding="same")(x)
    return layers.Activation("relu")(x)


def inception(x):
    """Paths of different lengths, and a concatenation."""
    a = layers.Conv2D(2, 1)(x)
    b = layers.Conv2D(2, (1, 7), padding="same")(layers.Conv2D(2, 3, padding="same")(x))
    c = layers.Conv2D(2, (5, 1), padding="same")(layers.AveragePooling2D(3, 1, padding="same")(x))
    x = layers.Concatenate()([a, b, c])
    return layers.Conv2D(1, 2, strides=2)(x * 2 + 1)


def nested(x):
    """A model as a layer, twice."""
    inner = layers.Input((None, None, 2))
    block = Model(inner, layers.Conv2D(2, 3, padding="same")(inner))
    return block(layers.AveragePooling2D(2)(block(layers.Conv2D(2, 1)(x))))


@pytest.mark.parametrize(
    ("make", "shape", "unit"),
    [
        (chain, (61, 50, 2), (5, 8)),
        (chain, (64, 51, 2), (6, 9)),
        (inception, (24, 31, 1), (5, 7)),
        (nested, (16, 19, 1), (4, 4)),
    ],
)
def test_where_the_gradient_arrives(make, shape, unit):
    x = layers.Input(shape)
    model = Model(x, make(x))
    field = receptive_fields(model)[model.output.name]
    assert seen(model, unit) == said(field, unit)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_small_resnet(shortcut):
    model = resnet_cifar.residual("resnet8", 1, shortcut, (96, 100, 1), 10, False, None)
    fields = receptive_fields(model)
    field = fields["conv4_block1_out"]
    assert seen(model, (12, 13)) == said(field, (12, 13))
    assert field.size == (3 + 4 + 2 + 4 + 4 + 8,) * 2 and field.jump == (4, 4)


@pytest.mark.parametrize(
    ("name", "variant", "layer", "size", "jump", "offset"),
    [
        ("vgg16", None, "block5_conv3", 196, 16, 7.5),
        ("vgg16", None, "block5_pool", 212, 32, 15.5),
        ("resnet50", "keras", "conv1_conv", 7, 2, 0.0),
        ("resnet50", "keras", "pool1_pool", 11, 4, 0.0),
        ("resnet50", "torch", "conv5_block3_out", 427, 32, 0.0),
        ("resnet101", "torch", "conv5_block3_out", 971, 32, 0.0),
        ("resnet50v2", "keras", "post_relu", 483, 32, 0.0),
        ("resnet101v2", "keras", "post_relu", 1027, 32, 0.0),
        ("resnet152v2", "keras", "post_relu", 1507, 32, 0.0),
    ],
)
def test_known_networks(name, variant, layer, size, jump, offset):
    """Araujo et al. 2019, Table 1: VGG-16 212; TF-slim's ResNets, strided as Keras's v2, 483, 1027 and 1507."""
    with placeholders():
        field = receptive_fields(zoo.build(name, variant))[layer]
    assert (field.size, field.jump, field.offset) == ((size, size), (jump, jump), (offset, offset))


def test_the_end_sees_the_whole_image():
    with placeholders():
        fields = receptive_fields(zoo.build("lenet5"))
    assert fields["predictions"] == fields["flatten"] and fields["flatten"].jump == (0, 0)
    assert fields["flatten"].size == (44, 44)  # 32 pixels, and 6 of padding on each side


def test_what_cannot_be_said():
    x = layers.Input((8, 8, 1))
    odd = layers.Lambda(lambda t: t[:, ::2, ::2], name="odd")(x)
    with pytest.raises(ValueError, match="odd: how does a Lambda look at its input"):
        receptive_fields(Model(x, odd))
    with pytest.raises(ValueError, match="how does a Concatenate look"):
        receptive_fields(Model(x, layers.Concatenate(1)([x, x])))
    with pytest.raises(ValueError, match="units lie 2 pixels apart on one path and 1 on another"):
        receptive_fields(Model(x, layers.Add()([layers.Conv2D(1, 1, strides=2)(x), layers.Conv2D(1, 5)(x)])))
    with pytest.raises(ValueError, match="needs? one input of images, got"):
        receptive_fields(Model([x, layers.Input((8, 8, 1))], x))
    anything = layers.Input((None, None, 1))
    with pytest.raises(ValueError, match="the zeros of 'same' depend on the size"):
        receptive_fields(Model(anything, layers.Conv2D(1, 3, strides=2, padding="same")(anything)))
    with pytest.raises(ValueError, match="how many there are is not known"):
        receptive_fields(Model(anything, layers.GlobalAveragePooling2D()(anything)))
