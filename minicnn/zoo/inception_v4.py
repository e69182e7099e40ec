"""Inception v4. Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261, Figs 3 to 9.

TF-slim, Cadene and timm build this network (timm's batch norms have a gamma, 31,584 parameters; TF-slim adds an
auxiliary classifier, which is not in the paper). Where figures and code differ in the order of 1x7 and 7x1, the stem
follows Fig. 3 (7x1 first; TF-slim 1x7 first), and modules follow the code: Fig. 5 prints 1x7 twice in its second
branch, Fig. 6 has 1x3 before 3x1. Fig. 3 leaves out the stride of its last convolution, which its 35 x 35 need.
"""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.inception_v3 import average, chain
from minicnn.zoo.top import averaged_top, check_pooling, images


@register(paper="Szegedy et al. 2016, arXiv:1602.07261, Figs 3 to 9")
def inception_v4(input_shape=(299, 299, 3), classes=1000, include_top=True, pooling=None):
    """Inception v4: 42,711,400 parameters."""
    check_pooling(pooling)
    x = inputs = images("inception_v4", input_shape, smallest=75)
    x = stem(x)  # 35 x 35 x 384
    for i in range(1, 5):
        x = inception_a(x, name=f"inception_a_{i}")
    x = reduction_a(x, 192, 224, 256, 384, name="reduction_a")  # 17 x 17 x 1024
    for i in range(1, 8):
        x = inception_b(x, name=f"inception_b_{i}")
    x = reduction_b(x, name="reduction_b")  # 8 x 8 x 1536
    for i in range(1, 4):
        x = inception_c(x, name=f"inception_c_{i}")
    return Model(inputs, averaged_top(x, classes, include_top, pooling, dropout=0.2), name="inception_v4")


def stem(x):
    """Fig. 3, which is the stem of Inception-ResNet-v2 too."""
    x = chain(x, (32, 3, 2, "valid"), (32, 3, 1, "valid"), (64, 3))  # 149 x 149 x 32, 147 x 147 x 32, 147 x 147 x 64
    branches = [layers.MaxPooling2D(3, strides=2)(x), chain(x, (96, 3, 2, "valid"))]
    x = layers.Concatenate(name="stem_73")(branches)  # 73 x 73 x 160
    branches = [
        chain(x, (64, 1), (96, 3, 1, "valid")),
        chain(x, (64, 1), (64, (7, 1)), (64, (1, 7)), (96, 3, 1, "valid")),
    ]
    x = layers.Concatenate(name="stem_71")(branches)  # 71 x 71 x 192
    branches = [chain(x, (192, 3, 2, "valid")), layers.MaxPooling2D(3, strides=2)(x)]
    return layers.Concatenate(name="stem_35")(branches)  # 35 x 35 x 384


def inception_a(x, *, name):
    """Fig. 4: 35 x 35 x 384 in and out."""
    branches = [
        chain(x, (96, 1)),
        chain(x, (64, 1), (96, 3)),
        chain(x, (64, 1), (96, 3), (96, 3)),
        chain(average(x), (96, 1)),
    ]
    return layers.Concatenate(name=name)(branches)


def reduction_a(x, k, l, m, n, *, name):  # noqa: E741  (Table 1's letters)
    """Fig. 7, with the filters of Table 1: from 35 x 35 to 17 x 17."""
    branches = [
        chain(x, (n, 3, 2, "valid")),
        chain(x, (k, 1), (l, 3), (m, 3, 2, "valid")),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    return layers.Concatenate(name=name)(branches)


def inception_b(x, *, name):
    """Fig. 5: 17 x 17 x 1024 in and out."""
    branches = [
        chain(x, (384, 1)),
        chain(x, (192, 1), (224, (1, 7)), (256, (7, 1))),
        chain(x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
        chain(average(x), (128, 1)),
    ]
    return layers.Concatenate(name=name)(branches)


def reduction_b(x, *, name):
    """Fig. 8: from 17 x 17 x 1024 to 8 x 8 x 1536."""
    branches = [
        chain(x, (192, 1), (192, 3, 2, "valid")),
        chain(x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2, "valid")),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    return layers.Concatenate(name=name)(branches)


def inception_c(x, *, name):
    """Fig. 6: 8 x 8 x 1536 in and out; two branches end in a fork of 1x3 and 3x1."""
    one = chain(x, (256, 1))
    three = chain(x, (384, 1))
    double = chain(x, (384, 1), (448, (3, 1)), (512, (1, 3)))
    branches = [
        one,
        *(chain(three, (256, size)) for size in ((1, 3), (3, 1))),
        *(chain(double, (256, size)) for size in ((1, 3), (3, 1))),
        chain(average(x), (256, 1)),
    ]
    return layers.Concatenate(name=name)(branches)
