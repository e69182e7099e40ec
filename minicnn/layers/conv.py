"""Convolutions. Kernels are (KH, KW, C/groups, F), as Keras stores them."""

import math
from typing import Any

from minicnn import functions
from minicnn.backend import Window
from minicnn.layers import activations, initializers, regularizers
from minicnn.layers.base import Layer
from minicnn.layers.core import positive
from minicnn.layers.windows import channels_last, check_channels, check_images, padding_name, pair, spatial_size


class Convolution(Layer):
    """What the three convolutions share: a window, an activation, a bias."""

    bias_initializer: Any
    bias_regularizer: Any

    def __init__(self, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **common):
        super().__init__(**common)
        self.kernel_size = pair(self, "kernel_size", kernel_size)
        self.strides = pair(self, "strides", strides)
        self.padding = padding_name(self, padding)
        self.data_format = channels_last(self, data_format)
        self.dilation_rate = pair(self, "dilation_rate", dilation_rate)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.groups = 1

    def window(self, groups: int) -> Window:
        """How the kernel walks over the image."""
        return Window(self.strides, self.padding, self.dilation_rate, groups)

    def channels(self, shape) -> int:
        """The input's channels. Raises ValueError where they are not known or the layer was built for others."""
        check_images(shape)
        if shape[3] is None:
            raise ValueError(f"the number of channels must be known, got an input of shape {shape}")
        return shape[3]

    def add_bias(self, size: int) -> None:
        """The bias, if the layer has one."""
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", (size,), self.bias_initializer, regularizer=self.bias_regularizer)


class Conv2D(Convolution):
    """y = activation(conv(x, kernel) + bias).  x: (N, H, W, C)   y: (N, OH, OW, filters)

    Weights: kernel (KH, KW, C/groups, filters), bias (filters,).
    padding "same" gives OH = ceil(H / stride), the odd zero
    going after the data.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **common,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **common)
        positive(self, filters=filters, groups=groups)
        if filters % groups:
            raise ValueError(f"{self.name}: filters={filters} cannot be cut into groups={groups} equal parts")
        self.filters, self.groups = int(filters), int(groups)
        self.kernel_initializer, self.bias_initializer = (
            initializers.get(kernel_initializer),
            initializers.get(bias_initializer),
        )
        self.kernel_regularizer, self.bias_regularizer = (
            regularizers.get(kernel_regularizer),
            regularizers.get(bias_regularizer),
        )

    def build(self, shape):
        channels = self.channels(shape)
        if channels % self.groups:
            raise ValueError(
                f"{channels} input channels cannot be cut into groups={self.groups} equal parts, input {shape}"
            )
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.add_bias(self.filters)

    def output_shape(self, shape):
        self.check(shape)
        return shape[0], *spatial_size(self.window(self.groups), shape, self.kernel_size), self.filters

    def call(self, x):
        self.check(x.shape)
        return self.activation(functions.conv2d(x, self.kernel, self.bias, self.window(self.groups)))

    def check(self, shape) -> None:
        """Raises ValueError unless the shape is (N, H, W, C) with the channels that the kernel reads."""
        check_channels(shape, self.kernel.shape[2] * self.groups)

    def multiply_adds(self, input_shape, output_shape):
        return math.prod(output_shape[1:]) * math.prod(self.kernel.shape[:3])


class DepthwiseConv2D(Convolution):
    """A kernel of its own for each channel.  x: (N, H, W, C)   y: (N, OH, OW, C * depth_multiplier)

    Weights: kernel (KH, KW, C, depth_multiplier), bias. Output channel c*m + k comes from input channel c.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **common,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **common)
        positive(self, depth_multiplier=depth_multiplier)
        self.depth_multiplier = int(depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.bias_initializer, self.bias_regularizer = (
            initializers.get(bias_initializer),
            regularizers.get(bias_regularizer),
        )

    def build(self, shape):
        shape_of_kernel = (*self.kernel_size, self.channels(shape), self.depth_multiplier)
        self.kernel = self.add_weight(
            "kernel", shape_of_kernel, self.depthwise_initializer, regularizer=self.depthwise_regularizer
        )
        self.add_bias(self.kernel.shape[2] * self.depth_multiplier)

    def output_shape(self, shape):
        check_channels(shape, self.kernel.shape[2])
        return shape[0], *spatial_size(self.window(1), shape, self.kernel_size), shape[3] * self.depth_multiplier

    def call(self, x):
        check_images(x.shape)
        return self.activation(depthwise(x, self.kernel, self.bias, self))

    def multiply_adds(self, input_shape, output_shape):
        return math.prod(output_shape[1:]) * math.prod(self.kernel_size)


class SeparableConv2D(Convolution):
    """A depthwise convolution, then a 1x1 one that mixes the channels.  x: (N, H, W, C)   y: (N, OH, OW, filters)

    Weights: depthwise_kernel (KH, KW, C, depth_multiplier), pointwise_kernel (1, 1, C * depth_multiplier, filters),
    bias.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        **common,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **common)
        positive(self, filters=filters, depth_multiplier=depth_multiplier)
        self.filters, self.depth_multiplier = int(filters), int(depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.bias_initializer, self.bias_regularizer = (
            initializers.get(bias_initializer),
            regularizers.get(bias_regularizer),
        )

    def build(self, shape):
        channels, m = self.channels(shape), self.depth_multiplier
        self.depthwise_kernel = self.add_weight(
            "depthwise_kernel",
            (*self.kernel_size, channels, m),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
        )
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel",
            (1, 1, channels * m, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
        )
        self.add_bias(self.filters)

    def output_shape(self, shape):
        check_channels(shape, self.depthwise_kernel.shape[2])
        return shape[0], *spatial_size(self.window(1), shape, self.kernel_size), self.filters

    def call(self, x):
        each = depthwise(x, self.depthwise_kernel, None, self)
        return self.activation(functions.conv2d(each, self.pointwise_kernel, self.bias))

    def multiply_adds(self, input_shape, output_shape):
        pixels, between = math.prod(output_shape[1:3]), input_shape[3] * self.depth_multiplier
        return pixels * between * (math.prod(self.kernel_size) + self.filters)


def depthwise(x, kernel, bias, layer: Convolution):
    """A grouped convolution with a group for each channel: the kernel (KH, KW, C, M) read as (KH, KW, 1, C*M)."""
    kh, kw, c, m = kernel.shape
    check_channels(x.shape, c)
    return functions.conv2d(x, kernel.reshape(kh, kw, 1, c * m), bias, layer.window(c))
