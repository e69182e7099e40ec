"""What may happen around epochs and steps, with Keras's hook names. A callback is a subclass with some of them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Logs = Mapping[str, float]


class Callback:
    """Base class; `model` and `params` (epochs, steps, batch_size, samples, verbose) are set before the first hook.

    `logs` are the losses and metrics so far, by name. `close` is called at the end whatever happened, an exception or
    Ctrl-C too.
    """

    model: Any = None
    params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Says which model runs."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Says how it runs."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch of `fit`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; `logs` are those of that epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; the first one is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation, whose logs begin with "val_"."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step; the first one of an epoch is 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step; `logs` are means over the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before `evaluate`, or validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After `evaluate`, or validation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `evaluate`, or validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `evaluate`, or validation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `predict`."""

    def close(self) -> None:
        """At the very end, also after an exception: for what has to be put back in order."""


class LazyLogs(Mapping):
    """Logs that are computed when they are first read: on a GPU, reading a loss waits for the step to end."""

    def __init__(self, compute: Callable[[], dict[str, float]]):
        self._compute = compute
        self._logs: dict[str, float] | None = None

    def _read(self) -> dict[str, float]:
        if self._logs is None:
            self._logs = self._compute()
        return self._logs

    def __getitem__(self, name: str) -> float:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


class CallbackList:
    """Hands every hook to each callback in turn: `callbacks.hook("on_epoch_end", epoch, logs)`.

    As a context (`with callbacks:`) it closes them all at its end. Raises TypeError for what is no Callback.
    """

    def __init__(self, callbacks: Iterable[Any] | Callback | None, model: Any, params: dict[str, Any]):
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
        for callback in given:
            if not hasattr(callback, "on_epoch_end") or isinstance(callback, type):
                raise TypeError(f"callbacks must be Callback objects, got {callback!r}")
        self.callbacks = given
        for callback in given:
            callback.set_model(model)
            callback.set_params(params)

    def hook(self, name: str, *arguments: Any) -> None:
        """Calls the hook `name` of every callback."""
        for callback in self.callbacks:
            getattr(callback, name)(*arguments)

    def __enter__(self) -> "CallbackList":
        return self

    def __exit__(self, *_: Any) -> None:
        for callback in self.callbacks:
            if hasattr(callback, "close"):
                callback.close()


class History(Callback):
    """Keeps the logs of every epoch: `history` by name, `epoch` their numbers. `fit` returns one."""

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """Hooks as functions: LambdaCallback(on_epoch_end=lambda epoch, logs: ...). Raises TypeError for unknown ones."""

    def __init__(self, **hooks: Callable):
        for name, function in hooks.items():
            if not (name.startswith("on_") and hasattr(Callback, name)):
                known = ", ".join(n for n in dir(Callback) if n.startswith("on_"))
                raise TypeError(f"unknown hook {name!r}: known are {known}")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Stops the training after the step whose loss is NaN or infinite; with `raise_error`, by a RuntimeError.

    The loss is the mean over the epoch so far, in which a NaN stays. It is read after each step, so a GPU waits there.
    Which layer or weight it was, minicnn.training.blame.first_not_finite(model, x, y) says for a batch.
    """

    def __init__(self, raise_error: bool = False):
        self.raise_error = raise_error

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"the loss is {loss} after step {batch} of this epoch")
        self.model.stop_training = True
