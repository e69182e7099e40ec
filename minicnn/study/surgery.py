"""Networks with parts taken out, scaled or exchanged, without building them anew.

One pass leaves a tape; an operation changes an edge of it and computes what stands behind again. So it works on every
model that `record` understands, a residual one or a chain, and nothing of the model is written.

    theatre = Theatre(model, x)
    theatre.parts                                     what can be operated on, in order
    theatre.output(Operation(delete=(3,)))            the model's output without the branch of block 3
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.backend import to_numpy
from minicnn.study.blocks import Block, Graph, find
from minicnn.study.recording import entering, listed
from minicnn.tensor import Tensor, no_grad

HEADS = (ops.Conv2D, ops.MatMul)  # what makes a layer of a chain; the norm and the activation behind belong to it
Edge = tuple[Tensor, int]


@dataclass
class Part:
    """A block of a residual network, or some layers of a chain: what stands between two tensors of one shape.

    passed: the tensor that takes the part's place when it is deleted: the skip's, or the one that enters.
    end: what the part gives.   edges: where a branch enters the sum; empty in a chain.   inside: the part's tensors
    """

    name: str
    passed: Tensor
    end: Tensor
    edges: list[Edge]
    inside: list[Tensor]

    @property
    def layout(self) -> tuple:
        """What two parts have in common that can change places: kinds and shapes of ops, weights, input and output."""
        inner = set(self.inside)
        kinds = tuple(
            (type(t.op).__name__, t.shape, tuple(p.shape for p in t.parents if p is not None and p not in inner))
            for t in self.inside
        )
        return kinds, self.passed.shape, self.end.shape


@dataclass(frozen=True)
class Operation:
    """What is done to the parts, by their numbers from 0 on.

    delete: parts that let pass what enters.   scale: by part, the factor of its branch.   order: which part works at
    each place, a permutation of all parts; those that change places must be alike.
    """

    delete: Sequence[int] = ()
    scale: Mapping[int, float] = field(default_factory=dict)
    order: Sequence[int] | None = None


class Theatre:
    """The tape of a model on a batch, in inference, and its parts. Raises ValueError where a model has none.

    x: (N, ...), or what the model takes.   layers: how many layers of a chain make a part; two, as in a residual block,
    unless given.
    """

    def __init__(self, model: Any, x: Any, layers: int = 2):
        inputs = entering(model, x)
        given = list(inputs) if isinstance(x, list | tuple | dict) else next(iter(inputs))
        with model.backend.working():
            self.result = listed(model(given, training=False))[0]
        self.backend = model.backend
        self.graph = Graph(inputs, self.result, model.name)
        blocks = [block for block in find(self.graph) if block.residual]
        self.residual = bool(blocks)
        self.parts = [part_of(self.graph, block) for block in blocks] or chain(self.graph, layers)
        if not self.parts:
            raise ValueError(
                f"{model.name}: nothing can be taken out: it has no sum with a skip, and no {layers} layers in a row "
                "keep the shape of what enters"
            )

    def output(self, operation: Operation | None = None) -> np.ndarray:
        """The model's (first) output after an operation, (N, ...). Raises ValueError for one that cannot be done."""
        operation = operation or Operation()
        changed = self._changes(operation)
        values: dict[Tensor, Any] = {}
        with self.backend.working(), no_grad():
            for tensor in self.graph.tensors:
                value = self._again(tensor, values, *changed)
                if value is not None:
                    values[tensor] = value
        return to_numpy(values.get(self.result, self.result.data))

    def _changes(self, operation: Operation) -> tuple[dict, dict, dict]:
        """By tensor what passes in its place and whose op it runs; by edge the factor of what enters."""
        for i in (*operation.delete, *operation.scale):
            if not 0 <= i < len(self.parts):
                raise ValueError(f"there are {len(self.parts)} parts, numbered from 0, got {i}")
        passing = {self.parts[i].end: self.parts[i].passed for i in operation.delete}
        factors: dict[Edge, float] = {}
        for i, factor in operation.scale.items():
            if not self.parts[i].edges:
                raise ValueError(f"{self.parts[i].name} is no branch: there is no skip beside it, so it has no scale")
            factors |= dict.fromkeys(self.parts[i].edges, factor)
        workers: dict[Tensor, Tensor] = {}
        for place, worker in enumerate(operation.order if operation.order is not None else ()):
            if place != worker:
                workers |= self._exchanged(self.parts[place], self.parts[worker])
        return passing, workers, factors

    def _exchanged(self, place: Part, worker: Part) -> dict[Tensor, Tensor]:
        if place.layout != worker.layout:
            raise ValueError(f"{place.name} and {worker.name} cannot change places: they are not built alike")
        return dict(zip(place.inside, worker.inside, strict=True))

    def _again(self, tensor: Tensor, values: dict, passing: dict, workers: dict, factors: dict) -> Any:
        """The tensor's value where it is another than on the tape, else None."""
        if tensor in passing:
            return values.get(passing[tensor], passing[tensor].data)
        edges = {i: factors[tensor, i] for i in range(len(tensor.parents)) if (tensor, i) in factors}
        if not (edges or tensor in workers or any(p in values for p in tensor.parents)):
            return None
        worker = workers.get(tensor, tensor)
        arrays = []
        for i, (own, other) in enumerate(zip(tensor.parents, worker.parents, strict=True)):
            source = own if own in self.graph.active else other  # weights are the worker's, what flows is the place's
            array: Any = None if source is None else values.get(source, source.data)
            arrays.append(array * array.dtype.type(edges[i]) if i in edges else array)
        op = copy.copy(worker.op)
        op.needs = tuple(False for _ in arrays)
        return op(*arrays)


def part_of(graph: Graph, block: Block) -> Part:
    """A residual block as a part."""
    skip = block.ways[block.skip or 0]
    inside = {t for way in block.branches for t in way.inside} - skip.inside - {block.fork}
    edges = [way.edge for way in block.branches]
    return Part(block.name, skip.tensor, block.merge, edges, sorted(inside, key=lambda t: t.order))


# Chains --------------------------------------------------------------------------------------------------------------


def chain(graph: Graph, layers: int) -> list[Part]:
    """Parts of so many layers each, of a network without skips; where they begin is chosen so that most can go.

    Of 20 layers, three stages of six behind a first one, pairs are counted from the second on: so they are the pairs
    that a residual twin has a skip around.
    """
    units = [unit for tensor in trunk(graph) if (unit := unit_of(graph, tensor))]
    possible = [
        [
            part
            for i in range(offset, len(units) - layers + 1, layers)
            if (part := joined(graph, units[i : i + layers])) is not None
        ]
        for offset in range(layers)
    ]
    return max(possible, key=len)


def trunk(graph: Graph) -> list[Tensor]:
    """The tensors through which everything goes from the input to the result."""
    above = graph.dominators()
    found: list[Tensor] = []
    tensor: Tensor | None = graph.result
    while tensor is not None:
        found.append(tensor)
        tensor = above[tensor]
    return found[::-1]


def unit_of(graph: Graph, tensor: Tensor) -> tuple[Tensor, Tensor] | None:
    """Of a convolution or dense layer, what enters it, before the padding, and what leaves its norm and activation."""
    if not isinstance(tensor.op, HEADS) or not graph.weighted(tensor):
        return None
    start = graph.parents(tensor)[0][1]
    while isinstance(start.op, ops.Pad) and start not in graph.inputs:
        start = graph.parents(start)[0][1]
    end = tensor
    while len(readers := graph.readers[end]) == 1:
        reader = readers[0][0]
        if reader.shape != end.shape or isinstance(reader.op, HEADS) or len(graph.parents(reader)) != 1:
            break
        end = reader
    return start, end


def joined(graph: Graph, units: Sequence[tuple[Tensor, Tensor]]) -> Part | None:
    """Units in a row as one part, where it gives the shape that it takes."""
    start, end = units[0][0], units[-1][1]
    if start.shape != end.shape:
        return None
    inside = sorted(graph.behind(end, start) - {start}, key=lambda t: t.order)
    heads = [graph.name(t) for t in inside if isinstance(t.op, HEADS)]
    return Part(f"{heads[0]} .. {heads[-1]}" if len(heads) > 1 else heads[0], start, end, [], inside)


# Measuring -----------------------------------------------------------------------------------------------------------


def errors(
    model: Any,
    x: Any,
    y: np.ndarray,
    operations: Sequence[Operation],
    layers: int = 2,
    batch_size: int = 500,
    say: Callable[[str], None] | None = None,
) -> np.ndarray:
    """The share of the images x (N, H, W, C) that a classifier gets wrong after each operation, (len(operations),).

    y: (N,) class numbers.   layers: as for Theatre. Raises ValueError for labels of another form.
    """
    if np.shape(y) != (len(x),):
        raise ValueError(f"{model.name}: {len(x)} images need class numbers of shape ({len(x)},), got {np.shape(y)}")
    wrong = np.zeros(len(operations))
    for start in range(0, len(x), batch_size):
        theatre = Theatre(model, x[start : start + batch_size], layers)
        labels = np.asarray(y[start : start + batch_size])
        for i, operation in enumerate(operations):
            wrong[i] += np.sum(theatre.output(operation).argmax(axis=-1) != labels)
            if say is not None and (i + 1) % 50 == 0:
                say(f"{i + 1} of {len(operations)} operations on images {start}..{start + len(labels) - 1}")
    return wrong / len(x)
