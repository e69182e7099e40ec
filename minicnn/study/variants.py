"""F5: where batch norm, ReLU and the shortcut stand in a residual block. He et al. 2016, arXiv:1603.05027.

    network("original", n=9)                       y = ReLU(x + F(x)), the block of 2015
    network("full_preact", n=9)                    a unit of Table 2
    network("scale", n=9, a=0.5, b=0.5)            a shortcut of Table 1, with its numbers
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
from minicnn.study.families import nothing, padded, relu
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


def identity(x: Symbol, y: Symbol, strides: int, *, name: str) -> Symbol:
    """x + y"""
    return layers.Add(name=f"{name}_add")([padded(x, y.shape[3], strides, name=name), y])


def scale(x: Symbol, y: Symbol, strides: int, *, name: str, a: float = 0.5, b: float = 0.5) -> Symbol:
    """a x + b y"""
    return layers.Add(name=f"{name}_add")([padded(x, y.shape[3], strides, name=name) * a, y * b])


def exclusive_gate(x: Symbol, y: Symbol, strides: int, *, name: str, b: float = -6.0) -> Symbol:
    """(1 - g) x + g y with g = sigmoid(1x1 of x, whose bias begins as b): Highway networks, arXiv:1505.00387"""
    g = gate(x, y.shape[3], strides, b, name=name)
    x = layers.Multiply(name=f"{name}_carry")([1.0 - g, padded(x, y.shape[3], strides, name=name)])
    return layers.Add(name=f"{name}_add")([x, layers.Multiply(name=f"{name}_transform")([g, y])])


def shortcut_gate(x: Symbol, y: Symbol, strides: int, *, name: str, b: float = -6.0) -> Symbol:
    """(1 - g) x + y with the same g"""
    g = gate(x, y.shape[3], strides, b, name=name)
    x = layers.Multiply(name=f"{name}_carry")([1.0 - g, padded(x, y.shape[3], strides, name=name)])
    return layers.Add(name=f"{name}_add")([x, y])


def gate(x: Symbol, filters: int, strides: int, b: float, *, name: str) -> Symbol:
    """sigmoid(1x1 of x), between 0 and 1 for each cell."""
    bias = initializers.Constant(b)
    return layers.Conv2D(
        filters, 1, strides, kernel_initializer="he_normal", bias_initializer=bias, activation="sigmoid",
        name=f"{name}_gate",
    )(x)  # fmt: skip


def conv1x1(x: Symbol, y: Symbol, strides: int, *, name: str) -> Symbol:
    """BN(1x1 of x) + y: a projection in every block, option C of 2015"""
    x = bn(conv(x, y.shape[3], 1, strides, name=f"{name}_0"), f"{name}_0")
    return layers.Add(name=f"{name}_add")([x, y])


def dropout(x: Symbol, y: Symbol, strides: int, *, name: str, p: float = 0.5) -> Symbol:
    """x, of which training drops a share p, + y"""
    x = layers.Dropout(p, name=f"{name}_dropout")(padded(x, y.shape[3], strides, name=name))
    return layers.Add(name=f"{name}_add")([x, y])


SHORTCUTS = {
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
        return order.after(add(x, y, strides, name=name, **numbers), f"{name}_out")  # type: ignore[operator]

    with_numbers = "".join(f"_{letter}{value:g}" for letter, value in numbers.items())
    name = name or f"{unit}{families.depth(n)}_{shortcut}{with_numbers}"
    return families.network(name, n, block, input_shape, classes, end=order.end)
