"""Live progress on a terminal, plain lines elsewhere."""

import os
import sys
import time
from typing import Any, TextIO

from minicnn.training.callbacks import Callback

REFRESH = 0.1  # seconds between two looks at the loss


class Progress(Callback):
    """Shows epoch, step, losses, metrics, images/s and the time left, and keeps a line for each epoch.

    On a terminal a bar is redrawn in place (by rich; NO_COLOR and TERM=dumb are honoured); in a file or a pipe there is
    a line every `log_interval` steps (0: none). `bar=False` leaves only the line of each epoch. `file`: sys.stdout.
    """

    def __init__(self, log_interval: int = 50, bar: bool = True, file: TextIO | None = None):
        self.log_interval, self.bar, self.file = log_interval, bar, file
        self.training = False
        self.display: Any = None
        self.skipped: int | None = None  # steps of this epoch that an earlier run did
        self.before = 0  # and of the first epoch

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        """Starts the clock of the whole run."""
        self.training = True
        self.begun, self.first = time.perf_counter(), None

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's bar."""
        self.epoch, self.skipped = epoch, None
        self.first = epoch if self.first is None else self.first
        self._start(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_begin(self, batch, logs=None):
        """Notes where an epoch begins, which is not 0 where a run goes on in the middle of it."""
        if self.skipped is None:
            self.skipped = batch
            self.before = batch if self.epoch == self.first else self.before

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar, or writes a line."""
        self._advance(batch + 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the line of the epoch."""
        self._finish(logs)

    def on_train_end(self, logs=None):
        """Back to rest."""
        self.training = False

    # Evaluation and prediction, outside of training ------------------------------------------------------------------

    def on_test_begin(self, logs=None):
        """Starts the bar, unless it is a validation."""
        if not self.training:
            self._start("evaluate")

    def on_test_batch_end(self, batch, logs=None):
        """Moves the bar."""
        if not self.training:
            self._advance(batch + 1, logs)

    def on_test_end(self, logs=None):
        """Writes the result."""
        if not self.training:
            self._finish(logs)

    def on_predict_begin(self, logs=None):
        """Starts the bar."""
        self._start("predict")

    def on_predict_batch_end(self, batch, logs=None):
        """Moves the bar."""
        self._advance(batch + 1, None)

    def on_predict_end(self, logs=None):
        """Takes the bar away."""
        self.close()

    def close(self):
        """Gives the terminal back, after an exception too."""
        if self.display is not None:
            self.display.stop()
            self.display = None

    # How it is shown -------------------------------------------------------------------------------------------------

    def _start(self, title: str) -> None:
        self.title, self.step = title, 0
        self.started = self.stopped = time.perf_counter()
        self.shown = 0.0
        file = self.file or sys.stdout
        if self.bar and file.isatty() and os.environ.get("TERM") != "dumb":
            self.display = _bar(file)
            self.task = self.display.add_task(title, total=self.params.get("steps"), words="")
            self.display.start()

    def _advance(self, step: int, logs) -> None:
        self.step, self.stopped = step, time.perf_counter()
        if self.display is not None:
            if self.stopped - self.shown < REFRESH and step != self.params.get("steps"):
                return
            self.shown = self.stopped
            self.display.update(self.task, completed=step, words="  ".join(self._words(logs)))
        elif self.training and self.bar and self.log_interval and step % self.log_interval == 0:
            of = f"/{self.params['steps']}" if self.params.get("steps") else ""
            self._print("  ".join([self.title, f"step {step}{of}", *self._words(logs)]))

    def _finish(self, logs) -> None:
        self.close()
        seconds = time.perf_counter() - self.started
        self._print("  ".join([self.title, *_numbers(logs), *self._speed(), f"{seconds:.1f} s"]))

    def _words(self, logs) -> list[str]:
        left = self._left()
        return [*_numbers(logs), *self._speed(), *([f"{clock(left)} left"] if left is not None else [])]

    def _speed(self) -> list[str]:
        """Images a second over this epoch, without its validation."""
        skipped = self.skipped or 0
        if self.step <= skipped or not self.params.get("batch_size"):
            return []
        seen = (self.step - skipped) * self.params["batch_size"]
        if self.params.get("samples"):
            seen = min(seen, self.params["samples"])
        return [f"{seen / max(self.stopped - self.started, 1e-9):,.0f} images/s"]

    def _left(self) -> float | None:
        """Seconds to the end of the run at the pace so far, or None where the number of steps is not known."""
        steps = self.params.get("steps")
        if not steps:
            return None
        now = time.perf_counter()
        if not self.training:
            return (now - self.started) / self.step * (steps - self.step)
        done = (self.epoch - self.first) * steps + self.step - self.before  # in this run
        return (now - self.begun) / done * ((self.params["epochs"] - self.first) * steps - self.before - done)

    def _print(self, line: str) -> None:
        print(line, file=self.file or sys.stdout, flush=True)


def clock(seconds: float) -> str:
    """Hours, minutes, seconds: 1:02:03, or 2:03 where there are no hours."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _numbers(logs) -> list[str]:
    return [f"{name} {value:{'.4f' if abs(value) < 1e4 else '.3e'}}" for name, value in (logs or {}).items()]


def _bar(file: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    words = TextColumn("{task.fields[words]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    title = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    return Bar(title, BarColumn(bar_width=12), MofNCompleteColumn(), words, console=Console(file=file), transient=True)
