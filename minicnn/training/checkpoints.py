"""Checkpoints: all that a run needs to go on as if nothing had happened, in one safetensors file.

Arrays: "weights/NAME" (moving statistics too), "optimizer/KEY" (slots, averages, accumulators), "state/PATH" for what
metrics and callbacks keep as arrays. Facts, plain data in the header: step, epoch, position in the epoch, sums of the
metrics so far, callbacks' state, best metric, seed, config and its hash, versions, and what the caller adds. The header
holds the SHA-256 of both. A file is written beside its place, flushed, renamed: a crash leaves the old one or the new.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.config import config
from minicnn.formats import FormatError, safetensors

FORMAT = "minicnn checkpoint 1"


@dataclass
class Checkpoint:
    """Named arrays, and facts that JSON can hold."""

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]

    @property
    def step(self) -> int:
        """Training steps done."""
        return self.facts["step"]

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The arrays under `name`/, by the rest of their names."""
        return {key.removeprefix(f"{name}/"): a for key, a in self.arrays.items() if key.startswith(f"{name}/")}


# A model's state -----------------------------------------------------------------------------------------------------


def gather(
    model: Any, weights: Mapping[str, Any], callbacks: Iterable[Any] = (), metrics: Any = None, **facts: Any
) -> Checkpoint:
    """The state of a compiled model and of the callbacks that have get_state().

    weights: the model's, by the names that files give them   metrics: the sums of the epoch's metrics so far, unless
    those that the model has (which a validation begins anew)   facts: epoch (the one that runs or comes next), position
    (steps done in it), config, and whatever else JSON can hold.
    """
    optimizer = model.compiled.optimizer
    arrays = {f"weights/{name}": to_numpy(weight.data) for name, weight in weights.items()}
    arrays |= {f"optimizer/{key}": np.asarray(value) for key, value in optimizer.get_state().items()}
    states = {"metrics": model.compiled.get_state() if metrics is None else metrics, "callbacks": _states(callbacks)}
    plain = {name: _plain(state, f"state/{name}", arrays) for name, state in states.items()}
    settings = facts.get("config", {})
    facts = {"step": model.step, **plain, **facts, "learning_rate": _constant_rate(optimizer), "seed": config.seed}
    return Checkpoint(arrays, facts | {"config_hash": hash_of(settings), "versions": versions()})


def restore(checkpoint: Checkpoint, model: Any, weights: Mapping[str, Any]) -> None:
    """Puts back what `gather` took, into the same model, compiled alike. Raises ValueError where it does not fit."""
    absent = {"step", "learning_rate", "metrics", "callbacks"} - checkpoint.facts.keys()
    if absent:
        raise FormatError(f"the checkpoint does not say its {', '.join(sorted(absent))}")
    stored = checkpoint.part("weights")
    _check_fit({name: weight.shape for name, weight in weights.items()}, {k: a.shape for k, a in stored.items()})
    optimizer = model.compiled.optimizer
    optimizer.set_state(checkpoint.part("optimizer"), model.trainable_weights)
    if checkpoint.facts["learning_rate"] is not None:
        optimizer.learning_rate = checkpoint.facts["learning_rate"]
    for name, weight in weights.items():
        weight.assign(stored[name])
    model.step = checkpoint.step
    model.compiled.set_state(_whole(checkpoint.facts["metrics"], checkpoint.arrays))


def restore_callbacks(checkpoint: Checkpoint, callbacks: Iterable[Any]) -> None:
    """Gives the callbacks of the same kinds their state; new ones begin afresh."""
    states = _whole(checkpoint.facts["callbacks"], checkpoint.arrays)
    for name, callback in _keyed(callbacks):
        if name in states:
            callback.set_state(states[name])


def versions() -> dict[str, str]:
    """Of what a bit may depend on."""
    return {"numpy": np.__version__, "python": platform.python_version(), "machine": platform.machine()}


def hash_of(settings: Any) -> str:
    """The SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _constant_rate(optimizer: Any) -> float | None:
    """The learning rate where it is a number, which a callback may have changed; a schedule follows from the step."""
    return None if callable(optimizer._learning_rate) else float(optimizer.learning_rate)


def _keyed(callbacks: Iterable[Any]) -> list[tuple[str, Any]]:
    """The callbacks that hold state, each under its class's name and its number among those."""
    held = [c for c in callbacks if hasattr(c, "get_state") and hasattr(c, "set_state")]
    kinds = [type(c).__name__ for c in held]
    return [(f"{kind}-{kinds[:i].count(kind)}", c) for i, (kind, c) in enumerate(zip(kinds, held, strict=True))]


def _states(callbacks: Iterable[Any]) -> dict[str, Any]:
    return {name: callback.get_state() for name, callback in _keyed(callbacks)}


def _check_fit(expected: dict[str, tuple], found: dict[str, tuple]) -> None:
    wrong = sorted(name for name in expected.keys() | found if expected.get(name) != found.get(name))
    if wrong:
        shown = "; ".join(f"{n}: expected {expected.get(n)}, got {found.get(n)}" for n in wrong[:3])
        raise ValueError(f"the checkpoint is of another model ({len(wrong)} weights differ): {shown}")


# Plain data with arrays in it ----------------------------------------------------------------------------------------


def _plain(tree: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """The tree with its arrays moved into `arrays`, a reference {"array": name} in the place of each."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(value, f"{path}/{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value, f"{path}/{i}", arrays) for i, value in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    arrays[path] = np.asarray(to_numpy(tree))
    return {"array": path}


def _whole(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `_plain` took apart."""
    if isinstance(tree, dict):
        if tree.keys() == {"array"}:
            if tree["array"] not in arrays:
                raise FormatError(f"the checkpoint does not hold {tree['array']!r}")
            return arrays[tree["array"]]
        return {key: _whole(value, arrays) for key, value in tree.items()}
    return [_whole(value, arrays) for value in tree] if isinstance(tree, list) else tree


# Files ---------------------------------------------------------------------------------------------------------------


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the file, in one piece or not at all. Raises OSError where the place cannot be written."""
    facts = json.dumps(checkpoint.facts)
    metadata = {"format": FORMAT, "facts": facts, "sha256": _sum(checkpoint.arrays, facts)}
    safetensors.write(path, checkpoint.arrays, metadata)


def read(path: Path) -> Checkpoint:
    """The checkpoint in a file. Raises FormatError for a damaged one, or another file; FileNotFoundError for none."""
    metadata = _metadata(path)
    arrays = safetensors.read(path)
    if _sum(arrays, metadata["facts"]) != metadata.get("sha256"):
        raise FormatError(f"{path}: damaged: its data do not have the SHA-256 that they were written with")
    return Checkpoint(arrays, json.loads(metadata["facts"]))


def facts(path: Path) -> dict[str, Any]:
    """The facts alone, from the header; the data are not checked. Raises as `read` does."""
    return json.loads(_metadata(path)["facts"])


def is_checkpoint(path: Path) -> bool:
    """Whether the file says that it is a checkpoint. Raises FormatError for what is no safetensors file."""
    return safetensors.metadata(path).get("format") == FORMAT


def _metadata(path: Path) -> dict[str, str]:
    metadata = safetensors.metadata(path)
    if metadata.get("format") != FORMAT:
        raise FormatError(f"{path}: no checkpoint of minicnn, but {metadata.get('format', 'something else')!r}")
    try:
        if not isinstance(json.loads(metadata["facts"])["step"], int):
            raise TypeError
    except (KeyError, TypeError, ValueError, RecursionError):
        raise FormatError(f"{path}: damaged: its header does not say what is in it") from None
    return metadata


def _sum(arrays: Mapping[str, np.ndarray], facts: str) -> str:
    """The SHA-256 of the facts and, in the order of their names, of each array's name, type, shape and bytes."""
    found = hashlib.sha256(facts.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"\n{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()
