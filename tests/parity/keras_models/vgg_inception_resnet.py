"""Notebook 000's VGG16 with Inception-ResNet blocks, and the blocks alone."""

import keras
from keras import layers

from tests.parity.keras_models.own_layers import ScaledAdd


def cell(x, filters, size, activation="relu", name=None):
    """Convolution without bias, batch norm without gamma, activation; three names from one."""
    names = [None] * 3 if name is None else [f"{name}_{part}" for part in ("conv", "bn", "act")]
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=names[0])(x)
    x = layers.BatchNormalization(scale=False, name=names[1])(x)
    return x if activation is None else layers.Activation(activation, name=names[2])(x)


def block(x, kind, scale=0.1, activation="relu"):
    paths = {
        "A": ([32, 1], [32, 1, 32, 3], [32, 1, 48, 3, 64, 3]),
        "B": ([192, 1], [128, 1, 160, (1, 7), 192, (7, 1)]),
        "C": ([192, 1], [192, 1, 192, (1, 3), 192, (3, 1)]),
    }[kind]
    ends = []
    for path in paths:
        y = x
        for filters, size in zip(path[::2], path[1::2], strict=True):
            y = cell(y, filters, size)
        ends.append(y)
    up = cell(layers.Concatenate(axis=3)(ends), x.shape[3], 1, activation=None)
    x = ScaledAdd(scale)([x, up])  # a Lambda in the notebook
    return x if activation is None else layers.Activation(activation)(x)


def block_alone(input_shape, kind, scale=0.1, activation="relu"):
    images = keras.Input(input_shape)
    return keras.Model(images, block(images, kind, scale, activation))


def notebook(input_shape, classes, include_top=True, pooling="max"):
    x = images = keras.Input(input_shape)
    for number, plan in enumerate([(64, 64), (128, 128), "AAA", (512, 512, 512), "BBB"], 1):
        for i, step in enumerate(plan, 1):
            x = block(x, step) if isinstance(step, str) else cell(x, step, 3, name=f"block{number}_conv{i}")
        x = layers.MaxPooling2D(2, 2, name=f"block{number}_pool")(x)
    if include_top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    elif pooling is not None:
        x = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}[pooling]()(x)
    return keras.Model(images, x)
