"""ResNet v2. He, Zhang, Ren, Sun 2016: Identity Mappings in Deep Residual Networks, arXiv:1603.05027, Fig. 1(b).

The activation moves before the convolution, so that nothing stands on the path from one addition to the next.

    =====================  ========================================  ==========================================
    variant                keras (= notebook 003 = TF-slim's order)  paper (= fb.resnet.torch; timm's counts)
    =====================  ========================================  ==========================================
    stem                   7x7 with bias, max pool                   7x7, batch norm, ReLU, max pool
    stride of a stage      in its last unit (none in conv5)          in its first unit (none in conv2)
    identity past it       every second pixel                        a projection
    conv5_x works on       7 x 7                                     7 x 7
    bias                   stem, projections, restoring 1x1          none
    max pool's zeros       count: nothing before them is a ReLU      never win: they stand behind a ReLU
    =====================  ========================================  ==========================================

timm has the first batch norm after the max pool, in the first unit: as many parameters, another function.
"""

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import averaged_top, images

# Units of conv2_x .. conv5_x, as in ResNet v1, and their width; the output has four times as many channels.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)
EPSILON = 1.001e-5  # Keras's; the paper's is 1e-5

PAPER = "He et al. 2016, arXiv:1603.05027"
VARIANTS = ("keras", "paper")


@register(PAPER, VARIANTS)
def resnet50v2(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """50 layers; 25,613,800 parameters ("paper": 25,594,792)."""
    return resnet_v2(50, variant, input_shape, classes, include_top, pooling)


@register(PAPER, VARIANTS)
def resnet101v2(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """101 layers; 44,675,560 parameters ("paper": 44,639,144)."""
    return resnet_v2(101, variant, input_shape, classes, include_top, pooling)


@register(PAPER, VARIANTS)
def resnet152v2(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """152 layers; 60,380,648 parameters ("paper": 60,328,872)."""
    return resnet_v2(152, variant, input_shape, classes, include_top, pooling)


def resnet_v2(depth, variant, input_shape, classes, include_top, pooling):
    """The network of that depth. pooling: without its top, None, "avg" or "max". Raises ValueError for another one."""
    x = inputs = images(f"resnet{depth}v2", input_shape, smallest=1)
    x = {"keras": features_keras, "paper": features_paper}[variant](x, DEPTHS[depth])
    x = averaged_top(x, classes, include_top, pooling, names={"avg": "avg_pool", "max": "max_pool"})
    return Model(inputs, x, name=f"resnet{depth}v2")


# "keras" --------------------------------------------------------------------------------------------------------------


def features_keras(x: Symbol, depth: tuple[int, ...]) -> Symbol:
    """Everything before the global average. Sizes are those of 224 x 224 images."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)  # 230 x 230 x 3
    x = layers.Conv2D(64, 7, strides=2, name="conv1_conv")(x)  # 112 x 112 x 64
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # 56 x 56 x 64
    for stage, (filters, units) in enumerate(zip(WIDTHS, depth, strict=True), start=2):
        for i in range(1, units + 1):
            strides = 2 if stage < 5 and i == units else 1
            x = unit_keras(x, filters, strides, project=i == 1, name=f"conv{stage}_block{i}")  # 28, 14, 7, 7
    return bn_relu(x, "post")


def unit_keras(x: Symbol, filters: int, strides: int, *, project: bool, name: str) -> Symbol:
    """Batch norm and ReLU; 1x1, 3x3, 1x1. The projection shares the first activation."""
    y = bn_relu(x, f"{name}_preact")
    if project:
        x = layers.Conv2D(4 * filters, 1, strides, name=f"{name}_0_conv")(y)
    elif strides > 1:
        x = layers.MaxPooling2D(1, strides)(x)
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(y)
    y = bn_relu(y, f"{name}_1")
    y = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(y)
    y = layers.Conv2D(filters, 3, strides, use_bias=False, name=f"{name}_2_conv")(y)
    y = bn_relu(y, f"{name}_2")
    y = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y)
    return layers.Add(name=f"{name}_out")([x, y])


# "paper" --------------------------------------------------------------------------------------------------------------


def features_paper(x: Symbol, depth: tuple[int, ...]) -> Symbol:
    """Everything before the global average."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)  # 230 x 230 x 3
    x = conv(x, 64, 7, strides=2, name="conv1")  # 112 x 112 x 64
    x = bn_relu(x, "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)  # 56 x 56 x 64
    for stage, (filters, units) in enumerate(zip(WIDTHS, depth, strict=True), start=2):
        for i in range(1, units + 1):
            first = i == 1
            strides = 2 if stage > 2 and first else 1
            activate = (stage, i) != (2, 1)  # that one "right after conv1 and before splitting" (appendix)
            name = f"conv{stage}_block{i}"
            x = unit_paper(x, filters, strides, activate=activate, project=first, name=name)  # 56, 28, 14, 7
    return bn_relu(x, "post")


def unit_paper(x: Symbol, filters: int, strides: int, *, activate: bool, project: bool, name: str) -> Symbol:
    """Batch norm and ReLU; 1x1, 3x3 with the stride, 1x1. The projection shares the first activation."""
    y = bn_relu(x, f"{name}_preact") if activate else x
    if project:
        x = conv(y, 4 * filters, 1, strides, name=f"{name}_0")
    y = conv(y, filters, 1, name=f"{name}_1")
    y = bn_relu(y, f"{name}_1")
    y = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(y)
    y = conv(y, filters, 3, strides, name=f"{name}_2")
    y = bn_relu(y, f"{name}_2")
    y = conv(y, 4 * filters, 1, name=f"{name}_3")
    return layers.Add(name=f"{name}_out")([x, y])


def conv(x: Symbol, filters: int, size: int, strides: int = 1, *, name: str) -> Symbol:
    """A convolution without padding and without bias."""
    return layers.Conv2D(filters, size, strides, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)


def bn_relu(x: Symbol, name: str) -> Symbol:
    """Batch norm, then ReLU."""
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)
