"""Dense, activations, dropout, and layers that only move numbers about."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn import functions, ops
from minicnn.config import generator
from minicnn.layers import activations, initializers, regularizers
from minicnn.layers.base import Layer
from minicnn.tensor import apply


def positive(layer: Layer, **values: Any) -> None:
    """Raises ValueError for a value that is not a whole number from 1 up."""
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{layer.name}: {name} must be a whole number from 1 up, got {value!r}")


class Dense(Layer):
    """y = activation(x @ kernel + bias).  x: (N, ..., C)   kernel: (C, units)   bias: (units,)   y: (N, ..., units)"""

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **common,
    ):
        super().__init__(**common)
        positive(self, units=units)
        self.units, self.use_bias = int(units), use_bias
        self.activation = activations.get(activation)
        self.kernel_initializer, self.bias_initializer = (
            initializers.get(kernel_initializer),
            initializers.get(bias_initializer),
        )
        self.kernel_regularizer, self.bias_regularizer = (
            regularizers.get(kernel_regularizer),
            regularizers.get(bias_regularizer),
        )

    def build(self, shape):
        self.kernel = self.add_weight(
            "kernel", (shape[-1], self.units), self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer)

    def output_shape(self, shape):
        if len(shape) < 2 or shape[-1] != self.kernel.shape[0]:
            raise ValueError(f"expected inputs of shape (None, ..., {self.kernel.shape[0]}), got {shape}")
        return (*shape[:-1], self.units)

    def call(self, x):
        if x.ndim < 2 or x.shape[-1] != self.kernel.shape[0]:
            raise ValueError(f"expected inputs of shape (N, ..., {self.kernel.shape[0]}), got {x.shape}")
        y = apply(ops.MatMul(), x, self.kernel)
        if self.bias is not None:
            y = y + self.bias
        return self.activation(y)

    def multiply_adds(self, input_shape, output_shape):
        return math.prod(output_shape[1:]) * input_shape[-1]


class SameShape(Layer):
    """A layer that changes no shape."""

    def output_shape(self, shape):
        return shape


class Activation(SameShape):
    """An activation by name ("relu", "softmax", ...) or any function of a tensor that keeps its shape."""

    def __init__(self, activation: Any, **common):
        super().__init__(**common)
        self.activation = activations.get(activation)

    def call(self, x):
        return self.activation(x)


class ReLU(SameShape):
    """max(x, 0), at most `max_value`; `negative_slope` * x below zero."""

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, **common):
        super().__init__(**common)
        self.max_value, self.negative_slope = max_value, negative_slope

    def call(self, x):
        return activations.relu(x, self.negative_slope, self.max_value)


class Softmax(SameShape):
    """e^x / sum(e^x) along `axis`"""

    def __init__(self, axis: int = -1, **common):
        super().__init__(**common)
        self.axis = axis

    def call(self, x):
        return functions.softmax(x, self.axis)


class Dropout(SameShape):
    """In training, sets a share `rate` of the cells to 0 and divides the others by 1 - rate; else passes x on."""

    def __init__(self, rate: float, seed: int | None = None, **common):
        super().__init__(**common)
        if not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ValueError(f"{self.name}: rate must lie in [0, 1), got {rate!r}")
        self.rate, self.seed = rate, seed

    def call(self, x, training, key):
        if not training or self.rate == 0:
            return x
        own = () if self.seed is None else (self.seed,)
        return apply(ops.Dropout(self.rate, generator("dropout", *own, *key)), x)


class Flatten(Layer):
    """(N, H, W, C) -> (N, H*W*C), row-major"""

    def __init__(self, data_format: str | None = None, **common):
        super().__init__(**common)
        if data_format not in (None, "channels_last"):
            raise ValueError(f"{self.name}: data_format must be 'channels_last' (N, H, W, C), got {data_format!r}")
        self.data_format = data_format

    def output_shape(self, shape):
        return shape[0], None if None in shape[1:] else math.prod(shape[1:])

    def call(self, x):
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Reshape(Layer):
    """Each example in the shape `target_shape`, one axis of which may be -1."""

    def __init__(self, target_shape: Sequence[int], **common):
        super().__init__(**common)
        self.target_shape = tuple(target_shape)
        if (
            any(not isinstance(n, int) or n < -1 or n == 0 for n in self.target_shape)
            or self.target_shape.count(-1) > 1
        ):
            raise ValueError(f"{self.name}: target_shape must be sizes, with at most one -1, got {target_shape!r}")

    def output_shape(self, shape):
        if None in shape[1:]:
            return shape[0], *(None if n == -1 else n for n in self.target_shape)
        size, known = math.prod(shape[1:]), math.prod(n for n in self.target_shape if n != -1)
        if size % known or (-1 not in self.target_shape and size != known):
            raise ValueError(f"cannot put an example of shape {shape[1:]} into {self.target_shape}")
        return shape[0], *(size // known if n == -1 else n for n in self.target_shape)

    def call(self, x):
        return x.reshape(self.output_shape(x.shape))


class Lambda(Layer):
    """Any function of a tensor or a list of them: Lambda(lambda x, k: x * k, arguments={"k": 2}).

    The shape is found by running the function once on zeros, unless `output_shape` (without the batch) gives it. The
    function must be made of tensor arithmetic and `minicnn.functions`, or it stops the gradient.
    """

    def __init__(
        self,
        function: Callable,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **common,
    ):
        super().__init__(**common)
        if not callable(function):
            raise ValueError(f"{self.name}: function must be callable, got {function!r}")
        if mask is not None:
            raise ValueError(f"{self.name}: masks are not supported, got {mask!r}")
        self.function, self.given_shape, self.mask, self.arguments = function, output_shape, mask, arguments or {}

    def output_shape(self, shape):
        if self.given_shape is None:
            return self.run_on_stand_in(shape)
        if callable(self.given_shape):
            return tuple(self.given_shape(shape))
        first = shape[0] if isinstance(shape, list) else shape
        return first[0], *self.given_shape

    def call(self, x):
        return self.function(x, **self.arguments)

    def get_config(self):
        return {
            "name": self.name, "trainable": self.trainable, "dtype": self.dtype,
            "function": self.function, "output_shape": self.given_shape, "arguments": self.arguments,
        }  # fmt: skip
