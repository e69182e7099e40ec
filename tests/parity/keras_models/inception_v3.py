"""Inception v3: Keras has it; the auxiliary classifier after TF-slim's inception_v3.py."""

import keras
from keras import layers


def plain(**arguments):
    return keras.applications.InceptionV3(weights=None, **arguments)


def with_head(input_shape, classes, aux=True):
    assert aux
    model = plain(input_shape=input_shape, classes=classes)
    x = model.get_layer("mixed7").output
    x = layers.AveragePooling2D(5, 3, padding="valid", name="aux_pool")(x)
    x = layers.Conv2D(128, 1, use_bias=False, name="aux_conv1")(x)
    x = layers.BatchNormalization(scale=False, name="aux_conv1_bn")(x)
    x = layers.Activation("relu", name="aux_conv1_ac")(x)
    x = layers.Conv2D(768, [min(n, 5) for n in x.shape[1:3]], padding="valid", use_bias=False, name="aux_conv2")(x)
    x = layers.BatchNormalization(scale=False, name="aux_conv2_bn")(x)
    x = layers.Activation("relu", name="aux_conv2_ac")(x)
    x = layers.GlobalAveragePooling2D(name="aux_avg_pool")(x)
    x = layers.Dense(classes, activation="softmax", name="aux_predictions")(x)
    return keras.Model(model.input, [model.output, x])
