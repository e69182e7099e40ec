"""What looks on while `minicnn train` trains: writes metrics, keeps checkpoints, and stops in good order."""

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from minicnn.backend import backend_of
from minicnn.commands import NOT_FINITE, Stopped
from minicnn.commands.runs import METRICS, STEPS, MetricsFile, StepsFile
from minicnn.training import checkpoints
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoints import Checkpoint
from minicnn.training.store import Store


class Rows(Callback):
    """Writes a row of metrics an epoch and a line a step, and stops after a step whose loss is not finite.

    main: the name of the output that counts, which is left out of the names of its metrics; None where there is one
    blame(): says what became not finite, or nothing   closely: whether weights are looked at after each step, too
    Raises Stopped.
    """

    def __init__(self, folder: Path, samples: int, main: str | None, blame: Callable[[], str], closely: bool):
        self.metrics, self.steps = MetricsFile(folder / METRICS), StepsFile(folder / STEPS)
        self.samples, self.main, self.blame, self.closely = samples, main, blame, closely
        self.rate, self.spent, self.epoch, self.begun = 0.0, 0.0, -1, time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        if epoch != self.epoch:  # else it goes on, and set_state said what was before
            self.epoch, self.rate, self.spent = epoch, self.model.compiled.optimizer.learning_rate, 0.0
        self.begun = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        """Asks for the rate of this step."""
        self.now = self.model.compiled.optimizer.learning_rate

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss, and writes the line."""
        if not math.isfinite(logs["loss"]):
            raise not_finite(f"the loss is {logs['loss']}", self.epoch, batch + 1, self.blame)
        if self.closely and not finite(self.model.weights):
            raise not_finite("weights are not finite", self.epoch, batch + 1, self.blame)
        numbers = {self.plain(name): value for name, value in logs.items()}
        self.steps.add({"step": self.model.step, "epoch": self.epoch + 1, "lr": self.now, **numbers})

    def on_epoch_end(self, epoch, logs=None):
        """Writes the row."""
        seconds = self.spent + time.perf_counter() - self.begun
        numbers = {self.plain(name): f"{value:.6g}" for name, value in logs.items()}
        rates = {"seconds": f"{seconds:.3f}", "images_per_second": f"{self.samples / seconds:.1f}"}
        self.metrics.add({"epoch": epoch + 1, "lr": f"{self.rate:g}", **numbers, **rates})

    def plain(self, name: str) -> str:
        """predictions_accuracy is accuracy, val_predictions_accuracy is val_accuracy: of the output that counts."""
        for before in ("", "val_"):
            if self.main is not None and name.startswith(f"{before}{self.main}_") and not name.endswith("_loss"):
                return before + name.removeprefix(f"{before}{self.main}_")
        return name

    def close(self):
        """Gives the files back."""
        self.steps.close()

    def get_state(self) -> dict[str, Any]:
        """What the row of the epoch that runs needs."""
        return {"epoch": self.epoch, "rate": self.rate, "seconds": self.spent + time.perf_counter() - self.begun}

    def set_state(self, state: dict[str, Any]) -> None:
        """For an epoch that goes on."""
        self.epoch, self.rate, self.spent = state["epoch"], state["rate"], state["seconds"]


class Saver(Callback):
    """Keeps checkpoints, and after a step during which a signal came saves one and stops.

    Stands behind all other callbacks, so that their state is that after the step or epoch.
    weights: the model's, by name   callbacks: those whose state is kept   facts: what else goes into each checkpoint
    every: "2" epochs or "200s" steps   monitor: the number that is best where it is lowest, or, for an accuracy,
    highest   on_error: "stop" or "continue" where a checkpoint cannot be written   start: the checkpoint to go on from
    received: the signals so far, from remembered_signals(). Raises Stopped, and OSError for on_error "stop".
    """

    def __init__(
        self, store: Store, weights: dict[str, Any], callbacks: list[Any], facts: dict[str, Any], *,
        every: str, monitor: str, on_error: str, steps: int, received: list, blame: Callable[[], str],
        start: Checkpoint | None = None,
    ):  # fmt: skip
        self.store, self.weights, self.callbacks, self.facts = store, weights, callbacks, facts
        self.rhythm, self.in_steps = int(every.removesuffix("s")), every.endswith("s")
        self.monitor, self.on_error, self.steps = monitor, on_error, steps
        self.received, self.start, self.blame = received, start, blame
        self.best: float | None = None if start is None else start.facts["best"]
        self.gathered: Any = None

    def on_train_begin(self, logs=None):
        """Gives the callbacks their state, which their own beginning may have cleared."""
        if self.start is not None:
            checkpoints.restore_callbacks(self.start, self.callbacks)

    def on_epoch_begin(self, epoch, logs=None):
        """Says where we are."""
        self.epoch, self.position = epoch, 0
        if self.start is not None and self.start.facts["epoch"] == epoch:
            self.position = self.start.facts["position"]
        self.gathered = self.model.compiled.get_state() if self.position == self.steps else None

    def on_train_batch_end(self, batch, logs=None):
        """Saves where it is time, or where a signal came."""
        self.position = batch + 1
        # behind the last step a validation may come, which begins the sums anew
        self.gathered = self.model.compiled.get_state() if self.position == self.steps else None
        if self.received:
            self.stop()
        if self.in_steps and self.model.step % self.rhythm == 0 and self.position < self.steps:
            self.save()

    def on_test_batch_end(self, batch, logs=None):
        """A signal stops a validation at once: it is done anew when the run goes on."""
        if self.received:
            self.stop()

    def on_epoch_end(self, epoch, logs=None):
        """Saves where it is time, where the numbers are the best so far, and behind the last epoch."""
        value = logs.get(self.monitor)
        sign = -1 if self.monitor.endswith("accuracy") else 1
        best = value is not None and (self.best is None or sign * value < sign * self.best)
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        due = (epoch + 1) % self.rhythm == 0
        self.epoch, self.position, self.gathered = epoch + 1, 0, None
        if self.in_steps:
            due = self.model.step % self.rhythm == 0
        if due or last or (best and self.monitor.startswith("val_")):
            before, self.best = self.best, value if best else self.best
            if not self.save(best=best, finished=bool(self.model.stop_training)):
                self.best = before  # the best one is still that in the folder
        if self.received and not last:
            self.stop(saved=due)

    def save(self, best: bool = False, finished: bool = False) -> bool:
        """Writes a checkpoint of this moment; whether it could be written, where a failure does not stop the run.

        Raises Stopped where weights are not finite, and OSError for on_error "stop".
        """
        if not finite(self.weights.values()):
            raise not_finite("weights are not finite", self.epoch, self.position, self.blame)
        for callback in self.callbacks:
            if isinstance(callback, Rows):
                callback.steps.sync()
        made = checkpoints.gather(
            self.model, self.weights, self.callbacks, self.gathered, epoch=self.epoch, position=self.position,
            best=self.best, monitor=self.monitor, finished=finished, **self.facts,
        )  # fmt: skip
        try:
            self.store.save(made, best)
        except OSError as error:
            if self.on_error == "stop":
                raise OSError(f"{error}; --on-save-error continue would go on") from error
            print(f"minicnn train: {error}; training goes on", file=sys.stderr)
            return False
        return True

    def stop(self, saved: bool = False) -> None:
        """Saves and stops for the signal."""
        if not saved:
            self.save()
        number, run = self.received[0], self.store.folder.parent
        place = f"epoch {self.epoch + 1}, step {self.position}" if self.position else f"epoch {self.epoch}"
        raise Stopped(
            f"stopped by {number.name} after {place}; go on with: minicnn train --resume {run}", 128 + number
        )


def not_finite(what: str, epoch: int, step: int, blame: Callable[[], str]) -> Stopped:
    """The error for numbers that ran away after this step of the epoch (step 0: after so many epochs)."""
    place = f"epoch {epoch + 1}, step {step}" if step else f"epoch {epoch}"
    return Stopped(f"{what} after {place}{blame()}: try a smaller --lr", NOT_FINITE)


def finite(weights: Iterable[Any]) -> bool:
    """Whether all numbers of these weights are."""
    return all(bool(backend_of(w.data).xp.isfinite(w.data).all()) for w in weights)


@contextlib.contextmanager
def remembered_signals() -> Iterator[list[signal.Signals]]:
    """Within the block the first Ctrl-C or SIGTERM is only remembered, in the list; the second one acts at once."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield received
        return

    def remember(number, frame):
        received.append(signal.Signals(number))
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.signal(one, remember) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
