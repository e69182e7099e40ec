"""`python -m benchmarks kernels`: minicnn's kernels against the reference kernels and PyTorch's, in one run.

Rates in GFLOP/s of the direct algorithm's arithmetic, or in GB/s of what must be moved at least; the ratio is PyTorch's
time over ours; errors are the largest ones, in units of the largest exact number, against the reference in float64.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, tables
from benchmarks.cpu import quiet, target, write
from benchmarks.kernel_cases import KINDS, Case, cases
from benchmarks.sides import missing

SIDES = ("ours", "reference", "torch")
PAUSE = 0.15  # seconds: OpenBLAS's threads spin for 0.13 after a product, and take a core from whoever comes next


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND",
                        help=f"some of {', '.join(KINDS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each side (7; with --quick 3)")
    parser.add_argument("--threads", type=int, default=machine.cores(), metavar="N", help="of every side (all cores)")
    parser.add_argument("--quick", action="store_true", help="few shapes, and no file unless --json names one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write")


def main(settings: argparse.Namespace) -> int:
    """Measures, prints a table for each kernel, writes."""
    from minicnn.config import set_threads

    set_threads(settings.threads)
    if reason := missing("torch"):
        print(f"PyTorch: {reason}")
    else:
        import torch

        torch.set_num_threads(settings.threads)
    about = machine.describe(settings.threads)
    print(tables.header(about), flush=True)
    about["busy"] = [quiet()]
    rounds = settings.rounds or (3 if settings.quick else 7)
    results = []
    for case in cases(settings.kinds, settings.quick):
        results.append(measure(case, rounds))
        print(f"... {case.kernel} {case.shape}", flush=True)
    print(report(results))
    if path := target(settings, "kernels", about):
        write(results, about, path)
    return 0


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Errors first, then the sides in turn: medians in seconds."""
    functions: dict[str, Callable] = {side: f for side in SIDES if (f := getattr(case, side)) is not None}
    exact = case.exact()
    scale = float(np.abs(exact).max())
    found: dict[str, Any] = {
        "kernel": case.kernel, "shape": case.shape, "algorithm": case.algorithm, "unit": case.unit,
        "amount": case.amount, "errors": {}, "seconds": {},
    }  # fmt: skip
    for side, function in functions.items():
        found["errors"][side] = float(np.abs(function()[: case.compared] - exact).max()) / scale
    del exact
    times: dict[str, list[float]] = {side: [] for side in functions}
    for _ in range(rounds):
        for side, function in functions.items():
            time.sleep(PAUSE)
            times[side].append(once(function))
    found["seconds"] = {side: statistics.median(some) for side, some in times.items()}
    return found


def once(function: Callable, seconds: float = 0.03) -> float:
    """The median of some runs; the first is not counted where they are short."""
    times: list[float] = []
    start = time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        function()
        times.append(time.perf_counter() - before)
    return statistics.median(times[1:] or times)


def report(results: list[dict[str, Any]]) -> str:
    """A table for each kernel."""
    parts = []
    for kernel in dict.fromkeys(one["kernel"] for one in results):
        some = [one for one in results if one["kernel"] == kernel]
        rows = [[kernel, "how", some[0]["unit"], "ref.", "torch", "ratio", "error", "torch's"]]
        rows += [row(one) for one in some]
        if not any(one["algorithm"] for one in some):
            rows = [[cells[0], *cells[2:]] for cells in rows]
        parts.append(f"\n{tables.layout(rows)}")
    return "\n".join(parts)


def row(one: dict[str, Any]) -> list[str]:
    """A line of the table."""
    rates = {side: f"{one['amount'] / seconds:.1f}" for side, seconds in one["seconds"].items()}
    theirs = one["seconds"].get("torch")
    ratio = "-" if theirs is None else f"{theirs / one['seconds']['ours']:.2f}"
    errors = {side: f"{error:.0e}" for side, error in one["errors"].items()}
    shown = [one["shape"], one["algorithm"], rates["ours"], rates["reference"], rates.get("torch", "-"), ratio]
    return [*shown, errors["ours"], errors.get("torch", "-")]
