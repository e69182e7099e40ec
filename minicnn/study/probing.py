"""What the instruments do to any model and undo again: look at gradients without leaving a trace."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from minicnn.backend import backend_of, to_numpy
from minicnn.layers import BatchNormalization
from minicnn.layers.symbols import unique
from minicnn.tensor import Tensor, no_grad, vjp


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Within the block passes may move statistics and use up random numbers; behind it all is as it was.

    The weights themselves are the block's own business, but for the statistics.
    """
    kept = [(weight, weight.data.copy()) for weight in model.weights if not weight.trainable]
    passes = getattr(model, "_passes", 0)
    try:
        yield
    finally:
        for weight, before in kept:
            weight.assign(before)
        model._passes = passes


@contextmanager
def in_float64(model: Any) -> Iterator[None]:
    """Within the block the weights are float64 copies; behind it the model has its own arrays again, unchanged."""
    kept = [(weight, weight.data) for weight in model.weights]
    try:
        for weight, before in kept:
            weight.data = before.astype("float64")
            weight.touch()
        yield
    finally:
        for weight, before in kept:
            weight.data = before
            weight.touch()


@contextmanager
def weights_kept(model: Any) -> Iterator[None]:
    """Within the block the weights may be written; behind it they hold what they held."""
    kept = [(weight, weight.data.copy()) for weight in model.weights]
    try:
        yield
    finally:
        for weight, before in kept:
            weight.assign(before)


def scores(output: Any) -> Tensor:
    """What a network's first output was before its softmax or sigmoid; the output itself where there is none."""
    first = output[0] if isinstance(output, list | tuple) else output
    return first if first.logits is None else first.logits


def everything(layer: Any) -> list[Any]:
    """The layers in a model or a layer, at any depth, each once."""
    return unique([inner for one in layer.sublayers for inner in (one, *everything(one))])


def batch_norms(model: Any) -> list[BatchNormalization]:
    """The batch norms in a model, at any depth."""
    return [layer for layer in everything(model) if isinstance(layer, BatchNormalization)]


@contextmanager
def calibrated(model: Any, x: Any) -> Iterator[None]:
    """Within the block the moving statistics of every batch norm are exactly those of the batch x.

    So inference treats x as training does, but each example by itself: its gradient holds nothing of the others, and
    no dropout. Behind the block all is as it was.
    """
    norms = batch_norms(model)
    with undisturbed(model):
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 0.0
            if norms:
                with no_grad():
                    model(x, training=True)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
        yield


def input_gradients(model: Any, x: Any, direction: Any = None, statistics: str = "batch") -> np.ndarray:
    """For every example of x (N, ...) the gradient, of x's shape, of its own score in a direction.

    direction: what weighs the scores (classes,); a random one of unit length, always the same, unless given.
    statistics: of the batch norms; of this "batch", held constant, or the "moving" ones of the model.
    """
    if statistics not in ("batch", "moving"):
        raise ValueError(f"statistics must be 'batch' or 'moving', got {statistics!r}")
    with calibrated(model, x) if statistics == "batch" else nullcontext():
        entrance = Tensor(model.to_tensor(x).data, requires_grad=True)
        y = scores(model(entrance))
        if direction is None:
            direction = np.random.default_rng(0).normal(size=y.shape[1:])
            direction /= np.linalg.norm(direction)
        backend = backend_of(y.data)
        seed = backend.asarray(np.broadcast_to(direction, y.shape), dtype=y.dtype)
        return to_numpy(vjp(y, entrance, seed))
