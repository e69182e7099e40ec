"""Weights to files and back, by name."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.formats import keras_files, keras_writing, safetensors
from minicnn.formats.keras_files import Stored, numbered
from minicnn.layers.base import Layer
from minicnn.model.matching import Matching, is_model, misfit, prefix
from minicnn.tensor import Weight
from minicnn.training import checkpoints


def weight_names(model: Layer) -> dict[str, Weight]:
    """Every weight of a model under the name that files give it: layer/weight, or model/layer/weight for nested ones.

    Automatic names (conv2d_7) depend on what was built before, so they are counted anew within the model: the first
    convolution that named itself is conv2d, the next conv2d_1. Two builds of a network have the same names.
    Raises ValueError where two weights would have one name: a file would lose one of them.
    """
    names: dict[str, Weight] = {}
    for name, weight in _named(model, ""):
        if names.setdefault(name, weight) is not weight:
            raise ValueError(f"{model.name}: two weights would be called {name!r} in a file: name their layers apart")
    return names


def save_weights(model: Layer, path: str | Path, notes: dict[str, str] | None = None) -> None:
    """Writes all weights, in one piece or not at all: to .safetensors, or to a .weights.h5 file that Keras 3 loads.

    notes: texts by name that a .safetensors file keeps in its header.
    Raises ValueError for another suffix, OSError where the place cannot be written, ImportError where h5py is missing.
    """
    path = Path(path)
    if path.name.endswith(".weights.h5"):
        keras_writing.write_weights(path, stored_layers(model), model.name)
        return
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are written to .safetensors or .weights.h5 files, got {str(path)!r}")
    arrays = {name: to_numpy(weight.data) for name, weight in weight_names(model).items()}
    safetensors.write(path, arrays, {**(notes or {}), "format": "minicnn", "model": model.name})


def load_weights(model: Layer, path: str | Path) -> None:
    """Reads all weights from a .safetensors file, a checkpoint, .weights.h5, .h5 or .keras. All fit, or none is loaded.

    Layers are matched by the names that somebody gave; automatic ones (conv2d_7) by their order within the type
    (`minicnn.model.matching`). Raises ValueError that lists what is missing, left over, or of another shape;
    FormatError for a damaged file; FileNotFoundError for none; ImportError for Keras's files where h5py is missing.
    """
    path = Path(path)
    if path.suffix in (".h5", ".keras"):
        load_stored(model, keras_files.read(path).layers, path)
        return
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are read from .safetensors, .weights.h5, .h5 or .keras files, got {str(path)!r}")
    if checkpoints.is_checkpoint(path):
        load_arrays(model, checkpoints.read(path).part("weights"), path)
        return
    _check_fit(model, path, weight_names(model), safetensors.shapes(path))
    load_arrays(model, safetensors.read(path), path)


def load_arrays(model: Layer, arrays: dict[str, np.ndarray], label: Any) -> None:
    """Writes arrays by the names of `weight_names` into a model. Raises ValueError, and writes none, unless all fit."""
    names = weight_names(model)
    _check_fit(model, label, names, {name: array.shape for name, array in arrays.items()})
    write([(weight, arrays[name]) for name, weight in names.items()])


def load_stored(model: Layer, layers: Sequence[Stored], label: Any) -> None:
    """Writes the weights of a Keras file into a model. Raises ValueError, and writes none, unless all fit."""
    matching = Matching()
    matching.model(model, layers)
    matching.check(str(label), model.name)
    write(matching.pairs)


def write(pairs: Iterable[tuple[Weight, np.ndarray]]) -> None:
    """Gives weights their values. A stand-in, which takes no memory and cannot be written, gives way to an array."""
    for weight, value in pairs:
        if isinstance(weight.data, np.ndarray) and not weight.data.flags.writeable:
            weight.data = np.array(value, weight.dtype)
            weight.touch()
        else:
            weight.assign(value)


def _check_fit(model: Layer, path: Any, names: dict[str, Weight], found: dict[str, tuple[int, ...]]) -> None:
    missing = [n for n in names if n not in found]
    unexpected = [n for n in found if n not in names]
    mismatched = [f"{n} {names[n].shape} from {found[n]}" for n in names if n in found and names[n].shape != found[n]]
    if missing or unexpected or mismatched:
        faults = (("missing", missing), ("unexpected", unexpected), ("of another shape", mismatched))
        raise ValueError(misfit(path, model.name, faults))


def stored_layers(model: Any) -> list[Stored]:
    """The layers with their weights as Keras's files hold them. Raises ValueError for what has no place there."""
    return [_stored(layer) for layer in _keras_layers(model)]


def _keras_layers(model: Any) -> list[Any]:
    """The layers of a model as Keras counts them in a file: a functional model's inputs are among them."""
    if model.own_weights:
        raise ValueError(f"{model.name}: .weights.h5 has no place for a model's own weights; use .safetensors")
    return model.layers


def _stored(layer: Any) -> Stored:
    """A layer as .weights.h5 holds it: under its class and number, with its name beside."""
    if is_model(layer):
        return Stored(layer.name, prefix(layer), (), tuple(_stored(x) for x in _keras_layers(layer)))
    if layer.sublayers:
        raise ValueError(f"{layer.name}: .weights.h5 has no place for layers inside of a layer; use .safetensors")
    weights = tuple((w.name.rpartition("/")[2], to_numpy(w.data)) for w in layer.weights)
    return Stored(layer.name, prefix(layer), weights)


def _named(layer: Layer, place: str) -> Iterator[tuple[str, Weight]]:
    for weight in sorted(layer.own_weights, key=lambda w: not w.trainable):
        yield place + weight.name.rpartition("/")[2], weight
    children = layer.sublayers
    for child, name in zip(children, _stable_names(children), strict=True):
        yield from _named(child, f"{place}{name}/")


def _stable_names(layers: list[Any]) -> list[str]:
    """The names that were given, and the automatic ones counted anew, in the order in which they were given out."""
    taken = {layer.name for layer in layers if layer.named}
    automatic: dict[str, list[Any]] = {}
    for layer in layers:
        if not layer.named:
            automatic.setdefault(prefix(layer), []).append(layer)
    names = {layer: layer.name for layer in layers if layer.named}
    for kind, some in automatic.items():
        numbers = (f"{kind}_{i}" if i else kind for i in range(len(layers) + len(taken)))
        free = (name for name in numbers if name not in taken)
        names.update(zip(sorted(some, key=lambda layer: numbered(layer.name)[1]), free, strict=False))
    return [names[layer] for layer in layers]
