"""ResNeXt. Xie, Girshick, Dollar, Tu, He 2017: Aggregated Residual Transformations for Deep Neural Networks.

arXiv:1611.05431, Table 1 and Fig. 3(c): ResNet's bottleneck with its 3x3 cut into groups, and wider. 32x4d says 32
groups of 4 channels in conv2_x, and of twice as many in each following stage.

torchvision, timm and Cadene agree with the paper (stride in the 3x3, no biases); their epsilon is 1e-5, here it is that
of Keras's old `keras_applications`. That computes the same function with a depthwise convolution of 32-fold output and
a frozen 1x1 of zeros and ones, 128 million of them. Its names are kept; `conv2_block1_2_conv` is the grouped one here.
"""

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import averaged_top, images

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (256, 512, 1024, 2048)  # of the outputs of conv2_x .. conv5_x
GROUPS = {"32x4d": (32, 4), "32x8d": (32, 8), "64x4d": (64, 4)}  # cardinality, and channels of a group in conv2_x
EPSILON = 1.001e-5

PAPER = "Xie et al. 2017, arXiv:1611.05431, Table 1"


@register(PAPER, tuple(GROUPS))
def resnext50(variant="32x4d", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """50 layers; 25,097,128 parameters as 32x4d."""
    return resnext(50, variant, input_shape, classes, include_top, pooling)


@register(PAPER, tuple(GROUPS))
def resnext101(variant="32x4d", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """101 layers; 44,315,560 parameters as 32x4d, 88,994,216 as 32x8d, 83,658,152 as 64x4d."""
    return resnext(101, variant, input_shape, classes, include_top, pooling)


def resnext(depth, variant, input_shape, classes, include_top, pooling):
    """The network of that depth. pooling: without its top, None, "avg" or "max". Raises ValueError for another one."""
    groups, width = GROUPS[variant]
    x = inputs = images(f"resnext{depth}", input_shape, smallest=1)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)  # 230 x 230 x 3
    x = conv_bn(x, 64, 7, strides=2, name="conv1")  # 112 x 112 x 64
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # 56 x 56 x 64
    for stage, (filters, blocks) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True), start=2):
        inner = groups * width * 2 ** (stage - 2)
        for i in range(1, blocks + 1):
            strides = 2 if stage > 2 and i == 1 else 1
            x = block(x, inner, filters, groups, strides, name=f"conv{stage}_block{i}")  # 56, 28, 14, 7
    x = averaged_top(x, classes, include_top, pooling, names={"avg": "avg_pool", "max": "max_pool"})
    return Model(inputs, x, name=f"resnext{depth}")


def block(x: Symbol, inner: int, filters: int, groups: int, strides: int, *, name: str) -> Symbol:
    """1x1, grouped 3x3 with the stride, 1x1 (Fig. 3c): inner, inner, filters."""
    shortcut = x
    if strides > 1 or x.shape[3] != filters:
        shortcut = conv_bn(x, filters, 1, strides, name=f"{name}_0")
    x = conv_bn(x, inner, 1, name=f"{name}_1")
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = conv_bn(x, inner, 3, strides, groups, name=f"{name}_2")
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    x = conv_bn(x, filters, 1, name=f"{name}_3")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def conv_bn(x: Symbol, filters: int, size: int, strides: int = 1, groups: int = 1, *, name: str) -> Symbol:
    """A convolution without padding and without bias, and its batch norm."""
    x = layers.Conv2D(
        filters, size, strides, groups=groups, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
