"""Which pixels of the image a unit of a layer sees: the size, jump and offset of its receptive field.

Araujo, Norris, Sim 2019: Computing Receptive Fields of Convolutional Neural Networks, doi:10.23915/distill.00021.
A window of k cells, d pixels apart, with stride s, behind p zeros, makes of (size, jump, first)

    size  + (k - 1) d jump       jump s       first - p jump

and where paths meet the fields are united. It is the largest field that there can be: what is near its middle counts
most, and the field that matters is smaller (Luo et al. 2016, arXiv:1701.04128).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minicnn import layers, ops
from minicnn.backend import Window
from minicnn.layers.base import Layer
from minicnn.layers.core import SameShape
from minicnn.layers.inputs import Operation
from minicnn.layers.merge import Merge
from minicnn.layers.symbols import Node, Shape


@dataclass(frozen=True)
class Axis:
    """Unit i of a layer sees the pixels first + i jump to last + i jump of an axis; one of them alone for jump = 0.

    Pixels before 0 and behind the image are padding.
    """

    first: int = 0
    last: int = 0
    jump: int = 1

    def window(self, k: int, s: int = 1, d: int = 1, before: int = 0) -> "Axis":
        """Seen through windows of k cells, stride s, dilation d, behind `before` cells of padding."""
        first = self.first - before * self.jump
        return Axis(first, self.last + ((k - 1) * d - before) * self.jump, self.jump * s)

    def whole(self, n: int) -> "Axis":
        """All of the n units together."""
        return Axis(self.first, self.last + (n - 1) * self.jump, 0)

    def unite(self, other: "Axis") -> "Axis":
        """What a unit sees that takes from both. Raises ValueError where they walk at different paces."""
        if self.jump != other.jump:
            raise ValueError(
                f"units lie {self.jump} pixels apart on one path and {other.jump} on another: no one field"
            )
        return Axis(min(self.first, other.first), max(self.last, other.last), self.jump)


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer's units, in pixels of the image, as (height, width)."""

    tall: Axis
    wide: Axis

    @property
    def size(self) -> tuple[int, int]:
        """How many pixels a unit sees; parts may lie on the padding."""
        return self.tall.last - self.tall.first + 1, self.wide.last - self.wide.first + 1

    @property
    def jump(self) -> tuple[int, int]:
        """How far apart the fields of neighbours are: the product of the strides; 0 for what sees all."""
        return self.tall.jump, self.wide.jump

    @property
    def offset(self) -> tuple[float, float]:
        """Where the middle of the first unit's field lies; the middle of the first pixel is 0."""
        return (self.tall.first + self.tall.last) / 2, (self.wide.first + self.wide.last) / 2


def receptive_fields(model: Any) -> dict[str, ReceptiveField]:
    """The fields of all layers by name, in the order of model.layers; of a layer that is called twice, its last call's.

    Raises ValueError for a model with several inputs, and for a layer of which we do not know how it looks at images.
    """
    given = [symbol.shape for symbol in model.inputs]
    if len(given) != 1 or len(given[0]) != 4:
        raise ValueError(f"{model.name}: receptive fields need one input of images, got {given}")
    found = {id(model.inputs[0]): ReceptiveField(Axis(), Axis())}
    walk(model, found)
    by_name = {node.layer.name: found[id(s)] for node in model.nodes for s in node.outputs}
    return {layer.name: by_name[layer.name] for layer in model.layers}


def walk(model: Any, found: dict[int, ReceptiveField]) -> None:
    """Enters the field of every symbol of the model into `found`, which holds those of its inputs."""
    for node in model.steps:
        fields = [found[id(p)] for p in node.parents]
        with node.layer.named_errors():
            if hasattr(node.layer, "steps"):  # a model as a layer
                inner = {id(s): field for s, field in zip(node.layer.inputs, fields, strict=True)}
                walk(node.layer, inner)
                results = [inner[id(s)] for s in node.layer.outputs]
            else:
                results = [field_behind(node, fields)] * len(node.outputs)
        found.update((id(s), field) for s, field in zip(node.outputs, results, strict=True))


def field_behind(node: Node, fields: Sequence[ReceptiveField]) -> ReceptiveField:
    """The field behind one call of a layer. Raises ValueError for a layer that is not known."""
    layer, shape, field = node.layer, node.parents[0].shape, fields[0]
    for other in fields[1:]:
        field = ReceptiveField(field.tall.unite(other.tall), field.wide.unite(other.wide))
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D):
        return through(layer.window(1), layer.kernel_size, shape, field)
    if isinstance(layer, layers.MaxPooling2D | layers.AveragePooling2D | layers.Subsampling2D):
        return through(layer.window, layer.pool_size, shape, field)
    if isinstance(layer, layers.PadShortcut):
        return through(Window(layer.strides), (1, 1), shape, field)
    if isinstance(layer, layers.ZeroPadding2D | layers.Cropping2D):
        sign = 1 if isinstance(layer, layers.ZeroPadding2D) else -1
        (top, _), (left, _) = layer.sides
        return ReceptiveField(field.tall.window(1, before=sign * top), field.wide.window(1, before=sign * left))
    if isinstance(layer, WHOLE):
        return whole(shape, field)
    if pixel_by_pixel(layer, shape):
        return field
    raise ValueError(
        f"how does a {type(layer).__name__} look at its input of shape {shape}? Receptive fields cannot say"
    )


def through(window: Window, kernel: tuple[int, int], shape: Shape, field: ReceptiveField) -> ReceptiveField:
    """Behind a window that walks over images of `shape`."""
    if None in shape[1:3] and window.pads == "same" and max(window.strides) > 1:
        raise ValueError(f"the zeros of 'same' depend on the size of the image, got an input of {shape}: give one")
    large = 1 << 20
    (top, _), (left, _) = window.explicit_pads((shape[1] or large, shape[2] or large), kernel)
    (sh, sw), (dh, dw) = window.strides, window.dilation
    return ReceptiveField(
        field.tall.window(kernel[0], sh, dh, before=top), field.wide.window(kernel[1], sw, dw, before=left)
    )


def whole(shape: Shape, field: ReceptiveField) -> ReceptiveField:
    """Behind a layer that mixes all pixels; what is no image any more stays as it is."""
    if len(shape) != 4:
        return field
    _, h, w, _ = shape
    if h is None or w is None:
        raise ValueError(f"all pixels are mixed, but how many there are is not known: input of shape {shape}")
    return ReceptiveField(field.tall.whole(h), field.wide.whole(w))


def pixel_by_pixel(layer: Layer, shape: Shape) -> bool:
    """Whether each pixel of the output comes from the pixel at its place (or there are none any more)."""
    if isinstance(layer, layers.Concatenate):
        return layer.axis in (-1, len(shape) - 1)
    if isinstance(layer, Operation):
        return isinstance(layer.op, ELEMENTWISE)
    return isinstance(layer, SameShape | Merge | layers.Dense)


WHOLE = (layers.Flatten, layers.Reshape, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
ELEMENTWISE = (
    ops.Add, ops.Subtract, ops.Multiply, ops.Divide, ops.ScaledAdd, ops.Power, ops.Negative, ops.Absolute, ops.Exp,
    ops.Log, ops.Sqrt, ops.Clip, ops.Maximum, ops.ReLU, ops.Sigmoid, ops.Tanh, ops.Identity,
)  # fmt: skip
