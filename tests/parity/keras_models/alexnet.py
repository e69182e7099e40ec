"""AlexNet: Fig. 2 of Krizhevsky et al. 2012, and notebook 003's."""

import keras
from keras import layers

from tests.parity.keras_models.own_layers import LocalResponseNormalization


def lrn(name):
    """Section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    return LocalResponseNormalization(2, 2.0, 1e-4, 0.75, name=name)


def conv(filters, size, groups, name):
    """Two groups: each half of the channels is on its own GPU."""
    return layers.Conv2D(filters, size, padding="same", groups=groups, activation="relu", name=name)


def paper(input_shape, classes):
    x = images = keras.Input(input_shape)
    for layer in (
        layers.ZeroPadding2D(2, name="conv1_pad"),
        layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1"),
        lrn("norm1"),
        layers.MaxPooling2D(3, 2, name="pool1"),
        conv(256, 5, 2, "conv2"),
        lrn("norm2"),
        layers.MaxPooling2D(3, 2, name="pool2"),
        conv(384, 3, 1, "conv3"),
        conv(384, 3, 2, "conv4"),
        conv(256, 3, 2, "conv5"),
        layers.MaxPooling2D(3, 2, name="pool5"),
        layers.Flatten(name="flatten"),
        layers.Dense(4096, activation="relu", name="fc6"),
        layers.Dropout(0.5, name="drop6"),
        layers.Dense(4096, activation="relu", name="fc7"),
        layers.Dropout(0.5, name="drop7"),
        layers.Dense(classes, activation="softmax", name="fc8"),
    ):
        x = layer(x)
    return keras.Model(images, x)


def notebook(input_shape, classes):
    x = images = keras.Input(input_shape)
    x = layers.Conv2D(96, 11, strides=4, activation="relu")(x)
    x = layers.MaxPool2D(3, 2)(x)
    for filters, size, pool in ((256, 5, True), (384, 3, False), (256, 3, True)):
        x = layers.Conv2D(filters, size, padding="same", activation="relu")(x)
        x = layers.MaxPool2D(3, 2)(x) if pool else x
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dropout(0.5)(layers.Dense(4096, activation="relu")(x))
    return keras.Model(images, layers.Dense(classes, activation="softmax")(x))
