"""The plan: what of a model's graph runs at once.

A batch norm, the sum behind it and the ReLU behind that touch every number three times; at once, once. So the nodes
are grouped into steps, found from their ends: a ReLU, before it perhaps a sum, before that perhaps a convolution or a
batch norm. In a pass without a tape a batch norm goes into the kernel of the convolution before it (`derived.py`). A
node joins those behind it only where nothing else reads its output. All other nodes are steps of their own, and all of
them are where a tap wants to see them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from minicnn import functions, layers, ops
from minicnn.backend import Window
from minicnn.layers import activations
from minicnn.layers.inputs import Operation
from minicnn.layers.symbols import Node, Symbol
from minicnn.model.derived import Derived
from minicnn.tensor import Tensor, apply, scope


@dataclass
class Pass:
    """What a run of the steps has in common. positions: of the nodes, for the keys of what is random."""

    training: bool
    key: tuple
    planned: bool
    positions: dict[Node, int]
    derived: Derived

    def mode(self, node: Node) -> bool:
        """Whether the node trains."""
        return self.training if node.training is None else node.training


@dataclass
class Step:
    """Nodes that run at once: [a convolution or a dense layer], [a batch norm], [a sum], [ReLU]; a convolution, [ReLU]
    and max pooling; a batch norm, ReLU and max pooling; or any single node. Before a convolution or max pooling may
    stand the zeros around its images.

    nodes: in their order; the last one gives the output.   parents: what is read, the sum's other side last
    """

    nodes: list[Node]
    parents: list[Symbol]
    head: Node | None = None
    norm: Node | None = None
    total: Node | None = None
    scale: float = 1.0  # of the branch, in the sum
    relu: bool = False
    folded: bool = False  # whether the batch norm goes into the kernel
    pooled: bool = False
    normed: bool = False  # whether a batch norm alone reads it, which takes away the bias
    pads: Any = None  # of zeros around the images, a layer of its own before the first one

    @property
    def outputs(self) -> list[Symbol]:
        """The symbols that it gives."""
        return self.nodes[-1].outputs

    @cached_property
    def weights(self) -> list[Any]:
        """Those of its nodes."""
        return [w for node in self.nodes for w in node.layer.own_weights]

    @cached_property
    def window(self) -> Window:
        """How the kernel of a convolution walks over what it is given."""
        layer: Any = self.head.layer  # type: ignore[union-attr]
        window = layer.window(layer.groups)
        return replace(window, pads=self.pads) if self.pads else window

    @cached_property
    def pooling(self) -> tuple[tuple[int, int], Window, bool]:
        """The size and the window of the max pooling at its end, and whether there are zeros around what that reads."""
        layer, before = (node.layer for node in self.nodes[:-3:-1])
        zeros = type(before) is layers.ZeroPadding2D
        window = layer.window  # type: ignore[attr-defined]
        return layer.pool_size, replace(window, pads=before.sides) if zeros else window, zeros  # type: ignore[attr-defined]

    def run(self, given: list[Tensor], context: Pass) -> list[Tensor]:
        """The outputs for what the parents gave."""
        if self.head is None and self.norm is None and not (self.total and self.relu):
            return alone(self.nodes[0], given, context)
        last = self.nodes[-1]
        with self.nodes[0].layer.named_errors():
            if self.fits(given):
                with scope(last.layer.name, last.call):
                    return [self.at_once(given, context)]
        return self.one_by_one(given, context)

    def at_once(self, given: list[Tensor], context: Pass) -> Tensor:
        """The output of a group."""
        if self.head is not None:
            return self.run_head(self.head.layer, *given, derived=context.derived)
        if self.norm is not None:
            return self.run_norm(self.norm.layer, *given, training=context.mode(self.norm))
        return apply(ops.AddReLU(self.scale), *given)

    def fits(self, given: list[Tensor]) -> bool:
        """Whether shapes and types are those of a plain group: nothing is broadcast, nothing takes a wider type."""
        dtype = given[0].data.dtype
        for tensor in (*given, *self.weights):
            if tensor.data.dtype != dtype:
                return False
        if len(given) == 1:
            return self.norm is None or not self.pooled or self.has_windows(given[0].shape)
        shape = given[0].shape
        for node in self.nodes[: 2 if self.pads else 1] if self.head is not None or self.norm is not None else ():
            shape = node.layer.output_shape(shape)
        return all(x.shape == shape for x in given[1:])

    def has_windows(self, shape: tuple[int, ...]) -> bool:
        """Whether images are large enough for the pooling at its end, which says so itself if they are not."""
        (_, h, w, _), (size, window, _) = shape, self.pooling
        try:
            window.output_size((h, w), size)
        except ValueError:
            return False
        return True

    def one_by_one(self, given: list[Tensor], context: Pass) -> list[Tensor]:
        """The nodes of the group, each on its own."""
        values = {id(s): x for s, x in zip(self.parents, given, strict=True)}
        y: list[Tensor] = []
        for node in self.nodes:
            y = alone(node, [values[id(p)] for p in node.parents], context)
            values[id(node.outputs[0])] = y[0]
        return y

    def run_head(self, layer: Any, x: Tensor, residual: Tensor | None = None, *, derived: Derived) -> Tensor:
        """A convolution or a dense layer with what follows on each tile, or max pooling of images with zeros around."""
        if type(layer) is layers.MaxPooling2D:
            return apply(ops.MaxPool2D(layer.pool_size, replace(layer.window, pads=self.pads), zeros=True), x)
        if type(layer) is layers.Dense:
            y = apply(ops.DenseAct(self.relu), x, layer.kernel, layer.bias)
            return y if self.relu else layer.activation(y)
        kernel, bias, prepared, window = layer.kernel, layer.bias, None, self.window
        if self.folded:
            norm = None if self.norm is None else self.norm.layer
            kernel, bias, prepared = derived.convolution(layer, norm, self.scale, window, x.data, self.pooled)
        if self.pooled:
            return apply(ops.Conv2DPool(window, self.relu, prepared), x, kernel, bias)
        return apply(ops.Conv2DAct(window, self.relu, prepared, self.normed), x, kernel, bias, residual)

    def run_norm(self, layer: Any, x: Tensor, *residual: Tensor, training: bool) -> Tensor:
        """A batch norm with what follows; moves the statistics as the layer does."""
        batch = training and layer.trainable
        moments = None if batch else (layer.moving_mean.data, layer.moving_variance.data)
        op: ops.BatchNorm = ops.BatchNormAct(layer.epsilon, self.relu, self.scale, moments)
        if self.pooled:
            op = ops.BatchNormPool(layer.epsilon, *self.pooling)
        y = apply(op, x, layer.gamma, layer.beta, *residual)
        if batch:
            layer.move(layer.moving_mean, op.mean)
            layer.move(layer.moving_variance, op.variance)
        return y


def alone(node: Node, given: list[Tensor], context: Pass) -> list[Tensor]:
    """The outputs of one node, run as a layer."""
    extras = {"plan": True} if context.planned else {}
    key = (*context.key, context.positions[node])
    y = node.layer.compute(node.arrange(given), context.mode(node), key, node.call, **extras)
    return list(y) if isinstance(y, list | tuple) else [y]


def singles(nodes: Sequence[Node]) -> list[Step]:
    """A step for every node: the unplanned run."""
    return [Step([node], node.parents) for node in nodes]


def grouped(nodes: Sequence[Node], outputs: Sequence[Symbol], training: bool, folding: bool) -> list[Step]:
    """The steps of a model, each after those whose outputs it reads. folding: for a pass without a tape."""
    grouping = Grouping(nodes, outputs, training, folding)
    taken: set[Node] = set()
    steps = []
    for node in reversed(nodes):
        if node not in taken:
            steps.append(grouping.with_padding(grouping.ending_at(node)))
            taken.update(steps[-1].nodes)
    return steps[::-1]


@dataclass
class Grouping:
    """Finds the groups of a graph."""

    nodes: Sequence[Node]
    results: Sequence[Symbol]
    training: bool
    folding: bool
    uses: dict[int, int] = field(default_factory=dict)

    def __post_init__(self):
        self.positions = {node: i for i, node in enumerate(self.nodes)}
        self.uses = count_uses([p for node in self.nodes for p in node.parents] + list(self.results))

    def ending_at(self, last: Node) -> Step:
        """The largest group whose output is that of `last`."""
        if (found := self.head(last) or self.pooling(last) or self.normed_pooling(last)) is not None:
            return found
        step = Step([last], last.parents, relu=is_relu(last))
        node = self.only(last.parents[0]) if step.relu else last
        if node is None:
            return step
        scale = sum_scale(node)
        possible = [self.chain(node, scale, i) for i in (0, 1)] if scale is not None else [self.chain(node)]
        chains = [chain for chain in possible if chain is not None]
        if chains:  # of two branches the later one: the other is there by then
            found = max(chains, key=lambda chain: self.positions[chain.nodes[-1]])
        elif scale is not None and step.relu:
            found = Step([], node.parents, scale=scale)
        else:
            return step
        if found.nodes == [last] and not found.folded:
            return step
        if scale is not None:
            found.total = node
            found.nodes.append(node)
        if step.relu:
            found.nodes.append(last)
        found.relu = step.relu
        return found

    def head(self, node: Node) -> Step | None:
        """A convolution that has its own ReLU, in a pass without a tape any convolution; a dense layer, unless its
        activation is somebody else's, which runs as a layer."""
        kind, activation = type(node.layer), getattr(node.layer, "activation", None)
        relu = activation in RELUS
        folds = kind is layers.Conv2D and self.folding and activation is activations.linear
        dense = kind is layers.Dense and activation in activations.BY_NAME.values()
        if (kind in HEADS and relu) or dense or folds:
            return Step([node], node.parents, node, relu=relu, folded=self.folding and kind is layers.Conv2D)
        return Step([node], node.parents, node, normed=True) if self.has_no_use_for_its_bias(node) else None

    def has_no_use_for_its_bias(self, node: Node) -> bool:
        """Whether it is a convolution whose only reader is a batch norm by the batch's own moments."""
        layer: Any = node.layer
        if not is_bare(node, layers.Conv2D) or not layer.use_bias or self.only(node.outputs[0]) is None:
            return False
        reader = next((n for n in self.nodes if node.outputs[0] in n.parents), None)
        return reader is not None and type(reader.layer) is layers.BatchNormalization and self.in_batches(reader)

    def pooling(self, last: Node) -> Step | None:
        """A convolution, [ReLU] and max pooling over windows of 2x2 that lie side by side."""
        layer = last.layer
        if type(layer) is not layers.MaxPooling2D or layer.pool_size != (2, 2) or layer.window != Window((2, 2)):
            return None
        nodes, node = [last], self.only(last.parents[0])
        if node is not None and is_relu(node):
            nodes, node = [node, last], self.only(node.parents[0])
        relu = len(nodes) == 2 or (node is not None and getattr(node.layer, "activation", None) in RELUS)
        if node is None or type(node.layer) is not layers.Conv2D or not (relu or is_bare(node, layers.Conv2D)):
            return None
        if len(nodes) == 2 and not is_bare(node, layers.Conv2D):
            return None
        return Step([node, *nodes], node.parents, node, relu=relu, folded=self.folding, pooled=True)

    def normed_pooling(self, last: Node) -> Step | None:
        """A batch norm by the batch's own moments, ReLU, [zeros around the images] and max pooling."""
        nodes, layer = [last], last.layer
        if type(layer) is not layers.MaxPooling2D:
            return None
        node = self.only(last.parents[0])
        if node is not None and type(node.layer) is layers.ZeroPadding2D and layer.padding == "valid":
            nodes, node = [node, last], self.only(node.parents[0])
        norm = self.only(node.parents[0]) if node is not None and is_relu(node) else None
        if node is None or norm is None or not self.is_norm(norm) or not self.in_batches(norm):
            return None
        return Step([norm, node, *nodes], norm.parents, norm=norm, relu=True, pooled=True)

    def chain(self, node: Node, scale: float | None = None, side: int = 0) -> Step | None:
        """A head, a batch norm, or both, whose result is side `side` of the sum `node`, or `node` itself."""
        end: Node | None = node
        if scale is not None:
            end = self.only(node.parents[side])
            if side == 0 and scale != 1:  # the scale is the second one's
                return None
        if end is None:
            return None
        rest = [] if scale is None else [node.parents[1 - side]]
        norm = end if self.is_norm(end) else None
        before = end
        if norm is not None:
            conv = self.only(norm.parents[0]) if self.folding and not self.in_batches(norm) else None
            if conv is None or not is_bare(conv, layers.Conv2D):
                return Step([norm], norm.parents + rest, norm=norm, scale=scale or 1.0)
            before = conv
        kinds = (layers.Conv2D,) if rest or norm else HEADS
        if not is_bare(before, *kinds) or (scale not in (None, 1.0) and not self.folding):
            return None
        nodes = [before] if norm is None else [before, norm]
        folded = self.folding and type(before.layer) is layers.Conv2D
        return Step(nodes, before.parents + rest, before, norm, scale=scale or 1.0, folded=folded)

    def with_padding(self, step: Step) -> Step:
        """The step with the zeros around the images of its convolution or pooling, where they are a layer before it."""
        first = step.nodes[0]
        kinds = layers.Conv2D, layers.MaxPooling2D
        if type(first.layer) not in kinds or first.layer.padding != "valid":  # type: ignore[attr-defined]
            return step
        padding = self.only(first.parents[0])
        alone = step.head is None and type(first.layer) is layers.Conv2D and not is_bare(first, layers.Conv2D)
        if padding is None or type(padding.layer) is not layers.ZeroPadding2D or alone:
            return step
        nodes, parents = [padding, *step.nodes], [*padding.parents, *step.parents[1:]]
        return replace(step, nodes=nodes, parents=parents, head=first, pads=padding.layer.sides)

    def only(self, symbol: Symbol) -> Node | None:
        """The node that gives a symbol, where it gives it to one reader alone."""
        node = symbol.node
        alone = node in self.positions and len(node.outputs) == 1 and self.uses[id(symbol)] == 1
        return node if alone else None

    def is_norm(self, node: Node) -> bool:
        """Whether it is a batch norm that may run later than where it stands: not one whose statistics others move."""
        return type(node.layer) is layers.BatchNormalization and (
            len(node.layer.calls) == 1 or not self.in_batches(node)
        )

    def in_batches(self, node: Node) -> bool:
        """Whether a batch norm takes the moments of the batch."""
        return (self.training if node.training is None else node.training) and node.layer.trainable


HEADS = (layers.Conv2D, layers.Dense)
RELUS = (activations.relu, functions.relu)


def is_relu(node: Node) -> bool:
    """Whether it computes max(x, 0)."""
    layer = node.layer
    if type(layer) is layers.Activation:
        return layer.activation in RELUS
    if type(layer) is layers.ReLU:
        return layer.max_value is None and not layer.negative_slope
    return type(layer) is Operation and type(layer.op) is ops.ReLU


def is_bare(node: Node, *kinds: type) -> bool:
    """Whether it is of one of these kinds, and without an activation."""
    return type(node.layer) in kinds and node.layer.activation is activations.linear  # type: ignore[attr-defined]


def sum_scale(node: Node) -> float | None:
    """s where it computes x + s * r with x and r of one shape, else None."""
    layer, parents = node.layer, node.parents
    if len(parents) != 2 or parents[0].shape != parents[1].shape:
        return None
    if type(layer) is layers.Add or (type(layer) is Operation and type(layer.op) is ops.Add):
        return 1.0
    if type(layer) is layers.ScaledAdd:
        return float(layer.scale)
    return float(layer.op.scale) if type(layer) is Operation and type(layer.op) is ops.ScaledAdd else None


def count_uses(symbols: Sequence[Symbol]) -> dict[int, int]:
    """How many times each symbol is read."""
    uses: dict[int, int] = {}
    for symbol in symbols:
        uses[id(symbol)] = uses.get(id(symbol), 0) + 1
    return uses
