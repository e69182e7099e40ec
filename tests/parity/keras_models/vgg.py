"""VGG: Keras has it."""

import keras


def vgg16(**arguments):
    return keras.applications.VGG16(weights=None, **arguments)


def vgg19(**arguments):
    return keras.applications.VGG19(weights=None, **arguments)
