"""`minicnn compare RUN RUN ...`: several runs side by side, their settings where they differ, and what came out."""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn.commands import UsageError, guarded, pictures
from minicnn.commands.arguments import Parser, to_table
from minicnn.commands.loading import settings_of
from minicnn.commands.predict import shortened
from minicnn.commands.runs import read_metrics

WIDTH = 80
COLUMN = 22  # characters of a run at most


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("compare", lambda: compare(parser().parse_args(sys.argv[1:] if argv is None else list(argv))))


def parser() -> Parser:
    """The parser of the command."""
    made = Parser(
        prog="minicnn compare",
        usage="%(prog)s RUN RUN ... [flags]",
        description="Put runs side by side: the settings in which they differ, the numbers of their last epoch, and "
        "the best of each.",
        formatter_class=lambda prog: argparse.HelpFormatter(
            prog, max_help_position=28, width=min(WIDTH, shutil.get_terminal_size().columns)
        ),
        allow_abbrev=False,
    )
    made.add_argument("runs", metavar="RUN", nargs="+", help="run folders, e.g. runs/lenet5 runs/lenet5-2")
    made.add_argument("--plot", metavar="PNG", help="draw their curves together into this file (matplotlib)")
    return made


def compare(settings: argparse.Namespace) -> None:
    """Prints the tables. Raises UsageError for folders that are none of runs, or fewer than two."""
    if len(settings.runs) < 2:
        raise UsageError("which runs? At least two folders, e.g. runs/lenet5 runs/lenet5-2")
    names = short_names(settings.runs)
    tables = [to_table(settings_of(run)) for run in settings.runs]
    rows = [read_metrics(Path(run)) for run in settings.runs]
    lines = [*differences(tables), ("", [""] * len(names)), *results(rows)]
    print("\n".join(in_columns(names, lines)))
    if settings.plot is not None:
        drawn = {name: some for name, some in zip(names, rows, strict=True) if some}
        if not drawn:
            raise UsageError("--plot: no epoch of these runs has ended yet")
        print(pictures.save(Path(settings.plot), (10, 4), pictures.together, drawn))


def short_names(runs: Sequence[str]) -> list[str]:
    """The folders' names, with the way to them where two have the same."""
    paths = [os.path.normpath(run) for run in runs]
    names = [os.path.basename(path) for path in paths]
    return names if len(set(names)) == len(set(paths)) else paths


Line = tuple[str, list[str]]


def differences(tables: Sequence[Mapping[str, Any]]) -> list[Line]:
    """A line for each setting in which the runs differ, apart from their names."""
    keys = [key for key in tables[0] if key not in ("name", "output")]
    found = [(key, [table.get(key) for table in tables]) for key in keys]
    lines = [(key, ["-" if v is None else str(v) for v in values]) for key, values in found if len(set(values)) > 1]
    return lines or [("settings", ["the same", *[""] * (len(tables) - 1)])]


def results(rows: Sequence[Sequence[Mapping[str, str]]]) -> list[Line]:
    """The number of epochs, the numbers of the last one, and the best losses and accuracies with their epochs."""
    names = list(dict.fromkeys(name for some in rows for row in some for name in row if name not in ("epoch", "lr")))
    lines = [("epochs", [str(len(some)) for some in rows])]
    lines += [(name, [some[-1].get(name, "-") if some else "-" for some in rows]) for name in names]
    for name in names:
        if name.endswith(("loss", "accuracy")):
            lines.append((f"best {name}", [_best(name, some) for some in rows]))
    return lines


def _best(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    numbers = [(float(row[name]), row["epoch"]) for row in rows if row.get(name)]
    if not numbers:
        return "-"
    best = (max if name.endswith("accuracy") else min)(numbers, key=lambda pair: pair[0])
    return f"{best[0]:g} ({best[1]})"


def in_columns(names: Sequence[str], lines: Sequence[Line]) -> list[str]:
    """The lines under the runs' names; runs that do not fit into the width go below."""
    left = max(len(title) for title, _ in lines)
    width = min(COLUMN, max(len(cell) for cells in (names, *(cells for _, cells in lines)) for cell in cells)) + 2
    across = max((WIDTH - left) // width, 1)
    text: list[str] = []
    for start in range(0, len(names), across):
        part = slice(start, start + across)
        text += ([""] if start else []) + [
            f"{title:<{left}}" + "".join(f"{shortened(cell, width - 2):>{width}}" for cell in cells[part])
            for title, cells in (("", list(names)), *lines)
        ]
    return [line.rstrip() for line in text]
