"""A whole model to a .keras file: its layers, its weights, and what compile() said."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.formats import keras_writing
from minicnn.model import saving
from minicnn.model.config import layer_config
from minicnn.training import losses, optimizers, schedules
from minicnn.training.metrics import Metric
from minicnn.training.metrics import serialize as metric_config


def save_model(model: Any, path: str | Path, overwrite: bool = True) -> None:
    """Writes a .keras file, in one piece or not at all, that `load_model` and Keras 3 open.

    With the weights and, where the model is compiled, the optimizer with its state, the loss and the metrics. Layers
    that Keras lacks (PadShortcut, Subsampling2D, Scale, LocalResponseNormalization) stand there under the registered
    name "minicnn>CLASS": Keras opens such a file where the caller has registered a class for it. A loss, metric or
    schedule that no file describes leaves out the compilation, with a warning.
    Raises ValueError for another suffix, and with the layer's name for one that is a program (Lambda); FileExistsError
    where a file is there and overwrite is False; OSError; ImportError without h5py.
    """
    path = Path(path)
    if path.suffix != ".keras":
        hint = "; weights alone are saved by save_weights()" if path.suffix in (".h5", ".safetensors") else ""
        raise ValueError(f"models are saved to .keras files, got {str(path)!r}{hint}")
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} is there already: save(..., overwrite=True) replaces it")
    config = layer_config(model)
    _check_plain(config)
    config["build_config"] = {"input_shape": _shapes(model)}
    compiled = _compile_config(model)
    variables = _optimizer_variables(model) if compiled else []
    if compiled:
        config["compile_config"] = compiled
    keras_writing.write_model(path, config, saving.stored_layers(model), variables)


def _shapes(model: Any) -> Any:
    shapes = [list(symbol.shape) for symbol in model.inputs]
    return shapes if model.many_inputs else shapes[0]


def _check_plain(config: dict[str, Any]) -> None:
    """Raises ValueError for the first layer whose arguments are no plain data."""
    for entry in config["config"]["layers"]:
        if "layers" in entry["config"]:
            _check_plain(entry)
            continue
        try:
            json.dumps(entry["config"])
        except TypeError:
            name, kind = entry["config"].get("name"), entry["class_name"]
            raise ValueError(
                f"{name} ({kind}): its function is a program, which no .keras file holds; "
                "use a layer for it, or save_weights() and build the model by its code"
            ) from None


def _compile_config(model: Any) -> dict[str, Any] | None:
    """What compile() was told, in Keras's form; None, with a warning, where a part of it is a program."""
    if model.compiled is None:
        return None
    given, compiled = model.compiled.arguments, model.compiled
    if getattr(compiled.optimizer, "scheduled", False):
        rate = schedules.serialize(compiled.optimizer._learning_rate)
        if not isinstance(rate, dict) or rate["class_name"] in schedules.OURS:
            _left_out(model, "the learning rate's schedule is none of Keras's")
            return None
    try:
        config = {
            "optimizer": optimizers.serialize(compiled.optimizer),
            "loss": _plain(given["loss"]),
            "loss_weights": given["loss_weights"],
            "metrics": _plain(given["metrics"]),
            "weighted_metrics": _plain(given["weighted_metrics"]),
            "run_eagerly": False, "steps_per_execution": 1, "jit_compile": False,
        }  # fmt: skip
    except ValueError as error:
        _left_out(model, str(error))
        return None
    return config


def _left_out(model: Any, why: str) -> None:
    warnings.warn(f"{model.name}: saved without what compile() said: {why}", stacklevel=4)


def _plain(value: Any) -> Any:
    """Losses and metrics, one or in lists and dicts, as names or configs. Raises ValueError for a program."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Metric):
        return metric_config(value)
    return losses.serialize(losses.get(value))


def _optimizer_variables(model: Any) -> list[np.ndarray]:
    """The optimizer's variables as Keras lists them: steps, rate, averages, accumulators, then those of the rule."""
    optimizer = model.compiled.optimizer
    optimizer.build(model.trainable_weights)
    found = [np.asarray(optimizer.steps, np.int64)]
    if not optimizer.scheduled:
        found.append(np.asarray(optimizer.learning_rate, np.float32))
    return found + [to_numpy(array) for array in _slots(model)]


def restore_optimizer(model: Any, variables: Sequence[np.ndarray]) -> None:
    """Gives a compiled model's optimizer the variables of a file; one that they do not fit begins afresh."""
    optimizer = model.compiled.optimizer
    optimizer.build(model.trainable_weights)
    slots, own = _slots(model), 1 if optimizer.scheduled else 2
    shapes = [()] * own + [array.shape for array in slots]
    if [np.shape(array) for array in variables] != shapes:
        return
    optimizer.steps = model.step = int(variables[0])
    # the file has the rate in float32: the config's own is the better one where it is the same
    if not optimizer.scheduled and np.float32(optimizer.learning_rate) != np.float32(variables[1]):
        optimizer.learning_rate = float(variables[1])
    for array, value in zip(slots, variables[own:], strict=True):
        array[...] = value


def _slots(model: Any) -> list[Any]:
    """The arrays that the optimizer keeps, in Keras's order."""
    optimizer = model.compiled.optimizer
    states = [optimizer.state_of(weight) for weight in model.trainable_weights]
    return [state[slot] for slots in optimizer.slot_groups() for state in states for slot in slots]
