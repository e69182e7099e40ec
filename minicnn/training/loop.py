"""The loop: fit, evaluate and predict. `Model` calls these with itself as the first argument; `steps` says what a model
is here."""

from typing import Any

import numpy as np

from minicnn.training.batches import Arrays, Stream, Structure, batches, split
from minicnn.training.callbacks import Callback, CallbackList, History, LazyLogs
from minicnn.training.compiled import Compiled
from minicnn.training.labels import class_weights
from minicnn.training.progress import Progress
from minicnn.training.steps import check_class_weight, compiled_of, flat, predict_on_batch, test_step, train_step

Verbose = str | int | bool
Data = Arrays | Stream


def fit(
    model: Any,
    x: Any,
    y: Structure = None,
    batch_size: int | None = 32,
    epochs: int = 1,
    verbose: Verbose = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: dict[int, float] | None = None,
    sample_weight: Structure = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | list[int] = 1,
    initial_step: int = 0,
    plan: bool = True,
) -> History:
    """Trains for the epochs from `initial_epoch` to `epochs` and returns their History. Arguments are Keras's.

    x, y: arrays (N, ...), lists or dicts of them for several inputs or outputs, or x an iterable of batches (x, y) or
    (x, y, sample_weight), begun anew each epoch. The order of the samples depends on the seed and the epoch alone, so a
    run that goes on at epoch 5 sees what it would have seen. steps_per_epoch: so many batches are an epoch; the next
    epoch goes on from there. class_weight: {class: weight}; sample_weight: (N,), or one for each output. Losses are
    multiplied by them and still divided by the number of samples; `metrics` do not see them, `weighted_metrics` do.
    validation_split: the last part of the arrays, before any shuffling, is for validation. validation_data: (x, y),
    (x, y, sample_weight), or an iterable of batches; validation_freq: after which epochs it is used, every so many, or
    a list of them, counted from 1. verbose: "auto" or 1 shows progress, 2 a line an epoch, 0 nothing.
    initial_step (ours): the first epoch begins at this step, with what `Compiled` has gathered so far
    (`Compiled.set_state`); an iterable with resume(epoch, step) is told. plan (ours): whether layers run at once where
    they can (`minicnn.model.plan`), here and in the functions below; the numbers are the same within rounding.
    With use_ema the weights are their moving averages at the end. A loss that is not finite does not stop it: see
    TerminateOnNaN. Raises ValueError where the model is not compiled or the data do not fit.
    """
    compiled = compiled_of(model, "fit")
    check_class_weight(class_weight, y, sample_weight)
    if validation_split and validation_data is None:
        (x, y, sample_weight), validation_data = split(x, y, sample_weight, validation_split)
    data = batches(x, y, batch_size, sample_weight, steps_per_epoch, shuffle, "steps_per_epoch")
    _resume(data, initial_epoch, initial_step)
    validation = _validation(validation_data, validation_batch_size or batch_size, validation_steps)
    due = _due(validation_freq)
    history = History()
    run = _callbacks(model, data, callbacks, verbose, epochs, history)
    model.stop_training = False
    logs: dict[str, float] = {}
    with run:
        run.hook("on_train_begin", {})
        for epoch in range(initial_epoch, epochs):
            run.hook("on_epoch_begin", epoch, {})
            first = initial_step if epoch == initial_epoch else 0
            logs = _train_epoch(model, compiled, data, epoch, first, class_weight, run, plan)
            if validation is not None and due(epoch + 1):
                found = _evaluate(model, compiled, validation, run, plan)
                logs |= {f"val_{name}": value for name, value in found.items()}
            run.hook("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        compiled.optimizer.finalize_variable_values(model.trainable_weights)
        run.hook("on_train_end", logs)
    return history


def evaluate(
    model: Any,
    x: Any,
    y: Structure = None,
    batch_size: int | None = 32,
    verbose: Verbose = "auto",
    sample_weight: Structure = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
    plan: bool = True,
) -> float | list[float] | dict[str, float]:
    """The loss and the metrics over all samples: the loss alone, a list where there are metrics, or a dict by name.

    Data and plan as in `fit`; steps: only so many batches. Raises ValueError where the model is not compiled or the
    data do not fit.
    """
    compiled = compiled_of(model, "evaluate")
    data = batches(x, y, batch_size, sample_weight, steps)
    run = _callbacks(model, data, callbacks, verbose)
    with run:
        logs = _evaluate(model, compiled, data, run, plan)
    return logs if return_dict else flat(logs)


def predict(
    model: Any,
    x: Any,
    batch_size: int | None = 32,
    verbose: Verbose = "auto",
    steps: int | None = None,
    callbacks: Any = None,
    plan: bool = True,
) -> np.ndarray | list[np.ndarray]:
    """The outputs for all samples as NumPy arrays: one, or a list where the model has several outputs.

    x: an array (N, ...), a list or dict for several inputs, or an iterable of batches x, or (x, y), whose y are left
    out. Cut into batches of `batch_size`, whose last may be smaller; steps: only so many. Raises ValueError where there
    is no sample.
    """
    data = batches(x, None, batch_size, None, steps)
    run = _callbacks(model, data, callbacks, verbose)
    found: list[list[np.ndarray]] = []
    with run:
        run.hook("on_predict_begin", {})
        for step, (part, *_) in enumerate(data.epoch()):
            run.hook("on_predict_batch_begin", step, {})
            outputs = predict_on_batch(model, part, plan)
            found.append(outputs if isinstance(outputs, list) else [outputs])
            run.hook("on_predict_batch_end", step, {"outputs": outputs})
        run.hook("on_predict_end", {})
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return joined if isinstance(outputs, list) else joined[0]


# The parts -----------------------------------------------------------------------------------------------------------


def _train_epoch(
    model: Any, compiled: Compiled, data: Data, epoch: int, first: int, class_weight: Any, run: CallbackList, plan: bool
) -> dict[str, float]:
    """The steps of an epoch from `first` on; its logs."""
    if first == 0:
        compiled.reset()
    for step, (x, y, sample_weight) in enumerate(data.epoch(epoch, first), first):
        if class_weight is not None:
            check_class_weight(class_weight, y, sample_weight)
            sample_weight = class_weights(y, class_weight)
        run.hook("on_train_batch_begin", step, {})
        train_step(model, compiled, x, y, sample_weight, plan)
        run.hook("on_train_batch_end", step, LazyLogs(compiled.results))
        if model.stop_training:
            break
    return compiled.results()


def _evaluate(model: Any, compiled: Compiled, data: Data, run: CallbackList, plan: bool) -> dict[str, float]:
    compiled.reset()
    data.begin()
    run.hook("on_test_begin", {})
    for step, (x, y, sample_weight) in enumerate(data.epoch()):
        run.hook("on_test_batch_begin", step, {})
        test_step(model, compiled, x, y, sample_weight, plan)
        run.hook("on_test_batch_end", step, LazyLogs(compiled.results))
    logs = compiled.results()
    run.hook("on_test_end", logs)
    return logs


def _resume(data: Data, epoch: int, step: int) -> None:
    """Tells the data where the run goes on. Raises ValueError where the epoch has no such step."""
    for name, value in (("initial_epoch", epoch), ("initial_step", step)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{name} must be a whole number from 0 up, got {value!r}")
    if data.steps is not None and step > data.steps:
        raise ValueError(f"initial_step must be at most {data.steps}, the steps of an epoch, got {step}")
    if epoch or step:
        data.resume(epoch, step)


def _validation(given: Any, batch_size: int | None, steps: int | None) -> Data | None:
    if given is None:
        return None
    if isinstance(given, tuple | list):
        if len(given) not in (2, 3):
            raise ValueError(f"validation_data must be (x, y) or (x, y, sample_weight), got {len(given)} entries")
        x, y, sample_weight = (*given, None)[:3]
        return batches(x, y, batch_size, sample_weight, steps, asked="validation_steps")
    return batches(given, steps=steps, asked="validation_steps")


def _due(freq: Any) -> Any:
    """A function of an epoch's number, from 1 up: whether validation_freq asks for validation after it."""
    if isinstance(freq, list | tuple | set) and all(isinstance(epoch, int) for epoch in freq):
        return set(freq).__contains__
    if isinstance(freq, bool) or not isinstance(freq, int) or freq < 1:
        raise ValueError(f"validation_freq must be a whole number from 1 up, or a list of epochs, got {freq!r}")
    return lambda epoch: epoch % freq == 0


def _callbacks(
    model: Any,
    data: Data,
    callbacks: Any,
    verbose: Verbose,
    epochs: int = 1,
    history: Callback | None = None,
) -> CallbackList:
    """The user's callbacks, a Progress unless it is among them or nobody looks, and the history, which sees what the
    others add to the logs."""
    given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    if verbose and not any(isinstance(callback, Progress) for callback in given):
        given.append(Progress(bar=verbose != 2))
    params: dict[str, Any] = {"verbose": verbose, "epochs": epochs}
    params |= {"steps": data.steps, "batch_size": data.batch_size, "samples": data.samples}
    return CallbackList([*given, history] if history else given, model, params)
