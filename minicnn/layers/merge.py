"""Where paths meet: sums, products, concatenation, and the layers of residual shortcuts."""

from typing import Any

from minicnn import functions
from minicnn.layers.base import Layer
from minicnn.layers.core import SameShape, positive
from minicnn.layers.symbols import Shape
from minicnn.layers.windows import check_images, pair


class Merge(Layer):
    """What takes a list of inputs of one shape (axes of size 1 stretch, as in Keras)."""

    def output_shape(self, shape):
        self.check(shape)
        merged = shape[0]
        for other in shape[1:]:
            merged = broadcast(merged, other)
        return merged

    def check(self, inputs) -> None:
        """Raises ValueError unless there are at least two inputs."""
        if not isinstance(inputs, list) or len(inputs) < 2:
            count = len(inputs) if isinstance(inputs, list) else 1
            raise ValueError(f"expected a list of at least 2 inputs, got {count}")

    def call(self, xs):
        self.check(xs)
        self.output_shape([x.shape for x in xs])
        y = xs[0]
        for x in xs[1:]:
            y = self.merge(y, x)
        return y

    def merge(self, a, b):
        """The result for two inputs."""
        raise NotImplementedError


class Add(Merge):
    """The sum of the inputs: the merge of a residual block."""

    def merge(self, a, b):
        return a + b


class Multiply(Merge):
    """The product of the inputs: a gate."""

    def merge(self, a, b):
        return a * b


class Concatenate(Layer):
    """The inputs one after the other along `axis`: the merge of an inception module."""

    def __init__(self, axis: int = -1, **common):
        super().__init__(**common)
        self.axis = axis

    def output_shape(self, shape):
        if not isinstance(shape, list) or not shape:
            raise ValueError(f"expected a list of inputs, got {shape}")
        axis = self.axis % len(shape[0]) if -len(shape[0]) <= self.axis < len(shape[0]) else None
        if axis in (None, 0):
            raise ValueError(f"axis {self.axis} cannot be concatenated in inputs of shape {shape[0]}")
        known = [{n for n in sizes if n is not None} for sizes in zip(*shape, strict=False)]
        if len({len(s) for s in shape}) > 1 or any(len(some) > 1 for i, some in enumerate(known) if i != axis):
            raise ValueError(f"inputs must agree in every axis but {self.axis}, got {', '.join(map(str, shape))}")
        sizes = [s[axis] for s in shape]
        merged = [next(iter(some), None) for some in known]
        return *merged[:axis], None if None in sizes else sum(sizes), *merged[axis + 1 :]

    def call(self, xs):
        self.output_shape([x.shape for x in xs] if isinstance(xs, list) else xs.shape)
        return functions.concatenate(xs, self.axis)


class ScaledAdd(Merge):
    """[x, r] -> x + scale * r: Inception-ResNet's merge, a lambda in most codes (Szegedy et al. 2016, section 3.3)."""

    def __init__(self, scale: float, **common):
        super().__init__(**common)
        if not isinstance(scale, int | float):
            raise ValueError(f"{self.name}: scale must be a number, got {scale!r}")
        self.scale = scale

    def check(self, inputs):
        if not isinstance(inputs, list) or len(inputs) != 2:
            raise ValueError(
                f"expected a list [x, residual], got {len(inputs) if isinstance(inputs, list) else 1} input(s)"
            )

    def merge(self, a, b):
        return functions.scaled_add(a, b, self.scale)


class Scale(SameShape):
    """alpha * x with one trainable number, 0 at first: SkipInit (De & Smith 2020, arXiv:2002.10444)."""

    def __init__(self, initializer: Any = "zeros", **common):
        super().__init__(**common)
        self.initializer = initializer

    def build(self, shape):
        self.alpha = self.add_weight("alpha", (), self.initializer)

    def call(self, x):
        return x * self.alpha


class PadShortcut(Layer):
    """ResNet's option A: every stride-th pixel, and zero channels behind the old ones.  (N, H, W, C) -> (N, OH, OW,
    filters)

    He et al. 2015, section 3.3: a shortcut without weights where a stage halves the image and doubles the channels.
    """

    def __init__(self, filters: int, strides: Any = (2, 2), **common):
        super().__init__(**common)
        positive(self, filters=filters)
        self.filters, self.strides = filters, pair(self, "strides", strides)

    def output_shape(self, shape):
        check_images(shape)
        if shape[3] > self.filters:
            raise ValueError(f"cannot pad {shape[3]} channels to filters={self.filters}, input {shape}")
        oh, ow = (None if n is None else -(-n // s) for n, s in zip(shape[1:3], self.strides, strict=True))
        return shape[0], oh, ow, self.filters

    def call(self, x):
        self.output_shape(x.shape)
        x = x[:, :: self.strides[0], :: self.strides[1]]
        return functions.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.filters - x.shape[3])))


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape of a + b. Raises ValueError where they do not fit."""
    if len(a) != len(b) or any(m != n and 1 not in (m, n) and None not in (m, n) for m, n in zip(a, b, strict=True)):
        raise ValueError(f"inputs have incompatible shapes {a} and {b}")
    return tuple(n if m == 1 or (m is None and n != 1) else m for m, n in zip(a, b, strict=True))


def add(inputs: list, name: str | None = None):
    """Add()(inputs)"""
    return Add(name=name)(inputs)


def multiply(inputs: list, name: str | None = None):
    """Multiply()(inputs)"""
    return Multiply(name=name)(inputs)


def concatenate(inputs: list, axis: int = -1, name: str | None = None):
    """Concatenate(axis)(inputs)"""
    return Concatenate(axis, name=name)(inputs)
