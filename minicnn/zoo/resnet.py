"""ResNet v1. He, Zhang, Ren, Sun 2015: Deep Residual Learning for Image Recognition, arXiv:1512.03385, Table 1, Fig. 5.

The paper, its Caffe files and the libraries build the same blocks and differ around them:

    =====================  =============  =======  ===========  ===========  ===================
    variant                (paper)        keras    torch        notebook003  notebook002
    =====================  =============  =======  ===========  ===========  ===================
    of                     He et al.      Keras 3  torchvision  notebook     notebook
    bottleneck's stride    first 1x1      1x1      3x3 ("1.5")  1x1          1x1
    convolutions' bias     no             yes      no           yes          yes
    batch norm's epsilon   1e-5           1.001e-5 1e-5         1e-3         1e-3
    first 7x7 pads         3, 3           3, 3     3, 3         2, 3         3, 3
    max pool pads          0, 1           1, 1     1, 1         0, 1         0, 0 (55 x 55)
    ReLU after the stem    yes            yes      yes          no           yes
    ReLU after a first 3x3 yes            yes      yes          no           yes
    head                   average, fc    same     same         same         average 2x2, fc on 3 x 3 x 2048
    =====================  =============  =======  ===========  ===========  ===================

Keras has no 18 and 34: "keras" builds them by its conventions (biases, names, explicit zeros where a 3x3 has a stride).
torchvision's moving variance is the unbiased one; ours, as Keras's, is the biased one.
"""

from dataclasses import dataclass
from typing import Any

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.layers.initializers import VarianceScaling
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import averaged_top, images, pooled

# Table 1: how many blocks conv2_x, conv3_x, conv4_x and conv5_x have, and how wide they are.
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)  # a bottleneck's output has four times as many channels

PAPER = "He et al. 2015, arXiv:1512.03385, Table 1"


@dataclass(frozen=True)
class Convention:
    """Where Keras and torchvision part."""

    use_bias: bool
    epsilon: float
    momentum: float  # torch's 0.1 is Keras's 0.9
    strided: int  # the convolution of a bottleneck that has the stride: 1, as in the paper, or 2
    initializer: Any


CONVENTIONS = {
    "keras": Convention(True, 1.001e-5, 0.99, strided=1, initializer="glorot_uniform"),
    "torch": Convention(False, 1e-5, 0.9, strided=2, initializer=VarianceScaling(2, "fan_out", "untruncated_normal")),
}


@register(PAPER, ("keras", "torch", "notebook003"))
def resnet18(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """18 layers with weights on the longest path; 11,703,912 parameters ("torch": 11,699,112)."""
    return resnet(18, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("keras", "torch", "notebook003"))
def resnet34(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """34 layers; 21,823,208 parameters ("torch": 21,814,696)."""
    return resnet(34, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("keras", "torch", "notebook003", "notebook002"))
def resnet50(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """50 layers, in bottlenecks; 25,636,712 parameters ("torch": 25,610,152, "notebook002": 42,020,712)."""
    return resnet(50, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("keras", "torch", "notebook003"))
def resnet101(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """101 layers; 44,707,176 parameters ("torch": 44,654,504)."""
    return resnet(101, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("keras", "torch", "notebook003"))
def resnet152(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """152 layers; 60,419,944 parameters ("torch": 60,344,232)."""
    return resnet(152, variant, input_shape, classes, include_top, pooling)


def resnet(depth, variant, input_shape, classes, include_top, pooling):
    """The network of that depth. pooling: without its top, None, "avg" or "max".

    Raises ValueError for another pooling, and for images that leave nothing to a layer.
    """
    x = inputs = images(f"resnet{depth}", input_shape, smallest=1)
    if variant == "notebook003":
        x = features_003(x, depth)
        if include_top:
            x = layers.GlobalAveragePooling2D()(x)
            x = layers.Dense(classes, activation="softmax")(x)
        else:
            x = pooled(x, pooling)
    elif variant == "notebook002":
        x = top_002(features_002(x), classes) if include_top else pooled(features_002(x), pooling)
    else:
        x = features(x, depth, CONVENTIONS[variant])
        x = averaged_top(x, classes, include_top, pooling, names={"avg": "avg_pool", "max": "max_pool"})
    return Model(inputs, x, name=f"resnet{depth}")


# "keras" and "torch" --------------------------------------------------------------------------------------------------


def features(x: Symbol, depth: int, how: Convention) -> Symbol:
    """Everything before the global average: Table 1's column for this depth. Sizes are those of 224 x 224 images."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)  # 230 x 230 x 3
    x = conv_bn(x, 64, 7, how, strides=2, name="conv1")  # 112 x 112 x 64
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # 56 x 56 x 64
    block = basic if depth < 50 else bottleneck
    for stage, (filters, blocks) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True), start=2):
        for i in range(1, blocks + 1):
            strides = 2 if stage > 2 and i == 1 else 1
            x = block(x, filters, strides, how, name=f"conv{stage}_block{i}")  # 56, 28, 14, 7
    return x


def basic(x: Symbol, filters: int, strides: int, how: Convention, *, name: str) -> Symbol:
    """Two 3x3 (Fig. 5, left): filters, filters."""
    shortcut = projection(x, filters, strides, how, name=name)
    if strides > 1:  # zeros on both sides: "same" would see the other pixels than the shortcut does
        x = layers.ZeroPadding2D(1, name=f"{name}_1_pad")(x)
    x = conv_bn(x, filters, 3, how, strides, "valid" if strides > 1 else "same", name=f"{name}_1")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = conv_bn(x, filters, 3, how, padding="same", name=f"{name}_2")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def bottleneck(x: Symbol, filters: int, strides: int, how: Convention, *, name: str) -> Symbol:
    """1x1 reduce, 3x3, 1x1 restore (Fig. 5, right): filters, filters, 4 filters."""
    shortcut = projection(x, 4 * filters, strides, how, name=name)
    first, second = (strides, 1) if how.strided == 1 else (1, strides)
    x = conv_bn(x, filters, 1, how, first, name=f"{name}_1")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    if second > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = conv_bn(x, filters, 3, how, second, "valid" if second > 1 else "same", name=f"{name}_2")
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = conv_bn(x, 4 * filters, 1, how, name=f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def projection(x: Symbol, filters: int, strides: int, how: Convention, *, name: str) -> Symbol:
    """Shortcut B (section 3.3): x itself, and a 1x1 where the shape changes."""
    if strides == 1 and x.shape[3] == filters:
        return x
    return conv_bn(x, filters, 1, how, strides, name=f"{name}_0")


def conv_bn(x: Symbol, filters: int, size: int, how: Convention, strides=1, padding="valid", *, name: str) -> Symbol:
    """A convolution and its batch norm."""
    x = layers.Conv2D(
        filters, size, strides, padding, use_bias=how.use_bias, kernel_initializer=how.initializer, name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(epsilon=how.epsilon, momentum=how.momentum, name=f"{name}_bn")(x)


# "notebook003": no ReLU after the stem nor after a 3x3; layers without names; the branch before the shortcut ----------


def features_003(x: Symbol, depth: int) -> Symbol:
    """The notebook's code, section 5.1."""
    x = conv_bn_003(x, 64, 7, strides=2)  # 112 x 112 x 64
    x = layers.MaxPooling2D(3, 2, padding="same")(x)  # 56 x 56 x 64
    block = basic_003 if depth < 50 else bottleneck_003
    for stage, (filters, blocks) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True), start=2):
        for i in range(1, blocks + 1):
            x = block(x, filters, strides=2 if stage > 2 and i == 1 else 1)  # 56, 28, 14, 7
    return x


def basic_003(x: Symbol, filters: int, strides: int) -> Symbol:
    """Two 3x3 with nothing between them but a batch norm."""
    y = conv_bn_003(x, filters, 3, strides)
    y = conv_bn_003(y, filters, 3)
    return merge_003(y, x, filters, strides)


def bottleneck_003(x: Symbol, filters: int, strides: int) -> Symbol:
    """1x1, ReLU, 3x3, 1x1."""
    y = conv_bn_003(x, filters, 1, strides)
    y = layers.Activation("relu")(y)
    y = conv_bn_003(y, filters, 3)
    y = conv_bn_003(y, 4 * filters, 1)
    return merge_003(y, x, 4 * filters, strides)


def merge_003(y: Symbol, x: Symbol, filters: int, strides: int) -> Symbol:
    """ReLU(y + x), x through a 1x1 where the shape changes."""
    if strides > 1 or x.shape[3] != filters:
        x = conv_bn_003(x, filters, 1, strides)
    return layers.Activation("relu")(layers.Add()([y, x]))


def conv_bn_003(x: Symbol, filters: int, size: int, strides: int = 1) -> Symbol:
    """A "same" convolution and its batch norm."""
    x = layers.Conv2D(filters, size, strides, padding="same")(x)
    return layers.BatchNormalization()(x)


# "notebook002": ResNet-50 alone, with the names of the Caffe files ----------------------------------------------------


def features_002(x: Symbol) -> Symbol:
    """The notebook's code. Its seeds are left out: they would start several kernels with the same numbers."""
    x = layers.ZeroPadding2D(3, name="zero_padding")(x)
    x = layers.Conv2D(64, 7, strides=2, name="conv1")(x)  # 112 x 112 x 64
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D(3, strides=2)(x)  # 55 x 55 x 64
    for stage, (filters, blocks) in enumerate(zip(WIDTHS, DEPTHS[50], strict=True), start=2):
        for letter in "abcdef"[:blocks]:
            strides = 2 if stage > 2 and letter == "a" else 1
            x = bottleneck_002(x, filters, strides, project=letter == "a", name=f"{stage}{letter}")  # 55, 28, 14, 7
    return x


def bottleneck_002(x: Symbol, filters: int, strides: int, *, project: bool, name: str) -> Symbol:
    """res2a_branch2a, 2b, 2c: 1x1, 3x3, 1x1; res2a_branch1: the projection."""

    def conv_bn_002(x, filters, size, branch, strides=1):
        padding = "same" if size > 1 else "valid"
        x = layers.Conv2D(filters, size, strides, padding, name=f"res{name}_branch{branch}")(x)
        return layers.BatchNormalization(name=f"bn{name}_branch{branch}")(x)

    y = conv_bn_002(x, filters, 1, "2a", strides)
    y = layers.Activation("relu")(y)
    y = conv_bn_002(y, filters, 3, "2b")
    y = layers.Activation("relu")(y)
    y = conv_bn_002(y, 4 * filters, 1, "2c")
    if project:
        x = conv_bn_002(x, 4 * filters, 1, "1", strides)
    return layers.Activation("relu")(layers.Add()([y, x]))


def top_002(x: Symbol, classes: int) -> Symbol:
    """The average of 2 x 2 pixels, which drops the last row and column of 7 x 7; a dense layer of 18,432 x classes."""
    x = layers.AveragePooling2D(2, name="avg_pooling")(x)  # 3 x 3 x 2048
    x = layers.Flatten()(x)
    return layers.Dense(classes, activation="softmax", name="softmax")(x)
