"""Networks of 6n + 2 layers for small images, out of a block of one's own.

The frame of He et al. 2015, arXiv:1512.03385, section 4.2, and of He et al. 2016, arXiv:1603.05027: a 3x3 with 16
filters, three stages of n blocks with 16, 32 and 64 filters, an average, a dense layer. `minicnn.zoo.resnet_cifar` has
the networks of the papers; here is what the papers compare them with.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.model import Model
from minicnn.study.digits import BATCH_SIZE, EPOCHS, Trained, trained
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.instruments import Settings
from minicnn.zoo.resnet_cifar import WIDTHS, bn_relu, conv, residual
from minicnn.zoo.top import averaged_top, images

Block = Callable[..., Symbol]  # block(x, filters, strides, name="conv2_block1", first=...) -> x


def relu(x: Symbol, name: str) -> Symbol:
    """ReLU alone."""
    return layers.Activation("relu", name=f"{name}_relu")(x)


def nothing(x: Symbol, name: str) -> Symbol:
    """x itself."""
    return x


def network(
    name: str,
    n: int,
    block: Block,
    input_shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
    norm: bool = True,
    end: Callable[[Symbol, str], Symbol] = nothing,
) -> Model:
    """The frame around 3 x n blocks.

    block(x, filters, strides, name=, first=): one block; `first` says that it is the very first, on what is activated
    already.   norm: whether a batch norm follows the first convolution, or a bias is in it.   end(x, name): what
    follows the last block.
    Raises ValueError for n < 1, and for another form of input_shape.
    """
    if n < 1:
        raise ValueError(f"{name}: n, the blocks of a stage, must be at least 1, got {n}")
    x = inputs = images(name, input_shape, smallest=1)
    x = conv(x, WIDTHS[0], 3, name="conv1", use_bias=not norm)  # 8 x 8 x 16
    x = bn_relu(x, "conv1") if norm else relu(x, "conv1")
    for stage, filters in enumerate(WIDTHS, start=2):
        for i in range(1, n + 1):
            strides = 2 if stage > 2 and i == 1 else 1
            first = (stage, i) == (2, 1)
            x = block(x, filters, strides, name=f"conv{stage}_block{i}", first=first)  # 8 x 8, 4 x 4, 2 x 2
    x = averaged_top(end(x, "post"), classes, True, None)
    return Model(inputs, x, name=name)


def padded(x: Symbol, filters: int, strides: int, *, name: str) -> Symbol:
    """The shortcut of option A: x itself, or where the shape changes every second pixel, and zeros for new channels."""
    if strides == 1 and x.shape[3] == filters:
        return x
    return layers.PadShortcut(filters, strides, name=f"{name}_0_shortcut")(x)


def twin(kind: str, depth: int, input_shape: tuple[int, int, int] = (8, 8, 1), classes: int = 10) -> Model:
    """ "resnet" or "plain" of any depth 6n + 2, with option A: under one seed both begin with the same weights.

    Raises ValueError for another kind, or depth.
    """
    if kind not in ("resnet", "plain"):
        raise ValueError(f"kind must be 'resnet' or 'plain', got {kind!r}")
    shortcut = "A" if kind == "resnet" else None
    return residual(f"{kind}{depth}", blocks_per_stage(depth), shortcut, input_shape, classes, True, None)


def depth(n: int) -> int:
    """The layers of a network of 3 x n blocks of two convolutions."""
    return 6 * n + 2


def blocks_per_stage(layers_wanted: Any) -> int:
    """n of a depth 6n + 2: 9 for 56. Raises ValueError for any other number."""
    if isinstance(layers_wanted, bool) or not isinstance(layers_wanted, int) or layers_wanted < 8:
        raise ValueError(f"the depth must be 6n + 2, from 8 up, got {layers_wanted!r}")
    n, rest = divmod(layers_wanted - 2, 6)
    if rest:
        near = f"{depth(n)} and {depth(n + 1)}"
        raise ValueError(f"the depth must be 6n + 2, got {layers_wanted}: the next ones are {near}")
    return n


# Families that are trained -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A network of a family: what tables call it, what the cache calls it, and how it is made."""

    label: str
    name: str
    build: Callable[[], Model]


def train_family(members: Sequence[Member], settings: Settings) -> dict[str, Trained]:
    """Every member trained in the setting of `minicnn.study.digits`, by its label. All begin with the same seed."""
    epochs, found = settings.epochs or EPOCHS, {}
    for i, member in enumerate(members):
        settings.say(f"{member.label}: network {i + 1} of {len(members)}, {epochs} epochs")
        found[member.label] = trained(
            member.name, member.build, epochs, settings.seed, settings.load(), settings.cache, settings.say,
            settings.batch_size or BATCH_SIZE,
        )  # fmt: skip
    return found


def form(settings: Settings) -> tuple[tuple[int, int, int], int]:
    """The shape of the data set's images (H, W, C), and the number of its classes."""
    known = settings.load()
    return known.x_train.shape[1:], known.classes


def wanted_depth(settings: Settings, default: int | None) -> int | None:
    """The depth that the settings' model stands for, 110 for resnet110 or plain110; `default` without a model.

    Raises ValueError for other models, and for weights and variants: a family trains its own networks.
    """
    for what, value in (("--weights", settings.weights), ("--variant", settings.variant)):
        if value is not None:
            raise ValueError(f"this study trains its own networks: {what} {value} has no meaning here")
    if settings.model is None:
        return default
    known = {f"{kind}{d}": d for kind in ("resnet", "plain") for d in (20, 32, 44, 56, 110)}
    if settings.model not in known:
        raise ValueError(
            f"this study builds its own networks of 6n + 2 layers, and {settings.model} is none: name one of "
            f"{', '.join(name for name in known if name.startswith('resnet'))} for their depth"
        )
    return known[settings.model]


def draw_training(figure: Any, losses: Mapping[str, Sequence[float]]) -> None:
    """The mean training loss by epoch, a line for each network."""
    ax = axes(figure, "epoch", "training loss")
    for (name, loss), style in zip(losses.items(), itertools.cycle(STYLES), strict=False):
        ax.plot(range(1, len(loss) + 1), loss, label=name, **style)
    ax.xaxis.get_major_locator().set_params(integer=True)
    usual = 2 * median(loss[0] for loss in losses.values()) if losses else np.inf
    ax.set_ylim(0, min(ax.get_ylim()[1], usual if np.isfinite(usual) else np.inf))  # one that explodes hides no other
    label_ends(ax)
