"""F13: one backward pass, op by op, in the order in which it happens.

What a textbook says in one line, "the gradient is propagated backward", is a list: each op is given the gradient of its
output and returns one for each input; where a tensor has several readers, what they return is added up.
"""

import time
from dataclasses import dataclass
from typing import Any

from minicnn import ops
from minicnn.backend import backend_of
from minicnn.study.drawing import axes
from minicnn.study.instruments import Settings
from minicnn.study.measures import Array, norm
from minicnn.study.recording import Record, record
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS, batch, described, states
from minicnn.tensor import Edge, Tensor, Weight, sweep

PAPER = (
    "Griewank, Walther 2008, Evaluating Derivatives, 2nd edition, chapter 3 (the reverse mode). "
    "He et al. 2016, arXiv:1603.05027, equation 5 (the sum at a fork)"
)
IMAGES = 16
Figures = dict[str, Any]


@dataclass
class Step:
    """An op of the backward pass.

    layer, op: whose.   shape: of the gradient that arrives.   norm: its length.   readers: how many gradients were
    added up to it.   to: for each input that wants a gradient its name, its shape, and whether it is added to what is
    there already.   saved: bytes that the op keeps, and nobody after it in this pass.   live: bytes that are kept, and
    of gradients that wait (not those of weights), when the step begins.   multiply_adds: of the batch.
    seconds: of the op and the sums.
    """

    number: int
    layer: str
    op: str
    shape: tuple[int, ...]
    norm: float
    readers: int
    to: list[Figures]
    saved: int
    live: int
    multiply_adds: int
    seconds: float = 0.0


class Tracer:
    """Watches a sweep and notes its steps; `steps` is complete when the sweep is."""

    def __init__(self, seen: Record):
        self.graph = seen.graph
        self.steps: list[Step] = []
        self.waiting: dict[Tensor, int] = {seen.total: 1}  # how many gradients have come so far
        self.kept, self.held = what_is_kept(seen)
        self.gradients = seen.total.data.nbytes

    def run(self, total: Tensor) -> list[Step]:
        """Sweeps back from `total`, on a kept tape."""
        before = time.perf_counter()
        for tensor, dy in sweep(total, backend_of(total.data).xp.ones_like(total.data), keep=True, probe=self.returned):
            now = time.perf_counter()
            if self.steps:
                self.steps[-1].seconds = now - before
            self.arrived(tensor, dy)
            before = time.perf_counter()
        if self.steps:
            self.steps[-1].seconds = time.perf_counter() - before
        return self.steps

    def arrived(self, tensor: Tensor, dy: Array) -> None:
        """A tensor has its whole gradient: if an op made it, its step begins."""
        readers = self.waiting.pop(tensor)
        if tensor.op is None:
            if not isinstance(tensor, Weight):
                self.gradients -= dy.nbytes
            return
        saved = sum(self.held.pop(key) for key in self.kept.get(tensor, ()) if key in self.held)
        live = saved + sum(self.held.values()) + self.gradients
        self.gradients -= dy.nbytes
        layer, op = self.graph.name(tensor) if tensor.scope else "", type(tensor.op).__name__
        self.steps.append(
            Step(len(self.steps) + 1, layer, op, tensor.shape, norm(dy), readers, [], saved, live, 0)
        )  # fmt: skip

    def returned(self, edge: Edge, gradient: Array) -> None:
        """An op returns a gradient."""
        step, parent = self.steps[-1], edge.parent
        added = parent in self.waiting
        self.waiting[parent] = self.waiting.get(parent, 0) + 1
        if not added and not isinstance(parent, Weight):
            self.gradients += gradient.nbytes
        name = parent.name if isinstance(parent, Weight) else self.graph.name(parent)
        step.to.append({"name": name, "shape": parent.shape, "added": added, "norm": norm(gradient)})
        step.multiply_adds += multiply_adds(edge)


def what_is_kept(seen: Record) -> tuple[dict[Tensor, list[int]], dict[int, int]]:
    """By tensor the arrays that its op keeps (their memory's identity), and the bytes of each.

    An array belongs to the op that the sweep comes to last: until then it has to stay. Weights and images, which were
    there before, are not counted.
    """
    tensors, stack = {seen.total}, [seen.total]
    while stack:
        fresh = [p for p in stack.pop().parents if p is not None and p not in tensors]
        tensors.update(fresh)
        stack.extend(fresh)
    before = {id(whole(t.data)) for t in tensors if isinstance(t, Weight) or t in seen.graph.inputs}
    last: dict[int, Tensor] = {}
    size: dict[int, int] = {}
    for tensor in sorted(tensors, key=lambda t: -t.order):
        for array in (v for v in vars(tensor.op).values() if hasattr(v, "nbytes")) if tensor.op else ():
            memory = whole(array)
            if id(memory) not in before:
                last[id(memory)], size[id(memory)] = tensor, memory.nbytes
    kept: dict[Tensor, list[int]] = {}
    for key, tensor in last.items():
        kept.setdefault(tensor, []).append(key)
    return kept, size


def whole(array: Array) -> Array:
    """The array that owns the memory that another one looks at."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "nbytes"):
        array = array.base
    return array


def multiply_adds(edge: Edge) -> int:
    """Those of the gradient for one input of a convolution or a matrix product: as many as forward. Others are 0."""
    y, parents = edge.consumer, edge.consumer.parents
    if isinstance(edge.op, ops.Conv2D) and edge.position < 2 and parents[1] is not None:
        kh, kw, channels, _ = parents[1].shape
        return y.size * kh * kw * channels
    if isinstance(edge.op, ops.MatMul) and parents[0] is not None:
        return y.size * parents[0].shape[-1]
    return 0


def trace(model: Any, x: Any, y: Any = None, **options: Any) -> list[Step]:
    """The steps of one backward pass of `model` on the batch x, y. options: those of `record`."""
    seen = record(model, x, y, **options)
    return Tracer(seen).run(seen.total)


def as_text(steps: list[Step]) -> str:
    """A line a step, and one for each gradient that it returns."""
    lines = []
    for s in steps:
        summed = f", the sum of {s.readers}" if s.readers > 1 else ""
        lines.append(f"{s.number:4}. {s.layer or 'loss'}: {s.op} gets {sizes(s.shape)}{summed}, |g| = {s.norm:.3g}")
        for one in s.to:
            what = f"{one['name']} has" if one["added"] else one["name"]
            how = "is added to what" if one["added"] else "goes to"
            lines.append(f"        {sizes(one['shape'])} {how} {what}, |g| = {one['norm']:.3g}")
    return "\n".join(lines) + "\n"


def sizes(shape: tuple[int, ...]) -> str:
    """(16, 8, 8, 3) as 16x8x8x3; a single number as 1."""
    return "x".join(map(str, shape)) or "1"


def as_dot(seen: Record) -> str:
    """The tape in Graphviz's language, arrows in the direction of the gradient; forks are double-edged, merges grey."""
    graph = seen.graph
    forks, merges = {b.fork for b in seen.blocks}, {b.merge for b in seen.blocks}
    names = {t: f"t{i}" for i, t in enumerate(graph.tensors)}
    skips = {b.ways[b.skip].edge for b in seen.blocks if b.skip is not None}
    lines = ["digraph backward {", '  rankdir="TB"', '  node [shape=box, fontname="Helvetica", fontsize=10]']
    for tensor in names:
        op = type(tensor.op).__name__ if tensor.op else "input"
        label = f"{graph.name(tensor)}\\n{op}  {sizes(tensor.shape)}".replace('"', "'")
        style = ", peripheries=2" if tensor in forks else ""
        style += ', style=filled, fillcolor="#dddddd"' if tensor in merges else ""
        lines.append(f'  {names[tensor]} [label="{label}"{style}]')
    for tensor in reversed(graph.tensors):
        for position, parent in graph.parents(tensor):
            style = " [style=dashed]" if (tensor, position) in skips else ""
            lines.append(f"  {names[tensor]} -> {names[parent]}{style}")
    return "\n".join([*lines, "}"]) + "\n"


def run(settings: Settings) -> Result:
    """The trace of one backward pass of a network with its first weights, or those of a file."""
    _, model, split = next(iter(states(settings, epochs=0)))
    x, y = batch(settings, split, IMAGES)
    settings.say(f"one backward pass of {model.name}, {len(x)} images, twice")
    seen = record(model, x, y, loss=LOSS)
    Tracer(seen).run(seen.total)  # once for nothing: the first pass prepares kernels and threads
    steps = Tracer(seen).run(seen.total)
    figures: Figures = {
        "steps": [vars(s) for s in steps],
        "summary": {
            "steps": len(steps), "sums": sum(one["added"] for s in steps for one in s.to),
            "multiply_adds": sum(s.multiply_adds for s in steps), "seconds": sum(s.seconds for s in steps),
            "kept_bytes": sum(s.saved for s in steps), "most_bytes": max(s.live for s in steps), "images": len(x),
        },
    }  # fmt: skip
    return Result(
        "trace", "One backward pass, op by op", described(settings, split), figures,
        [kinds_table(steps), steps_table(steps)], [memory_picture(steps), time_picture(steps)],
        METHOD, PAPER, EXPECTED, verdict(figures["summary"]),
        {"trace.txt": as_text(steps), "trace.dot": as_dot(seen)},
    )  # fmt: skip


METHOD = """\
The network runs forward once, and every op keeps what its derivative needs. Then the tape is swept from the loss back
to the input, twice, and the second time is measured. Each row is one op: it gets the gradient of its output and returns
one for each input that wants one, weights included. Where a tensor has several readers, their gradients are added up as
they come; the tensor's own op waits until the last one is there.

"Kept" is memory that the op holds and nobody still to come needs; it is free after the step. "Held" is all that is
kept at that moment, and the gradients that wait; those of the weights, the result, are left out. Multiply-adds are of
convolutions and matrix products, for the whole batch: the gradient of the input costs as many as the forward pass, and
that of the weights again.

trace.txt tells the same in sentences; trace.dot is the graph, for Graphviz: dot -Tsvg trace.dot -o trace.svg. Forks
have a double edge, merges are grey, skips dashed."""

EXPECTED = """\
There is one sum for every second reader of a tensor: a residual network has one for each block, where the skip's and
the branch's gradients meet at the fork, not at the merge (there the gradient is only handed on, twice). Memory falls
steadily from the first step to the last: what the forward pass kept is needed once. Convolutions take most of the time,
batch norm and ReLU most of the rest, although they hardly multiply."""


def verdict(total: Figures) -> str:
    """The totals in a sentence."""
    return (
        f"measured: {total['steps']} ops, {total['sums']} sums where a tensor has several readers, "
        f"{total['multiply_adds'] / 1e6:,.0f} million multiply-adds and {1e3 * total['seconds']:.0f} ms for "
        f"{total['images']} images; at most {total['most_bytes'] / 1e6:.1f} MB are held, at the beginning of the pass."
    )


def kinds_table(steps: list[Step]) -> Table:
    """A row for each kind of op, the slowest first."""
    kinds: dict[str, list[Step]] = {}
    for step in steps:
        kinds.setdefault(step.op, []).append(step)
    rows: list[list[Any]] = [
        [op, len(some), sum(s.multiply_adds for s in some) / 1e6, sum(s.saved for s in some) / 1e6,
         1e3 * sum(s.seconds for s in some)]
        for op, some in kinds.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: -row[-1])
    return Table("By kind of op", ["op", "ops", "million multiply-adds", "kept MB", "ms"], rows)


def steps_table(steps: list[Step]) -> Table:
    """A row for each step."""
    rows = [
        [s.number, s.layer or "loss", s.op, sizes(s.shape), s.readers if s.readers > 1 else None, s.norm,
         s.live / 1e6, 1e3 * s.seconds]
        for s in steps
    ]  # fmt: skip
    columns = ["", "layer", "op", "gradient", "sum of", "norm", "held MB", "ms"]
    return Table("The backward pass in its order", columns, rows)


def memory_picture(steps: list[Step]) -> Picture:
    """What is held, step by step, with the sums marked."""

    def draw(figure):
        ax = axes(figure, "step of the backward pass, from the loss to the input", "memory held, MB")
        held = [s.live / 1e6 for s in steps]
        ax.fill_between(range(1, len(held) + 1), held, color="#dddddd", linewidth=0, step="mid")
        ax.step(range(1, len(held) + 1), held, color="#000000", linewidth=1, where="mid")
        sums = [(s.number, s.live / 1e6) for s in steps if s.readers > 1]
        if sums:
            ax.plot(*zip(*sums, strict=True), "o", color="#D55E00", markersize=4)
            ax.annotate(
                "a fork: gradients\nwere added up", sums[0], (12, 12), textcoords="offset points", color="#D55E00"
            )
        ax.set_ylim(bottom=0)

    caption = "What ops keep for the backward pass, and the gradients that wait: it is freed as the pass goes on."
    return Picture("memory", "Memory is freed on the way", caption, draw)


def time_picture(steps: list[Step]) -> Picture:
    """Time by kind of op."""
    rows = kinds_table(steps).rows[:10]

    def draw(figure):
        ax = axes(figure, "time, ms", "")
        ax.barh([row[0] for row in rows], [row[-1] for row in rows], color="#777777")
        for i, row in enumerate(rows):
            count = f"{row[1]} op{'s' if row[1] > 1 else ''}"
            ax.annotate(count, (row[-1], i), (4, 0), textcoords="offset points", va="center", fontsize=7)
        ax.invert_yaxis()

    return Picture("time", "Where the time goes", "Time of the backward pass by kind of op.", draw, (7.0, 3.2))
