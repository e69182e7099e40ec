"""A folder of checkpoints: the last ones, and the best one."""

import contextlib
import os
import re
import shutil
from functools import partial
from pathlib import Path

from minicnn.formats import FormatError
from minicnn.formats.atomic import write_atomically
from minicnn.training import checkpoints
from minicnn.training.checkpoints import Checkpoint

LAST, BEST = "last.safetensors", "best.safetensors"
NUMBERED = re.compile(r"step-(\d{8,})\.safetensors")


class Store:
    """`last.safetensors`, the `keep - 1` before it as `step-00001234.safetensors`, and `best.safetensors`.

    The last one is always whole: a new one takes its place in one rename. keep: how many of the last, from 1 up.
    """

    def __init__(self, folder: Path, keep: int = 3):
        self.folder, self.keep = Path(folder), keep

    def save(self, checkpoint: Checkpoint, best: bool = False) -> None:
        """Makes this the last checkpoint, and the best one if it is.

        Raises OSError that says how much room is needed; the checkpoints from before still stand.
        """
        last = self.folder / LAST
        try:
            self.folder.mkdir(exist_ok=True)
            self._number_last(checkpoint.step)
            checkpoints.write(last, checkpoint)
            if best:
                _same(last, self.folder / BEST)
            self._prune(checkpoint.step)
        except OSError as error:
            raise OSError(f"{error}; {self._room(checkpoint)}") from error

    def newest(self) -> tuple[Path | None, Checkpoint | None, list[str]]:
        """The newest checkpoint that is sound, and what is wrong with those that are newer.

        None where there is none. A damaged one is passed over, and left for somebody to look at.
        """
        refused: list[str] = []
        for path in self._newest_first(refused):
            try:
                return path, checkpoints.read(path), refused
            except (FormatError, OSError) as error:
                refused.append(str(error))
        return None, None, refused

    def clean(self) -> None:
        """Takes away what a process that was killed left half written."""
        for path in self.folder.glob(".*.safetensors.tmp-*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _number_last(self, step: int) -> None:
        """A second name for the last checkpoint, by its step, under which it stays when a new one takes its place."""
        last = self.folder / LAST
        if self.keep == 1 or not last.exists():
            return
        with contextlib.suppress(FormatError):  # a damaged one need not be kept
            before = checkpoints.facts(last)["step"]
            if before != step:
                _same(last, self.folder / f"step-{before:08}.safetensors")

    def _prune(self, step: int) -> None:
        numbered = sorted((int(NUMBERED.fullmatch(p.name)[1]), p) for p in self._numbered())  # type: ignore[index]
        for number, path in numbered[: max(len(numbered) - self.keep + 1, 0)]:
            if number <= step:
                path.unlink(missing_ok=True)

    def _numbered(self) -> list[Path]:
        return [path for path in self.folder.glob("step-*.safetensors") if NUMBERED.fullmatch(path.name)]

    def _newest_first(self, refused: list[str]) -> list[Path]:
        """All files by the step in their headers; the last one before others of the same step."""
        found: list[tuple[int, bool, Path]] = []
        for path in [self.folder / LAST, *self._numbered(), self.folder / BEST]:
            try:
                found.append((checkpoints.facts(path)["step"], path.name == LAST, path))
            except FileNotFoundError:
                continue
            except (FormatError, OSError) as error:
                refused.append(str(error))
        return [path for _, _, path in sorted(found, key=lambda one: one[:2], reverse=True)]

    def _room(self, checkpoint: Checkpoint) -> str:
        need = sum(array.nbytes for array in checkpoint.arrays.values())
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self.folder if self.folder.is_dir() else self.folder.parent).free
            return f"{need / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free; earlier checkpoints still stand"
        return f"{need / 1e6:,.1f} MB are needed; earlier checkpoints still stand"


def _same(source: Path, target: Path) -> None:
    """Gives a file, which is never changed in place, a second name; where that cannot be, a copy."""
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without links, or one that is full, as the copy will then say
        write_atomically(target, partial(_copy, source))
        return
    try:
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)  # where both were one file already, the rename does nothing


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
