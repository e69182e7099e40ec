"""Run folders: `runs/lenet5`, then `runs/lenet5-2`. One is never overwritten."""

import csv
import itertools
from collections.abc import Mapping
from pathlib import Path


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
    """Writes a file of a run folder; an OSError says which one."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OSError(f"cannot write {path} ({error.strerror}): choose another place with --output") from error


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
