"""F6: how large the residual branch may be, with and without batch norm.

Szegedy et al. 2016, arXiv:1602.07261, section 3.3 (scales of 0.1 to 0.3 kept networks alive); De & Smith 2020,
arXiv:2002.10444 (SkipInit); Bachlechner et al. 2020, arXiv:2003.04887 (ReZero); Goyal et al. 2017, arXiv:1706.02677
(a last batch norm that begins with gamma = 0); Hayou et al. 2021, arXiv:2010.12859 (1 / sqrt(L)).

    network = build(9, scale=0.3, norm=False)      y = ReLU(x + 0.3 F(x)), no batch norm, biases instead
    state(network, x)                              "alive", "dead" or "not finite"
"""

import math
import warnings
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.model import Model
from minicnn.names import unknown
from minicnn.study import families
from minicnn.study.digits import Trained, seeded, split
from minicnn.study.drawing import axes
from minicnn.study.families import (
    Member,
    blocks_per_stage,
    draw_training,
    form,
    padded,
    relu,
    train_family,
    wanted_depth,
)
from minicnn.study.instruments import Settings
from minicnn.study.probing import undisturbed
from minicnn.study.result import Picture, Result, Table
from minicnn.tensor import no_grad
from minicnn.zoo.resnet_cifar import bn, bn_relu, conv

PAPER = "Szegedy et al. 2016, arXiv:1602.07261, section 3.3; De & Smith 2020, arXiv:2002.10444"
DEPTH = 56

WORDS = {"sqrt": "1/sqrt(L)", "skipinit": "SkipInit", "zero_gamma": "zero gamma"}
SCALES: tuple[float | str, ...] = (1.0, 0.5, 0.3, 0.17, 0.1, "sqrt", "skipinit", "zero_gamma")
CASES = ((1.0, False), (0.3, False), (0.1, False), ("skipinit", False), (1.0, True), (0.1, True), ("zero_gamma", True))
GOOD = 0.9  # the test accuracy from which a network counts as one that trained


def build(
    n: int = 9,
    scale: float | str = 1.0,
    norm: bool = True,
    input_shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
    name: str | None = None,
) -> Model:
    """A network of 6n + 2 layers whose branches are scaled: y = ReLU(x + scale * F(x)).

    scale: a number; "sqrt" for 1 / sqrt(L) with L = 3n blocks; "skipinit" for a trainable number a block that begins at
    0 (SkipInit, ReZero); "zero_gamma" for a last batch norm whose gamma begins at 0, or without batch norms, a last
    kernel of zeros: all three begin as the identity does.   norm: batch norm behind each convolution, or biases.
    Raises ValueError for any other scale.
    """
    if not isinstance(scale, int | float) and scale not in WORDS:
        raise ValueError(f"{unknown('scale', scale, WORDS)} (or a number)")
    factor = 1 / math.sqrt(3 * n) if scale == "sqrt" else scale
    zero = scale == "zero_gamma"

    def block(x: Symbol, filters: int, strides: int, *, name: str, first: bool) -> Symbol:
        y = branch(x, filters, strides, norm, zero, name=name)
        x = padded(x, filters, strides, name=name)
        if isinstance(factor, int | float):
            x = layers.ScaledAdd(float(factor), name=f"{name}_add")([x, y])
        else:
            y = y if zero else layers.Scale(name=f"{name}_alpha")(y)
            x = layers.Add(name=f"{name}_add")([x, y])
        return relu(x, f"{name}_out")

    name = name or f"scale{families.depth(n)}_{word(scale)}_{'bn' if norm else 'no_bn'}"
    return families.network(name, n, block, input_shape, classes, norm)


def word(scale: float | str) -> str:
    """A scale in letters: 0.3 for 0.3, "sqrt" for "sqrt"."""
    return scale if isinstance(scale, str) else f"{scale:g}"


def branch(x: Symbol, filters: int, strides: int, norm: bool, zero: bool, *, name: str) -> Symbol:
    """3x3, ReLU, 3x3, each 3x3 with a batch norm or a bias. zero: what it gives begins as 0."""
    first, second = f"{name}_1", f"{name}_2"
    if norm:
        y = bn_relu(conv(x, filters, 3, strides, name=first), first)
        return bn(conv(y, filters, 3, name=second), second, gamma="zeros" if zero else "ones")
    y = relu(conv(x, filters, 3, strides, name=first, use_bias=True), first)
    return conv(y, filters, 3, name=second, use_bias=True, kernel="zeros" if zero else "he_normal")


# Dead networks -------------------------------------------------------------------------------------------------------


def last_images(model: Model) -> Symbol:
    """The last output that still has pixels, (N, H, W, C): what the pooling before the classifier reads.

    Raises ValueError for a model without images.
    """
    steps = [node for node in model.steps if any(len(p.shape) == 4 for p in node.parents)]
    if not steps:
        raise ValueError(f"{model.name}: no layer reads images")
    return next(p for p in steps[-1].parents if len(p.shape) == 4)


def before_pooling(model: Model, x: Any, training: bool = False) -> np.ndarray:
    """What reaches the last pooling, (N, H, W, C). training: with the batch's statistics; the model's own stay."""
    wanted = last_images(model)
    seen: dict[str, np.ndarray] = {}

    def look(node, output):
        if node is wanted.node:
            outputs = output if isinstance(output, list) else [output]
            seen["data"] = outputs[wanted.index].numpy()

    with warnings.catch_warnings(), undisturbed(model), no_grad():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflows, where branches are too large
        model.run(x, training, tap=look)
    return seen["data"] if seen else np.asarray(x)


def state(model: Model, x: Any) -> str:
    """ "dead" where all that reaches the last pooling is 0 (Szegedy et al. 2016: "the last layer before the average
    pooling started to produce only zeros"), "not finite" where there are NaN or infinities, else "alive"."""
    images = before_pooling(model, x)
    if not np.all(np.isfinite(images)):
        return "not finite"
    return "alive" if np.any(images) else "dead"


def outcome(kept: Trained, x: Any, classes: int = 10) -> str:
    """ "diverged", "dead", "stuck" (a loss above 9/10 of a guess's) or "trains"."""
    if kept.diverged:
        return "diverged"
    found = state(kept.model, x)
    if found != "alive":
        return "dead" if found == "dead" else "diverged"
    return "stuck" if kept.train_loss > 0.9 * math.log(classes) else "trains"


# The instrument ------------------------------------------------------------------------------------------------------


def run(settings: Settings) -> Result:
    """Trains 56 layers with some scales, with and without batch norm, or with `full` all of both."""
    depth = wanted_depth(settings, DEPTH) or DEPTH
    cases = [(s, norm) for norm in (False, True) for s in SCALES] if settings.full else CASES
    members = {case: member(*case, depth, settings) for case in cases}
    kept = train_family(list(members.values()), settings)
    images, found = split(settings.load()), {}
    for (scale, norm), one in members.items():
        with seeded(settings.seed):
            fresh = before_pooling(one.build(), images.x_train[:64], training=True).astype(np.float64)
        found[one.label] = figures_of(scale, norm, kept[one.label], images.x_test, fresh)
    subject = f"{depth} layers, {settings.data_words}, seed {settings.seed}"
    return Result(
        "scale", "The scale of the residual branch", subject, {"depth": depth, "networks": found},
        [table(found)], pictures(found), METHOD, PAPER, EXPECTED, verdict(found),
    )  # fmt: skip


def member(scale: float | str, norm: bool, depth: int, settings: Settings) -> Member:
    """A scale as a member of the family. Scale 1 with batch norm is the zoo's network, and the cache calls it so."""
    n, (shape, classes) = blocks_per_stage(depth), form(settings)

    def made() -> Model:
        return build(n, scale, norm, shape, classes)

    label = f"{WORDS.get(str(scale), word(scale))}, {'batch norm' if norm else 'no norm'}"
    return Member(label, f"resnet{depth}" if scale == 1 and norm else made().name, made)


def figures_of(scale: float | str, norm: bool, kept: Trained, x: Any, fresh: np.ndarray) -> dict[str, Any]:
    """The figures of one trained network. fresh: what reached the last pooling before training."""
    classes = int(kept.model.output.shape[-1])
    return {
        "scale": scale, "batch norm": norm, "outcome": outcome(kept, x, classes),
        "train loss": kept.train_loss, "test accuracy": kept.test_accuracy, "loss by epoch": kept.history["loss"],
        "size before the pooling at the start": float(np.sqrt(np.mean(fresh**2))), "seconds": kept.seconds,
    }  # fmt: skip


def trains(found: dict) -> bool:
    """Whether a network trained to something."""
    return found["outcome"] == "trains" and found["test accuracy"] >= GOOD


def table(found: dict[str, dict]) -> Table:
    """A row for each network."""
    columns = ["scale", "size at the start", "outcome", "train loss", "test, %"]
    rows = [
        [
            label, f["size before the pooling at the start"], f["outcome"],
            None if f["outcome"] == "diverged" else f["train loss"],
            None if f["outcome"] == "diverged" else 100 * f["test accuracy"],
        ]
        for label, f in found.items()
    ]  # fmt: skip
    return Table("Root mean square before the last pooling at the start; the last epoch", columns, rows)


def verdict(found: dict[str, dict]) -> str:
    """Whether without batch norm scale 1 fails and smaller ones train."""
    bare = [f for f in found.values() if not f["batch norm"]]
    one = next(f for f in bare if f["scale"] == 1)
    small = [f for f in bare if f["scale"] != 1]
    failing = [f for f in small if not trains(f)]
    shown = ", ".join(f"{WORDS.get(str(f['scale']), f['scale'])} {100 * f['test accuracy']:.1f} %" for f in small)
    text = f"without batch norm scale 1 {'trains' if trains(one) else 'fails (' + one['outcome'] + ')'}; test "
    text += f"accuracy of the others: {shown}."
    return ("does not hold: " if failing or trains(one) else "holds: ") + text


def pictures(found: dict[str, dict]) -> list[Picture]:
    """Accuracy by scale, and the training."""
    caption = "The test accuracy after the last epoch; a cross for what diverged, died or stuck."
    bare = {
        name.partition(",")[0]: f["loss by epoch"]
        for name, f in found.items()
        if not f["batch norm"] and f["outcome"] != "diverged"
    }
    return [
        Picture("scale_accuracy", "Test accuracy by scale", caption, lambda figure: draw_accuracy(figure, found)),
        Picture(
            "scale_training", "Training without batch norm", "The mean loss on the training part, epoch by epoch.",
            lambda figure: draw_training(figure, bare),
        ),
    ]  # fmt: skip


def draw_accuracy(figure: Any, found: dict[str, dict]) -> None:
    """A point for each network: full without batch norm, open with it."""
    ax = axes(figure, "scale of the branch", "test accuracy, %")
    scales = [s for s in SCALES if any(f["scale"] == s for f in found.values())]
    for f in found.values():
        place = scales.index(f["scale"]) + (0.1 if f["batch norm"] else -0.1)
        point = place, 100 * f["test accuracy"]
        if f["outcome"] == "trains":
            mark, fill = ("s", "none") if f["batch norm"] else ("o", "full")
            ax.plot(*point, mark, fillstyle=fill, color="#000000")
        else:
            ax.plot(*point, "x", color="#000000", markersize=8)
            ax.annotate(f["outcome"], point, (6, 4), textcoords="offset points", fontsize="small")
    ax.set_xticks(range(len(scales)), [WORDS.get(str(s), word(s)) for s in scales])
    ax.set_ylim(0, 105)
    ax.text(0.99, 0.6, "full: no norm\nopen: batch norm", transform=ax.transAxes, ha="right", fontsize="small")


METHOD = """Networks of 6n + 2 layers with blocks y = ReLU(x + s F(x)) are trained in the same way from the same seed.
Without batch norm the convolutions have biases. SkipInit multiplies each branch with a number that begins at 0 and
learns; zero gamma begins the last batch norm of a branch, or without batch norm its last kernel, at 0: each block
begins as the identity. L is the number of blocks.

A loss that is not finite counts as diverged, a network whose last images are all 0 as dead, a loss near that of a guess
as stuck."""

EXPECTED = """Without batch norm every block of scale 1 adds as much variance as there is, so that it doubles from block
to block, and the first steps are far too large. Scales of 0.1 to 0.3 keep it: Szegedy et al. 2016 found that they keep
wide Inception-ResNets from dying and never harm. De & Smith 2020: batch norm does the same by dividing, at the start,
the branch by a skip that grows; a trainable scale that begins at 0 replaces it."""
