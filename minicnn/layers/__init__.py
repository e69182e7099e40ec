"""Keras's vocabulary, and a few layers that residual networks and LeNet need beside it."""

from minicnn.layers.base import Layer
from minicnn.layers.conv import Conv2D, DepthwiseConv2D, SeparableConv2D
from minicnn.layers.core import Activation, Dense, Dropout, Flatten, Lambda, ReLU, Reshape, Softmax
from minicnn.layers.inputs import Input, InputLayer
from minicnn.layers.merge import Add, Concatenate, Multiply, PadShortcut, Scale, ScaledAdd, add, concatenate, multiply
from minicnn.layers.norm import BatchNormalization, LocalResponseNormalization
from minicnn.layers.pool import (
    AveragePooling2D,
    Cropping2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    Subsampling2D,
    ZeroPadding2D,
)
from minicnn.layers.symbols import Node, Symbol

# Keras's second names
Convolution2D = Conv2D
MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D

__all__ = [
    "Activation", "Add", "AveragePooling2D", "AvgPool2D", "BatchNormalization", "Concatenate", "Conv2D",
    "Convolution2D",
    "Cropping2D", "Dense", "DepthwiseConv2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalAvgPool2D",
    "GlobalMaxPool2D", "GlobalMaxPooling2D", "Input", "InputLayer", "Lambda", "Layer", "LocalResponseNormalization",
    "MaxPool2D", "MaxPooling2D", "Multiply", "Node", "PadShortcut", "ReLU", "Reshape", "Scale", "ScaledAdd",
    "SeparableConv2D", "Softmax", "Subsampling2D", "Symbol", "ZeroPadding2D", "add", "concatenate", "multiply",
]  # fmt: skip
