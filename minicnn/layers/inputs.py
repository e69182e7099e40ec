"""Where graphs begin: `Input`; and what arithmetic on symbols means, `Operation`."""

import copy
from collections.abc import Sequence
from typing import Any

from minicnn import ops
from minicnn.layers.base import Layer
from minicnn.layers.naming import automatic_name
from minicnn.layers.symbols import Node, Symbol
from minicnn.names import snake_case
from minicnn.tensor import apply


class Operation(Layer):
    """One op on symbols (and constants): what `x * 2` means before there are numbers. Not in model.layers, as in
    Keras."""

    hidden = True

    def __init__(self, op: ops.Op, inputs: Sequence[Any]):
        super().__init__(automatic_name(snake_case(type(op).__name__)))
        self.op = op
        self.template = [None if isinstance(x, Symbol) else (x,) for x in inputs]  # (constant,) or None for a symbol
        self.symbols = [x for x in inputs if isinstance(x, Symbol)]

    def connect(self) -> Symbol:
        """Adds the node to the graph."""
        return self(self.symbols)

    def call(self, xs):
        """The op on the tensors, constants in their places."""
        tensors = iter(xs)
        return apply(copy.copy(self.op), *(next(tensors) if c is None else c[0] for c in self.template))


class InputLayer(Layer):
    """Where numbers enter a model. shape: of one example, (H, W, C)."""

    def __init__(self, shape: Sequence[int | None] | None = None, batch_size: int | None = None, **common):
        super().__init__(**common)
        if (
            shape is None
            or isinstance(shape, int)
            or not all(n is None or (isinstance(n, int) and n > 0) for n in shape)
        ):
            raise ValueError(f"{self.name}: shape must be the sizes of one example, (H, W, C), got {shape!r}")
        self.shape, self.batch_size = tuple(shape), batch_size
        self.built = True
        node = Node(self, [], False)
        node.outputs = [Symbol((batch_size, *self.shape), node, 0, self.dtype)]

    def call(self, x):
        """x itself"""
        return x

    def get_config(self):
        """Keras's form: `batch_shape` in place of shape and batch_size."""
        return {"batch_shape": [self.batch_size, *self.shape], "dtype": self.dtype, "name": self.name}

    @classmethod
    def from_config(cls, settings):
        """The layer that `get_config` describes."""
        settings = dict(settings)
        batch_size, *shape = settings.pop("batch_shape")
        return cls(shape, batch_size, **settings)


def Input(  # noqa: N802  (Keras's name)
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> Symbol:
    """A symbol of shape (None, *shape): where a model begins."""
    return InputLayer(shape, batch_size, name=name or automatic_name("input_layer"), dtype=dtype).output
