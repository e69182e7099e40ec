"""`record`: one forward and one backward pass, with what every consumer of a fork returns kept apart.

    from minicnn import study
    record = study.record(model, x, y)
    for block in record.blocks:
        print(block.name, block.skip_gradient, block.branch_gradient)

At a merge y = x + F(x) both ways carry the same gradient g: the sum hands it on unchanged. The ways differ on the
journey back to the fork, where the skip returns g itself and the branch J_F^T g; the engine adds the two. Whoever looks
at tensors sees the sum alone. Here the edges are looked at: (consumer, input) pairs.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import backend as backends
from minicnn.backend import to_numpy
from minicnn.model import Model
from minicnn.names import unknown
from minicnn.study import blocks as search
from minicnn.study.blocks import Block, Contribution, Graph
from minicnn.study.probing import in_float64, undisturbed
from minicnn.tensor import Edge, Tensor, between, sweep
from minicnn.training.compiled import Compiled

Array = Any
Watch = Callable[[Tensor, Array], None]
NO_MERGE = (
    "there is no merge: nowhere do two ways from one tensor meet again in an Add, ScaledAdd, Concatenate or a sum of "
    "your own, with weights on one of them. Take a network with skips or inception modules, such as resnet20"
)


@dataclass(repr=False, eq=False)
class Record:
    """What `record` saw. The tape is kept, so that studies can sweep it again; it goes when the record goes.

    loss: the number.   inputs, outputs, total: the tensors on the tape.   graph: the tape with its readers.
    blocks: in forward order.   forks: for every tensor with several readers what each returned, by the tensor's name.
    input_gradients: one for each input of the model.   weight_gradients: by the weight's name, "layer/kernel".
    """

    name: str
    loss: float
    training: bool
    inputs: list[Tensor]
    outputs: list[Tensor]
    total: Tensor
    graph: Graph
    blocks: list[Block]
    forks: dict[str, list[Contribution]]
    input_gradients: list[Array]
    weight_gradients: dict[str, Array]

    def __repr__(self) -> str:
        blocks = ", ".join(block.name for block in self.blocks)
        return f"Record({self.name}, loss={self.loss:.4g}, blocks=[{blocks}])"

    def block(self, name: str) -> Block:
        """The block whose merge has this name. Raises ValueError where there is none."""
        return search.named(self.blocks, name)

    def need(self, residual: bool = False) -> list[Block]:
        """The blocks. Raises ValueError where there are none; `residual`: those that are sums with a skip."""
        found = [block for block in self.blocks if block.residual or not residual]
        if not found and self.blocks:
            kinds = ", ".join(sorted({block.kind for block in self.blocks}))
            raise ValueError(
                f"{self.name}: there is no sum with a skip: its merges are {kinds}. Take a residual network, "
                "or name the skip: record(..., skip={merge: layer})"
            )
        if not found:
            raise ValueError(f"{self.name}: {NO_MERGE}")
        return found


def record(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    training: bool = True,
    precise: bool = False,
    skip: Mapping[str, str | int] | None = None,
    watch: Watch | None = None,
) -> Record:
    """Runs `model` on the batch x, y layer by layer, sweeps back, and keeps what arrives at merges and forks.

    x: an array (N, ...), a list or a dict by the inputs' names.   y: the labels, as for fit.   loss: a loss, a function
    or a name, for models that are not compiled, or in place of the compiled one.   training: whether batch norm takes
    the batch's statistics and dropout drops, with the numbers of the next training step.   precise: in float64.
    skip: which way into a merge is the skip, by the merge's name, where it should not be found: the name of the layer
    that enters, or its index.   watch(tensor, gradient): is shown every tensor of the tape with its whole gradient.
    Weights, their `grad`, statistics and the order of random numbers stay as they are. Raises ValueError for a model
    without a loss, for an empty batch, and for a `skip` that is not there; TypeError for what is no model.
    """
    if not isinstance(model, Model):
        raise TypeError(f"record takes a minicnn model, got {type(model).__name__}")
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        if precise:
            stack.enter_context(in_float64(model))
        stack.enter_context(model.backend.working())
        model.step = model.step  # a training step begins: its first pass draws the random numbers of that step
        inputs = entering(model, x)
        given = list(inputs) if isinstance(x, list | tuple | dict) else next(iter(inputs))
        outputs = listed(model(given, training=training))
        total = loss_of(model, loss, y, outputs)
        graph = Graph(inputs, total, model.name)
        return swept(model, graph, outputs, training, skip, watch)


def swept(model: Any, graph: Graph, outputs: list[Tensor], training: bool, skip: Any, watch: Watch | None) -> Record:
    """The backward pass: finds the blocks, sweeps the tape, and puts the gradients where they belong."""
    found = search.find(graph, dict(skip or {}))
    forks = {t: readers for t, readers in graph.readers.items() if len(readers) > 1}
    kept = Kept(forks, found)
    names = {id(w): w.name for w in model.trainable_weights}
    weights: dict[str, Array] = {}
    whole: dict[Tensor, Array] = {}
    wanted = {t for b in found for t in (b.fork, b.merge)} | set(graph.inputs)
    seed = backends.backend_of(graph.result.data).xp.ones_like(graph.result.data)
    for tensor, dy in sweep(graph.result, seed, keep=True, probe=kept):
        if tensor in wanted:
            whole[tensor] = dy
        if id(tensor) in names:
            weights[names[id(tensor)]] = dy
        if watch is not None:
            watch(tensor, dy)
    for block in found:
        fill(block, whole, kept)
    by_name = {name: contributions(graph, t, found, kept) for name, t in numbered(graph, forks)}
    zeros = backends.backend_of(graph.result.data).xp.zeros_like
    gradients = [whole[t] if t in whole else zeros(t.data) for t in graph.inputs]
    loss = graph.result.item()
    inputs = list(graph.inputs)
    return Record(model.name, loss, training, inputs, outputs, graph.result, graph, found, by_name, gradients, weights)


class Kept:
    """A probe that keeps what is returned along the edges to forks, and into merges where ways share a consumer."""

    def __init__(self, forks: dict[Tensor, list], blocks: Iterable[Block]):
        self.wanted = {edge for readers in forks.values() for edge in readers}
        self.wanted |= {way.edge for block in blocks if block.of("both") for way in block.ways}
        self.gradients: dict[tuple[Tensor, int], Array] = {}

    def __call__(self, edge: Edge, gradient: Array) -> None:
        place = (edge.consumer, edge.position)
        if place in self.wanted:
            self.gradients[place] = gradient


def fill(block: Block, whole: dict[Tensor, Array], kept: Kept) -> None:
    """Puts the gradients into a block."""
    block.gradient, block.fork_gradient = whole[block.merge], whole[block.fork]
    for one in block.contributions:
        one.gradient = kept.gradients[one.edge]
    if block.of("both"):  # a consumer stands on several ways: each way is swept on its own
        along = [through(way.tensor, block.fork, kept.gradients[way.edge]) for way in block.ways]
        block.skip_gradient = None if block.skip is None else along[block.skip]
        block.branch_gradient = added(g for i, g in enumerate(along) if i != block.skip)
    else:
        block.skip_gradient = added(c.gradient for c in block.of("skip"))
        block.branch_gradient = added(c.gradient for c in block.of("branch"))


def through(y: Tensor, x: Tensor, dy: Array) -> Array:
    """The part of the gradient of x that comes back from y, which dy arrives at."""
    return next((g for tensor, g in sweep(y, dy, keep=True, probe=None, wanted=between(y, [x])) if tensor is x), None)


def added(gradients: Iterable[Array]) -> Array | None:
    """The sum; None of nothing."""
    total = None
    for gradient in gradients:
        total = gradient if total is None else total + gradient
    return total


def contributions(graph: Graph, fork: Tensor, blocks: list[Block], kept: Kept) -> list[Contribution]:
    """What each reader of a fork returned, with the role that it has in the block that the fork begins, if any."""
    roles = {c.edge: c.role for block in reversed(blocks) if block.fork is fork for c in block.contributions}
    return [
        Contribution(graph.name(t), type(t.op).__name__, i, roles.get((t, i), "other"), (t, i), kept.gradients[(t, i)])
        for t, i in graph.readers[fork]
    ]


def numbered(graph: Graph, tensors: Iterable[Tensor]) -> Iterable[tuple[str, Tensor]]:
    """Tensors with their names, the second of a name as "name (2)"."""
    count: dict[str, int] = {}
    for tensor in tensors:
        name = graph.name(tensor)
        count[name] = count.get(name, 0) + 1
        yield (name if count[name] == 1 else f"{name} ({count[name]})"), tensor


# Inputs and losses ---------------------------------------------------------------------------------------------------


def entering(model: Any, x: Any) -> dict[Tensor, str]:
    """Tensors of the batch that want a gradient, with their names, in the order of the model's inputs."""
    symbols = getattr(model, "inputs", None)
    names = [s.name for s in symbols] if symbols else None
    if isinstance(x, dict):
        if names is None or set(x) != set(names):
            known = "is not known" if names is None else f"are {', '.join(map(repr, names))}"
            raise ValueError(f"{model.name}: the inputs {known}, got {', '.join(map(repr, x))}")
        x = [x[name] for name in names]
    arrays = [model.to_tensor(one).data for one in (x if isinstance(x, list | tuple) else [x])]
    if any(a.size == 0 for a in arrays):
        raise ValueError(f"{model.name}: the batch is empty, got {', '.join(str(a.shape) for a in arrays)}")
    if names is None or len(names) != len(arrays):
        names = ["input"] if len(arrays) == 1 else [f"input_{i}" for i in range(len(arrays))]
    return {Tensor(a, requires_grad=True): name for a, name in zip(arrays, names, strict=True)}


def loss_of(model: Any, loss: Any, y: Any, outputs: list[Tensor]) -> Tensor:
    """The loss that is swept: the one that is given, or that of compile(), with penalties on weights. A scalar."""
    names = model.output_names if getattr(model, "outputs", None) else None
    compiled = model.compiled if loss is None else Compiled(loss=loss, output_names=names)
    if compiled is None or all(one is None for one in compiled.losses):
        raise ValueError(
            f"{model.name}: there is no loss to sweep back from: compile the model with one, or give one, as in "
            "record(model, x, y, loss='sparse_categorical_crossentropy')"
        )
    total, _ = compiled.loss(compiled.targets(y), outputs, model.regularization())
    if total.size != 1:
        raise ValueError(f"{model.name}: the loss must be one number, got the shape {total.shape}")
    return total


def listed(outputs: Any) -> list[Tensor]:
    """The outputs as a list."""
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


# Gradients by name ---------------------------------------------------------------------------------------------------


def gradients(model: Any, x: Any, y: Any = None, wrt: str = "activations", **options: Any) -> dict[str, np.ndarray]:
    """The gradient of the loss for the output of every layer, by the layer's name; or for every weight, by its name.

    wrt: "activations" or "weights".   options: those of `record`. A layer's second call is called name#2; layers whose
    output does not touch the loss are left out. As NumPy arrays, in forward order.
    """
    if wrt not in ("activations", "weights"):
        raise ValueError(unknown("value of wrt", wrt, ("activations", "weights")))
    seen: dict[Tensor, Array] = {}

    def watch(tensor: Tensor, dy: Array) -> None:
        if tensor.scope is not None:
            seen[tensor] = dy

    found = record(model, x, y, **options, watch=watch if wrt == "activations" else None)
    if wrt == "weights":
        order = [w.name for w in model.trainable_weights]
        return {name: to_numpy(found.weight_gradients[name]) for name in order if name in found.weight_gradients}
    return {name: to_numpy(seen[t]) for name, t in outputs_of_layers(found.graph)}


def outputs_of_layers(graph: Graph) -> list[tuple[str, Tensor]]:
    """The tensors that leave a layer (some reader, if there is one, belongs to another), with the layer's name."""
    leaving = [
        t for t in graph.tensors
        if t.scope is not None and t not in graph.inputs
        and (not graph.readers[t] or any(reader.scope != t.scope for reader, _ in graph.readers[t]))
    ]  # fmt: skip
    return list(numbered(graph, leaving))
