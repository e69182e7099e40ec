"""LeNet-5: notebook 003's, and Fig. 2 of the paper."""

import keras
from keras import layers

from tests.parity.keras_models.own_layers import Subsampling2D


def notebook(input_shape, classes):
    x = images = keras.Input(input_shape)
    for i, filters in enumerate((6, 16), 1):
        x = layers.Conv2D(filters, (5, 5), padding="same", activation="relu", name=f"conv{i}")(x)
        x = layers.MaxPooling2D((2, 2), name=f"pool{i}")(x)
    x = layers.Dense(500, activation="relu", name="dense1")(layers.Flatten(name="flatten")(x))
    return keras.Model(images, layers.Dense(classes, activation="softmax", name="predictions")(x))


def original(input_shape, classes):
    x = images = keras.Input(input_shape)
    for i, filters in ((1, 6), (3, 16)):
        x = layers.Conv2D(filters, (5, 5), activation="tanh", name=f"c{i}")(x)
        x = Subsampling2D(name=f"s{i + 1}")(x)
    x = layers.Conv2D(120, (5, 5), activation="tanh", name="c5")(x)
    x = layers.Dense(84, activation="tanh", name="f6")(layers.Flatten(name="flatten")(x))
    return keras.Model(images, layers.Dense(classes, activation="softmax", name="predictions")(x))
