"""One batch: a step of training, of testing, of prediction. `loop` makes epochs of them.

A model here is anything with: `model(x, training=..., plan=...)` giving a Tensor or a list of them, `weights`,
`trainable_weights`, `regularization()`, `backend`, `compiled`, `step`, `stop_training`; for dicts of inputs, `inputs`.
"""

from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.config import config
from minicnn.layers.base import Layer
from minicnn.tensor import Tensor, as_array, no_grad
from minicnn.training.batches import Structure, each, matching
from minicnn.training.compiled import Compiled
from minicnn.training.labels import class_weights


def train_on_batch(
    model: Any,
    x: Structure,
    y: Structure = None,
    sample_weight: Structure = None,
    class_weight: dict[int, float] | None = None,
    return_dict: bool = False,
    plan: bool = True,
) -> Any:
    """One step on one batch; the loss and metrics of that batch alone, in the forms of `evaluate`."""
    compiled = compiled_of(model, "train_on_batch")
    check_class_weight(class_weight, y, sample_weight)
    compiled.reset()
    (x, y, sample_weight), _ = matching(x, y, sample_weight)
    weights = sample_weight if class_weight is None else class_weights(y, class_weight)
    train_step(model, compiled, x, y, weights, plan)
    return compiled.results() if return_dict else flat(compiled.results())


def test_on_batch(
    model: Any,
    x: Structure,
    y: Structure = None,
    sample_weight: Structure = None,
    return_dict: bool = False,
    plan: bool = True,
) -> Any:
    """The loss and metrics of one batch, in the forms of `evaluate`; nothing is trained."""
    compiled = compiled_of(model, "test_on_batch")
    compiled.reset()
    test_step(model, compiled, *matching(x, y, sample_weight)[0], plan)
    return compiled.results() if return_dict else flat(compiled.results())


def predict_on_batch(model: Any, x: Structure, plan: bool = True) -> np.ndarray | list[np.ndarray]:
    """The outputs for one batch, as NumPy arrays."""
    with model.backend.working(), no_grad():
        outputs = model(_inputs(model, x), training=False, plan=plan)
    return [to_numpy(o.data) for o in outputs] if isinstance(outputs, list | tuple) else to_numpy(outputs.data)


def train_step(
    model: Any, compiled: Compiled, x: Structure, y: Structure, sample_weight: Structure = None, plan: bool = True
) -> None:
    """Forward, backward, and a step of the optimizer; what it measured is gathered in `compiled`."""
    with model.backend.working():
        y_pred = _listed(model(_inputs(model, x), training=True, plan=plan))
        y, sample_weight = compiled.targets(y), compiled.sample_weights(sample_weight)
        total, parts = compiled.loss(y, y_pred, model.regularization(), sample_weight)
        compiled.update(y, y_pred, total, parts, sample_weight)
        weights = model.trainable_weights
        for weight in weights:
            weight.grad = None  # what somebody's own backward() left there is not of this step
        scale = compiled.optimizer.loss_scale_factor
        (total if scale is None else total * scale).backward()
        compiled.optimizer.step(weights)
        model.step += 1


def test_step(
    model: Any, compiled: Compiled, x: Structure, y: Structure, sample_weight: Structure = None, plan: bool = True
) -> None:
    """Forward without a tape; what it measured is gathered in `compiled`."""
    with model.backend.working(), no_grad():
        y_pred = _listed(model(_inputs(model, x), training=False, plan=plan))
        y, sample_weight = compiled.targets(y), compiled.sample_weights(sample_weight)
        total, parts = compiled.loss(y, y_pred, model.regularization(), sample_weight)
        compiled.update(y, y_pred, total, parts, sample_weight)


def compiled_of(model: Any, what: str) -> Compiled:
    """What compile() set. Raises ValueError where it was not called before `what`."""
    if model.compiled is None:
        raise ValueError(f"the model is not compiled: call compile(optimizer, loss, metrics) before {what}()")
    return model.compiled


def check_class_weight(class_weight: Any, y: Structure, sample_weight: Structure) -> None:
    """Raises ValueError where class_weight is no dict of numbers, or cannot be used with these labels and weights."""
    if class_weight is None:
        return
    numbers = (int, float, np.number)
    if not isinstance(class_weight, dict) or not all(
        isinstance(k, int | np.integer) and isinstance(v, numbers) for k, v in class_weight.items()
    ):
        raise ValueError(f"class_weight must be a dict {{class number: weight}}, got {class_weight!r}")
    if sample_weight is not None:
        raise ValueError("class_weight and sample_weight cannot both be given: multiply them into sample_weight")
    if isinstance(y, list | tuple | dict) and not all(isinstance(one, int | float) for one in y):
        raise ValueError("class_weight is for one array of labels: weigh several of them by sample_weight")


def flat(logs: dict[str, float]) -> float | list[float]:
    """The loss alone, or a list where there are metrics."""
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _inputs(model: Any, x: Structure) -> Structure:
    """The batch on the model's device and in its type; uint8 images travel as uint8 and become floats there.

    A dict of inputs, by the names of `model.inputs`, becomes a list. Raises ValueError where the names differ.
    """
    if isinstance(x, dict):
        names = [symbol.name for symbol in model.inputs]
        if sorted(names) != sorted(x):
            raise ValueError(f"x must have the inputs {', '.join(names)}, got {', '.join(map(str, x))}")
        x = [x[name] for name in names]
    if isinstance(model, Layer):
        return each(lambda a: model.to_tensor(as_array(a)), x)
    dtype = next((w.dtype for w in model.weights if w.dtype.kind == "f"), np.dtype(config.floatx))
    return each(lambda a: model.backend.asarray(a).astype(dtype, copy=False), x)


def _listed(outputs: Any) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
