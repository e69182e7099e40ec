"""Callbacks that watch one number of the logs: is it better than it was?"""

import warnings
from typing import Any

import numpy as np

from minicnn.training.callbacks.base import Callback

MODES = ("auto", "min", "max")


class Monitor(Callback):
    """Base class of those that watch `monitor`, a name of the logs: "loss", "val_accuracy", ...

    mode: whether it should become small ("min") or large ("max"); "auto" knows it of losses and of our own metrics.
    min_delta: what is better by less does not count. Raises ValueError for another mode, and at the first epoch where
    "auto" does not know.
    """

    state: tuple[str, ...] = ()  # the attributes that get_state gathers: numbers, or None

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0):
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best: float | None = None
        self._kept = False

    def value(self, logs: Any) -> float | None:
        """The number that is watched; None, with a warning, where the logs do not have it."""
        found = (logs or {}).get(self.monitor)
        if found is None:
            kind, known = type(self).__name__, ", ".join(logs or {})
            warnings.warn(f"{kind} watches {self.monitor!r}, which the logs do not have: {known}", stacklevel=3)
        return found

    def improved(self, value: float, reference: float | None) -> bool:
        """Whether the value is better than the reference by more than min_delta."""
        if reference is None:
            return True
        return value + self.min_delta < reference if self._lower() else value - self.min_delta > reference

    def _lower(self) -> bool:
        if self.mode != "auto":
            return self.mode == "min"
        name = self.monitor.removeprefix("val_")
        direction = "down" if name == "loss" else self.model.compiled.direction(name)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__}: whether {self.monitor!r} should become small or large is not known: "
                "give mode='min' or mode='max'"
            )
        return direction == "down"

    def fresh(self) -> bool:
        """Whether a training begins without a state that was put back; asked once."""
        kept, self._kept = self._kept, False
        return not kept

    def on_train_end(self, logs=None):
        """The next training begins afresh."""
        self._kept = False

    def get_state(self) -> dict[str, Any]:
        """The numbers that a run needs to go on."""
        found = {name: getattr(self, name) for name in ("best", *self.state)}
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in found.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what get_state gave; the training that begins next goes on with it."""
        for name in ("best", *self.state):
            setattr(self, name, state[name])
        self._kept = True


class EarlyStopping(Monitor):
    """Stops after an epoch where `monitor` was not better for `patience` epochs (Prechelt 1998).

    baseline: what is not better than that does not count. restore_best_weights: at the end the weights are those of the
    best epoch. start_from_epoch: epochs before this one are not looked at.
    """

    state = ("wait", "stopped_epoch", "best_epoch")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self._begin()

    def _begin(self) -> None:
        self.best = None
        self.best_weights: list[np.ndarray] | None = None
        self.wait = self.stopped_epoch = self.best_epoch = 0

    def on_train_begin(self, logs=None):
        """Forgets an earlier training."""
        if self.fresh():
            self._begin()

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the number."""
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)
        self.wait += 1
        if self.improved(current, self.best):
            self.best, self.best_epoch = float(current), epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or self.improved(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_epoch, self.best_weights = epoch, [np.array(w) for w in self.model.get_weights()]

    def on_train_end(self, logs=None):
        """Says where it stopped, and brings the best weights back."""
        super().on_train_end(logs)
        if self.stopped_epoch and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"the weights are those of the best epoch, {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)

    def get_state(self):
        """The numbers, and the best weights as arrays "best_weights/0" and so on."""
        weights = {f"best_weights/{i}": w for i, w in enumerate(self.best_weights or [])}
        return {**super().get_state(), **weights}

    def set_state(self, state):
        """Puts back what get_state gave."""
        super().set_state(state)
        count = sum(key.startswith("best_weights/") for key in state)
        self.best_weights = [np.asarray(state[f"best_weights/{i}"]) for i in range(count)] or None


class ReduceLROnPlateau(Monitor):
    """Multiplies the learning rate by `factor` where `monitor` was not better for `patience` epochs.

    cooldown: so many epochs after that it only looks on. min_lr: the lowest rate. Raises ValueError where factor is not
    below 1, and where the optimizer's rate is a schedule's.
    """

    state = ("wait", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"factor must lie between 0 and 1, got {factor!r}")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs=None):
        """Forgets an earlier training."""
        settable(self, self.model.compiled.optimizer)
        if self.fresh():
            self.best, self.wait, self.cooldown_counter = None, 0, 0

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the number, and adds "learning_rate" to the logs."""
        optimizer = self.model.compiled.optimizer
        add(logs, learning_rate=optimizer.learning_rate)
        current = self.value(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.wait = self.cooldown_counter - 1, 0
        if self.improved(current, self.best):
            self.best, self.wait = float(current), 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    print(f"epoch {epoch + 1}: the learning rate falls to {optimizer.learning_rate:g}")


def settable(callback: Callback, optimizer: Any) -> None:
    """Raises ValueError where the learning rate is a schedule's, which nobody else can set."""
    if getattr(optimizer, "scheduled", False):
        kind = type(callback).__name__
        raise ValueError(f"{kind} sets the learning rate, but the optimizer has a schedule for it: give it a number")


def add(logs: Any, **values: float) -> None:
    """Adds numbers to the logs of an epoch, for the callbacks that stand behind."""
    if isinstance(logs, dict):
        logs.update(values)
