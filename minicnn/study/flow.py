"""The graph of a network as people draw it, layers and the lines between them, with the gradient along each line.

The tape knows ops; here all ops of a layer's call are one node, the loss is another, and what passes between two nodes
is a line. Several records, of one network at several times, are lined up.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.names import snake_case
from minicnn.study.blocks import Block, Graph
from minicnn.study.measures import cosine, norm, share
from minicnn.study.output import plain
from minicnn.study.recording import Record, record
from minicnn.tensor import Tensor

FORMAT = 1  # of the data


@dataclass
class Node:
    """A call of a layer (or an input, or the loss): what the tape's tensors of one name are folded into."""

    name: str
    kind: str  # "input", "layer", "merge" or "loss"
    type: str
    label: str
    shape: tuple[int, ...]
    parameters: int
    rms: list[float] = field(default_factory=list)  # of the output, at every snapshot
    gradient: list[float] = field(default_factory=list)  # the norm of the output's gradient


@dataclass
class Edge:
    """The way of a gradient from node `to` back to node `start`. role: "skip", "branch" or "trunk".

    block: the index of the innermost block that it lies in, or None. share, cosine: of what passes here, to the whole
    gradient of the tensor behind; 1 where nothing else reads it.
    """

    start: int
    to: int
    role: str
    block: int | None
    norm: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    cosine: list[float] = field(default_factory=list)


@dataclass
class BlockLine:
    """A block and what it does to the gradient at every snapshot: norms, and the cosine of skip and branch."""

    name: str
    kind: str
    fork: int
    merge: int
    arriving: list[float] = field(default_factory=list)
    leaving: list[float] = field(default_factory=list)
    skip: list[float | None] = field(default_factory=list)
    branch: list[float | None] = field(default_factory=list)
    cosine: list[float | None] = field(default_factory=list)


@dataclass
class Flow:
    """The graph of a model, and what passed through it in each of the records that were `add`ed."""

    model: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    blocks: list[BlockLine] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)

    def add(self, model: Any, x: Any, y: Any, about: dict[str, Any], **options: Any) -> None:
        """Records one batch and appends a snapshot; `about` (its step, epoch) and the batch's loss go with it.

        The first one makes the graph. options: those of `record`. Raises what `record` raises, and ValueError where
        the graph is another one than before.
        """
        whole: dict[Tensor, Any] = {}
        found = record(model, x, y, watch=whole.__setitem__, **options)
        seen = Seen(found, whole)
        if not self.snapshots:
            self.nodes = seen.nodes(model)
            self.edges = seen.edges()
            self.blocks = seen.lines()
        if [n.name for n in self.nodes] != list(seen.place) or len(self.edges) != len(seen.ways):
            raise ValueError(f"{self.model}: its graph is not the one of the first snapshot")
        self.snapshots.append({**about, "loss": found.loss})
        seen.fill(self.nodes, self.edges, self.blocks)

    def data(self) -> dict[str, Any]:
        """All of it as plain data with four digits: what the page reads. What is not finite is None."""
        nodes = [{**vars(n), "shape": list(n.shape)} for n in self.nodes]
        lines = [vars(b) for b in self.blocks]
        edges = [{("from" if k == "start" else k): v for k, v in vars(e).items()} for e in self.edges]
        whole = {"format": FORMAT, "model": self.model, "snapshots": self.snapshots}
        return rounded({**whole, "nodes": nodes, "edges": edges, "blocks": lines})


class Seen:
    """A record, folded into nodes and edges.

    place: the index of each node by name.   ways: for each edge (source node, target node) the tape's own edges.
    """

    def __init__(self, found: Record, whole: dict[Tensor, Any]):
        self.record, self.graph, self.whole = found, found.graph, whole
        self.last_output = max(t.order for t in found.outputs)
        self.place: dict[str, int] = {}
        self.of: dict[Tensor, int] = {}
        for number, tensor in enumerate(self.graph.tensors):
            self.of[tensor] = self.place.setdefault(self.key(tensor, number), len(self.place))
        self.ways: dict[tuple[int, int], list[tuple[Tensor, Tensor, int]]] = {}
        for parent in self.graph.tensors:
            for consumer, position in self.graph.readers[parent]:
                pair = self.of[parent], self.of[consumer]
                if pair[0] != pair[1]:
                    self.ways.setdefault(pair, []).append((parent, consumer, position))
        self.apart = {c.edge: c.gradient for some in found.forks.values() for c in some}

    def key(self, tensor: Tensor, number: int) -> str:
        """The name of the node that a tensor belongs to: its layer's; arithmetic outside of layers is numbered."""
        if tensor in self.graph.inputs:
            return self.graph.name(tensor)
        if tensor.scope is None:
            made_by_the_loss = tensor.order > self.last_output
            return "loss" if made_by_the_loss else f"{snake_case(type(tensor.op).__name__)} ({number})"
        inside = tensor.scope[0].partition("/")[2]
        return self.graph.name(tensor) if inside else f"{self.graph.name(tensor)} ({number})"

    def outputs(self) -> dict[int, Tensor]:
        """For every node the last tensor that another node reads, or its last one."""
        found: dict[int, Tensor] = {}
        leaving = {parent for ways in self.ways.values() for parent, _, _ in ways}
        for tensor in self.graph.tensors:
            node = self.of[tensor]
            if tensor in leaving or node not in found or found[node] not in leaving:
                found[node] = tensor
        return found

    def nodes(self, model: Any) -> list[Node]:
        """The nodes, in the order in which they ran."""
        known, outputs = layers_by_path(model), self.outputs()
        entering = {i: [source for source, to in self.ways if to == i] for i in self.place.values()}
        found = []
        for name, i in self.place.items():
            tensor, layer = outputs[i], known.get(name.partition("#")[0])
            kind = "layer"
            if tensor in self.graph.inputs:
                kind = "input"
            elif name == "loss":
                kind = "loss"
            elif len(entering[i]) > 1:
                kind = "merge"
            type_ = type(layer).__name__ if layer is not None else kind if kind in ("input", "loss") else op_of(tensor)
            label = words(layer) if layer is not None and kind != "input" else name.partition(" (")[0]
            count = layer.count_params() if layer is not None else 0
            found.append(Node(name, kind, type_, label, tensor.shape, count))
        return found

    def edges(self) -> list[Edge]:
        """The edges, without numbers yet."""
        roles = self.roles()
        found = []
        for (source, to), ways in self.ways.items():
            inside = [roles[consumer, position] for _, consumer, position in ways if (consumer, position) in roles]
            role, block = inside[0] if inside and len(set(inside)) == 1 else ("trunk", None)
            found.append(Edge(source, to, role, block))
        return found

    def roles(self) -> dict[tuple[Tensor, int], tuple[str, int | None]]:
        """For the tape's edges inside of blocks: skip, branch, or trunk where it is both; and the innermost block."""
        found: dict[tuple[Tensor, int], tuple[str, int | None]] = {}
        numbered = list(enumerate(self.record.blocks))
        for index, block in sorted(numbered, key=lambda pair: -sum(len(w.inside) for w in pair[1].ways)):
            mine: dict[tuple[Tensor, int], set[str]] = {}
            for i, way in enumerate(block.ways):
                role = "skip" if i == block.skip else "branch"
                for edge in [way.edge, *edges_within(self.graph, block, way.inside)]:
                    mine.setdefault(edge, set()).add(role)
            found.update({e: (r.pop() if len(r) == 1 else "trunk", index) for e, r in mine.items()})
        return found

    def lines(self) -> list[BlockLine]:
        """The blocks, without numbers yet."""
        return [
            BlockLine(b.name, b.kind, self.of[b.fork], self.of[b.merge]) for b in self.record.blocks
        ]

    def fill(self, nodes: list[Node], edges: list[Edge], blocks: list[BlockLine]) -> None:
        """Appends the numbers of this record."""
        outputs = self.outputs()
        for i, node in enumerate(nodes):
            tensor = outputs[i]
            node.rms.append(norm(tensor.data) / math.sqrt(tensor.size))
            node.gradient.append(norm(self.whole[tensor]))
        for edge, ways in zip(edges, self.ways.values(), strict=True):
            passing: dict[Tensor, Any] = {}
            for parent, consumer, position in ways:
                g = self.apart.get((consumer, position), self.whole[parent])
                passing[parent] = g if parent not in passing else passing[parent] + g
            parent, gradient = next(iter(passing.items()))
            edge.norm.append(math.sqrt(sum(norm(g) ** 2 for g in passing.values())))
            edge.share.append(share(gradient, self.whole[parent]))
            edge.cosine.append(cosine(gradient, self.whole[parent]))
        for line, block in zip(blocks, self.record.blocks, strict=True):
            line.arriving.append(norm(block.gradient))
            line.leaving.append(norm(block.fork_gradient))
            there = block.skip_gradient is not None and block.branch_gradient is not None
            line.skip.append(norm(block.skip_gradient) if there else None)
            line.branch.append(norm(block.branch_gradient) if there else None)
            line.cosine.append(cosine(block.skip_gradient, block.branch_gradient) if there else None)


def edges_within(graph: Graph, block: Block, inside: set[Tensor]) -> Iterable[tuple[Tensor, int]]:
    """The tape's edges between the tensors of one way; the fork's own parents lie before it."""
    for tensor in inside:
        if tensor is not block.fork:
            yield from ((tensor, position) for position, parent in graph.parents(tensor) if parent in inside)


def op_of(tensor: Tensor) -> str:
    """The name of the op that made it."""
    return type(tensor.op).__name__


def layers_by_path(model: Any, prefix: str = "") -> dict[str, Any]:
    """The layers of a model by their path, "inner/conv1" inside a model or a layer with sublayers."""
    found: dict[str, Any] = {}
    for layer in model.sublayers:
        found[f"{prefix}{layer.name}"] = layer
        found.update(layers_by_path(layer, f"{prefix}{layer.name}/"))
    return found


def words(layer: Any) -> str:
    """A layer in a few words: "3×3 conv 64 /2"."""
    parts = [kernel_words(layer)]
    strides = getattr(layer, "strides", None)
    if strides is not None and tuple(strides) != (1, 1):
        parts.append(f"/{strides[0]}" if len(set(strides)) == 1 else f"/{strides[0]}×{strides[1]}")
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if isinstance(layer, layers.Activation):
        return activation
    if activation != "linear":
        parts.append(f"· {activation}")
    return " ".join(parts)


def kernel_words(layer: Any) -> str:
    """What a layer is, without stride and activation."""
    size = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    window = "×".join(map(str, size)) + " " if isinstance(size, tuple | list) else ""
    names = {
        layers.Conv2D: f"{window}conv", layers.DepthwiseConv2D: f"{window}depthwise conv",
        layers.SeparableConv2D: f"{window}separable conv", layers.MaxPooling2D: f"{window}max pool",
        layers.AveragePooling2D: f"{window}average pool", layers.GlobalAveragePooling2D: "global average",
        layers.GlobalMaxPooling2D: "global max", layers.BatchNormalization: "batch norm", layers.Dense: "dense",
        layers.Add: "+", layers.Concatenate: "concat", layers.ZeroPadding2D: "zero padding",
        layers.LocalResponseNormalization: "response norm", layers.PadShortcut: "subsample, pad",
        layers.Multiply: "×", layers.ReLU: "relu",
    }  # fmt: skip
    if isinstance(layer, layers.ScaledAdd):
        return f"+ {layer.scale:g} ×"
    text = names.get(type(layer), snake_case(type(layer).__name__).replace("_", " "))
    width = getattr(layer, "filters", getattr(layer, "units", None))
    return text if width is None or isinstance(layer, layers.PadShortcut) else f"{text} {width}"


def rounded(value: Any) -> Any:
    """Plain data with four significant digits, None for what is not finite."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return plain(value)
