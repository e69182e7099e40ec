"""Inception v4 after Figs 3 to 9 of Szegedy et al. 2016 (arXiv:1602.07261), 7x1 and 1x7 in the order of our file."""

import keras
from keras import layers


def conv(x, filters, rows, columns, strides=1, padding="same"):
    x = layers.Conv2D(filters, (rows, columns), strides, padding, use_bias=False)(x)
    return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))


def mean(x):
    return layers.AveragePooling2D(3, 1, "same")(x)


def figure_3(x):
    x = conv(x, 32, 3, 3, 2, "valid")
    x = conv(x, 32, 3, 3, 1, "valid")
    x = conv(x, 64, 3, 3)
    x = layers.Concatenate(name="stem_73")([layers.MaxPooling2D(3, 2)(x), conv(x, 96, 3, 3, 2, "valid")])
    left = conv(conv(x, 64, 1, 1), 96, 3, 3, 1, "valid")
    right = conv(conv(conv(x, 64, 1, 1), 64, 7, 1), 64, 1, 7)
    right = conv(right, 96, 3, 3, 1, "valid")
    x = layers.Concatenate(name="stem_71")([left, right])
    return layers.Concatenate(name="stem_35")([conv(x, 192, 3, 3, 2, "valid"), layers.MaxPooling2D(3, 2)(x)])


def figure_4(x, name):
    a = conv(x, 96, 1, 1)
    b = conv(conv(x, 64, 1, 1), 96, 3, 3)
    c = conv(conv(conv(x, 64, 1, 1), 96, 3, 3), 96, 3, 3)
    return layers.Concatenate(name=name)([a, b, c, conv(mean(x), 96, 1, 1)])


def figure_7(x, k, l, m, n, name):  # noqa: E741
    a = conv(x, n, 3, 3, 2, "valid")
    b = conv(conv(conv(x, k, 1, 1), l, 3, 3), m, 3, 3, 2, "valid")
    return layers.Concatenate(name=name)([a, b, layers.MaxPooling2D(3, 2)(x)])


def figure_5(x, name):
    a = conv(x, 384, 1, 1)
    b = conv(conv(conv(x, 192, 1, 1), 224, 1, 7), 256, 7, 1)
    c = conv(conv(x, 192, 1, 1), 192, 7, 1)
    c = conv(conv(conv(c, 224, 1, 7), 224, 7, 1), 256, 1, 7)
    return layers.Concatenate(name=name)([a, b, c, conv(mean(x), 128, 1, 1)])


def figure_8(x):
    a = conv(conv(x, 192, 1, 1), 192, 3, 3, 2, "valid")
    b = conv(conv(conv(x, 256, 1, 1), 256, 1, 7), 320, 7, 1)
    b = conv(b, 320, 3, 3, 2, "valid")
    return layers.Concatenate(name="reduction_b")([a, b, layers.MaxPooling2D(3, 2)(x)])


def figure_6(x, name):
    a = conv(x, 256, 1, 1)
    b = conv(x, 384, 1, 1)
    c = conv(conv(conv(x, 384, 1, 1), 448, 3, 1), 512, 1, 3)
    forks = [conv(b, 256, 1, 3), conv(b, 256, 3, 1), conv(c, 256, 1, 3), conv(c, 256, 3, 1)]
    return layers.Concatenate(name=name)([a, *forks, conv(mean(x), 256, 1, 1)])


def inception_v4(input_shape, classes):
    x = images = keras.Input(input_shape)
    x = figure_3(x)
    for i in range(4):
        x = figure_4(x, f"inception_a_{i + 1}")
    x = figure_7(x, 192, 224, 256, 384, "reduction_a")
    for i in range(7):
        x = figure_5(x, f"inception_b_{i + 1}")
    x = figure_8(x)
    for i in range(3):
        x = figure_6(x, f"inception_c_{i + 1}")
    x = layers.Dropout(0.2, name="dropout")(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    return keras.Model(images, layers.Dense(classes, activation="softmax", name="predictions")(x))
