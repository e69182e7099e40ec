"""The plans of a model, kept as long as its layers are what they were."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from operator import is_
from typing import Any, NamedTuple

from minicnn.layers.base import Layer
from minicnn.layers.symbols import Node, Symbol
from minicnn.model.plan import Step


class Turn(NamedTuple):
    """A step, and the ids of the symbols that it reads, of those that nobody reads after it, and of those that it gives
    (None: nobody reads that one)."""

    step: Step
    reads: list[int]
    last: list[int]
    gives: list[int | None]


@dataclass
class Part:
    """Steps that run one after the other, and what is wanted of them."""

    steps: Sequence[Step]
    results: Sequence[Symbol]
    turns: list[Turn] = field(init=False)
    largest: int = field(init=False)

    def __post_init__(self):
        self.turns = []
        needed = {id(s) for s in self.results}
        for step in reversed(self.steps):
            gives = [id(s) if id(s) in needed else None for s in step.outputs]
            reads = [id(p) for p in step.parents]
            self.turns.insert(0, Turn(step, reads, list(dict.fromkeys(i for i in reads if i not in needed)), gives))
            needed.update(reads)
        self.largest = largest(self.steps)


def largest(steps: Sequence[Step]) -> int:
    """How many numbers the largest output of a step has, for one image; what is not known counts as 1."""
    most = 1
    for symbol in (s for step in steps for node in step.nodes for s in node.outputs):
        size = 1
        for n in symbol.shape[1:]:
            size *= n or 1
        most = max(most, size)
    return most


class Plans:
    """What was made of the nodes of a model, by name; made anew once an attribute of one of our layers is set to
    another object. (A layer of somebody else's is a step of its own, whatever its attributes are.)"""

    def __init__(self):
        self.kept: dict[Hashable, tuple[object, list, Any]] = {}  # with the layers' settings, from these attributes

    def __deepcopy__(self, _):
        return Plans()  # its symbols are others

    def __reduce__(self):
        return Plans, ()

    def get(self, name: Hashable, nodes: Sequence[Node], make: Callable[[], Any]) -> Any:
        """What `make()` gave for these nodes as they are."""
        settings = Layer.settings
        seen, before, found = self.kept.get(name, (None, None, None))
        if seen is settings:  # as nearly always: a step asks some times
            return found
        now = attributes(nodes)
        if before is None or len(before) != len(now) or not all(map(is_, before, now)):
            found = make()
        self.kept[name] = settings, now, found
        return found


def attributes(nodes: Sequence[Node]) -> list:
    """All that a plan may depend on."""
    found: list = []
    for node in nodes:
        found += node, node.training
        if is_ours(node.layer):
            found += vars(node.layer).values()
    return found


def is_ours(layer: Layer) -> bool:
    """Whether it is one of the vocabulary: no model, and of no class of somebody else's."""
    return type(layer).__module__.startswith("minicnn.layers.")
