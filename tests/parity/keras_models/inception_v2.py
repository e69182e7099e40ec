"""BN-Inception: Fig. 5 of Ioffe & Szegedy 2015 (arXiv:1502.03167), and TF-slim's inception_v2."""

import keras
from keras import layers

# One line a module: #1x1, #3x3 reduce, #3x3, double #3x3 reduce, double #3x3, pool, its projection
FIGURE_5 = """
3a  64  64  64  64  96 avg  32
3b  64  64  96  64  96 avg  64
3c   0 128 160  64  96 max   0
4a 224  64  96  96 128 avg 128
4b 192  96 128  96 128 avg 128
4c 160 128 160 128 160 avg 128
4d  96 128 192 160 192 avg 128
4e   0 128 192 192 256 max   0
5a 352 192 320 160 224 avg 128
5b 352 192 320 192 224 max 128
"""
# nets/inception_v2.py of TF-slim: the projections of Mixed_4d and Mixed_4e
SLIM_PROJECTIONS = {"4c": 96, "4d": 96}


def unit(x, convolution, scale):
    x = layers.BatchNormalization(scale=scale)(convolution(x))
    return layers.Activation("relu")(x)


def network(input_shape, classes, first, scale, projections, dropout):
    def conv(x, filters, size, strides=1):
        return unit(x, layers.Conv2D(filters, size, strides, "same", use_bias=False), scale)

    images = keras.Input(input_shape)
    x = layers.MaxPooling2D(3, 2, "same")(unit(images, first, scale))
    x = layers.MaxPooling2D(3, 2, "same")(conv(conv(x, 64, 1), 192, 3))
    for line in FIGURE_5.strip().split("\n"):
        name, *numbers, _ = line.split()
        one, red, three, red2, double = (int(n) for n in numbers[:5])
        projection = projections.get(name, int(line.split()[-1]))
        pool = {"avg": layers.AveragePooling2D, "max": layers.MaxPooling2D}[numbers[5]]
        if one:
            paths = [conv(x, one, 1), conv(conv(x, red, 1), three, 3)]
            paths.append(conv(conv(conv(x, red2, 1), double, 3), double, 3))
            paths.append(conv(pool(3, 1, "same")(x), projection, 1))
        else:
            paths = [conv(conv(x, red, 1), three, 3, 2), conv(conv(conv(x, red2, 1), double, 3), double, 3, 2)]
            paths.append(pool(3, 2, "same")(x))
        x = layers.Concatenate(name=f"inception_{name}")(paths)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(images, layers.Dense(classes, activation="softmax", name="predictions")(x))


def paper(input_shape, classes):
    first = layers.Conv2D(64, 7, 2, "same", use_bias=False)
    return network(input_shape, classes, first, scale=True, projections={}, dropout=0)


def slim(input_shape, classes):
    first = layers.SeparableConv2D(64, 7, 2, "same", depth_multiplier=8, use_bias=False)
    return network(input_shape, classes, first, scale=False, projections=SLIM_PROJECTIONS, dropout=0.2)
