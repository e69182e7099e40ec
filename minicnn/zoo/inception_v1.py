"""GoogLeNet, or Inception v1. Szegedy et al. 2014: Going Deeper with Convolutions, arXiv:1409.4842, Table 1 and Fig. 3.

"paper" is Table 1: response normalisation as in Caffe's bvlc_googlenet (the paper gives no constants), `same` padding
everywhere as Fig. 3 writes it. Caffe's windows agree with that but for conv1, which pads (3, 3) there and (2, 3) here.
torchvision and TF-slim have batch norm instead, and 3x3 where the paper has 5x5.

"notebook" is notebook 003's: no normalisation, zeros and a `valid` window where the paper pools with `same`, the 1x1
convolution of the pool branch in front of the pool, and 48 filters in the 5x5 of 4d, where the paper has 64. `classes`
is honoured here. Its layers have automatic names.
"""

from functools import partial

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import check_pooling, images, pooled

PAPER = "Szegedy et al. 2014, arXiv:1409.4842, Table 1"
MODULES = {  # Table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
STAGES = (("3a", "3b"), ("4a", "4b", "4c", "4d", "4e"), ("5a", "5b"))

# Caffe divides alpha = 1e-4 by the n = 5 channels of the sum
normalise = partial(layers.LocalResponseNormalization, depth_radius=2, bias=1.0, alpha=1e-4 / 5, beta=0.75)


@register(paper=PAPER, variants=("notebook", "paper"))
def inception_v1(
    variant="notebook", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None, aux=False
):
    """GoogLeNet: 6,976,520 parameters ("notebook") or 6,998,552 ("paper"); 13,354,200 or 13,378,280 with the heads.

    aux: with the two auxiliary classifiers, on 4a and 4d, as both are trained; then the outputs are [predictions,
    head 4a, head 4d], whose losses the paper weighs with 1, 0.3, 0.3.
    """
    check_pooling(pooling)
    if aux and not include_top:
        raise ValueError("inception_v1: auxiliary heads belong to the top, got aux=True with include_top=False")
    x = inputs = images("inception_v1", input_shape, smallest=65 if aux else 32)
    stem, pool, module, rows = FORMS[variant]
    x = stem(x)  # 56 x 56 x 192
    heads = []
    for stage in STAGES:
        x = pool(x)  # 28 x 28 x 192, 14 x 14 x 480, 7 x 7 x 832
        outputs = {}
        for name in stage:
            x = outputs[name] = module(x, *rows[name], name=name)
        if aux and "4a" in stage:
            heads = [head(outputs[name], classes) for name in ("4a", "4d")]
    if not include_top:
        return Model(inputs, pooled(x, pooling), name="inception_v1")
    x = layers.GlobalAveragePooling2D()(x)  # 1024
    x = layers.Dropout(0.4)(x)
    x = layers.Dense(classes, activation="softmax")(x)
    return Model(inputs, [x, *heads] if heads else x, name="inception_v1")


def head(x, classes):
    """An auxiliary classifier (section 5); it is left out when the network is used."""
    x = layers.AveragePooling2D(5, strides=3)(x)  # 4 x 4
    x = conv(x, 128, 1)
    x = layers.Flatten()(x)  # 2048
    x = layers.Dense(1024, activation="relu")(x)
    x = layers.Dropout(0.7)(x)
    return layers.Dense(classes, activation="softmax")(x)


def conv(x, filters, size, strides=1):
    """A convolution with ReLU."""
    return layers.Conv2D(filters, size, strides, padding="same", activation="relu")(x)


# The paper's


def paper_stem(x):
    """Down to the 56 x 56 pixels in front of the second pool."""
    x = conv(x, 64, 7, strides=2)  # 112 x 112 x 64
    x = paper_pool(x)  # 56 x 56 x 64
    x = normalise(name="norm1")(x)
    x = conv(x, 64, 1)
    x = conv(x, 192, 3)  # 56 x 56 x 192
    return normalise(name="norm2")(x)


def paper_pool(x):
    """Halves the image."""
    return layers.MaxPooling2D(3, strides=2, padding="same")(x)


def paper_module(x, c1, reduce3, c3, reduce5, c5, projection, *, name):
    """Fig. 2 (b): four ways side by side."""
    one = conv(x, c1, 1)
    three = conv(conv(x, reduce3, 1), c3, 3)
    five = conv(conv(x, reduce5, 1), c5, 5)
    pool = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    return layers.Concatenate(name=f"inception_{name}")([one, three, five, conv(pool, projection, 1)])


# The notebook's


def notebook_stem(x):
    """Without normalisation."""
    x = conv(x, 64, 7, strides=2)  # 112 x 112 x 64
    x = notebook_pool(x)  # 56 x 56 x 64
    x = conv(x, 64, 1)
    return conv(x, 192, 3)  # 56 x 56 x 192


def notebook_pool(x):
    """Windows begin one pixel before the image, on a zero that cannot win: inputs are at least 0."""
    x = layers.ZeroPadding2D()(x)
    return layers.MaxPooling2D(3, strides=2)(x)


def notebook_module(x, c1, reduce3, c3, reduce5, c5, projection, *, name):
    """The last way is a convolution and then a pool."""
    one = conv(x, c1, 1)
    three = conv(conv(x, reduce3, 1), c3, 3)
    five = conv(conv(x, reduce5, 1), c5, 5)
    pool = layers.MaxPooling2D(3, strides=1, padding="same")(conv(x, projection, 1))
    return layers.Concatenate()([one, three, five, pool])


FORMS = {
    "paper": (paper_stem, paper_pool, paper_module, MODULES),
    "notebook": (notebook_stem, notebook_pool, notebook_module, MODULES | {"4d": (112, 144, 288, 32, 48, 64)}),
}
