"""Differentiable functions on arrays: no Tensor, no layer. One family a file."""

from minicnn.backend import Window
from minicnn.ops.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from minicnn.ops.arithmetic import (
    Absolute,
    Add,
    Clip,
    Divide,
    Exp,
    Log,
    MatMul,
    Max,
    Maximum,
    Mean,
    Minimum,
    Multiply,
    Negative,
    Power,
    ScaledAdd,
    Sqrt,
    Subtract,
    Sum,
)
from minicnn.ops.base import Op, unbroadcast
from minicnn.ops.conv import Conv2D
from minicnn.ops.fused import AddReLU, BatchNormAct, BatchNormPool, Conv2DAct, Conv2DPool, DenseAct
from minicnn.ops.loss import SoftmaxCrossEntropy
from minicnn.ops.norm import BatchNorm, BatchNormInference, Dropout, LocalResponseNorm
from minicnn.ops.pool import AvgPool2D, MaxPool2D
from minicnn.ops.shape import Concatenate, Identity, Index, Pad, Reshape, Transpose

__all__ = [
    "Absolute", "Add", "AddReLU", "AvgPool2D", "BatchNorm", "BatchNormAct", "BatchNormInference", "BatchNormPool",
    "Clip", "Concatenate", "Conv2D", "Conv2DAct", "Conv2DPool", "DenseAct", "Divide", "Dropout",
    "Exp", "Identity", "Index", "LocalResponseNorm", "Log", "LogSoftmax", "MatMul", "Max", "MaxPool2D", "Maximum",
    "Mean",
    "Minimum", "Multiply", "Negative", "Op", "Pad", "Power", "ReLU", "Reshape", "ScaledAdd", "Sigmoid", "Softmax",
    "SoftmaxCrossEntropy", "Sqrt", "Subtract", "Sum", "Tanh", "Transpose", "Window", "unbroadcast",
]  # fmt: skip
