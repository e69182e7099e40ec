"""Whole trainings beside the peers: do we learn what they learn, and how long does an epoch take?

cifar: ResNet-20 (He et al. 2015, arXiv:1512.03385, section 4.2) on CIFAR-10, or on the part of it that is there, with
minicnn and with Keras from the same first weights, on the same batches, by the same recipe; some seeds.
mnist: epochs of LeNet-5 over the 60,000 images, each side with its own loop, in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, tables
from benchmarks.sides import missing

RESULTS = Path(__file__).parent / "results"
BATCH = {"cifar": 125, "mnist": 64}
SIDES = {"cifar": ("ours", "keras"), "mnist": ("ours", "torch", "keras")}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument("what", choices=sorted(BATCH))
    parser.add_argument("--data-dir", help="folder of the data set (default: as for `minicnn train`)")
    parser.add_argument("--epochs", type=int, help="cifar: of each training (default 15); mnist: timed (default 3)")
    parser.add_argument("--seeds", type=int, default=3, help="cifar: trainings of each side (default %(default)s)")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="of each side (default: all cores)")
    parser.add_argument("--output", type=Path, help="the results file; trainings that it has are not done again")
    parser.add_argument("--only", metavar="SIDE:SEED", help="cifar: this training alone, added to the file")


def main(settings: argparse.Namespace) -> int:
    """Runs it, writes the results after each part, and prints what they say."""
    day = time.strftime("%Y-%m-%d")
    path = settings.output or RESULTS / f"training-{settings.what}-{day}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    about = kept.get("machine") or machine.describe(settings.threads)
    if settings.what == "cifar":
        runs = kept.get("runs", {})
        for wanted in [settings.only] if settings.only else _all(settings.seeds):
            if wanted not in runs:
                side, seed = wanted.split(":")
                runs[wanted] = ask(settings, side=side, seed=int(seed), epochs=settings.epochs or 15)
                _write(path, {"machine": about, "what": settings.what, "runs": runs})
        print(cifar_report(runs))
    else:
        found = epochs_in_turn(settings)
        _write(path, {"machine": about, "what": settings.what, "seconds": found})
        print(mnist_report(found))
    print(f"written: {path}")
    return 0


def _all(seeds: int) -> list[str]:
    return [f"{side}:{seed}" for seed in range(seeds) for side in SIDES["cifar"]]


def _write(path: Path, results: dict[str, Any]) -> None:
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def ask(settings: argparse.Namespace, **request: Any) -> dict[str, Any]:
    """What benchmarks/learning.py finds in a process of its own. Raises SystemExit with its words where it fails."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MINICNN_NUM_THREADS"), str(settings.threads))
    request |= {"what": settings.what, "data_dir": settings.data_dir, "threads": settings.threads}
    request["batch"] = BATCH[settings.what]
    command = [sys.executable, "-m", "benchmarks.learning", json.dumps(request)]
    environment = os.environ | threads | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(  # noqa: S603  (our own module)
        command, stdout=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[1], text=True
    )
    if done.returncode:
        raise SystemExit(f"{request['side']} failed: see above")
    return json.loads(done.stdout.splitlines()[-1])


def epochs_in_turn(settings: argparse.Namespace) -> dict[str, list[float]]:
    """The seconds of each epoch of each side: a process for each epoch, in turn, with one warm-up step before."""
    sides = [side for side in SIDES["mnist"] if not missing(side)]
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(settings.epochs or 3):
        for side in sides:
            found[side].append(ask(settings, side=side, seed=0, epochs=1)["seconds"])
    return found


# What the results say -------------------------------------------------------------------------------------------------


def cifar_report(runs: dict[str, dict[str, Any]]) -> str:
    """Test accuracies and how far apart the losses of the first epoch are, by seed, and the means."""
    seeds = sorted({int(name.split(":")[1]) for name in runs})
    rows = [["seed", "ours", "Keras", "losses of epoch 1 apart", "ours s", "Keras s"]]
    last: dict[str, list[float]] = {"ours": [], "keras": []}
    for seed in seeds:
        pair = [runs.get(f"{side}:{seed}") for side in SIDES["cifar"]]
        if None in pair:
            continue
        ours, keras = pair
        steps = ours["steps"]
        apart = np.abs(np.array(ours["losses"][:steps]) - keras["losses"][:steps])
        for side, one in zip(last, pair, strict=True):
            last[side].append(one["accuracy"][-1])
        rows.append(
            [str(seed), f"{ours['accuracy'][-1]:.4f}", f"{keras['accuracy'][-1]:.4f}"]
            + [f"{apart.mean():.1e} mean, {apart[:10].max():.1e} in 10 steps"]
            + [f"{ours['seconds']:.0f}", f"{keras['seconds']:.0f}"]
        )
    if last["ours"]:
        means = [np.mean(values) for values in last.values()]
        rows.append(["mean", *(f"{mean:.4f}" for mean in means), f"means apart {abs(means[0] - means[1]):.4f}", "", ""])
    return "ResNet-20, test accuracy after the last epoch\n" + tables.layout(rows)


def mnist_report(seconds: dict[str, list[float]]) -> str:
    """The median epoch of each side, and the ratio of the faster peer's to ours."""
    medians = {side: float(np.median(times)) for side, times in seconds.items()}
    rows = [["side", "s / epoch", "images/s"]]
    rows += [[side, f"{median:.2f}", f"{60000 / median:,.0f}"] for side, median in medians.items()]
    peers = [median for side, median in medians.items() if side != "ours"]
    ratio = f"\nfaster peer / ours: {min(peers) / medians['ours']:.2f}" if peers else ""
    return f"LeNet-5, an epoch over MNIST in batches of {BATCH['mnist']}\n" + tables.layout(rows) + ratio
