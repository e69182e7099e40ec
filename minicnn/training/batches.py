"""Data in batches: arrays that are cut, or an iterable that brings batches of its own."""

from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np

from minicnn.tensor import as_array

Array = Any
Structure = Any  # an array, or a list or dict of arrays: several inputs or outputs


def each(function: Callable[[Array], Any], value: Structure) -> Any:
    """`function` of an array, or of every array in a list or dict of them; None stays None."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: each(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not _is_plain(value):
        return [each(function, item) for item in value]
    return function(value)


def leaves(value: Structure) -> list[Array]:
    """The arrays of a structure, in order."""
    found: list[Array] = []
    each(found.append, value)
    return found


def _is_plain(value) -> bool:
    """Whether a list is numbers (and so one array), not a list of arrays."""
    return not any(item is None or hasattr(item, "shape") or isinstance(item, dict) for item in value)


class Arrays:
    """Arrays of the same length, cut into batches of `batch_size`; the last one may be smaller.

    x: an array (N, ...), or a list or dict of arrays for several inputs; y likewise, or None. Numbers keep their type:
    images of uint8 stay small until a batch is made of them. Raises ValueError where lengths differ or are 0.
    """

    def __init__(self, x: Structure, y: Structure = None, batch_size: int | None = 32):
        batch_size = 32 if batch_size is None else batch_size
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number from 1 up, got {batch_size!r}")
        self.x, self.y = each(_checked, x), each(_checked, y)
        lengths = [len(a) for a in leaves(self.x) + leaves(self.y)]
        if len(set(lengths)) > 1:
            shapes = [", ".join(str(a.shape) for a in leaves(part)) for part in (self.x, self.y)]
            raise ValueError(f"x and y must have the same number of samples, got x {shapes[0]} and y {shapes[1]}")
        if not lengths or lengths[0] == 0:
            raise ValueError(f"there is no sample: got x of shape {', '.join(str(a.shape) for a in leaves(self.x))}")
        self.samples, self.batch_size = lengths[0], int(batch_size)
        self.steps = -(-self.samples // self.batch_size)

    def epoch(self, order: Array | None = None, step: int = 0) -> Iterator[tuple[Structure, Structure]]:
        """The batches (x, y) once through, in the given order of samples (a permutation), or as they lie.

        step: the batch to begin with.
        """
        for start in range(step * self.batch_size, self.samples, self.batch_size):
            stop = start + self.batch_size
            # without an order a batch is a view, with one a copy
            cut = slice(start, stop) if order is None else order[start:stop]
            yield each(itemgetter(cut), self.x), each(itemgetter(cut), self.y)


class Stream:
    """An iterable of batches (x, y), begun anew each epoch, such as a loader; its order is its own affair.

    It may know its `batch_size`, its `samples` and its number of batches (`len`). Where it has resume(epoch, step), a
    run that goes on tells it where (`minicnn.data.loader.Loader`); others make the batches that are then left out.
    """

    def __init__(self, batches: Any):
        self.batches = batches
        self.batch_size: int | None = getattr(batches, "batch_size", None)
        self.samples: int | None = getattr(batches, "samples", None)
        self.steps: int | None = len(batches) if hasattr(batches, "__len__") else None

    def resume(self, epoch: int, step: int) -> None:
        """Says at which epoch and step the next iteration begins, where the iterable can be told."""
        if hasattr(self.batches, "resume"):
            self.batches.resume(epoch, step)

    def epoch(self, order: Array | None = None, step: int = 0) -> Iterator[tuple[Structure, Structure]]:
        """The batches once through. Raises ValueError where there is none, as from a generator that was used up.

        step: the batch to begin with; an iterable with `resume` was told so.
        """
        batches = self.batches if hasattr(self.batches, "resume") else islice(self.batches, step, None)
        current = step - 1
        for current, batch in enumerate(batches, step):
            if not (isinstance(batch, tuple) and len(batch) == 2):
                raise ValueError(f"a batch must be a pair (x, y), got {type(batch).__name__} at step {current}")
            yield each(as_array, batch[0]), each(as_array, batch[1])
        if current < 0:
            raise ValueError(f"{type(self.batches).__name__} gave no batch; a generator lasts for one epoch only")


def batches(x: Any, y: Structure = None, batch_size: int | None = 32) -> Arrays | Stream:
    """Batches of arrays x, y; or, without y, those of an iterable x."""
    is_data = isinstance(x, list | tuple | dict) or hasattr(x, "shape")
    return Stream(x) if y is None and hasattr(x, "__iter__") and not is_data else Arrays(x, y, batch_size)


def _checked(value: Any) -> Array:
    array = as_array(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"data must be arrays of numbers, got an array of type {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"data must have a first axis, the samples; got the single number {array}")
    return array
