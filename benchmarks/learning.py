"""One training of one side, in a process of its own: `python -m benchmarks.learning REQUEST`, the request in JSON.

What it found goes to stdout as a line of JSON.
"""

import dataclasses
import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.networks import NETWORKS
from benchmarks.sides import SIDES
from minicnn import config, data
from minicnn.data.images import prepare

RATE, DECAY = 0.1, 1e-4  # section 4.2
WARM_UP = 0.01  # of the first epoch, as section 4.2 has it for 110 layers: at 0.1 rounding errors grow tenfold a step
DROPS = (0.5, 0.75)  # of the way: 32k and 48k of 64k steps, section 4.2


def main(request: dict[str, Any]) -> None:
    """Does what the request says and prints what it found."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    config.set_random_seed(request["seed"])
    found = {"cifar": cifar, "mnist": mnist}[request["what"]](request)
    print(json.dumps(found), file=channel, flush=True)


def cifar(request: dict[str, Any]) -> dict[str, Any]:
    """Loss of each step, test accuracy after each epoch."""
    from minicnn.data import augment
    from minicnn.data.loader import Loader

    dataset = data.load("cifar10", request["data_dir"])
    mean = dataset.x_train.mean(axis=0) / np.float32(255)  # per pixel, as in section 4.2
    x_train, x_test = (prepare(x, (32, 32, 3), dataset.top) - mean for x in (dataset.x_train, dataset.x_test))
    changes = augment.Chain([augment.RandomCrop(padding=4), augment.HorizontalFlip()])
    loader = Loader(x_train, dataset.y_train, request["batch"], changes)
    network = dataclasses.replace(NETWORKS["resnet20"], batch=request["batch"], rate=RATE)
    side = SIDES[request["side"]](network, request["threads"])
    if request["side"] != "ours":
        side.load(first_weights(network, request))
    side.decay(DECAY)
    losses, accuracy, begun = [], [], time.perf_counter()
    for epoch in range(request["epochs"]):
        rate = RATE * 0.1 ** sum(epoch >= share * request["epochs"] for share in DROPS) if epoch else WARM_UP
        for x, y in loader:
            losses.append(side.follow(x, y, rate))
        accuracy.append(side.accuracy(x_test, dataset.y_test))
        print(f"epoch {epoch + 1}: loss {np.mean(losses[-len(loader) :]):.4f}, test accuracy {accuracy[-1]:.4f}")
    seconds = time.perf_counter() - begun
    return {"losses": losses, "accuracy": accuracy, "steps": len(loader), "seconds": seconds}


def first_weights(network, request: dict[str, Any]) -> str:
    """The file of the weights with which our side begins."""
    path = str(Path(tempfile.mkdtemp()) / "weights.npz")
    config.set_random_seed(request["seed"])
    SIDES["ours"](network, request["threads"]).save(path)
    return path


def mnist(request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of the epochs after a first short one."""
    dataset = data.load("mnist", request["data_dir"])
    x = prepare(dataset.x_train, (32, 32, 1), dataset.top)
    side = SIDES[request["side"]](dataclasses.replace(NETWORKS["lenet5"], batch=request["batch"]), request["threads"])
    epoch = partial(side.epoch, batch=request["batch"])
    epoch(x[: 4 * request["batch"]], dataset.y_train[: 4 * request["batch"]])
    begun = time.perf_counter()
    for _ in range(request["epochs"]):
        loss = epoch(x, dataset.y_train)
    return {"seconds": (time.perf_counter() - begun) / request["epochs"], "loss": loss}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
