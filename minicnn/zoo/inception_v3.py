"""Inception v3. Szegedy et al. 2015: Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567.

Keras, TF-slim, torchvision, timm and notebook 003 all build this network, layer for layer; the batch norms of Keras,
TF-slim and the notebook have no gamma (torchvision's and timm's have: 17,216 parameters more). The paper's own Table 1
is another one: a stem of six 3x3 convolutions, two 3x3 in the place of every 5x5, five modules at 17 x 17. No port
builds it. Names are Keras's: a concatenation has one, a convolution takes the next automatic one.
"""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import averaged_top, check_pooling, images


@register(paper="Szegedy et al. 2015, arXiv:1512.00567, as TF-slim and Keras have it", variants=("keras",))
def inception_v3(
    variant="keras", input_shape=(299, 299, 3), classes=1000, include_top=True, pooling=None, aux=False
):
    """Inception v3: 23,851,784 parameters; with the auxiliary classifier 27,179,376.

    aux: with TF-slim's and torchvision's classifier on mixed7; the outputs are [predictions, head], the loss of the
    second weighs 0.4 (TF-slim) or 0.3.
    """
    check_pooling(pooling)
    if aux and not include_top:
        raise ValueError("inception_v3: the auxiliary head belongs to the top, got aux=True with include_top=False")
    x = inputs = images("inception_v3", input_shape, smallest=107 if aux else 75)
    x = stem(x)  # 35 x 35 x 192
    for number, projection in enumerate((32, 64, 64)):
        x = module_35(x, projection, name=f"mixed{number}")  # 35 x 35 x 256, 288, 288
    x = to_17(x, name="mixed3")  # 17 x 17 x 768
    for number, width in enumerate((128, 160, 160, 192), 4):
        x = mixed7 = module_17(x, width, name=f"mixed{number}")  # 17 x 17 x 768
    x = to_8(x, name="mixed8")  # 8 x 8 x 1280
    for number in (9, 10):
        x = module_8(x, name=f"mixed{number}", inner=f"mixed9_{number - 9}")  # 8 x 8 x 2048
    x = averaged_top(x, classes, include_top, pooling)
    return Model(inputs, [x, head(mixed7, classes)] if aux else x, name="inception_v3")


def stem(x):
    """Six layers down to an eighth of the image; Inception-ResNet-v2 has the same."""
    x = chain(x, (32, 3, 2, "valid"), (32, 3, 1, "valid"), (64, 3))  # 149 x 149 x 32, 147 x 147 x 32, 147 x 147 x 64
    x = layers.MaxPooling2D(3, strides=2)(x)  # 73 x 73 x 64
    x = chain(x, (80, 1, 1, "valid"), (192, 3, 1, "valid"))  # 73 x 73 x 80, 71 x 71 x 192
    return layers.MaxPooling2D(3, strides=2)(x)  # 35 x 35 x 192


def module_35(x, projection, *, name):
    """The paper's Fig. 5, with a 5x5 that the paper has as two 3x3."""
    branches = [
        chain(x, (64, 1)),
        chain(x, (48, 1), (64, 5)),
        chain(x, (64, 1), (96, 3), (96, 3)),
        chain(average(x), (projection, 1)),
    ]
    return layers.Concatenate(name=name)(branches)


def to_17(x, *, name):
    """Fig. 10: two ways of convolutions and a pool, all with stride 2."""
    branches = [
        chain(x, (384, 3, 2, "valid")),
        chain(x, (64, 1), (96, 3), (96, 3, 2, "valid")),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    return layers.Concatenate(name=name)(branches)


def module_17(x, width, *, name):
    """Fig. 6: a 7x7 as 1x7 and 7x1, once and twice."""
    branches = [
        chain(x, (192, 1)),
        chain(x, (width, 1), (width, (1, 7)), (192, (7, 1))),
        chain(x, (width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))),
        chain(average(x), (192, 1)),
    ]
    return layers.Concatenate(name=name)(branches)


def to_8(x, *, name):
    """As `to_17`, with a 7x7 in the longer way."""
    branches = [
        chain(x, (192, 1), (320, 3, 2, "valid")),
        chain(x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, "valid")),
        layers.MaxPooling2D(3, strides=2)(x),
    ]
    return layers.Concatenate(name=name)(branches)


def module_8(x, *, name, inner):
    """Fig. 7: 1x3 and 3x1 side by side, which widens the output."""
    one = chain(x, (320, 1))
    three = chain(x, (384, 1))
    three = layers.Concatenate(name=inner)([chain(three, (384, (1, 3))), chain(three, (384, (3, 1)))])
    double = chain(x, (448, 1), (384, 3))
    double = layers.Concatenate()([chain(double, (384, (1, 3))), chain(double, (384, (3, 1)))])
    return layers.Concatenate(name=name)([one, three, double, chain(average(x), (192, 1))])


def head(x, classes):
    """The auxiliary classifier, with names of its own: those of the network stay as they are without it."""
    x = layers.AveragePooling2D(5, strides=3, name="aux_pool")(x)  # 5 x 5 x 768
    x = conv_bn(x, 128, 1, name="aux_conv1")  # 5 x 5 x 128
    # one window over all that is left of it; on small images TF-slim shrinks the kernel to that
    size = tuple(5 if n is None else min(n, 5) for n in x.shape[1:3])
    x = conv_bn(x, 768, size, padding="valid", name="aux_conv2")  # 1 x 1 x 768
    x = layers.GlobalAveragePooling2D(name="aux_avg_pool")(x)
    return layers.Dense(classes, activation="softmax", name="aux_predictions")(x)


def chain(x, *convolutions):
    """Convolutions one after another, each as the arguments of `conv_bn`: (filters, size, strides, padding)."""
    for arguments in convolutions:
        x = conv_bn(x, *arguments)
    return x


def conv_bn(x, filters, size, strides=1, padding="same", activation="relu", name=None):
    """A convolution without bias, batch norm without gamma, ReLU."""
    bn, act = (None, None) if name is None else (f"{name}_bn", f"{name}_ac")
    x = layers.Conv2D(filters, size, strides, padding=padding, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(scale=False, name=bn)(x)
    return layers.Activation(activation, name=act)(x) if activation else x


def average(x):
    """Each pixel the mean of its neighbourhood."""
    return layers.AveragePooling2D(3, strides=1, padding="same")(x)
