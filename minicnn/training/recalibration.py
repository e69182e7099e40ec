"""Moving statistics of batch norms, estimated anew over the training set."""

from collections.abc import Iterable, Iterator
from typing import Any

from minicnn.layers.norm import BatchNormalization
from minicnn.tensor import no_grad


def recalibrate(model: Any, batches: Iterable[Any]) -> int:
    """Gives every batch norm the plain mean of the statistics of these batches (x, ...); returns how many batches.

    For weights whose moving statistics lag behind, or belong to other weights, as after averaging (Izmailov et al.
    2018, arXiv:1803.05407, section 3.3). The k-th batch counts with 1 / k: the mean over all of them, without keeping
    any. Frozen layers stay as they are; dropout is at work. Raises ValueError where there is no batch.
    """
    norms = [layer for layer in _layers(model) if isinstance(layer, BatchNormalization)]
    before = [layer.momentum for layer in norms]
    count = 0
    try:
        with model.backend.working(), no_grad():
            for count, batch in enumerate(batches, 1):
                for layer in norms:
                    layer.momentum = 1 - 1 / count
                model(batch[0], training=True, plan=True)
    finally:
        for layer, momentum in zip(norms, before, strict=True):
            layer.momentum = momentum
    if not count:
        raise ValueError("there is no batch to estimate moving statistics from")
    return count


def _layers(layer: Any) -> Iterator[Any]:
    """A model's layers, and those inside of them."""
    for inner in layer.sublayers:
        yield inner
        yield from _layers(inner)
