"""Keras's files, written: .weights.h5 and .keras, each in one piece or not at all."""

import io
import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats import hdf5
from minicnn.formats.atomic import write_atomically
from minicnn.formats.keras_files import Stored

KERAS_VERSION = "3.15.1"  # whose form it is


def write_weights(path: str | Path, layers: Sequence[Stored], name: str) -> None:
    """Writes a .weights.h5 file that Keras 3 loads. Raises OSError, ImportError without h5py."""
    h5py = hdf5.h5py_module()

    def write(place: Path) -> None:
        with h5py.File(place, "w") as file:
            _write_layers(file, layers, name)

    write_atomically(Path(path), write)


def write_model(
    path: str | Path, config: dict[str, Any], layers: Sequence[Stored], optimizer: Sequence[np.ndarray] = ()
) -> None:
    """Writes a .keras file: a zip of the model's config, its weights, and the optimizer's variables in Keras's order.

    config: {class_name, config, ...} of the model, plain data. Raises OSError, ImportError without h5py.
    """
    h5py, weights = hdf5.h5py_module(), io.BytesIO()
    with h5py.File(weights, "w") as file:
        _write_layers(file, layers, config["config"]["name"])
        if optimizer:
            group = file.create_group("optimizer").create_group("vars")
            for index, array in enumerate(optimizer):
                group.create_dataset(str(index), data=array)
    saved = {"keras_version": KERAS_VERSION, "date_saved": time.strftime("%Y-%m-%d@%H:%M:%S")}
    members = {
        "metadata.json": json.dumps(saved).encode(),
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": weights.getvalue(),
    }

    def write(place: Path) -> None:
        with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)

    write_atomically(Path(path), write)


def _write_layers(group: Any, layers: Sequence[Stored], name: str | None) -> None:
    group.create_group("vars").attrs["name"] = name
    place = group.create_group("layers")
    counts: dict[str | None, int] = {}
    for layer in layers:
        number = counts[layer.kind] = counts.get(layer.kind, -1) + 1
        inner = place.create_group(f"{layer.kind}_{number}" if number else layer.kind)
        if layer.layers:
            _write_layers(inner, layer.layers, layer.name)
            continue
        variables = inner.create_group("vars")
        variables.attrs["name"] = layer.name
        for index, (_, array) in enumerate(layer.weights):
            variables.create_dataset(str(index), data=array)
