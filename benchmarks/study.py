"""`python -m benchmarks study`: time and memory of the instruments beside a plain training step of the same network.

Each figure is from a process of its own. Seconds are the processor's, over all threads, so that a busy machine matters
little; memory is the highest that the process reached, less what it had when the network was built.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, tables
from benchmarks.cpu import target, write

NETWORKS = ("resnet56", "resnet110")
BATCH, SIZE = 32, 32
TASKS = {
    "step": "a training step, as fit makes it",
    "layers": "the same, layer by layer",
    "record": "record",
    "precise": "record, in float64",
    "paths": "path lengths, on the tape of a record",
}
REPEATS = {"paths": 1}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--batch", type=int, default=BATCH, metavar="N", help=f"images a batch ({BATCH})")
    parser.add_argument("--size", type=int, default=SIZE, metavar="N", help=f"pixels a side ({SIZE})")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of each figure, whose median counts (3)")
    parser.add_argument("--threads", type=int, default=machine.cores(), metavar="N", help="all cores unless given")
    parser.add_argument("--quick", action="store_true", help="no file unless --json names one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (benchmarks/results/study-DATE.json)")


def main(settings: argparse.Namespace) -> int:
    """Measures, prints, writes."""
    about = machine.describe(settings.threads) | {"busy": [machine.busy()]}
    print(tables.header(about), flush=True)
    found: list[dict[str, Any]] = []
    for network in settings.networks:
        print(f"\n{network}, batch {settings.batch} at {settings.size} x {settings.size}")
        print(f"  {'':<38} {'CPU s':>8} {'x step':>7} {'peak MB':>8} {'x step':>7}")
        step: dict[str, Any] = {}
        for task, words in TASKS.items():
            case = {"network": network, "task": task, "batch": settings.batch, "size": settings.size}
            one = measured(case | {"repeats": REPEATS.get(task, settings.repeats)}, settings.threads)
            step = step or one
            times, memory = one["seconds"] / step["seconds"], one["peak_mb"] / step["peak_mb"]
            print(
                f"  {words:<38} {one['seconds']:>8.3f} {times:>7.2f} {one['peak_mb']:>8.0f} {memory:>7.2f}", flush=True
            )
            found.append(one | {"times_step": times, "memory_of_step": memory})
    if path := target(settings, "study", about):
        write(found, about, path)
    return 0


def measured(case: dict[str, Any], threads: int) -> dict[str, Any]:
    """The figures of one case, from a process of its own."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MINICNN_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    environment["MINICNN_KEEP_AWAKE"] = "0"  # it takes processor time
    command = [sys.executable, "-m", "benchmarks.study", json.dumps(case)]
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return case | json.loads(done.stdout)


def measure(case: dict[str, Any]) -> dict[str, float]:
    """Seconds of one run of the task (median), and the peak of memory above that of the network, in MB."""
    from minicnn import study, zoo
    from minicnn.study.lengths import path_terms

    model = zoo.build(case["network"], input_shape=(case["size"], case["size"], 3))
    model.compile("sgd", "sparse_categorical_crossentropy")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(case["batch"], *model.input_shape[1:])).astype("float32")
    y = generator.integers(0, 10, case["batch"])
    before = peak()
    seen = study.record(model, x, y) if case["task"] == "paths" else None
    tasks = {
        "step": lambda: model.train_on_batch(x, y),
        "layers": lambda: model.train_on_batch(x, y, plan=False),
        "record": lambda: study.record(model, x, y),
        "precise": lambda: study.record(model, x, y, precise=True),
        "paths": lambda: path_terms(seen),  # type: ignore[arg-type]
    }
    task = tasks[case["task"]]
    if seen is None:
        task()  # threads start, buffers are made
    seconds = []
    for _ in range(case["repeats"]):
        begun = time.process_time()
        task()
        seconds.append(time.process_time() - begun)
    return {"seconds": statistics.median(seconds), "peak_mb": peak() - before}


def peak() -> float:
    """The most memory that this process has had so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
