"""Sequential: a model that is a chain."""

from collections.abc import Sequence
from typing import Any

from minicnn.layers.base import Layer
from minicnn.layers.inputs import InputLayer
from minicnn.layers.symbols import Symbol, unique
from minicnn.model.model import Model


class Sequential(Model):
    """A chain of layers. It is built with the first layer's `input_shape`, an Input at the front, or the first data."""

    automatic_prefix = "sequential"
    way_to_build = "give its first layer an input_shape, or call it on data once"

    def __init__(self, layers: Sequence[Any] | None = None, name: str | None = None, trainable: bool = True):
        super().__init__(name=name, trainable=trainable)
        self.chain: list[Layer] = []
        self.entrance: Symbol | None = None
        for layer in layers or []:
            self._append(layer)
        self._rebuild()

    def add(self, layer: Any) -> None:
        """Puts a layer at the end."""
        self._append(layer)
        self._rebuild()

    def pop(self) -> Layer:
        """Takes the last layer off and returns it."""
        if not self.chain:
            raise ValueError(f"{self.name}: there is no layer to take off")
        layer = self.chain.pop()
        if self._connected:
            layer.calls.remove(self.nodes[-1])
        self._rebuild()
        return layer

    def _append(self, layer: Any) -> None:
        if isinstance(layer, Symbol) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if isinstance(layer, InputLayer):
            if self.chain or self.entrance is not None:
                raise ValueError(f"{self.name}: an Input can only stand at the front")
            self.entrance = layer.output
            return
        if not isinstance(layer, Layer):
            raise ValueError(f"{self.name}: expected a layer, got {layer!r}")
        if layer in self.chain or any(layer.name == other.name for other in self.chain):
            raise ValueError(f"{self.name}: layer names must be unique, but {layer.name!r} is there already")
        if not self.chain and self.entrance is None:
            shape = layer.input_shape_argument
            if shape is None and isinstance(layer, Model) and layer._connected and not layer.many_inputs:
                shape = layer.inputs[0].shape[1:]
            self.entrance = None if shape is None else InputLayer(tuple(shape)).output
        self.chain.append(layer)

    def _rebuild(self) -> None:
        """Connects what is not connected yet: each layer is called once, however often one is added or taken off."""
        done = {node.layer: node for node in self.steps} if self._connected else {}
        self._connected, self._plain, self._witness = False, False, None
        if self.entrance is None or not self.chain:
            return
        symbol = self.entrance
        for layer in self.chain:
            symbol = done[layer].outputs[0] if layer in done else layer(symbol)
        self.connect(self.entrance, symbol)

    def build(self, shape: Any) -> None:
        """Builds the chain for inputs of `shape` = (None, ...)."""
        if not self._connected and self.chain:
            self.entrance = InputLayer(tuple(shape[1:])).output
            self._rebuild()

    def ensure_built(self, shape: Any) -> None:
        if not self._connected:
            self.build(shape)

    def _need_graph_for(self, x: Any) -> None:
        if not isinstance(x, list):
            self.ensure_built((None, *x.shape[1:]))
        self._need_graph()

    @property
    def layers(self) -> list[Layer]:
        """The layers in their order, without the input."""
        return list(self.chain)

    @property
    def sublayers(self) -> list[Layer]:
        """The layers."""
        return unique(self.chain)
