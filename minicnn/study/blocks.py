"""Residual blocks on a tape: where paths part (the fork), where they meet again (the merge), which of them is the skip.

The tape itself is searched, not the graph of layers, so that a sum counts wherever it was written: in an Add layer, a
Lambda, arithmetic on symbols, a layer or a model of one's own, in each call of a model that is called twice.

A merge is a tensor made from several others that depend on the input. Its fork is its immediate dominator: the last
tensor through which every path from the input to the merge goes (Cooper, Harvey, Kennedy 2001, A Simple, Fast
Dominance Algorithm; in a graph without loops one pass finds them). The skip is the way into the merge with the fewest
ops that have weights: the identity, option A's padding, a projection.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from minicnn import ops
from minicnn.names import snake_case, unknown
from minicnn.tensor import Tensor, Weight, between

SUMS = (ops.Add, ops.ScaledAdd, ops.Subtract)
KINDS: dict[type, str] = dict.fromkeys(SUMS, "add") | {
    ops.Concatenate: "concatenate",
    ops.Multiply: "multiply",
    ops.Divide: "multiply",
}


class Graph:
    """The tensors between some inputs and a result, with what the tape does not keep: who reads a tensor.

    tensors: those that depend on an input, in the order of their making.   readers: by tensor, the pairs (consumer,
    position) that read it, oldest first.   root: the name of the model, which is left out of names.
    """

    def __init__(self, inputs: dict[Tensor, str], result: Tensor, root: str = ""):
        self.inputs, self.result, self.root = inputs, result, root
        self.active = between(result, list(inputs))
        self.tensors = sorted(self.active, key=lambda t: t.order)
        self.readers: dict[Tensor, list[tuple[Tensor, int]]] = {t: [] for t in self.tensors}
        for tensor in self.tensors:
            for position, parent in self.parents(tensor):
                self.readers[parent].append((tensor, position))

    def parents(self, tensor: Tensor) -> list[tuple[int, Tensor]]:
        """What a tensor was made from, as far as it depends on the inputs, by position."""
        if tensor in self.inputs:
            return []
        return [(i, p) for i, p in enumerate(tensor.parents) if p is not None and p in self.active]

    def name(self, tensor: Tensor) -> str:
        """The layer that made it: its path in the model, with #2 at its second call; outside of layers the op."""
        if tensor in self.inputs:
            return self.inputs[tensor]
        layer, call = tensor.scope or ("", 0)
        layer = layer.removeprefix(self.root).lstrip("/")
        if not layer:
            return snake_case(type(tensor.op).__name__)
        return layer if not call else f"{layer}#{call + 1}"

    def dominators(self) -> dict[Tensor, Tensor | None]:
        """For each tensor the last one through which all paths from the inputs go; None where there is no such."""
        above: dict[Tensor, Tensor | None] = {}
        depth: dict[Tensor | None, int] = {None: 0}
        for tensor in self.tensors:
            parents: list[Tensor | None] = [p for _, p in self.parents(tensor)]
            common = parents[0] if parents else None
            for other in parents[1:]:
                while common is not other:
                    if depth[common] >= depth[other]:
                        common = above[common]  # type: ignore[index]
                    else:
                        other = above[other]  # type: ignore[index]
            above[tensor] = common
            depth[tensor] = depth[common] + 1
        return above

    def behind(self, end: Tensor, start: Tensor) -> set[Tensor]:
        """The tensors on paths from `start`, which dominates `end`, to `end`; both included."""
        found, stack = {start, end}, [] if end is start else [end]
        while stack:
            fresh = [p for _, p in self.parents(stack.pop()) if p not in found]
            found.update(fresh)
            stack.extend(fresh)
        return found

    def weighted(self, tensor: Tensor) -> bool:
        """Whether the op that made it has weights (or what was computed from weights)."""
        return any(
            p is not None and p not in self.active and (isinstance(p, Weight) or p.requires_grad)
            for p in tensor.parents
        )


@dataclass(eq=False)
class Way:
    """A way from the fork into the merge.

    layer: the last one on it, "identity" where the fork itself enters.   edge: (consumer, position), where it enters.
    weights, length: the fewest ops with weights, and the fewest ops, between fork and merge.   inside: its tensors
    """

    layer: str
    edge: tuple[Tensor, int] = field(repr=False)
    tensor: Tensor = field(repr=False)
    weights: int
    length: int
    inside: set[Tensor] = field(repr=False)


@dataclass(eq=False)
class Contribution:
    """What one consumer of a fork returns to it.

    layer: the consumer's name and call.   op, position: its op, and which input of the op.   edge: (consumer, position)
    role: "skip", "branch", "both" where it stands on a skip and on a branch, "other" where it does not lead to the
    merge.   gradient: of the fork's shape, once recorded.
    """

    layer: str
    op: str
    position: int
    role: str
    edge: tuple[Tensor, int] = field(repr=False)
    gradient: Any = field(default=None, repr=False)


@dataclass(eq=False)
class Block:
    """A fork, a merge, the ways between them, and the gradients that a record puts in.

    kind: "add", "multiply", "concatenate", or the merge's op.   skip: the index of a way, None where there is none.
    gradient: what arrives at the merge.   fork_gradient: the whole gradient of the fork.   skip_gradient,
    branch_gradient: what comes back to the fork along the skip, and along all the other ways.
    """

    name: str
    kind: str
    fork_name: str
    fork: Tensor
    merge: Tensor
    ways: list[Way]
    skip: int | None
    contributions: list[Contribution] = field(default_factory=list)
    gradient: Any = field(default=None, repr=False)
    fork_gradient: Any = field(default=None, repr=False)
    skip_gradient: Any = field(default=None, repr=False)
    branch_gradient: Any = field(default=None, repr=False)

    @property
    def residual(self) -> bool:
        """Whether it is a sum with a skip: what a path can pass through or along."""
        return self.kind == "add" and self.skip is not None

    @property
    def branches(self) -> list[Way]:
        """The ways but for the skip."""
        return [way for i, way in enumerate(self.ways) if i != self.skip]

    def of(self, role: str) -> list[Contribution]:
        """The contributions with this role."""
        return [c for c in self.contributions if c.role == role]


def find(graph: Graph, skip: dict[str, str | int] | None = None) -> list[Block]:
    """The blocks of a graph, in the order of their merges.

    skip: by the merge's name which way is the skip: its last layer's name, or its index; otherwise it is found.
    Where several merges have the same name the second is called name (2). Raises ValueError for what is not there.
    """
    above = graph.dominators()
    taken: set[Tensor] = set()
    blocks: list[Block] = []
    names: dict[str, int] = {}
    for merge in reversed(graph.tensors):
        entering = list(entries(graph, merge, taken))
        fork = above[merge]
        if merge.scope is None or len(entering) < 2 or fork is None:
            continue
        ways = [way(graph, fork, *entry) for entry in entering]
        if any(graph.weighted(t) for w in ways for t in w.inside if t is not fork):
            kind = KINDS.get(type(merge.op), snake_case(type(merge.op).__name__))
            blocks.append(Block(graph.name(merge), kind, graph.name(fork), fork, merge, ways, choose(kind, ways)))
    blocks.reverse()
    for block in blocks:
        names[block.name] = names.get(block.name, 0) + 1
        if names[block.name] > 1:
            block.name = f"{block.name} ({names[block.name]})"
    for name, wanted in (skip or {}).items():
        named(blocks, name).skip = position(named(blocks, name), wanted)
    for block in blocks:
        block.contributions = contributions(graph, block)
    return blocks


def entries(graph: Graph, merge: Tensor, taken: set[Tensor]) -> Iterator[tuple[tuple[Tensor, int], Tensor]]:
    """The edges into a merge, with the tensors that enter. A sum of sums that nothing else reads is one merge.

    taken: tensors that are part of a merge found before; grows.
    """
    if merge in taken:
        return
    for position, parent in graph.parents(merge):
        chained = isinstance(merge.op, SUMS) and isinstance(parent.op, SUMS) and len(graph.readers[parent]) == 1
        if chained and len(graph.parents(parent)) > 1:
            yield from entries(graph, parent, taken)
            taken.add(parent)
        else:
            yield (merge, position), parent


def way(graph: Graph, fork: Tensor, edge: tuple[Tensor, int], tensor: Tensor) -> Way:
    """The way from the fork that enters along `edge`."""
    inside = graph.behind(tensor, fork)
    shortest = {fork: (0, 0)}
    for t in sorted(inside - {fork}, key=lambda t: t.order):
        weights, length = min(shortest[p] for _, p in graph.parents(t) if p in shortest)
        shortest[t] = weights + graph.weighted(t), length + 1
    layer = "identity" if tensor is fork else graph.name(tensor)
    return Way(layer, edge, tensor, *shortest[tensor], inside)


def choose(kind: str, ways: Sequence[Way]) -> int | None:
    """The index of the skip: of a sum or product the one way with the fewest weights, then ops; of others the identity.

    None where two are alike.
    """
    if kind not in ("add", "multiply"):
        identities = [i for i, w in enumerate(ways) if w.layer == "identity"]
        return identities[0] if len(identities) == 1 else None
    ranked = sorted(range(len(ways)), key=lambda i: (ways[i].weights, ways[i].length))
    first, second = (ways[i] for i in ranked[:2])
    return None if (first.weights, first.length) == (second.weights, second.length) else ranked[0]


def contributions(graph: Graph, block: Block) -> list[Contribution]:
    """An entry for each consumer of the block's fork, without gradients yet."""
    found = []
    for consumer, place in graph.readers[block.fork]:
        leads = {
            i for i, w in enumerate(block.ways)
            if w.edge == (consumer, place) or (consumer in w.inside and consumer is not block.fork)
        }  # fmt: skip
        skip, branch = block.skip in leads, bool(leads - {block.skip})
        role = "both" if skip and branch else "skip" if skip else "branch" if branch else "other"
        op = type(consumer.op).__name__
        found.append(Contribution(graph.name(consumer), op, place, role, (consumer, place)))
    return found


def named(blocks: Iterable[Block], name: str) -> Block:
    """The block whose merge has this name. Raises ValueError where there is none."""
    blocks = list(blocks)
    for block in blocks:
        if block.name == name:
            return block
    raise ValueError(unknown("merge", name, [block.name for block in blocks]))


def position(block: Block, wanted: str | int) -> int:
    """The index of the way that is meant. Raises ValueError where there is none, or several of that name."""
    layers = [w.layer for w in block.ways]
    if isinstance(wanted, int):
        if not 0 <= wanted < len(layers):
            raise ValueError(f"{block.name} has {len(layers)} ways in ({', '.join(layers)}), got the index {wanted}")
        return wanted
    if layers.count(wanted) != 1:
        problem = unknown("skip", wanted, layers) if wanted not in layers else f"{wanted!r} enters several times"
        raise ValueError(f"{block.name}: {problem}")
    return layers.index(wanted)
