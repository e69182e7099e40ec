"""F5: where batch norm, ReLU and the shortcut stand in a residual block. He et al. 2016, arXiv:1603.05027.

    build(9)                                         56 layers of y = ReLU(x + F(x)), the block of 2015
    build(9, unit="full_preact")                     a unit of Table 2
    build(9, shortcut="scale", a=0.5, b=0.5)         a shortcut of Table 1, with its numbers

What it gives is a model as any other: for `record`, `fit`, or another instrument.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minicnn import layers
from minicnn.layers import Symbol, initializers
from minicnn.model import Model
from minicnn.names import unknown
from minicnn.study import families
from minicnn.study.digits import Trained
from minicnn.study.drawing import axes
from minicnn.study.families import (
    Member,
    blocks_per_stage,
    draw_training,
    form,
    nothing,
    padded,
    relu,
    train_family,
    wanted_depth,
)
from minicnn.study.instruments import Settings
from minicnn.study.result import Picture, Result, Table
from minicnn.zoo.resnet_cifar import bn, bn_relu, conv

PAPER = "He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027, Tables 1 and 2"

# Units: Table 2 and Fig. 4 -------------------------------------------------------------------------------------------


def to_conv(x: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """3x3, batch norm, ReLU, 3x3"""
    y = bn_relu(conv(x, filters, 3, strides, name=f"{name}_1"), f"{name}_1")
    return conv(y, filters, 3, name=f"{name}_2")


def to_bn(x: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """3x3, batch norm, ReLU, 3x3, batch norm"""
    return bn(to_conv(x, filters, strides, name=name), f"{name}_2")


def to_relu(x: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """3x3, batch norm, ReLU, 3x3, batch norm, ReLU"""
    return relu(to_bn(x, filters, strides, name=name), f"{name}_2")


@dataclass(frozen=True)
class Unit:
    """The order of a block: what stands before the branch, in it, and behind the sum; `end` behind the last block.

    The very first block has no `before`: it stands on what the first convolution's ReLU gave (the paper's appendix).
    """

    branch: Callable[..., Symbol]
    before: Callable[[Symbol, str], Symbol] = nothing
    after: Callable[[Symbol, str], Symbol] = nothing
    end: Callable[[Symbol, str], Symbol] = nothing


UNITS = {
    "original": Unit(to_bn, after=relu),
    "bn_after_add": Unit(to_conv, after=bn_relu),
    "relu_before_add": Unit(to_relu),
    "relu_only_preact": Unit(to_bn, before=relu, end=relu),
    "full_preact": Unit(to_conv, before=bn_relu, end=bn_relu),
}

# Shortcuts: Table 1 and Fig. 2. Each gives the sum of what is left of x and of the branch y --------------------------


def identity(x: Symbol, y: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """x + y"""
    return layers.Add(name=f"{name}_add")([padded(x, filters, strides, name=name), y])


def scale(x: Symbol, y: Symbol, filters: int, strides: int, *, name: str, a: float = 0.5, b: float = 0.5) -> Symbol:
    """a x + b y"""
    return layers.Add(name=f"{name}_add")([padded(x, filters, strides, name=name) * a, y * b])


def exclusive_gate(x: Symbol, y: Symbol, filters: int, strides: int, *, name: str, b: float = -6.0) -> Symbol:
    """(1 - g) x + g y with g = sigmoid(1x1 of x, whose bias begins as b): Highway networks, arXiv:1505.00387"""
    g = gate(x, filters, strides, b, name=name)
    x = layers.Multiply(name=f"{name}_carry")([1.0 - g, padded(x, filters, strides, name=name)])
    return layers.Add(name=f"{name}_add")([x, layers.Multiply(name=f"{name}_transform")([g, y])])


def shortcut_gate(x: Symbol, y: Symbol, filters: int, strides: int, *, name: str, b: float = -6.0) -> Symbol:
    """(1 - g) x + y with the same g"""
    g = gate(x, filters, strides, b, name=name)
    x = layers.Multiply(name=f"{name}_carry")([1.0 - g, padded(x, filters, strides, name=name)])
    return layers.Add(name=f"{name}_add")([x, y])


def gate(x: Symbol, filters: int, strides: int, b: float, *, name: str) -> Symbol:
    """sigmoid(1x1 of x), between 0 and 1 for each cell."""
    bias = initializers.Constant(b)
    return layers.Conv2D(
        filters, 1, strides, kernel_initializer="he_normal", bias_initializer=bias, activation="sigmoid",
        name=f"{name}_gate",
    )(x)  # fmt: skip


def conv1x1(x: Symbol, y: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """BN(1x1 of x) + y: a projection in every block, option C of 2015"""
    x = bn(conv(x, filters, 1, strides, name=f"{name}_0"), f"{name}_0")
    return layers.Add(name=f"{name}_add")([x, y])


def dropout(x: Symbol, y: Symbol, filters: int, strides: int, *, name: str, p: float = 0.5) -> Symbol:
    """x, of which training drops a share p, + y"""
    x = layers.Dropout(p, name=f"{name}_dropout")(padded(x, filters, strides, name=name))
    return layers.Add(name=f"{name}_add")([x, y])


SHORTCUTS: dict[str, Callable[..., Symbol]] = {
    "identity": identity,
    "scale": scale,
    "exclusive_gate": exclusive_gate,
    "shortcut_gate": shortcut_gate,
    "conv1x1": conv1x1,
    "dropout": dropout,
}


def build(
    n: int = 9,
    unit: str = "original",
    shortcut: str = "identity",
    input_shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
    name: str | None = None,
    **numbers: float,
) -> Model:
    """A network of 6n + 2 layers with this unit and this shortcut.

    numbers: those of the shortcut: a and b of "scale", b of the gates, p of "dropout".
    Raises ValueError for an unknown unit or shortcut, TypeError for a number that the shortcut does not have.
    """
    if unit not in UNITS:
        raise ValueError(unknown("unit", unit, UNITS))
    if shortcut not in SHORTCUTS:
        raise ValueError(unknown("shortcut", shortcut, SHORTCUTS))
    order, add = UNITS[unit], SHORTCUTS[shortcut]

    def block(x: Symbol, filters: int, strides: int, *, name: str, first: bool) -> Symbol:
        y = x if first else order.before(x, f"{name}_preact")
        y = order.branch(y, filters, strides, name=name)
        return order.after(add(x, y, filters, strides, name=name, **numbers), f"{name}_out")

    with_numbers = "".join(f"_{letter}{value:g}" for letter, value in numbers.items())
    name = name or f"{unit}{families.depth(n)}_{shortcut}{with_numbers}"
    return families.network(name, n, block, input_shape, classes, end=order.end)


# The instrument ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A row of the paper's tables. paper: ResNet-110's error on CIFAR-10 in %, None where it failed (over 20 %)."""

    label: str
    unit: str = "original"
    shortcut: str = "identity"
    numbers: tuple[tuple[str, float], ...] = ()
    paper: float | None = None
    usual: bool = False  # whether it is trained without `full`


VARIANTS = (
    Variant("original", paper=6.61, usual=True),
    Variant("full pre-activation", "full_preact", paper=6.37, usual=True),
    Variant("ReLU-only pre-activation", "relu_only_preact", paper=6.71),
    Variant("ReLU before addition", "relu_before_add", paper=7.84),
    Variant("BN after addition", "bn_after_add", paper=8.17, usual=True),
    Variant("0.5 x + 0.5 F", shortcut="scale", numbers=(("a", 0.5), ("b", 0.5)), paper=12.35, usual=True),
    Variant("0.5 x + F", shortcut="scale", numbers=(("a", 0.5), ("b", 1.0))),
    Variant("exclusive gate, b = -6", shortcut="exclusive_gate", numbers=(("b", -6.0),), paper=8.70),
    Variant("exclusive gate, b = -7", shortcut="exclusive_gate", numbers=(("b", -7.0),), paper=9.81),
    Variant("shortcut-only gate, b = 0", shortcut="shortcut_gate", numbers=(("b", 0.0),), paper=12.86),
    Variant("shortcut-only gate, b = -6", shortcut="shortcut_gate", numbers=(("b", -6.0),), paper=6.91),
    Variant("1x1 convolution", shortcut="conv1x1", paper=12.22, usual=True),
    Variant("dropout 0.5", shortcut="dropout", numbers=(("p", 0.5),), usual=True),
)
NEAR = 1.0  # points of error within which two variants of the paper count as equal here


def run(settings: Settings) -> Result:
    """Trains the original block of 56 layers and five others, or with `full` all of them."""
    depth = wanted_depth(settings, 56) or 56
    chosen = [v for v in VARIANTS if v.usual or settings.full]
    kept = train_family([member(v, depth, settings) for v in chosen], settings)
    found = {v.label: figures_of(v, kept[v.label]) for v in chosen}
    subject = f"{depth} layers, {settings.data_words}, seed {settings.seed}"
    return Result(
        "variants", "Variants of the residual block", subject, {"depth": depth, "variants": found},
        [table(found)], pictures(found), METHOD, PAPER, EXPECTED, verdict(found),
    )  # fmt: skip


def member(variant: Variant, depth: int, settings: Settings) -> Member:
    """A variant as a member of the family. The original one is the zoo's network, and the cache calls it so."""
    n, (shape, classes), numbers = blocks_per_stage(depth), form(settings), dict(variant.numbers)

    def made() -> Model:
        return build(n, variant.unit, variant.shortcut, shape, classes, None, **numbers)

    plain = variant.unit == "original" and variant.shortcut == "identity"
    return Member(variant.label, f"resnet{depth}" if plain else made().name, made)


def figures_of(variant: Variant, kept: Trained) -> dict[str, Any]:
    """The figures of one trained variant; without numbers where its training diverged."""
    error = math.nan if kept.diverged else 100 * (1 - kept.test_accuracy)
    return {
        "parameters": int(kept.model.count_params()), "train loss": kept.train_loss, "test error": error,
        "paper": variant.paper, "loss by epoch": kept.history["loss"], "seconds": kept.seconds,
    }  # fmt: skip


def table(found: dict[str, dict]) -> Table:
    """A row for each variant, beside the paper's error."""
    columns = ["block", "parameters", "train loss", "test error, %", "paper, ResNet-110, %"]
    rows = [
        [
            label, f["parameters"], "diverged" if math.isnan(f["test error"]) else f["train loss"],
            None if math.isnan(f["test error"]) else f["test error"],
            "fail" if f["paper"] is None else f"{f['paper']:.2f}",  # as it is printed there, 12.35, not 12.3
        ]
        for label, f in found.items()
    ]  # fmt: skip
    return Table("Test errors after the last epoch", columns, rows)


def verdict(found: dict[str, dict]) -> str:
    """For every variant that loses in the paper, whether it loses here to the original block."""
    own = found["original"]
    losing = [name for name, f in found.items() if f["paper"] is None or f["paper"] > own["paper"] + NEAR]
    worse = [name for name in losing if not found[name]["test error"] <= own["test error"] + NEAR]
    not_worse = [name for name in losing if name not in worse]
    show = ", ".join(f"{name} {shown(found[name])}" for name in losing)
    text = f"the original block has an error of {shown(own)}; of the blocks that lose in the paper {len(worse)} of "
    text += f"{len(losing)} lose here by more than a point: {show}."
    if not_worse:
        return f"does not hold for {', '.join(not_worse)}: {text}"
    return f"holds: {text}"


def shown(found: dict) -> str:
    """A test error in words."""
    return "diverged" if math.isnan(found["test error"]) else f"{found['test error']:.1f} %"


def pictures(found: dict[str, dict]) -> list[Picture]:
    """The test errors, and the training."""
    caption = "The error on the test part after the last epoch; what diverged has no bar."
    usual = [v.label for v in VARIANTS if v.usual and not math.isnan(found[v.label]["test error"])]
    return [
        Picture("variants_error", "Test error by block", caption, lambda figure: draw_errors(figure, found)),
        Picture(
            "variants_training", "Training", "The mean loss on the training part, epoch by epoch.",
            lambda figure: draw_training(figure, {name: found[name]["loss by epoch"] for name in usual}), (8.5, 4.2),
        ),
    ]  # fmt: skip


def draw_errors(figure: Any, found: dict[str, dict]) -> None:
    """A bar for each variant, with its number beside it."""
    ax = axes(figure, "test error, %", "")
    names = list(found)[::-1]
    lengths = [0 if math.isnan(found[name]["test error"]) else found[name]["test error"] for name in names]
    ax.barh(names, lengths, color="#8C8C8C")
    for i, (name, length) in enumerate(zip(names, lengths, strict=True)):
        ax.text(length, i, f" {shown(found[name])}", va="center", fontsize="small")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.15)


METHOD = """Networks of 6n + 2 layers, each out of one kind of block, are trained in the same way from the same seed.
The units differ in where batch norm and ReLU stand; the shortcuts in what they do to x. Where the shape changes, the
shortcut's x has every second pixel and zeros for the new channels; a gate or a 1x1 convolution has a stride there.

Gates are sigmoids of a 1x1 convolution whose bias begins as b. Dropout drops half of the shortcut in training."""

EXPECTED = """He et al. 2016 on CIFAR-10 with 110 layers: whatever stands on the shortcut, a factor, a gate, a 1x1
convolution, dropout, makes training harder, though a gate or a 1x1 could learn to be the identity. Batch norm after the
addition, which stands on the shortcut's way too, loses to the original block; so does a ReLU before the addition, which
lets sums only grow. Full pre-activation wins, the more the deeper a network is. One seed and 360 test images do not
tell errors apart that differ by a point."""
