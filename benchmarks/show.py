"""`python -m benchmarks show FILE`: the tables of a results file of `cpu` or `kernels`, and its chart drawn again."""

import argparse
import json
from pathlib import Path

from benchmarks import cpu, kernels, tables
from benchmarks.turns import conclude


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("file", type=Path, help="a file of benchmarks/results")


def main(settings: argparse.Namespace) -> int:
    """Prints, draws."""
    data = json.loads(settings.file.read_text(encoding="utf-8"))
    about, results = data["machine"], data["results"]
    print(tables.header(about))
    if "kernel" in results[0]:
        print(kernels.report(results))
        return 0
    for one in results:  # files of before 2026-11-22 have the ratio of the medians
        conclude(one)
    print(cpu.report(results, about))
    cpu.draw(results, about, settings.file.with_suffix(".png"))
    return 0
