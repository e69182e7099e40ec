"""Pooling, LeNet's trainable subsampling, and layers that pad or crop images."""

from typing import Any

from minicnn import functions
from minicnn.backend import Window
from minicnn.layers import activations, initializers
from minicnn.layers.base import Layer
from minicnn.layers.windows import channels_last, check_channels, check_images, padding_name, pair, spatial_size


class Pooling2D(Layer):
    """What max and average pooling share: windows of `pool_size`, `strides` (default: the size), `padding`."""

    def __init__(
        self, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None, **common
    ):
        super().__init__(**common)
        self.pool_size = pair(self, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(self, "strides", strides)
        self.padding = padding_name(self, padding)
        self.data_format = channels_last(self, data_format)
        self.window = Window(self.strides, self.padding)

    def output_shape(self, shape):
        return shape[0], *spatial_size(self.window, shape, self.pool_size), shape[3]


class MaxPooling2D(Pooling2D):
    """The largest cell of each window; padding never wins.  x: (N, H, W, C)   y: (N, OH, OW, C)"""

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **common,
    ):
        super().__init__(pool_size, strides, padding, data_format, **common)

    def call(self, x):
        check_images(x.shape)
        return functions.max_pool(x, self.pool_size, self.window)


class AveragePooling2D(Pooling2D):
    """The mean of each window's cells that are not padding.  x: (N, H, W, C)   y: (N, OH, OW, C)"""

    def call(self, x):
        check_images(x.shape)
        return functions.avg_pool(x, self.pool_size, self.window)


class GlobalPooling2D(Layer):
    """What global pools share: one number for each channel, (N, C), or (N, 1, 1, C) with `keepdims`."""

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **common):
        super().__init__(**common)
        self.data_format, self.keepdims = channels_last(self, data_format), keepdims

    def output_shape(self, shape):
        check_images(shape)
        return (shape[0], 1, 1, shape[3]) if self.keepdims else (shape[0], shape[3])


class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean over height and width.  (N, H, W, C) -> (N, C)"""

    def call(self, x):
        check_images(x.shape)
        return x.mean((1, 2), self.keepdims)


class GlobalMaxPooling2D(GlobalPooling2D):
    """The maximum over height and width; equal maxima share the gradient.  (N, H, W, C) -> (N, C)"""

    def call(self, x):
        check_images(x.shape)
        return x.max((1, 2), self.keepdims)


class Subsampling2D(Pooling2D):
    """LeNet's trainable pooling: activation(coefficient[c] * (sum of the window) + bias[c]).  (N, H, W, C) -> (N,
    OH, OW, C)

    LeCun et al. 1998, section II.B: layers S2 and S4, with 2 weights a map. The coefficient begins as the average.
    """

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        activation: Any = "sigmoid",
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
    ):
        # No `padding`: a window that lies half outside has no sum of its own in the paper.
        super().__init__(pool_size, strides, name=name, trainable=trainable, dtype=dtype)
        self.activation = activations.get(activation)

    def build(self, shape):
        check_images(shape)
        self.cells = self.pool_size[0] * self.pool_size[1]
        self.coefficient = self.add_weight("coefficient", (shape[3],), initializers.Constant(1 / self.cells))
        self.bias = self.add_weight("bias", (shape[3],), "zeros")

    def output_shape(self, shape):
        check_channels(shape, self.bias.shape[0])
        return super().output_shape(shape)

    def call(self, x):
        check_channels(x.shape, self.bias.shape[0])
        total = functions.avg_pool(x, self.pool_size, self.window) * float(self.cells)
        return self.activation(total * self.coefficient + self.bias)


class Margins2D(Layer):
    """What padding and cropping share: how much at ((top, bottom), (left, right))."""

    sides: tuple[tuple[int, int], tuple[int, int]]

    def margins(self, name: str, value: Any) -> tuple[tuple[int, int], tuple[int, int]]:
        """One number, (height, width), or ((top, bottom), (left, right)). Raises ValueError for anything else."""
        if (
            isinstance(value, list | tuple)
            and len(value) == 2
            and all(isinstance(side, list | tuple) for side in value)
        ):
            return pair(self, name, value[0], 0), pair(self, name, value[1], 0)
        tall, wide = pair(self, name, value, 0)
        return (tall, tall), (wide, wide)

    def resized(self, shape, sign: int):
        """The shape with the margins added (sign 1) or cut off (-1)."""
        check_images(shape)
        sizes = [None if n is None else n + sign * sum(m) for n, m in zip(shape[1:3], self.sides, strict=True)]
        if any(n is not None and n < 1 for n in sizes):
            raise ValueError(f"cropping {self.sides} leaves nothing of images of shape {shape}")
        return shape[0], *sizes, shape[3]


class ZeroPadding2D(Margins2D):
    """Zeros around the images. padding: one number, (height, width), or ((top, bottom), (left, right))."""

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **common):
        super().__init__(**common)
        self.padding = self.sides = self.margins("padding", padding)
        self.data_format = channels_last(self, data_format)

    def output_shape(self, shape):
        return self.resized(shape, 1)

    def call(self, x):
        check_images(x.shape)
        return functions.pad(x, ((0, 0), *self.sides, (0, 0)))


class Cropping2D(Margins2D):
    """Cuts rows and columns off. cropping: one number, (height, width), or ((top, bottom), (left, right))."""

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **common):
        super().__init__(**common)
        self.cropping = self.sides = self.margins("cropping", cropping)
        self.data_format = channels_last(self, data_format)

    def output_shape(self, shape):
        return self.resized(shape, -1)

    def call(self, x):
        _, h, w, _ = self.resized(x.shape, -1)
        (top, _), (left, _) = self.sides
        return x[:, top : top + h, left : left + w]
