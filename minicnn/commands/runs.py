"""Run folders: `runs/lenet5`, then `runs/lenet5-2`. One is never overwritten; one whose run stopped goes on."""

import csv
import io
import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from minicnn.commands import UsageError
from minicnn.formats import FormatError
from minicnn.formats.atomic import write_atomically
from minicnn.training import checkpoints
from minicnn.training.checkpoints import Checkpoint
from minicnn.training.store import Store

CONFIG, METRICS, STEPS, WEIGHTS, CHECKPOINTS = (
    "config.toml", "metrics.csv", "metrics.jsonl", "weights.safetensors", "checkpoints",
)  # fmt: skip
TENSORBOARD = "tensorboard"
LEFT = (CONFIG, METRICS, STEPS, WEIGHTS, CHECKPOINTS, TENSORBOARD, "curves.png")  # as it is told at the end


def make_folder(output: str, name: str) -> Path:
    """Makes and returns the first folder of output/name, output/name-2, ... that is not there yet.

    Raises OSError, with what to do, where none can be made.
    """
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            folder = Path(output, name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise OSError(
            f"cannot make a run folder in {output!r} ({error.strerror}): choose another place with --output"
        ) from error
    raise AssertionError("itertools.count ends")


def write_text(path: Path, text: str) -> None:
    """Writes a file of a run folder, in one piece; an OSError says which one."""
    try:
        write_atomically(path, partial(_put, text))
    except OSError as error:
        raise OSError(f"cannot write {path} ({error}): choose another place with --output") from error


def _put(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def claim(folder: Path) -> TextIO | None:
    """Makes the run folder this process's as long as the result is open. Raises UsageError where another one has it.

    None on systems without such locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    lock = open(folder / ".lock", "a", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UsageError(f"{folder} is being trained by another process: stop that one first") from None
    except OSError:  # a file system without locks
        pass
    return lock


# Going on ------------------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """A run to go on with: from this checkpoint, in `folder` itself, or in a new one where `folder` is None."""

    checkpoint: Checkpoint
    path: Path
    origin: Path | None  # the run folder in which the checkpoint lies
    in_place: bool
    refused: list[str]  # what is wrong with the checkpoints that are newer


def find(resume: str, output: str, name: str | None) -> Found | None:
    """The run that --resume means, or None: "auto" is the one saved last, by that name if one is given.

    Raises UsageError for a path where no run is, FormatError where no checkpoint of it is sound.
    """
    if resume == "auto":
        folder = _latest(Path(output), name)
        return None if folder is None else _in_folder(folder)
    path = Path(resume)
    if path.is_dir():
        folder = path.parent if path.name == CHECKPOINTS and (path.parent / CONFIG).exists() else path
        if not (folder / CHECKPOINTS).is_dir():
            raise UsageError(f"--resume {resume}: there are no checkpoints in that folder")
        return _in_folder(folder)
    if not path.is_file():
        raise UsageError(f"--resume {resume}: no such run folder or checkpoint; MODEL stands before --resume")
    return _from_file(path)


def _in_folder(folder: Path) -> Found | None:
    path, checkpoint, refused = Store(folder / CHECKPOINTS).newest()
    if path is None or checkpoint is None:
        if refused:
            raise FormatError(f"no checkpoint in {folder / CHECKPOINTS} is sound: {'; '.join(refused)}")
        raise UsageError(f"--resume: there is no checkpoint in {folder / CHECKPOINTS} yet")
    return Found(checkpoint, path, folder, True, refused)


def _from_file(path: Path) -> Found:
    checkpoint = checkpoints.read(path)
    origin = path.absolute().parent.parent
    if path.absolute().parent.name != CHECKPOINTS or not (origin / CONFIG).exists():
        return Found(checkpoint, path, None, False, [])
    newest = Store(origin / CHECKPOINTS).newest()[1]
    in_place = newest is not None and newest.step == checkpoint.step
    return Found(checkpoint, path, Path(os.path.relpath(origin)) if in_place else origin, in_place, [])


def _latest(output: Path, name: str | None) -> Path | None:
    """The run folder whose checkpoints were written last."""
    pattern = re.compile(rf"{re.escape(name)}(-\d+)?" if name else ".*")
    found = []
    for folder in output.iterdir() if output.is_dir() else []:
        files = list((folder / CHECKPOINTS).glob("*.safetensors")) if pattern.fullmatch(folder.name) else []
        if files:
            found.append((max(file.stat().st_mtime_ns for file in files), folder))
    return max(found)[1] if found else None


# What is measured ----------------------------------------------------------------------------------------------------


class MetricsFile:
    """A CSV file with one row an epoch; each is on disk before the next epoch begins."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, row: Mapping[str, object]) -> None:
        """Appends a row; the first one also writes the header."""
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            os.fsync(file.fileno())


class StepsFile:
    """A file with a line of JSON a step."""

    def __init__(self, path: Path):
        self.path = path
        self.file: TextIO | None = None

    def add(self, row: Mapping[str, object]) -> None:
        """Appends a line, which is the system's at once: it outlives this process."""
        if self.file is None:
            self.file = open(self.path, "a", encoding="utf-8", buffering=1)
        self.file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Brings all lines to disk."""
        if self.file is not None:
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Gives the file back."""
        if self.file is not None:
            self.file.close()


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv; none where there is no such file."""
    path = folder / METRICS
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cut_back(source: Path, target: Path, epoch: int, step: int) -> None:
    """Writes the metrics of the run in `source` to `target`, up to `epoch` epochs and `step` steps: no newer ones."""
    rows = [row for row in read_metrics(source) if _number(row.get("epoch")) <= epoch]
    if rows:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write_text(target / METRICS, text.getvalue())
    else:
        (target / METRICS).unlink(missing_ok=True)
    if (source / STEPS).exists():
        with open(source / STEPS, encoding="utf-8") as file:
            lines = list(itertools.takewhile(lambda line: _step(line) <= step, file))
        write_text(target / STEPS, "".join(lines))


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("inf")  # half a row, as a crash may leave it


def _step(line: str) -> float:
    try:
        return _number(json.loads(line)["step"]) if line.endswith("\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")


def left(folder: Path, names: Iterable[str] = LEFT) -> list[str]:
    """What there is in a run folder, as it is told."""
    return [f"{name}/" if (folder / name).is_dir() else name for name in names if (folder / name).exists()]
