"""Inception-ResNet: Keras has v2 as it was released; v1 and v2 of the paper after Figs 3, 7 and 10 to 19."""

import keras
from keras import layers

from tests.parity.keras_models.inception_v4 import conv, figure_3, figure_7
from tests.parity.keras_models.own_layers import ScaledAdd


def released(**arguments):
    return keras.applications.InceptionResNetV2(weights=None, **arguments)


def residual(x, branches, scale, name):
    """Section 3.2: a 1x1 convolution without activation, then the scaled sum and ReLU."""
    together = layers.Concatenate(name=f"{name}_mixed")(branches)
    back = layers.Conv2D(x.shape[-1], 1, name=f"{name}_conv")(together)
    return layers.Activation("relu", name=f"{name}_ac")(ScaledAdd(scale)([x, back]))


def block_35(x, b3, b33a, b33b, i):
    """Figs 10 and 16."""
    a = conv(x, 32, 1, 1)
    b = conv(conv(x, 32, 1, 1), b3, 3, 3)
    c = conv(conv(conv(x, 32, 1, 1), b33a, 3, 3), b33b, 3, 3)
    return residual(x, [a, b, c], 0.17, f"block35_{i + 1}")


def block_17(x, one, reduced, middle, last, i):
    """Figs 11 and 17."""
    a = conv(x, one, 1, 1)
    b = conv(conv(conv(x, reduced, 1, 1), middle, 1, 7), last, 7, 1)
    return residual(x, [a, b], 0.1, f"block17_{i + 1}")


def block_8(x, one, reduced, middle, last, i):
    """Figs 13 and 19."""
    a = conv(x, one, 1, 1)
    b = conv(conv(conv(x, reduced, 1, 1), middle, 1, 3), last, 3, 1)
    return residual(x, [a, b], 0.2, f"block8_{i + 1}")


def reduction_b(x, b, c, d, name):
    """Figs 12 and 18."""
    first = conv(conv(x, 256, 1, 1), 384, 3, 3, 2, "valid")
    second = conv(conv(x, 256, 1, 1), b, 3, 3, 2, "valid")
    third = conv(conv(conv(x, 256, 1, 1), c, 3, 3), d, 3, 3, 2, "valid")
    return layers.Concatenate(name=name)([first, second, third, layers.MaxPooling2D(3, 2)(x)])


def classifier(images, x, classes):
    x = layers.Dropout(0.2, name="dropout")(layers.GlobalAveragePooling2D(name="avg_pool")(x))
    return keras.Model(images, layers.Dense(classes, activation="softmax", name="predictions")(x))


def v1(input_shape, classes, blocks=(5, 10, 5)):
    images = keras.Input(input_shape)
    x = conv(conv(conv(images, 32, 3, 3, 2, "valid"), 32, 3, 3, 1, "valid"), 64, 3, 3)  # Fig. 14
    x = conv(layers.MaxPooling2D(3, 2)(x), 80, 1, 1)
    x = conv(conv(x, 192, 3, 3, 1, "valid"), 256, 3, 3, 2, "valid")
    for i in range(blocks[0]):
        x = block_35(x, 32, 32, 32, i)
    x = figure_7(x, 192, 192, 256, 384, "reduction_a")
    for i in range(blocks[1]):
        x = block_17(x, 128, 128, 128, 128, i)
    x = reduction_b(x, 256, 256, 256, "reduction_b")
    for i in range(blocks[2]):
        x = block_8(x, 192, 192, 192, 192, i)
    return classifier(images, x, classes)


def v2_paper(input_shape, classes, blocks=(10, 20, 10)):
    images = keras.Input(input_shape)
    x = figure_3(images)
    for i in range(blocks[0]):
        x = block_35(x, 32, 48, 64, i)
    x = figure_7(x, 256, 256, 384, 384, "mixed_6a")
    for i in range(blocks[1]):
        x = block_17(x, 192, 128, 160, 192, i)
    x = reduction_b(x, 288, 288, 320, "mixed_7a")
    for i in range(blocks[2]):
        x = block_8(x, 192, 192, 224, 256, i)
    return classifier(images, x, classes)
