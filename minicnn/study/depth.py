"""F7: signals and gradients layer by layer: do they vanish, do they explode, and what do skips carry.

Glorot, Bengio 2010 look at variances forward and backward; Yang et al. 2019, arXiv:1902.08129, show that batch norm
makes gradients of plain networks explode; De, Smith 2020, arXiv:2002.10444, that with batch norm in the branches the
variance on the skip grows with every block while a branch's stays as it is.
"""

import math
from dataclasses import replace
from typing import Any

from minicnn import zoo
from minicnn.backend import to_numpy
from minicnn.study.drawing import STYLES, axes, label_ends, plain_ticks
from minicnn.study.instruments import Settings
from minicnn.study.measures import Array, norm, ratio
from minicnn.study.printing import text
from minicnn.study.recording import Record, record
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS, batch, described, states, words
from minicnn.study.subjects import subject, twin
from minicnn.tensor import Tensor, Weight

PAPER = (
    "Glorot, Bengio 2010, AISTATS, section 4. He et al. 2015, arXiv:1512.03385, section 4.1. "
    "Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, A Mean Field Theory of Batch Normalization, "
    "arXiv:1902.08129. De, Smith 2020, arXiv:2002.10444, figure 1"
)
RATE = 0.05  # of plain SGD, for the size of an update against the weights
LARGEST = 700.0  # a logarithm whose number is still finite
FACTOR = 100.0  # from the last layer to the first: beyond it we say that gradients explode or vanish
Figures = dict[str, Any]


class Signals:
    """A `watch` for `record` that measures each layer with a kernel as the sweep passes it, and keeps no gradient."""

    def __init__(self):
        self.layers: list[tuple[Tensor, Figures]] = []

    def __call__(self, tensor: Tensor, dy: Array) -> None:
        kernel = next((p for p in tensor.parents if isinstance(p, Weight) and p.ndim > 1), None)
        if kernel is not None:
            size = tensor.size**0.5
            measured = {"activation": norm(tensor.data) / size, "gradient": norm(dy) / size, "kernel": kernel.name}
            self.layers.append((tensor, measured | {"weight_norm": norm(kernel.data)}))


def by_depth(model: Any, x: Any, y: Any, *, rate: float = RATE, **options: Any) -> Figures:
    """The figures of every layer with a kernel, in forward order, and of every residual block.

    layers: name; activation, gradient: the root mean square of the layer's output and of the loss's gradient for it;
    weight_norm |w|, weight_gradient |g_w|, relative |g_w| / |w|, update: `rate` times that, a step of plain SGD.
    blocks: skip_variance, branch_variance: over all numbers of what enters a sum.
    per_layer: the factor by which `relative` grows from a layer to the one before it, total: from the last to the first
    layer, both of a line fitted to the logarithms; verdict: "explodes", "vanishes", "keeps its size", "is not finite".
    options: those of `record`.
    """
    signals = Signals()
    seen = record(model, x, y, watch=signals, **options)
    rows = []
    for tensor, measured in reversed(signals.layers):
        gradient = (
            norm(seen.weight_gradients[measured["kernel"]]) if measured["kernel"] in seen.weight_gradients else 0.0
        )
        relative = ratio(gradient, measured["weight_norm"])
        rows.append(
            {"layer": seen.graph.name(tensor), **measured, "weight_gradient": gradient, "relative": relative,
             "update": rate * relative}
        )  # fmt: skip
    sizes = [row["relative"] for row in rows]
    per_layer = growth(sizes)
    total = math.exp(min((len(rows) - 1) * math.log(per_layer), LARGEST))
    finite = all(map(math.isfinite, [seen.loss, *sizes]))
    verdict = "explodes" if total > FACTOR else "vanishes" if total < 1 / FACTOR else "keeps its size"
    return {
        "layers": rows, "blocks": variances(seen), "loss": seen.loss, "per_layer": per_layer, "total": total,
        "verdict": verdict if finite else "is not finite",
    }  # fmt: skip


def variances(seen: Record) -> list[Figures]:
    """Of what enters each residual sum, along the skip and through the branches."""
    found = []
    for block in (b for b in seen.blocks if b.residual):
        skip, branches = block.ways[block.skip].tensor, [way.tensor for way in block.branches]  # type: ignore[index]
        found.append(
            {"merge": block.name, "skip_variance": variance(skip.data),
             "branch_variance": sum(variance(t.data) for t in branches)}
        )  # fmt: skip
    return found


def variance(array: Array) -> float:
    """Over all numbers."""
    return float(to_numpy(array).var(dtype="float64"))


def growth(values: list[float]) -> float:
    """The factor from an entry to the one before it, of a line through the logarithms; 1 for less than two entries."""
    points = [(i, math.log(v)) for i, v in enumerate(values) if v > 0 and math.isfinite(v)]
    if len(points) < 2:
        return 1.0
    n = len(points)
    x, y = sum(i for i, _ in points) / n, sum(v for _, v in points) / n
    slope = sum((i - x) * (v - y) for i, v in points) / sum((i - x) ** 2 for i, _ in points)
    return math.exp(max(min(-slope, LARGEST), -LARGEST))


def run(settings: Settings) -> Result:
    """A network and, where the zoo has it, its twin without shortcuts. Trained too, where settings.epochs says so."""
    found: dict[str, Figures] = {}
    for state, model, split in states(settings, epochs=0):
        x, y = batch(settings, split)
        settings.say(f"one forward and backward pass of {model.name}, {words(state, settings)}, {len(x)} images")
        label = settings.network if state != "trained" else f"{settings.network}, {words(state, settings)}"
        found[label] = by_depth(model, x, y, loss=LOSS, precise=True)
    other = twin(settings.network) if settings.weights is None else None
    if other is not None:
        variants = zoo.entry(other).variants
        own = replace(settings, model=other, variant=settings.variant if settings.variant in variants else None)
        model, split = subject(own)
        x, y = batch(settings, split)
        settings.say(f"the same of {model.name}")
        found[other] = by_depth(model, x, y, loss=LOSS, precise=True)
    pictures = [gradient_picture(found), signal_picture(found)]
    if any(one["blocks"] for one in found.values()):
        pictures.append(variance_picture(found))
    return Result(
        "depth", "Gradients and signals, layer by layer", described(settings, split), {"networks": found},
        [table(label, one) for label, one in found.items()],
        pictures, METHOD, PAPER, EXPECTED, verdict(found, settings.network, other),
    )  # fmt: skip


METHOD = f"""\
One batch goes forward and backward in float64, in training mode. Of every layer with a kernel: the root mean square of
its output ("signal") and of the loss's gradient for that output ("gradient"); the norm of the gradient of its kernel
against the norm of the kernel, |g_w| / |w|; and the size of a step of plain SGD against the kernel, {RATE} |g_w| / |w|
("update"). A line through the logarithms of |g_w| / |w| gives the factor from a layer to the one before it. If it
amounts to more than {FACTOR:g} from the last layer to the first we say that the gradient explodes, below
1 / {FACTOR:g} that it vanishes.

At every residual sum: the variance of what enters along the skip, and of what enters from the branch."""

EXPECTED = """\
Batch norm keeps the signals at one size in both kinds of network. Yet in a plain network the gradient grows by a steady
factor from layer to layer backward: with batch norm it explodes rather than vanishes, and the first layers get steps
that are orders of magnitude too large. With skips the growth is a few per cent a block.

The variance on the skip grows from block to block, as every branch adds its own (without the ReLU behind the sum
linearly), and falls back where the shape changes; the branch's stays. So late blocks change their input little: at the
start a deep residual network acts like a shallow one."""


def verdict(found: dict[str, Figures], model: str, other: str | None) -> str:
    """Whether the residual network keeps the size of the gradient, and its plain twin does not."""
    parts = [
        f"the gradient of {label} {one['verdict']}: x {one['per_layer']:.3f} a layer backward, x {text(one['total'])} "
        "from the last to the first"
        for label, one in found.items()
    ]
    if other is None:
        return f"measured: {'; '.join(parts)}."
    good = found[model]["verdict"] == "keeps its size" and found[other]["verdict"] != "keeps its size"
    return f"{'holds' if good else 'does not hold'}: {'; '.join(parts)}."


def table(label: str, one: Figures) -> Table:
    """A row a layer."""
    columns = ["layer", "signal", "gradient", "|w|", "|g_w|", "|g_w|/|w|", "update"]
    keys = ("layer", "activation", "gradient", "weight_norm", "weight_gradient", "relative", "update")
    return Table(f"{label}, from the input on", columns, [[row[key] for key in keys] for row in one["layers"]])


def gradient_picture(found: dict[str, Figures]) -> Picture:
    """|g_w| / |w| by layer."""

    def draw(figure):
        ax = axes(figure, "layer with a kernel, from the input on", "|gradient of the kernel| / |kernel|")
        ax.set_yscale("log")
        for style, (label, one) in zip(STYLES, found.items(), strict=False):
            values = [row["relative"] for row in one["layers"]]
            ax.plot(range(1, len(values) + 1), values, **{**style, "markersize": 2.5}, linewidth=1, label=label)
        label_ends(ax)

    caption = "The gradient of each kernel against the kernel itself; a step of SGD is this times the learning rate."
    return Picture("gradients", "How large the gradient is", caption, draw)


def signal_picture(found: dict[str, Figures]) -> Picture:
    """Root mean squares forward and backward."""

    def draw(figure):
        for place, (key, label) in enumerate(
            (
                ("activation", "signal: root mean square of the output"),
                ("gradient", "gradient: root mean square, for the output"),
            ),
            start=1,
        ):
            ax = axes(figure, "layer with a kernel, from the input on" if place == 2 else "", "", (2, 1, place), label)
            ax.set_yscale("log")
            for style, (name, one) in zip(STYLES, found.items(), strict=False):
                values = [row[key] for row in one["layers"]]
                ax.plot(range(1, len(values) + 1), values, **{**style, "markersize": 2.5}, linewidth=1, label=name)
            if key == "activation":
                plain_ticks(ax)
            label_ends(ax, gap=0.1)

    caption = (
        "Above the signal on its way forward, below the gradient on its way back (from right to left). Batch norm sets "
        "the signal right after every layer; nothing does so with the gradient. The zigzag of a residual network: the "
        "first layer of each block reads the sum of all blocks before, which grows, the second one what was normalised."
    )
    return Picture("signals", "Forward and backward", caption, draw, (7.0, 5.4))


def variance_picture(found: dict[str, Figures]) -> Picture:
    """Variances of what enters the sums."""
    label, one = next((label, one) for label, one in found.items() if one["blocks"])

    def draw(figure):
        ax = axes(figure, "block, from the input on", "variance of what enters the sum")
        for style, (name, key) in zip(STYLES, (("skip", "skip_variance"), ("branch", "branch_variance")), strict=False):
            values = [block[key] for block in one["blocks"]]
            ax.plot(range(1, len(values) + 1), values, **style, linewidth=1.2, label=name)
        ax.set_ylim(bottom=0)
        label_ends(ax)

    caption = f"{label}: the skip gathers what all blocks before have added; a branch ends in a batch norm."
    return Picture("variances", "What enters a residual sum", caption, draw)
