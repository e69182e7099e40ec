"""Callbacks that write files: models, tables, events for TensorBoard."""

import os
import time
from pathlib import Path
from typing import Any

from minicnn.training.callbacks.base import Callback
from minicnn.training.callbacks.monitors import Monitor


class ModelCheckpoint(Monitor):
    """Saves the model, or its weights, after each epoch or each `save_freq` steps; each file in one piece.

    filepath: with the logs and `epoch`, `batch` (from 1 up) as fields, "{epoch:02d}-{val_loss:.2f}.keras"; it ends in
    .keras, or with save_weights_only in .weights.h5 or .safetensors. save_best_only: only where `monitor` is better
    than ever before, or than initial_value_threshold. (All that a run needs to go on is in the checkpoints of
    `minicnn train`.) Raises ValueError for another ending and for a field that is not in the logs, OSError where the
    file cannot be written.
    """

    state = ("seen",)

    def __init__(
        self,
        filepath: str | os.PathLike,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode)
        self.filepath, self.verbose = os.fspath(filepath), verbose
        endings = (".weights.h5", ".safetensors") if save_weights_only else (".keras",)
        if not self.filepath.endswith(endings):
            raise ValueError(f"ModelCheckpoint: the file must end in {' or '.join(endings)}, got {self.filepath!r}")
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise ValueError(f"save_freq must be 'epoch' or a number of steps, got {save_freq!r}")
        self.save_best_only, self.save_weights_only, self.save_freq = save_best_only, save_weights_only, save_freq
        self.best = initial_value_threshold
        self.seen, self.epoch = 0, 0  # steps since the last file

    def on_epoch_begin(self, epoch, logs=None):
        """Says which epoch it is."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Saves where enough steps are done."""
        if self.save_freq == "epoch":
            return
        self.seen += 1
        if self.seen >= int(self.save_freq):
            self.seen = 0
            self._save(logs, batch=batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        """Saves, unless it counts steps."""
        self.epoch = epoch
        if self.save_freq == "epoch":
            self._save(logs)

    def _save(self, logs: Any, **fields: int) -> None:
        if self.save_best_only:
            current = self.value(logs)  # without it Keras saves
            if current is not None and not self.improved(current, self.best):
                return
            self.best = self.best if current is None else float(current)
        try:
            path = Path(self.filepath.format(**{"epoch": self.epoch + 1, **fields, **(logs or {})}))
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(["epoch", *fields, *(logs or {})])
            raise ValueError(f"ModelCheckpoint: {self.filepath!r} needs {error}; there are {known}") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"epoch {self.epoch + 1}: saved {path}")


class CSVLogger(Callback):
    """Writes a row an epoch: "epoch", then the logs in alphabetical order. append: goes on with an old file."""

    def __init__(self, filename: str | os.PathLike, separator: str = ",", append: bool = False):
        self.filename, self.separator, self.append = os.fspath(filename), separator, append
        self.file: Any = None
        self.writer: Any = None

    def on_train_begin(self, logs=None):
        """Opens the file."""
        self.close()
        path = Path(self.filename)
        self.begun = self.append and path.exists() and path.stat().st_size > 0
        self.file = open(path, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115
        self.writer = None

    def on_epoch_end(self, epoch, logs=None):
        """Writes the row; "NA" for what the first epoch had and this one has not."""
        import csv

        logs = logs or {}
        if self.writer is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):  # validation may come later
                self.keys += [f"val_{key}" for key in self.keys]
            self.writer = csv.writer(self.file, delimiter=self.separator)
            if not self.begun:
                self.writer.writerow(["epoch", *self.keys])
        self.writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
        self.file.flush()

    def close(self):
        """Closes the file."""
        if self.file is not None:
            self.file.close()
            self.file = None


class TensorBoard(Callback):
    """Writes scalars for TensorBoard: log_dir/train and log_dir/validation, with Keras's tags.

    "epoch_loss", "epoch_accuracy", "epoch_learning_rate", ... an epoch; with update_freq "batch", or a number of steps,
    also "batch_loss" and so on. Needs the tensorboard package (the extra [tensorboard]), not TensorFlow.
    Raises ImportError, with the pip line, where it is missing.
    """

    def __init__(self, log_dir: str | os.PathLike = "logs", update_freq: str | int = "epoch"):
        if update_freq not in ("epoch", "batch") and type(update_freq) is not int:
            raise ValueError(f"update_freq must be 'epoch', 'batch' or a number of steps, got {update_freq!r}")
        _tensorboard()
        self.log_dir, self.every = Path(log_dir), {"epoch": 0, "batch": 1}.get(update_freq, update_freq)  # type: ignore
        self.writers: dict[str, EventWriter] = {}

    def _write(self, part: str, step: int, values: dict[str, float]) -> None:
        if values and part not in self.writers:
            self.writers[part] = EventWriter(self.log_dir / part)
        if values:
            self.writers[part].scalars(step, values)

    def on_train_batch_end(self, batch, logs=None):
        """Writes the means so far, where it is time."""
        if self.every and self.model.step % self.every == 0:
            self._write("train", self.model.step, {f"batch_{name}": value for name, value in (logs or {}).items()})

    def on_epoch_end(self, epoch, logs=None):
        """Writes the numbers of the epoch."""
        logs = dict(logs or {})
        logs.setdefault("learning_rate", self.model.compiled.optimizer.learning_rate)
        held = {name: value for name, value in logs.items() if name.startswith("val_")}
        self._write("train", epoch, {f"epoch_{name}": value for name, value in logs.items() if name not in held})
        self._write("validation", epoch, {f"epoch_{k.removeprefix('val_')}": value for k, value in held.items()})

    def close(self):
        """Closes the files."""
        for writer in self.writers.values():
            writer.close()
        self.writers = {}


class EventWriter:
    """A file of events, as TensorBoard reads them: records of protocol buffers, each with its checksum."""

    def __init__(self, folder: Path):
        import socket

        records, self.event, self.summary = _tensorboard()
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{time.time_ns()}.v2"
        self.file = open(folder / name, "wb")  # noqa: SIM115
        self.records = records(self.file)
        self.records.write(self.event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes the values, each under its tag."""
        listed = [self.summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()]
        event = self.event(wall_time=time.time(), step=step, summary=self.summary(value=listed))
        self.records.write(event.SerializeToString())
        self.file.flush()

    def close(self) -> None:
        """Closes the file."""
        self.file.close()


def _tensorboard() -> tuple[Any, Any, Any]:
    """What writes records, and the classes of events and summaries; importing them does not import TensorFlow."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    except ImportError as error:
        raise ImportError(
            f"the TensorBoard callback needs the tensorboard package ({error}): pip install 'minicnn[tensorboard]'"
        ) from None
    return RecordWriter, Event, Summary
