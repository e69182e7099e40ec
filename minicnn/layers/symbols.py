"""Symbols, the outputs of layers before there are numbers, and nodes, the calls that gave them: a graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minicnn.tensor import Deferred

if TYPE_CHECKING:
    from minicnn.layers.base import Layer

Shape = tuple[int | None, ...]


class Symbol(Deferred):
    """The output number `index` of a node, of which only the shape is known: (None, H, W, C)."""

    def __init__(self, shape: Shape, node: "Node", index: int = 0, dtype: str = "float32"):
        self.shape, self.node, self.index, self.dtype = tuple(shape), node, index, dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """The name of the layer that gives it."""
        return self.node.layer.name

    def __repr__(self) -> str:
        return f"Symbol(shape={self.shape}, from={self.name})"

    def __len__(self):
        raise TypeError(f"{self!r} has no length: it holds no numbers yet")

    def __iter__(self):
        raise TypeError(f"{self!r} cannot be iterated over: it holds no numbers yet")

    def __array__(self, *_, **__):
        raise TypeError(f"{self!r} holds no numbers yet: use layers or minicnn.functions on it, or run a model")

    def defer(self, op, inputs):
        """`op` on symbols: a node whose layer is an `Operation`."""
        from minicnn.layers.inputs import Operation  # a layer, and layers are made of symbols

        return Operation(op, inputs).connect()


class Node:
    """One call of a layer: its parents (symbols), its outputs (symbols), and which of the layer's calls it is."""

    def __init__(self, layer: "Layer", parents: list[Symbol], many: bool, training: bool | None = None):
        self.layer, self.parents, self.many, self.training = layer, parents, many, training
        self.call = len(layer.calls)
        self.outputs: list[Symbol] = []
        layer.calls.append(self)

    def __repr__(self) -> str:
        return f"Node({self.layer.name}, call {self.call})"

    def arrange(self, inputs: list) -> Any:
        """The inputs as the layer takes them: a list, or the only one."""
        return inputs if self.many else inputs[0]

    def multiply_adds(self) -> int:
        """Those of one image through this call."""
        if not self.parents:
            return 0
        given = [s.shape for s in self.outputs]
        return self.layer.multiply_adds(
            self.arrange([p.shape for p in self.parents]), given if len(given) > 1 else given[0]
        )


def shapes_of(inputs: Any) -> Any:
    """The shape of a tensor with an open batch, (None, H, W, C); of a list, a list."""
    if isinstance(inputs, list | tuple):
        return [shapes_of(x) for x in inputs]
    return (None, *inputs.shape[1:])


def unique(items: Sequence[Any]) -> list[Any]:
    """The items in their order, each object once."""
    return list({id(x): x for x in items}.values())


def int_shape(x: Any) -> Shape:
    """The shape of a symbol or tensor as a tuple (Keras's backend.int_shape)."""
    return tuple(x.shape)


def is_keras_tensor(x: Any) -> bool:
    """Whether x is a symbol (Keras's backend.is_keras_tensor)."""
    return isinstance(x, Symbol)
