"""Inception-ResNet v1 and v2. Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261, Figs 10 to 19.

v2 "keras" is what TF-slim, Keras, timm and Cadene build: the stem of Inception v3 and a module behind it instead of the
paper's stem, 10, 20 and 10 blocks, the last of them without ReLU, then a 1x1 convolution to 1536 channels. Names are
Keras's. v2 "paper" follows the figures; blocks=(5, 10, 5) is what Fig. 15 draws, 10, 20, 10 what was released. Figures
17 and 19 print 1154 and 2048 channels, where the concatenations in front of them have 1152 and 2144.

v1 follows the figures. Its port facenet has the same widths, a sixth block C without ReLU, and batch norms with gamma.

Section 3.3 scales residuals by 0.1 to 0.3 and does not say which; the scales are TF-slim's. A block's last convolution
is linear, with a bias and no batch norm (section 3.2).
"""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import inception_v3, inception_v4, register
from minicnn.zoo.inception_v3 import average, chain, conv_bn
from minicnn.zoo.top import averaged_top, check_pooling, images

# The branches of a block, each a chain of (filters, size)
V1: dict[str, list] = {
    "A": [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (32, 3), (32, 3)]],  # Fig. 10
    "B": [[(128, 1)], [(128, 1), (128, (1, 7)), (128, (7, 1))]],  # Fig. 11
    "C": [[(192, 1)], [(192, 1), (192, (1, 3)), (192, (3, 1))]],  # Fig. 13
}
V2: dict[str, list] = {
    "A": [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]],  # Fig. 16
    "B": [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]],  # Fig. 17
    "C": [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]],  # Fig. 19
}
SCALES = {"A": 0.17, "B": 0.10, "C": 0.20}
KERAS_NAMES = {"A": "block35", "B": "block17", "C": "block8"}
PAPER = "Szegedy et al. 2016, arXiv:1602.07261, "


@register(paper=PAPER + "Figs 10 to 15")
def inception_resnet_v1(
    input_shape=(299, 299, 3), classes=1000, include_top=True, pooling=None, blocks=(5, 10, 5)
):
    """Inception-ResNet-v1: 22,769,848 parameters. blocks: how many A, B and C there are."""
    check_pooling(pooling)
    x = inputs = images("inception_resnet_v1", input_shape, smallest=75)
    x = stem_v1(x)  # 35 x 35 x 256
    x = repeat(x, V1, "A", blocks[0])
    x = inception_v4.reduction_a(x, 192, 192, 256, 384, name="reduction_a")  # 17 x 17 x 896
    x = repeat(x, V1, "B", blocks[1])
    x = reduction_b(x, (256, 256), (256, 256, 256), name="reduction_b")  # 8 x 8 x 1792
    x = repeat(x, V1, "C", blocks[2])
    return Model(inputs, averaged_top(x, classes, include_top, pooling, dropout=0.2), name="inception_resnet_v1")


@register(paper=PAPER + "Figs 3, 7 and 15 to 19", variants=("keras", "paper"))
def inception_resnet_v2(
    variant="keras", input_shape=(299, 299, 3), classes=1000, include_top=True, pooling=None, blocks=(10, 20, 10)
):
    """Inception-ResNet-v2: 55,873,736 parameters ("keras") or 55,313,160 ("paper"). blocks: how many A, B and C."""
    check_pooling(pooling)
    keras = variant == "keras"
    x = inputs = images("inception_resnet_v2", input_shape, smallest=75)
    x = stem_keras(x) if keras else inception_v4.stem(x)  # 35 x 35 x 320, or 384
    x = repeat(x, V2, "A", blocks[0])
    x = inception_v4.reduction_a(x, 256, 256, 384, 384, name="mixed_6a")  # 17 x 17 x 1088, or 1152
    x = repeat(x, V2, "B", blocks[1])
    x = reduction_b(x, (256, 288), (256, 288, 320), name="mixed_7a")  # 8 x 8 x 2080, or 2144
    x = repeat(x, V2, "C", blocks[2], last_is_linear=keras)
    if keras:
        x = conv_bn(x, 1536, 1, name="conv_7b")  # 8 x 8 x 1536
    x = averaged_top(x, classes, include_top, pooling, dropout=0.0 if keras else 0.2)
    return Model(inputs, x, name="inception_resnet_v2")


def repeat(x, branches, kind, count, last_is_linear=False):
    """`count` blocks of a kind, the last one with scale 1 and without ReLU if it `is_linear`."""
    for i in range(1, count + 1):
        linear = last_is_linear and i == count
        scale, activation = (1.0, None) if linear else (SCALES[kind], "relu")
        x = block(x, branches[kind], scale, activation, name=f"{KERAS_NAMES[kind]}_{i}")
    return x


def block(x, branches, scale, activation="relu", *, name):
    """x + scale * residual, then ReLU: the residual is an inception module that ends in x's number of channels.

    branches: of V1 or V2.
    """
    mixed = layers.Concatenate(name=f"{name}_mixed")([chain(x, *branch) for branch in branches])
    up = layers.Conv2D(x.shape[-1], 1, padding="same", name=f"{name}_conv")(mixed)
    x = layers.ScaledAdd(scale)([x, up])
    return layers.Activation(activation, name=f"{name}_ac")(x) if activation else x


def stem_v1(x):
    """Fig. 14."""
    x = chain(x, (32, 3, 2, "valid"), (32, 3, 1, "valid"), (64, 3))  # 149 x 149 x 32, 147 x 147 x 32, 147 x 147 x 64
    x = layers.MaxPooling2D(3, strides=2)(x)  # 73 x 73 x 64
    return chain(x, (80, 1), (192, 3, 1, "valid"), (256, 3, 2, "valid"))  # 73 x 73 x 80, 71 x 71 x 192, 35 x 35 x 256


def stem_keras(x):
    """Inception v3's, and a module of its kind."""
    x = inception_v3.stem(x)  # 35 x 35 x 192
    branches = [
        chain(x, (96, 1)),
        chain(x, (48, 1), (64, 5)),
        chain(x, (64, 1), (96, 3), (96, 3)),
        chain(average(x), (64, 1)),
    ]
    return layers.Concatenate(name="mixed_5b")(branches)  # 35 x 35 x 320


def reduction_b(x, single, double, *, name):
    """Figs 12 and 18: from 17 x 17 to 8 x 8. single, double: the filters of the ways with one 3x3 and with two."""
    branches = [
        chain(x, (256, 1), (384, 3, 2, "valid")),
        chain(x, (single[0], 1), (single[1], 3, 2, "valid")),
        chain(x, (double[0], 1), (double[1], 3), (double[2], 3, 2, "valid")),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    return layers.Concatenate(name=name)(branches)
