"""A side in a process of its own: `python -m benchmarks.worker SIDE THREADS NETWORK`, asked by lines of JSON on stdin.

Each line is {"do": ..., ...}; each answer a line of JSON on stdout. What libraries print goes to stderr. The first
answer comes when the model is built: {"ready": true, ...}.
"""

import gc
import json
import os
import resource
import sys
import time
from typing import Any

import numpy as np

from benchmarks.networks import Network
from benchmarks.sides import SIDES


def main(side: str, threads: int, network: Network) -> None:
    """Answers until stdin ends."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(SIDES[side](network, threads))
    ready = {"ready": True, "multiply_adds": getattr(worker.side, "multiply_adds", None)}
    print(json.dumps(ready), file=channel, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(worker, request.pop("do"))(**request)
        print(json.dumps(answer), file=channel, flush=True)


class Worker:
    """What can be asked."""

    def __init__(self, side: Any):
        self.side = side

    def save(self, path: str) -> dict:
        """Writes our weights, after batch norms saw the batch."""
        self.side.settle()
        self.side.save(path)
        return {}

    def load(self, path: str) -> dict:
        """Takes them."""
        self.side.load(path)
        return {}

    def outputs(self, path: str) -> dict:
        """Writes the predictions for the batch."""
        np.save(path, self.side.predict())
        return {}

    def losses(self, steps: int) -> dict:
        """The losses of the next training steps."""
        return {"losses": [self.side.train() for _ in range(steps)]}

    def run(self, mode: str, seconds: float, most: int) -> dict:
        """Times of single runs, for about `seconds`, at least one; before them one that is not counted, since it finds
        the other sides' numbers in the caches, which no step finds that follows another."""
        work = getattr(self.side, mode)
        work()
        times: list[float] = []
        start = time.perf_counter()
        while not times or (time.perf_counter() - start < seconds and len(times) < most):
            before = time.perf_counter()
            work()
            times.append(round(time.perf_counter() - before, 7))
        return {"times": times}

    def peak(self, mode: str, steps: int) -> dict:
        """Megabytes at most while it built itself and ran (`peak`), and what it held before it ran (`built`)."""
        gc.collect()
        built = resident()
        for _ in range(steps):
            getattr(self.side, mode)()
        return {"peak": most_resident(), "built": built}

    def sgemm(self, size: int, repeats: int) -> dict:
        """GFLOP/s of NumPy's float32 matrix product, its best of some."""
        a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
        best = np.inf
        for _ in range(repeats + 1):
            before = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - before)
        return {"gflops": 2 * size**3 / best / 1e9}


def most_resident() -> float:
    """The most memory that this process had, in MB. ru_maxrss would begin with what its parent had."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / (1 << 10)
    except (OSError, StopIteration):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def resident() -> float | None:
    """The memory that this process has, in MB; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except OSError:
        return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Network.from_description(json.loads(sys.argv[3])))
