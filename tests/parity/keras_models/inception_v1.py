"""GoogLeNet: Table 1 of Szegedy et al. 2014 (arXiv:1409.4842), and notebook 003's with its three outputs."""

import keras
from keras import layers

from tests.parity.keras_models.own_layers import LocalResponseNormalization

# Table 1, one line a module: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
TABLE = """
3a  64  96 128 16  32  32
3b 128 128 192 32  96  64
4a 192  96 208 16  48  64
4b 160 112 224 24  64  64
4c 128 128 256 24  64  64
4d 112 144 288 32  64  64
4e 256 160 320 32 128 128
5a 256 160 320 32 128 128
5b 384 192 384 48 128 128
"""


def conv(x, filters, size, strides=1):
    return layers.Conv2D(filters, size, strides=strides, padding="same", activation="relu")(x)


def lrn(x, name):
    """Caffe's: 1 + 1e-4 / 5 * the squares of five channels, to the power of 0.75."""
    return LocalResponseNormalization(2, 1.0, 1e-4 / 5, 0.75, name=name)(x)


def module(x, filters, pool_first, name):
    c1, r3, c3, r5, c5, p = filters
    a = conv(x, c1, 1)
    b = conv(conv(x, r3, 1), c3, 3)
    c = conv(conv(x, r5, 1), c5, 5)
    if pool_first:
        d = conv(layers.MaxPooling2D(3, strides=1, padding="same")(x), p, 1)
    else:
        d = layers.MaxPooling2D(3, strides=1, padding="same")(conv(x, p, 1))
    return layers.Concatenate(name=name)([a, b, c, d])


def side_classifier(x, classes):
    x = layers.AveragePooling2D(5, strides=3)(x)
    x = layers.Flatten()(conv(x, 128, 1))
    x = layers.Dropout(0.7)(layers.Dense(1024, activation="relu")(x))
    return layers.Dense(classes, activation="softmax")(x)


def googlenet(input_shape, classes, aux, halve, normalise, pool_first, rows, prefix):
    images = keras.Input(input_shape)
    x = halve(conv(images, 64, 7, strides=2))
    x = conv(normalise(x, "norm1"), 64, 1)
    x = halve(normalise(conv(x, 192, 3), "norm2"))
    ends = {}
    for row in rows:
        name, filters = row[0], [int(n) for n in row[1:]]
        if name == "5a" and aux:  # the notebook makes its heads here, so the main classifier is the last to get a name
            heads = [side_classifier(ends[place], classes) for place in ("4a", "4d")]
        if name in ("4a", "5a"):
            x = halve(x)
        x = ends[name] = module(x, filters, pool_first, prefix and prefix + name)
    x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(x))
    y = layers.Dense(classes, activation="softmax")(x)
    return keras.Model(images, [y, *heads] if aux else y)


def paper(input_shape, classes, aux=False):
    return googlenet(
        input_shape,
        classes,
        aux,
        halve=lambda x: layers.MaxPooling2D(3, 2, padding="same")(x),
        normalise=lrn,
        pool_first=True,
        rows=[line.split() for line in TABLE.split("\n") if line],
        prefix="inception_",
    )


def notebook(input_shape, classes, aux=False):
    rows = [line.split() for line in TABLE.split("\n") if line]
    rows[5][5] = "48"  # the notebook's 4d
    return googlenet(
        input_shape,
        classes,
        aux,
        halve=lambda x: layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x)),
        normalise=lambda x, name: x,
        pool_first=False,
        rows=rows,
        prefix=None,
    )
