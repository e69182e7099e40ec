"""Callbacks that set the learning rate, or exchange the weights for their moving averages."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.training.callbacks.base import Callback
from minicnn.training.callbacks.monitors import add, settable


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to schedule(epoch, rate) or schedule(epoch); the first epoch is 0.

    Raises ValueError for what is no number, and where the optimizer's rate is a schedule's.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        self.schedule, self.verbose = schedule, verbose
        self.epoch: int | None = None  # whose rate is set

    def on_train_begin(self, logs=None):
        """Looks whether the rate can be set."""
        settable(self, self.model.compiled.optimizer)

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the rate; not a second time where a run goes on in the middle of the epoch."""
        kept, self.epoch = self.epoch, epoch
        if kept == epoch:
            return
        optimizer = self.model.compiled.optimizer
        rate = self.schedule(epoch, optimizer.learning_rate) if self._takes_two() else self.schedule(epoch)
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number):
            raise ValueError(f"LearningRateScheduler: the schedule must give a number, got {rate!r} at epoch {epoch}")
        optimizer.learning_rate = rate
        if self.verbose:
            print(f"epoch {epoch + 1}: the learning rate is {optimizer.learning_rate:g}")

    def _takes_two(self) -> bool:
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
        except TypeError:
            return False
        return True

    def on_epoch_end(self, epoch, logs=None):
        """Adds "learning_rate" to the logs."""
        self.epoch = None
        add(logs, learning_rate=self.model.compiled.optimizer.learning_rate)

    def get_state(self) -> dict[str, Any]:
        """For which epoch the rate is set."""
        return {"epoch": self.epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what get_state gave."""
        self.epoch = state["epoch"]


class SwapEMAWeights(Callback):
    """Evaluates (and predicts) with the moving averages of the weights, which an optimizer with use_ema keeps.

    swap_on_epoch: the averages also stand in the model from the end of an epoch to the beginning of the next, where
    callbacks behind this one, such as ModelCheckpoint, find them. Raises ValueError for an optimizer without averages.
    """

    def __init__(self, swap_on_epoch: bool = False):
        self.swap_on_epoch = swap_on_epoch
        self._restored: bool | None = None

    def _swap(self, wanted: bool) -> None:
        optimizer = self.model.compiled.optimizer
        if optimizer.swapped != wanted:
            optimizer.swap_averages()

    def on_train_begin(self, logs=None):
        """Takes up a run that was saved between two epochs."""
        if self._restored is not None:
            self.model.compiled.optimizer.swapped, self._restored = self._restored, None

    def on_epoch_begin(self, epoch, logs=None):
        """Back to the weights that train."""
        self._swap(False)

    def on_epoch_end(self, epoch, logs=None):
        """To the averages."""
        if self.swap_on_epoch:
            self._swap(True)

    def get_state(self) -> dict[str, Any]:
        """Whether the averages stand in the model."""
        return {"swapped": self.model is not None and self.model.compiled.optimizer.swapped}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what get_state gave, beside the optimizer's own state."""
        self._restored = bool(state["swapped"])

    def on_test_begin(self, logs=None):
        """To the averages."""
        self._swap(True)

    def on_test_end(self, logs=None):
        """Back to the weights that train."""
        self._swap(False)

    def on_predict_begin(self, logs=None):
        """To the averages."""
        self._swap(True)

    def on_predict_end(self, logs=None):
        """Back to the weights that train."""
        self._swap(False)

    def close(self):
        """Back to the weights that train, after an exception too."""
        self._swap(False)
