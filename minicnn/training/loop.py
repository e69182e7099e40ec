"""The loop: fit, evaluate and predict, and a step of each. `Model` calls these with itself as the first argument.

A model here is anything with: `model(x, training=..., plan=...)` giving a Tensor or a list of them, `weights`,
`trainable_weights`, `regularization()`, `backend`, `compiled`, `step`, `stop_training`; for dicts of inputs, `inputs`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.config import config, generator
from minicnn.tensor import Tensor, no_grad
from minicnn.training.batches import Arrays, Stream, Structure, batches, each
from minicnn.training.callbacks import Callback, CallbackList, History, LazyLogs
from minicnn.training.compiled import Compiled
from minicnn.training.progress import Progress

Verbose = str | int | bool


def fit(
    model: Any,
    x: Any,
    y: Structure = None,
    batch_size: int | None = 32,
    epochs: int = 1,
    verbose: Verbose = "auto",
    callbacks: Any = None,
    validation_data: Any = None,
    shuffle: bool = True,
    initial_epoch: int = 0,
    initial_step: int = 0,
    plan: bool = True,
) -> History:
    """Trains for the epochs from `initial_epoch` to `epochs` and returns their History.

    x, y: arrays (N, ...), lists or dicts of them for several inputs or outputs, or x an iterable of batches (x, y),
    begun anew each epoch. The order of the samples depends on the seed and the epoch alone, so a run that goes on at
    epoch 5 sees what it would have seen. initial_step: the first epoch begins at this step, with what `Compiled` has
    gathered so far (`Compiled.set_state`); an iterable with resume(epoch, step) is told. validation_data: a pair (x, y)
    or an iterable of batches. verbose: "auto" or 1 shows progress, 2 a line an epoch, 0 nothing. plan: whether layers
    run at once where they can (`minicnn.model.plan`), here and in the functions below; the numbers are the same within
    rounding. A loss that is not finite does not stop it: see TerminateOnNaN.
    Raises ValueError where the model is not compiled or the data do not fit.
    """
    compiled = _compiled(model, "fit")
    data = _resumed(batches(x, y, batch_size), initial_epoch, initial_step)
    validation = _validation(validation_data, batch_size)
    history = History()
    run = _callbacks(model, data, callbacks, verbose, epochs, history)
    model.stop_training = False
    logs: dict[str, float] = {}
    with run:
        run.hook("on_train_begin", {})
        for epoch in range(initial_epoch, epochs):
            run.hook("on_epoch_begin", epoch, {})
            first = initial_step if epoch == initial_epoch else 0
            logs = _train_epoch(model, compiled, data.epoch(_order(data, shuffle, epoch), first), run, plan, first)
            if validation is not None:
                found = _evaluate(model, compiled, validation, run, plan)
                logs |= {f"val_{name}": value for name, value in found.items()}
            run.hook("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        run.hook("on_train_end", logs)
    return history


def evaluate(
    model: Any,
    x: Any,
    y: Structure = None,
    batch_size: int | None = 32,
    verbose: Verbose = "auto",
    callbacks: Any = None,
    return_dict: bool = False,
    plan: bool = True,
) -> float | list[float] | dict[str, float]:
    """The loss and the metrics over all samples: the loss alone, a list where there are metrics, or a dict by name.

    Data and plan as in `fit`. Raises ValueError where the model is not compiled or the data do not fit.
    """
    compiled = _compiled(model, "evaluate")
    data = batches(x, y, batch_size)
    run = _callbacks(model, data, callbacks, verbose)
    with run:
        logs = _evaluate(model, compiled, data, run, plan)
    return logs if return_dict else _flat(logs)


def predict(
    model: Any,
    x: Any,
    batch_size: int | None = 32,
    verbose: Verbose = "auto",
    callbacks: Any = None,
    plan: bool = True,
) -> np.ndarray | list[np.ndarray]:
    """The outputs for all samples as NumPy arrays: one, or a list where the model has several outputs.

    x: an array (N, ...), a list or dict for several inputs, or an iterable of batches (x, y), whose y are left out. Cut
    into batches of `batch_size`, whose last may be smaller. Raises ValueError where there is no sample.
    """
    data = batches(x, None, batch_size)
    run = _callbacks(model, data, callbacks, verbose)
    found: list[list[np.ndarray]] = []
    with run:
        run.hook("on_predict_begin", {})
        for step, (part, _) in enumerate(data.epoch()):
            run.hook("on_predict_batch_begin", step, {})
            outputs = predict_on_batch(model, part, plan)
            found.append(outputs if isinstance(outputs, list) else [outputs])
            run.hook("on_predict_batch_end", step, {"outputs": outputs})
        run.hook("on_predict_end", {})
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return joined if isinstance(outputs, list) else joined[0]


# One batch -----------------------------------------------------------------------------------------------------------


def train_on_batch(model: Any, x: Structure, y: Structure, return_dict: bool = False, plan: bool = True) -> Any:
    """One step on one batch; the loss and metrics of that batch alone, in the forms of `evaluate`."""
    compiled = _compiled(model, "train_on_batch")
    compiled.reset()
    for part, labels in Arrays(x, y, _LARGE).epoch():
        train_step(model, compiled, part, labels, plan)
    return compiled.results() if return_dict else _flat(compiled.results())


def test_on_batch(model: Any, x: Structure, y: Structure, return_dict: bool = False, plan: bool = True) -> Any:
    """The loss and metrics of one batch, in the forms of `evaluate`; nothing is trained."""
    compiled = _compiled(model, "test_on_batch")
    compiled.reset()
    for part, labels in Arrays(x, y, _LARGE).epoch():
        test_step(model, compiled, part, labels, plan)
    return compiled.results() if return_dict else _flat(compiled.results())


def predict_on_batch(model: Any, x: Structure, plan: bool = True) -> np.ndarray | list[np.ndarray]:
    """The outputs for one batch, as NumPy arrays."""
    with model.backend.working(), no_grad():
        outputs = model(_inputs(model, x), training=False, plan=plan)
    return [to_numpy(o.data) for o in outputs] if isinstance(outputs, list | tuple) else to_numpy(outputs.data)


def train_step(model: Any, compiled: Compiled, x: Structure, y: Structure, plan: bool = True) -> None:
    """Forward, backward, and a step of the optimizer; what it measured is gathered in `compiled`."""
    with model.backend.working():
        y_pred = _listed(model(_inputs(model, x), training=True, plan=plan))
        y = compiled.targets(y)
        total, parts = compiled.loss(y, y_pred, model.regularization())
        weights = model.trainable_weights
        for weight in weights:
            weight.grad = None  # what somebody's own backward() left there is not of this step
        total.backward()
        compiled.optimizer.step(weights)
        model.step += 1
        compiled.update(y, y_pred, total, parts)


def test_step(model: Any, compiled: Compiled, x: Structure, y: Structure, plan: bool = True) -> None:
    """Forward without a tape; what it measured is gathered in `compiled`."""
    with model.backend.working(), no_grad():
        y_pred = _listed(model(_inputs(model, x), training=False, plan=plan))
        y = compiled.targets(y)
        total, parts = compiled.loss(y, y_pred, model.regularization())
        compiled.update(y, y_pred, total, parts)


# The parts -----------------------------------------------------------------------------------------------------------

_LARGE = 2**62  # a batch size that holds any array in one batch


def _train_epoch(
    model: Any, compiled: Compiled, epoch: Iterator, run: CallbackList, plan: bool, first: int
) -> dict[str, float]:
    if first == 0:
        compiled.reset()
    for step, (x, y) in enumerate(epoch, first):
        run.hook("on_train_batch_begin", step, {})
        train_step(model, compiled, x, y, plan)
        run.hook("on_train_batch_end", step, LazyLogs(compiled.results))
        if model.stop_training:
            break
    return compiled.results()


def _evaluate(model: Any, compiled: Compiled, data: Arrays | Stream, run: CallbackList, plan: bool) -> dict[str, float]:
    compiled.reset()
    run.hook("on_test_begin", {})
    for step, (x, y) in enumerate(data.epoch()):
        run.hook("on_test_batch_begin", step, {})
        test_step(model, compiled, x, y, plan)
        run.hook("on_test_batch_end", step, LazyLogs(compiled.results))
    logs = compiled.results()
    run.hook("on_test_end", logs)
    return logs


def _order(data: Arrays | Stream, shuffle: bool, epoch: int) -> np.ndarray | None:
    return generator("shuffle", epoch).permutation(data.samples) if shuffle and isinstance(data, Arrays) else None


def _inputs(model: Any, x: Structure) -> Structure:
    """The batch on the model's device and in its type; uint8 images travel as uint8 and become floats there.

    A dict of inputs, by the names of `model.inputs`, becomes a list. Raises ValueError where the names differ.
    """
    if isinstance(x, dict):
        names = [symbol.name for symbol in model.inputs]
        if sorted(names) != sorted(x):
            raise ValueError(f"x must have the inputs {', '.join(names)}, got {', '.join(map(str, x))}")
        x = [x[name] for name in names]
    dtype = next((w.dtype for w in model.weights if w.dtype.kind == "f"), np.dtype(config.floatx))
    return each(lambda a: model.backend.asarray(a).astype(dtype, copy=False), x)


def _listed(outputs: Any) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _flat(logs: dict[str, float]) -> float | list[float]:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _compiled(model: Any, what: str) -> Compiled:
    if model.compiled is None:
        raise ValueError(f"the model is not compiled: call compile(optimizer, loss, metrics) before {what}()")
    return model.compiled


def _resumed(data: Arrays | Stream, epoch: int, step: int) -> Arrays | Stream:
    """The data, told where the run goes on. Raises ValueError where the epoch has no such step."""
    for name, value in (("initial_epoch", epoch), ("initial_step", step)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{name} must be a whole number from 0 up, got {value!r}")
    if data.steps is not None and step > data.steps:
        raise ValueError(f"initial_step must be at most {data.steps}, the steps of an epoch, got {step}")
    if isinstance(data, Stream) and (epoch or step):
        data.resume(epoch, step)
    return data


def _validation(data: Any, batch_size: int | None) -> Arrays | Stream | None:
    if data is None:
        return None
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise ValueError(f"validation_data must be a pair (x, y), got {len(data)} entries")
        return batches(data[0], data[1], batch_size)
    return batches(data)


def _callbacks(
    model: Any,
    data: Arrays | Stream,
    callbacks: Any,
    verbose: Verbose,
    epochs: int = 1,
    history: Callback | None = None,
) -> CallbackList:
    """The history, the user's callbacks, and a Progress unless it is among them or nobody looks."""
    given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    if verbose and not any(isinstance(callback, Progress) for callback in given):
        given.append(Progress(bar=verbose != 2))
    params: dict[str, Any] = {"verbose": verbose, "epochs": epochs}
    params |= {"steps": data.steps, "batch_size": data.batch_size, "samples": data.samples}
    return CallbackList([history, *given] if history else given, model, params)
