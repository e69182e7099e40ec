"""ResNets for small images. He et al. 2015, arXiv:1512.03385, section 4.2; pre-activated: 2016, arXiv:1603.05027.

A 3x3 with 16 filters, three stages of n units with 16, 32 and 64 filters on 32, 16 and 8 pixels, and a dense layer:
6n + 2 layers of basic units, 9n + 2 of bottlenecks. Shortcut "A" has no weights: every second pixel, and zeros for the
new channels. So a plain network, the same without its shortcuts, has exactly the parameters of the residual one: only
the sums are missing. Shortcut "B" is a 1x1 where the shape changes.

Keras and torchvision have none of these. The papers' Torch code agrees: zeros on both sides of a strided 3x3, which so
looks at the pixels that the shortcut keeps ("same" would look at the others), weights that begin as He et al. 2015,
arXiv:1502.01852, say, and moving statistics with a momentum of 0.9.
"""

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import averaged_top, images

WIDTHS = (16, 32, 64)  # of the stages conv2, conv3, conv4
EPSILON, MOMENTUM = 1e-5, 0.9

PAPER = "He et al. 2015, arXiv:1512.03385, section 4.2"
PAPER_V2 = "He et al. 2016, arXiv:1603.05027, Table 2 and appendix"


@register(PAPER, ("A", "B"))
def resnet20(variant="A", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 3; 271,098 parameters ("B": 274,042)."""
    return residual("resnet20", 3, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("A", "B"))
def resnet32(variant="A", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 5; 466,426 parameters ("B": 469,370)."""
    return residual("resnet32", 5, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("A", "B"))
def resnet44(variant="A", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 7; 661,754 parameters ("B": 664,698)."""
    return residual("resnet44", 7, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("A", "B"))
def resnet56(variant="A", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 9; 857,082 parameters ("B": 860,026)."""
    return residual("resnet56", 9, variant, input_shape, classes, include_top, pooling)


@register(PAPER, ("A", "B"))
def resnet110(variant="A", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 18; 1,736,058 parameters ("B": 1,739,002)."""
    return residual("resnet110", 18, variant, input_shape, classes, include_top, pooling)


@register(PAPER)
def plain20(input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """resnet20 without shortcuts."""
    return residual("plain20", 3, None, input_shape, classes, include_top, pooling)


@register(PAPER)
def plain32(input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """resnet32 without shortcuts."""
    return residual("plain32", 5, None, input_shape, classes, include_top, pooling)


@register(PAPER)
def plain44(input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """resnet44 without shortcuts."""
    return residual("plain44", 7, None, input_shape, classes, include_top, pooling)


@register(PAPER)
def plain56(input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """resnet56 without shortcuts."""
    return residual("plain56", 9, None, input_shape, classes, include_top, pooling)


@register(PAPER)
def plain110(input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """resnet110 without shortcuts."""
    return residual("plain110", 18, None, input_shape, classes, include_top, pooling)


@register(PAPER_V2, ("A", "B"))
def preact110(variant="A", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 18 basic units, activated before their convolutions; 1,736,058 parameters ("B": 1,738,618)."""
    return preactivated("preact110", 18, unit_basic, 1, variant, input_shape, classes, include_top, pooling)


@register(PAPER_V2, ("B", "A"))
def preact164(variant="B", input_shape=(32, 32, 3), classes=10, include_top=True, pooling=None):
    """n = 18 bottlenecks, activated before their convolutions; 1,727,482 parameters ("A": 1,685,498)."""
    return preactivated("preact164", 18, unit_bottleneck, 4, variant, input_shape, classes, include_top, pooling)


# The networks of 2015 -------------------------------------------------------------------------------------------------


def residual(name, n, shortcut, input_shape, classes, include_top, pooling):
    """3 x n units of two 3x3. shortcut: "A", "B", or None for the plain network."""
    x = inputs = images(name, input_shape, smallest=1)
    x = conv(x, 16, 3, name="conv1")  # 32 x 32 x 16
    x = bn_relu(x, "conv1")
    for stage, filters in enumerate(WIDTHS, start=2):
        for i in range(1, n + 1):
            strides = 2 if stage > 2 and i == 1 else 1
            x = unit(x, filters, strides, shortcut, name=f"conv{stage}_block{i}")  # 32 x 32, 16 x 16, 8 x 8
    x = averaged_top(x, classes, include_top, pooling, names={"avg": "avg_pool", "max": "max_pool"})
    return Model(inputs, x, name=name)


def unit(x: Symbol, filters: int, strides: int, shortcut: str | None, *, name: str) -> Symbol:
    """3x3, batch norm, ReLU, 3x3, batch norm; the sum; ReLU."""
    y = conv(x, filters, 3, strides, name=f"{name}_1")
    y = bn_relu(y, f"{name}_1")
    y = conv(y, filters, 3, name=f"{name}_2")
    y = bn(y, f"{name}_2")
    if shortcut == "B" and strides > 1:
        x = bn(conv(x, filters, 1, strides, name=f"{name}_0"), f"{name}_0")
    elif shortcut == "A" and strides > 1:
        x = layers.PadShortcut(filters, strides, name=f"{name}_0_shortcut")(x)
    if shortcut is not None:
        y = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=f"{name}_out")(y)


# The networks of 2016 -------------------------------------------------------------------------------------------------


def preactivated(name, n, unit, expansion, shortcut, input_shape, classes, include_top, pooling):
    """3 x n units; the first activation stands before the first split, the last one behind the last sum (appendix)."""
    x = inputs = images(name, input_shape, smallest=1)
    x = conv(x, 16, 3, name="conv1")  # 32 x 32 x 16
    x = activated = bn_relu(x, "conv1")
    for stage, filters in enumerate(WIDTHS, start=2):
        for i in range(1, n + 1):
            block, strides = f"conv{stage}_block{i}", 2 if stage > 2 and i == 1 else 1
            if (stage, i) != (2, 1):
                activated = bn_relu(x, f"{block}_preact")
            y = unit(activated, filters, strides, name=block)
            if strides > 1 or x.shape[3] != filters * expansion:
                x = changed(x, activated, filters * expansion, strides, shortcut, name=f"{block}_0")
            x = layers.Add(name=f"{block}_out")([x, y])  # 32 x 32, 16 x 16, 8 x 8
    x = bn_relu(x, "post")
    x = averaged_top(x, classes, include_top, pooling, names={"avg": "avg_pool", "max": "max_pool"})
    return Model(inputs, x, name=name)


def unit_basic(x: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """What an activated x goes through: 3x3, batch norm, ReLU, 3x3."""
    x = conv(x, filters, 3, strides, name=f"{name}_1")
    x = bn_relu(x, f"{name}_1")
    return conv(x, filters, 3, name=f"{name}_2")


def unit_bottleneck(x: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """What an activated x goes through: 1x1, 3x3 and 1x1 to 4 filters, batch norm and ReLU between them."""
    x = conv(x, filters, 1, name=f"{name}_1")
    x = bn_relu(x, f"{name}_1")
    x = conv(x, filters, 3, strides, name=f"{name}_2")
    x = bn_relu(x, f"{name}_2")
    return conv(x, 4 * filters, 1, name=f"{name}_3")


def changed(x: Symbol, activated: Symbol, filters: int, strides: int, shortcut: str, *, name: str) -> Symbol:
    """The shortcut where the shape changes. "A" takes x itself, which no ReLU touches; "B" the activated x."""
    if shortcut == "A":
        return layers.PadShortcut(filters, strides, name=f"{name}_shortcut")(x)
    return conv(activated, filters, 1, strides, name=name)


# Parts ----------------------------------------------------------------------------------------------------------------


def conv(
    x: Symbol, filters: int, size: int, strides: int = 1, *, name: str, use_bias: bool = False, kernel="he_normal"
) -> Symbol:
    """A convolution, without bias unless asked for, that keeps the size, or halves it. kernel: how it begins."""
    padding = "same"
    if strides > 1:
        padding = "valid"
        if size > 1:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters, size, strides, padding, use_bias=use_bias, kernel_initializer=kernel, name=f"{name}_conv"
    )(x)


def bn(x: Symbol, name: str, gamma: str = "ones") -> Symbol:
    """Batch norm. gamma: how its scale begins."""
    return layers.BatchNormalization(epsilon=EPSILON, momentum=MOMENTUM, gamma_initializer=gamma, name=f"{name}_bn")(x)


def bn_relu(x: Symbol, name: str) -> Symbol:
    """Batch norm, then ReLU."""
    return layers.Activation("relu", name=f"{name}_relu")(bn(x, name))
