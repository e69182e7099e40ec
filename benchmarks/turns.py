"""One network and mode: starts a process for each side, compares what they compute, and times them in turn.

The processes stay alive and are asked one after another, in rounds that each begin with another side, so that a change
of the machine's mood meets all of them. Peak memory is taken from further processes, which copy no weights.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import figures
from benchmarks.networks import Network
from benchmarks.sides import missing

TOLERANCE = {"predict": 1e-3, "train": 2e-4}  # of the largest centred logit; of the first loss
PATIENCE = 900.0  # seconds for one answer


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    rounds: turns of each side, at least   seconds: of a turn, at least one run after another   most: runs of a turn
    whole: seconds until the last round begins, so that a quick network meets many moods of the machine as well
    """

    rounds: int = 5
    seconds: float = 0.5
    most: int = 100
    whole: float = 60.0
    pause: float = 0.1  # before a turn: threads of the one before may still spin
    memory_steps: int = 3
    sgemm: int = 2048


class Failed(Exception):
    """A side gave no answer."""


class Process:
    """A side in its own process. Raises Failed where it does not start."""

    def __init__(self, side: str, network: Network, threads: int):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MINICNN_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(threads)) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "benchmarks.worker", side, str(threads), json.dumps(network.describe())]
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(  # noqa: S603  (our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=environment,
            cwd=Path(__file__).parents[1],
            text=True,
        )
        try:
            self.about = self._answer()
        except Failed:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer of `Worker.<do>`. Raises Failed where none comes."""
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it died: the answer says why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        if ready:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            raise Failed(f"failed: {said[-1] if said else f'exit code {self.process.wait()}'}")
        raise Failed(f"no answer in {PATIENCE:.0f} s")

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()


def compare(network: Network, mode: str, sides: list[str], threads: int, effort: Effort) -> dict[str, Any]:
    """The result of one network and mode as plain data: for each side its times and peak memory, or why there are none.

    Raises Failed where our own side gives no answer.
    """
    result: dict[str, Any] = {"network": network.describe(), "mode": mode, "sides": {side: {} for side in sides}}
    processes: dict[str, Process] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            _start(network, mode, threads, Path(folder), processes, result)
        result["sgemm"] = processes["ours"].ask("sgemm", size=effort.sgemm, repeats=3)["gflops"]
        _time(processes, mode, effort, result)
    finally:
        for process in processes.values():
            process.close()
    for side, found in result["sides"].items():
        if "median" in found:
            _weigh(side, network, mode, threads, effort, found)
    conclude(result)
    return result


def _start(
    network: Network, mode: str, threads: int, folder: Path, processes: dict[str, Process], result: dict
) -> None:
    """Starts the sides, gives all our weights, and leaves in `processes` those that agree with us."""
    weights = str(folder / "weights.npz")
    reference = None
    for side, found in result["sides"].items():
        try:
            if reason := missing(side):
                raise Failed(reason)
            process = processes[side] = Process(side, network, threads)
            process.ask(*("save",) if side == "ours" else ("load",), path=weights)
            answer = _computed(process, mode, folder)
            if reference is None:
                reference, result["multiply_adds"] = answer, process.about["multiply_adds"]
                continue
            found["difference"] = float(np.abs(answer - reference).max() / np.abs(reference).max())
            if not found["difference"] <= TOLERANCE[mode]:
                raise Failed(f"computes something else: off by {found['difference']:.1e}")
        except Failed as failure:
            if side == "ours":
                raise
            found["failed"] = str(failure)
            if side in processes:
                processes.pop(side).close()


def _computed(process: Process, mode: str, folder: Path) -> np.ndarray:
    """What the sides are compared by: centred logits, or the losses of two steps (the second depends on the update)."""
    if mode == "train":
        return np.array(process.ask("losses", steps=2)["losses"])
    path = folder / "outputs.npy"
    process.ask("outputs", path=str(path))
    logits = np.log(np.load(path).astype(np.float64))
    return logits - logits.mean(axis=1, keepdims=True)


def _time(processes: dict[str, Process], mode: str, effort: Effort, result: dict) -> None:
    turns: dict[str, list[list[float]]] = {side: [] for side in processes}
    start, done = time.monotonic(), 0
    while done < effort.rounds or time.monotonic() - start < effort.whole:
        first = done % len(processes)
        done += 1
        in_turn = list(processes.items())
        for side, process in in_turn[first:] + in_turn[:first]:
            time.sleep(effort.pause)
            try:
                turns[side].append(process.ask("run", mode=mode, seconds=effort.seconds, most=effort.most)["times"])
            except Failed as failure:
                if side == "ours":
                    raise
                result["sides"][side]["failed"] = str(failure)
                processes.pop(side).close()
    for side in processes:
        result["sides"][side] |= {**figures.summary(turns[side]), "turns": turns[side]}


def _weigh(side: str, network: Network, mode: str, threads: int, effort: Effort, found: dict) -> None:
    process = None
    try:
        process = Process(side, network, threads)
        found |= process.ask("peak", mode=mode, steps=effort.memory_steps)
    except Failed as failure:
        found["memory_failed"] = str(failure)
    finally:
        if process is not None:
            process.close()


def conclude(result: dict[str, Any]) -> None:
    """Adds the ratio to each peer and to the faster one, and the rate in GFLOP/s of the direct algorithm's arithmetic.

    A training step counts as three forward passes: gradients of the inputs and of the kernels cost one each.
    """
    sides = {side: found for side, found in result["sides"].items() if "turns" in found}
    ours = sides.pop("ours")
    passes = 3 if result["mode"] == "train" else 1
    result["gflops"] = 2 * passes * result["multiply_adds"] / ours["median"] / 1e9
    result["ratios"] = {side: figures.ratio(ours["turns"], found["turns"]) for side, found in sides.items()}
    if sides:
        peer = result["faster_peer"] = min(sides, key=lambda side: result["ratios"][side]["median"])
        result["ratio"] = result["ratios"][peer]["median"]
