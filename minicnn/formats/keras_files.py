"""Keras's files as plain data: which layers they name, with which weights, and how the model was made.

Three layouts, told apart by their content: .weights.h5 (layers/<class>_<number>/vars/<index>, Keras 3 and late
Keras 2), legacy .h5 (a group for each layer name, whole model or weights alone), and .keras (a zip of a config and
the first layout).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats import FormatError, archive, hdf5
from minicnn.names import snake_case

DEEPEST = 32  # models in models
SEED_STATE = "seed_generator"  # Dropout's random numbers, which some versions of Keras 3 store beside the weights


@dataclass(frozen=True)
class Stored:
    """A layer of a file. Its weights stand in the layer's order; the layers of a nested model stand in `layers`.

    name is None where the file has none; kind is the class in snake_case, None where the file does not tell.
    number: which one of its kind it is, where that is all that is known. flat: `layers` holds the innermost layers,
    whatever models lie between.
    """

    name: str | None
    kind: str | None = None
    weights: tuple[tuple[str, np.ndarray], ...] = ()
    layers: tuple["Stored", ...] = ()
    number: int = 0
    flat: bool = False

    @property
    def empty(self) -> bool:
        """Whether there are no weights in it."""
        return not self.weights and all(layer.empty for layer in self.layers)


@dataclass(frozen=True)
class KerasFile:
    """What a file of Keras holds. config: {class_name, config} of the model, None in files of weights alone.

    optimizer: its variables in Keras's order, of a .keras file; none where there are none, or in another form.
    """

    layers: tuple[Stored, ...]
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    optimizer: tuple[np.ndarray, ...] = ()


def read(path: str | Path) -> KerasFile:
    """Reads a .keras, .weights.h5 or legacy .h5 file.

    Raises FormatError, FileNotFoundError, and ImportError without h5py.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".keras":
        members = archive.read(path)
        config, metadata = _json(members["config.json"], path), _json(members["metadata.json"], path)
        with hdf5.opened(members["model.weights.h5"], f"{path}, model.weights.h5") as file:
            parts = dict(file.children(file.root))
            layers = _named(_by_kind(file, parts), config)
            return KerasFile(layers, config, metadata, _optimizer_variables(file, parts))
    with hdf5.opened(path, str(path)) as file:
        parts = dict(file.children(file.root))
        if "model_weights" in parts or "layer_names" in file.root.attrs or "layer_names0" in file.root.attrs:
            return _legacy(file, parts, path)
        return KerasFile(_by_kind(file, parts))


# .weights.h5 ---------------------------------------------------------------------------------------------------------


def _by_kind(file: hdf5.Reader, parts: dict[str, Any]) -> tuple[Stored, ...]:
    """The layers of the .weights.h5 layout, from the parts of its root.

    Without names unless every layer with weights has one.
    """
    if "layers" not in parts or not file.is_group(parts["layers"]):
        raise file.fail("no weights of a Sequential or functional model: there is no group 'layers'")
    if "vars" in parts and file.is_group(parts["vars"]) and len(parts["vars"]):
        raise file.fail("the model has weights of its own, outside of its layers, which is not supported")
    return _kinds(file, parts["layers"], 1)


def _optimizer_variables(file: hdf5.Reader, parts: dict[str, Any]) -> tuple[np.ndarray, ...]:
    group = parts.get("optimizer")
    inner = dict(file.children(group)).get("vars") if file.is_group(group) else None
    if not file.is_group(inner):
        return ()
    children = dict(file.children(inner))
    if sorted(children) != sorted(str(i) for i in range(len(children))):
        return ()
    return tuple(file.array(children[str(i)], "fi") for i in range(len(children)))


def _kinds(file: hdf5.Reader, group: Any, depth: int) -> tuple[Stored, ...]:
    if depth > DEEPEST:
        raise file.fail(f"models are nested more than {DEEPEST} deep")
    found = []
    for key, item in file.children(group):
        kind, number = numbered(key)
        parts = dict(file.children(item)) if file.is_group(item) else {}
        strange = [name for name in parts if name not in ("vars", "layers", SEED_STATE)]
        if strange or not all(file.is_group(part) for part in parts.values()):
            raise file.fail(
                f"{item.name} is not laid out as a layer of Keras ({', '.join(strange[:3]) or 'no groups'})"
            )
        weights: tuple[tuple[str, np.ndarray], ...] = ()
        name = None
        if "vars" in parts:
            name = file.text(parts["vars"], "name")
            weights = _indexed(file, parts["vars"])
        inner = _kinds(file, parts["layers"], depth + 1) if "layers" in parts else ()
        if inner and weights:
            raise file.fail(f"{item.name} has weights of its own beside those of its layers, which is not supported")
        found.append(Stored(_plain(name), kind, weights, inner, number))
    found.sort(key=lambda layer: (layer.kind or "", layer.number))
    if any(layer.name is None and not layer.empty for layer in found):
        found = [replace(layer, name=None) for layer in found]
    return tuple(found)


def _indexed(file: hdf5.Reader, group: Any) -> tuple[tuple[str, np.ndarray], ...]:
    """The datasets 0, 1, 2, ... by their numbers ('10' stands before '2' as text)."""
    children = dict(file.children(group))
    if sorted(children) != sorted(str(i) for i in range(len(children))):
        raise file.fail(f"{group.name} holds {', '.join(list(children)[:4])}, expected 0, 1, ...")
    return tuple((str(i), file.array(children[str(i)])) for i in range(len(children)))


def _named(layers: tuple[Stored, ...], config: Any) -> tuple[Stored, ...]:
    """The layers with the names that the config gives them: groups are numbered by kind in the order of the config."""
    listed = model_layers(config)
    if listed is None:
        return layers
    names: dict[tuple[str, int], dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
            return layers
        kind = snake_case(entry["class_name"])
        kind = "functional" if kind == "model" else kind
        counts[kind] = counts.get(kind, -1) + 1
        names[kind, counts[kind]] = entry
    named = []
    for layer in layers:
        entry = names.get((layer.kind or "", layer.number))
        if entry is None:
            return layers
        name = layer.name if layer.name is not None else _plain(entry_name(entry))
        named.append(replace(layer, name=name, layers=_named(layer.layers, entry)))
    return tuple(named)


def model_layers(config: Any) -> list[Any] | None:
    """The entries of the layers in a model's config; None where it is none. Old Sequentials are a list."""
    inner = config.get("config") if isinstance(config, dict) else None
    listed = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(listed, list):
        return None
    if config.get("class_name") == "Sequential":  # Keras does not count the input among the layers of a Sequential
        listed = [
            entry for entry in listed if not (isinstance(entry, dict) and entry.get("class_name") == "InputLayer")
        ]
    return listed


def entry_name(entry: Any) -> str | None:
    """The name of a layer's entry in a config."""
    inner = entry.get("config") if isinstance(entry, dict) else None
    name = inner.get("name") if isinstance(inner, dict) else None
    name = name if name is not None else entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


# Legacy .h5 ----------------------------------------------------------------------------------------------------------


def _legacy(file: hdf5.Reader, parts: dict[str, Any], path: Path) -> KerasFile:
    """A group for each layer name. Weights alone stand at the root, those of a whole model in model_weights."""
    root, text = file.root, file.text(file.root, "model_config")
    if "model_weights" in parts:
        if not file.is_group(parts["model_weights"]):
            raise file.fail("model_weights is not a group")
        parts = dict(file.children(parts["model_weights"]))
    layers = list(_layer_groups(file, parts, "", 1))
    config = None if text is None else _json(text, path)
    kinds = {entry_name(e): e.get("class_name") for e in model_layers(config) or [] if isinstance(e, dict)}
    known = {_plain(name): snake_case(str(kind)) for name, kind in kinds.items()}
    versions = {key: file.text(root, key) for key in ("keras_version", "backend")}
    return KerasFile(tuple(replace(layer, kind=known.get(layer.name)) for layer in layers), config, versions)


def _layer_groups(file: hdf5.Reader, parts: dict[str, Any], prefix: str, depth: int) -> Iterator[Stored]:
    """The layers in the parts of a group.

    A '/' in a layer's name has made groups of its parts: a layer is where weight_names stands.
    """
    if depth > DEEPEST:
        raise file.fail(f"groups are nested more than {DEEPEST} deep")
    for key, item in parts.items():
        if not file.is_group(item):
            raise file.fail(f"{item.name} stands where a layer should be")
        name = prefix + key
        if "weight_names" in item.attrs or "weight_names0" in item.attrs:
            layer = _legacy_layer(file, item, name)
            if name != "top_level_model_weights":
                yield layer
            elif not layer.empty:
                raise file.fail("the model has weights of its own, outside of its layers, which is not supported")
        else:
            yield from _layer_groups(file, dict(file.children(item)), name + "/", depth + 1)


def _legacy_layer(file: hdf5.Reader, group: Any, name: str) -> Stored:
    """One layer, or a nested model: then the part before the weight's name says which of its layers it belongs to."""
    datasets = dict(_datasets(file, group, "", 1))
    order = file.names(group, "weight_names")
    order = [path for path in order if SEED_STATE not in path]
    missing = [path for path in order if path not in datasets]
    if missing or len(set(order)) != len(order):
        raise file.fail(f"the layer {name!r} names a weight {(missing or order)[0][:80]!r} that is not there, or twice")
    owners: dict[str, list[tuple[str, np.ndarray]]] = {}
    for path in order:
        front, _, last = path.rpartition("/")
        owner = front.rpartition("/")[2]
        owners.setdefault(owner, []).append((last.removesuffix(":0"), file.array(datasets[path])))
    if len(owners) > 1 or (owners and _nested(name, next(iter(owners)))):
        inner = tuple(Stored(_plain(owner), None, tuple(weights)) for owner, weights in owners.items())
        return Stored(_plain(name), None, (), inner, flat=True)
    return Stored(_plain(name), None, tuple(next(iter(owners.values()), [])))


def _nested(name: str, owner: str) -> bool:
    """Whether weights of `owner` in the group of the layer `name` belong to a layer inside of it.

    TensorFlow 1 made names unique by a number (conv2d_1_2/kernel:0 of the layer conv2d_1), and the backends without
    scopes write none at all.
    """
    last = name.rpartition("/")[2]
    return owner not in ("", last) and re.fullmatch(re.escape(last) + r"_\d+", owner) is None


def _datasets(file: hdf5.Reader, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > DEEPEST:
        raise file.fail(f"groups are nested more than {DEEPEST} deep")
    for key, item in file.children(group):
        if file.is_group(item):
            yield from _datasets(file, item, f"{prefix}{key}/", depth + 1)
        else:
            yield prefix + key, item


# Names ---------------------------------------------------------------------------------------------------------------


def numbered(name: str) -> tuple[str, int]:
    """conv2d_7 -> ("conv2d", 7); conv2d -> ("conv2d", 0)"""
    match = re.fullmatch(r"(.+?)_([0-9]{1,9})", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _plain(name: str | None) -> str | None:
    """Keras 2 allowed '/' in a layer's name where Keras 3 writes '_': conv1/bn -> conv1_bn."""
    return None if name is None else name.replace("/", "_")


def _json(text: str | bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(f"{path}: its config is no JSON") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path}: its config is no JSON object")
    return found
