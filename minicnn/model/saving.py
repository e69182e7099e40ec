"""Weights to files and back, by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minicnn.backend import to_numpy
from minicnn.formats import safetensors
from minicnn.layers.base import Layer
from minicnn.layers.naming import snake_case
from minicnn.tensor import Weight


def weight_names(model: Layer) -> dict[str, Weight]:
    """Every weight of a model under the name that files give it: layer/weight, or model/layer/weight for nested ones.

    Automatic names (conv2d_7) depend on what was built before, so they are counted anew within the model: the first
    convolution that named itself is conv2d, the next conv2d_1. Two builds of a network have the same names.
    """
    return dict(_named(model, ""))


def save_weights(model: Layer, path: str | Path) -> None:
    """Writes all weights to `path`, a .safetensors file, in one piece or not at all. Raises ValueError for another suffix."""
    path = _checked(path)
    names = weight_names(model)
    arrays = {name: to_numpy(weight.data) for name, weight in names.items()}
    safetensors.write(path, arrays, {"format": "minicnn", "model": model.name})


def load_weights(model: Layer, path: str | Path) -> None:
    """Reads all weights from `path`. All names and shapes must fit, or nothing is loaded.

    Raises ValueError that lists what is missing, left over, or of another shape; FormatError for a damaged file;
    FileNotFoundError for none.
    """
    path = _checked(path)
    names = weight_names(model)
    found = safetensors.shapes(path)
    missing = [n for n in names if n not in found]
    unexpected = [n for n in found if n not in names]
    mismatched = [f"{n} {names[n].shape} from {found[n]}" for n in names if n in found and names[n].shape != found[n]]
    if missing or unexpected or mismatched:
        faults = (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
        raise ValueError(
            f"{path} holds weights of another model than {model.name!r}; nothing was loaded. "
            + "; ".join(f"{len(some)} {what}: {', '.join(some[:4])}{', ...' * (len(some) > 4)}" for what, some in faults if some)
        )
    arrays = safetensors.read(path)
    for name, weight in names.items():
        weight.assign(arrays[name])


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are kept in .safetensors files, got {str(path)!r}")
    return path


def _named(layer: Layer, prefix: str) -> Iterator[tuple[str, Weight]]:
    for weight in sorted(layer.own_weights, key=lambda w: not w.trainable):
        yield prefix + weight.name.rpartition("/")[2], weight
    children = layer.sublayers
    for child, name in zip(children, _stable_names(children), strict=True):
        yield from _named(child, f"{prefix}{name}/")


def _stable_names(layers: list[Any]) -> list[str]:
    """The names that were given, and the automatic ones counted anew, in the order in which they were given out."""
    taken = {layer.name for layer in layers if layer.named}
    automatic: dict[str, list[Any]] = {}
    for layer in layers:
        if not layer.named:
            automatic.setdefault(_prefix(layer), []).append(layer)
    names = {layer: layer.name for layer in layers if layer.named}
    for prefix, some in automatic.items():
        numbers = (f"{prefix}_{i}" if i else prefix for i in range(len(layers) + len(taken)))
        free = (name for name in numbers if name not in taken)
        names.update(zip(sorted(some, key=lambda layer: _number(layer.name)), free, strict=False))
    return [names[layer] for layer in layers]


def _prefix(layer: Any) -> str:
    return getattr(layer, "automatic_prefix", None) or snake_case(type(layer).__name__)


def _number(name: str) -> int:
    last = name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0
