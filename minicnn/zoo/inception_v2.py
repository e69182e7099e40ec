"""BN-Inception, or Inception v2. Ioffe & Szegedy 2015: Batch Normalization, arXiv:1502.03167, Fig. 5.

Fig. 5 contradicts itself in 4c and 4d: the widths of their branches sum up to 608, the printed output is 576.

"paper" takes the widths at their word (608 and, behind 4e, 1056), with a full 7x7 convolution in front, as Caffe's zoo
and Cadene have it. "slim" is TensorFlow's, which most people have downloaded: pool projections of 96 in 4c and 4d, so
that the printed 576 and 1024 hold, a separable first convolution (the paper's footnote), no gamma in the batch norms,
and dropout 0.2. All padding is `same` here as in TF-slim; Caffe pads 3x3/2 convolutions on both sides.

The name is also used for another network, of 42 layers, in arXiv:1512.00567.
"""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import averaged_top, check_pooling, images

PAPER = "Ioffe & Szegedy 2015, arXiv:1502.03167, Fig. 5"
MODULES = {  # Fig. 5: 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool, projection
    "3a": (64, 64, 64, 64, 96, "avg", 32),
    "3b": (64, 64, 96, 64, 96, "avg", 64),
    "3c": (0, 128, 160, 64, 96, "max", 0),  # no 1x1 and no projection: this one halves the image
    "4a": (224, 64, 96, 96, 128, "avg", 128),
    "4b": (192, 96, 128, 96, 128, "avg", 128),
    "4c": (160, 128, 160, 128, 160, "avg", 128),
    "4d": (96, 128, 192, 160, 192, "avg", 128),
    "4e": (0, 128, 192, 192, 256, "max", 0),
    "5a": (352, 192, 320, 160, 224, "avg", 128),
    "5b": (352, 192, 320, 192, 224, "max", 128),
}
SLIM = {"4c": (160, 128, 160, 128, 160, "avg", 96), "4d": (96, 128, 192, 160, 192, "avg", 96)}
POOLS = {"avg": layers.AveragePooling2D, "max": layers.MaxPooling2D}


@register(paper=PAPER, variants=("paper", "slim"))
def inception_v2(variant="paper", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """BN-Inception: 11,305,256 parameters ("paper") or 11,198,240 ("slim")."""
    check_pooling(pooling)
    slim = variant == "slim"
    x = inputs = images("inception_v2", input_shape, smallest=32)
    x = (slim_stem if slim else stem)(x)  # 28 x 28 x 192
    for name, row in (MODULES | SLIM if slim else MODULES).items():
        x = module(x, *row, gamma=not slim, name=name)  # 28 x 28 x 256, 320, 14 x 14 x 576, ... 7 x 7 x 1024
    x = averaged_top(x, classes, include_top, pooling, dropout=0.2 if slim else 0.0)
    return Model(inputs, x, name="inception_v2")


def stem(x):
    """Two convolutions, each with a pool behind it."""
    x = conv_bn(x, 64, 7, strides=2)  # 112 x 112 x 64
    return rest_of_stem(x, gamma=True)


def slim_stem(x):
    """The first convolution as 8 kernels for each colour, and a mix of their 24 images."""
    x = layers.SeparableConv2D(64, 7, strides=2, padding="same", depth_multiplier=8, use_bias=False)(x)
    x = bn_relu(x, gamma=False)  # 112 x 112 x 64
    return rest_of_stem(x, gamma=False)


def rest_of_stem(x, gamma):
    """From the first pool to the second."""
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)  # 56 x 56 x 64
    x = conv_bn(x, 64, 1, gamma=gamma)
    x = conv_bn(x, 192, 3, gamma=gamma)  # 56 x 56 x 192
    return layers.MaxPooling2D(3, strides=2, padding="same")(x)  # 28 x 28 x 192


def module(x, c1, reduce3, c3, reduce33, c33, pool, projection, *, gamma, name):
    """Fig. 5's row: v1's module with two 3x3 in the place of a 5x5. Without a 1x1 it halves the image."""
    strides = 1 if c1 else 2
    branches = [conv_bn(x, c1, 1, gamma=gamma)] if c1 else []
    three = conv_bn(x, reduce3, 1, gamma=gamma)
    branches.append(conv_bn(three, c3, 3, strides, gamma))
    double = conv_bn(x, reduce33, 1, gamma=gamma)
    double = conv_bn(double, c33, 3, gamma=gamma)
    branches.append(conv_bn(double, c33, 3, strides, gamma))
    pooled = POOLS[pool](3, strides=strides, padding="same")(x)
    branches.append(conv_bn(pooled, projection, 1, gamma=gamma) if projection else pooled)
    return layers.Concatenate(name=f"inception_{name}")(branches)


def conv_bn(x, filters, size, strides=1, gamma=True):
    """A convolution without bias, batch norm, ReLU."""
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    return bn_relu(x, gamma)


def bn_relu(x, gamma):
    """Batch norm, with or without its factor gamma, and ReLU."""
    x = layers.BatchNormalization(scale=gamma)(x)
    return layers.Activation("relu")(x)
