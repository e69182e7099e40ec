"""Which weights of a Keras file belong to which of a model's. All of them are found and fit, or nothing is loaded.

Layers are matched by the names that somebody gave. Automatic names (conv2d_7) depend on what was built before, so
these are matched by their order within the type. Where a file has no names at all (the .weights.h5 of Keras 2), the
layers of a class are numbered in the order of model.layers, and so are ours.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.formats.keras_files import Stored, numbered
from minicnn.layers.base import Layer
from minicnn.layers.symbols import unique
from minicnn.names import snake_case
from minicnn.tensor import Weight

Pairs = list[tuple[Weight, np.ndarray]]
# The names that Keras's layers give their weights. Where both sides have one, it must be the same.
ROLES = {"kernel", "pointwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}


def automatic(layer: Any) -> bool:
    """Whether a layer has, or could have, named itself: conv2d or conv2d_7 for a Conv2D."""
    return numbered(layer.name)[0] == prefix(layer)


def prefix(layer: Any) -> str:
    """What a layer's automatic name begins with, and what Keras calls its class in a .weights.h5 file."""
    return getattr(layer, "automatic_prefix", None) or snake_case(type(layer).__name__)


def is_model(layer: Any) -> bool:
    """Whether a layer is a model."""
    return hasattr(layer, "automatic_prefix")


class Matching:
    """Compares a model with the layers of a file and gathers what fits, `pairs`, and what does not."""

    def __init__(self) -> None:
        self.pairs: Pairs = []
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.mismatched: list[str] = []

    def model(self, model: Layer, stored: Sequence[Stored], place: str = "") -> None:
        """Matches the layers inside `model` with `stored`.

        Weights of the model's own are not known to Keras's files.
        """
        self.missing += [place + w.name.rpartition("/")[2] for w in model.own_weights]
        self.level(with_weights(model.sublayers), [s for s in stored if not s.empty], place)

    def level(self, layers: list[Layer], stored: list[Stored], place: str) -> None:
        """Matches layers that stand beside each other."""
        named = all(s.name is not None for s in stored)
        found = by_name(layers, stored) if named else by_kind(layers, stored)
        for layer in layers:
            match = found.get(layer)
            if match is None:
                self.missing += [place + label for label in weight_labels(layer)]
            elif match.layers:
                inside = f"{place}{layer.name}/"
                if match.flat:
                    self.level(unique(leaves(layer)), [s for s in match.layers if not s.empty], inside)
                else:
                    self.model(layer, match.layers, inside)
            else:
                self.weights(layer, match, place)
        used = {id(match) for match in found.values()}
        self.unexpected += [place + label for s in stored if id(s) not in used for label in stored_labels(s)]

    def weights(self, layer: Layer, stored: Stored, place: str) -> None:
        """Matches the weights of one layer, in their order."""
        ours = layer.weights
        names = [w.name.rpartition("/")[2] for w in ours]
        for weight, name, (stored_name, array) in zip(ours, names, stored.weights, strict=False):
            label = f"{place}{layer.name}/{name}"
            if not same_role(name, stored_name):
                self.mismatched.append(f"{label} from {stored_name}")
            elif weight.shape != array.shape:
                self.mismatched.append(f"{label} {weight.shape} from {array.shape}")
            else:
                self.pairs.append((weight, array))
        self.missing += [f"{place}{layer.name}/{name}" for name in names[len(stored.weights) :]]
        self.unexpected += [f"{place}{stored.name or layer.name}/{name}" for name, _ in stored.weights[len(ours) :]]

    def check(self, file: str, model: str) -> None:
        """Raises ValueError that lists what does not fit, if anything does not."""
        faults = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.mismatched))
        if any(some for _, some in faults):
            raise ValueError(misfit(file, model, faults))


def misfit(file: Any, model: str, faults: Sequence[tuple[str, list[str]]]) -> str:
    """The message for a file that does not fit a model: how many of each fault, and the first of them."""
    shown = 10
    listed = (
        f"{len(some)} {what}: {', '.join(some[:shown])}{', ...' * (len(some) > shown)}" for what, some in faults if some
    )
    return f"{file} holds weights of another model than {model!r}; nothing was loaded. {'; '.join(listed)}"


def by_name(layers: list[Layer], stored: list[Stored]) -> dict[Layer, Stored]:
    """Given names first, then the automatic ones of each type in the order of their numbers."""
    left = list({s.name: s for s in stored}.values())
    names = {s.name: s for s in left}
    found = {layer: names[layer.name] for layer in layers if layer.named and layer.name in names}
    taken = {id(s) for s in found.values()}
    pools: dict[str, list[Stored]] = {}
    kinds = {family(prefix(layer)) for layer in layers}
    for s in left:
        kind = family(numbered(s.name or "")[0])
        if id(s) not in taken and kind in kinds and (s.kind is None or family(s.kind) == kind):
            pools.setdefault(kind, []).append(s)
    unnamed = [layer for layer in layers if not layer.named]
    return found | in_order(unnamed, pools, key=lambda x: numbered(x.name)[1], of=lambda s: numbered(s.name)[1])


def by_kind(layers: list[Layer], stored: list[Stored]) -> dict[Layer, Stored]:
    """The layers of each class in their order on both sides."""
    pools: dict[str, list[Stored]] = {}
    for s in stored:
        pools.setdefault(family(s.kind or ""), []).append(s)
    return in_order(layers, pools, key=lambda _: 0, of=lambda s: s.number)


def in_order(
    layers: list[Layer], pools: dict[str, list[Stored]], key: Callable[[Any], int], of: Callable[[Any], int]
) -> dict[Layer, Stored]:
    """Of each type the first layer with the first of the file, and so on; each side sorted by its key."""
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(family(prefix(layer)), []).append(layer)
    found: dict[Layer, Stored] = {}
    for kind, some in groups.items():
        found.update(zip(sorted(some, key=key), sorted(pools.get(kind, []), key=of), strict=False))
    return found


def family(kind: str) -> str:
    """One word for all kinds of functional models: Keras 2 calls one of them model_1."""
    return "functional" if kind == "model" else kind


def same_role(ours: str, theirs: str) -> bool:
    """Whether two names of weights may mean the same one."""
    ours, theirs = ("kernel" if name == "depthwise_kernel" else name for name in (ours, theirs))
    return ours == theirs or not {ours, theirs} <= ROLES


def with_weights(layers: Sequence[Layer]) -> list[Layer]:
    """Those that have any."""
    return [layer for layer in layers if layer.weights]


def leaves(layer: Layer) -> list[Layer]:
    """The layers inside, with weights of their own, however deep."""
    own = [layer] if layer.own_weights else []
    return own + [leaf for child in layer.sublayers for leaf in leaves(child)]


def weight_labels(layer: Layer) -> list[str]:
    """layer/weight for all weights of a layer, for messages."""
    return [f"{leaf.name}/{w.name.rpartition('/')[2]}" for leaf in leaves(layer) for w in leaf.own_weights]


def stored_labels(stored: Stored) -> list[str]:
    """layer/weight for all weights of a stored layer, for messages."""
    name = stored.name or (f"{stored.kind}_{stored.number}" if stored.number else str(stored.kind))
    return [f"{name}/{w}" for w, _ in stored.weights] + [f"{name}/{x}" for s in stored.layers for x in stored_labels(s)]
