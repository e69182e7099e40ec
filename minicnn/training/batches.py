"""Data in batches: arrays that are cut, or an iterable that brings batches of its own."""

from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np

from minicnn.config import generator
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


Batch = tuple[Structure, Structure, Structure]  # x, y, sample weights; the last two may be None


def matching(x: Structure, y: Structure = None, sample_weight: Structure = None) -> tuple[Batch, int]:
    """x, y and sample_weight as arrays, and how many samples these are. Raises ValueError where that differs or is 0,
    and for what is no array of numbers."""
    found: list[Array] = []

    def take(value):
        found.append(_checked(value))
        return found[-1]

    parts = each(take, x), each(take, y), each(take, sample_weight)
    lengths = {len(a) for a in found}
    if len(lengths) > 1:
        names = "x", "y", "sample_weight"
        shapes = {name: ", ".join(str(a.shape) for a in leaves(part)) for name, part in zip(names, parts, strict=True)}
        shown = " and ".join(f"{name} {text}" for name, text in shapes.items() if text)
        raise ValueError(f"x and y must have the same number of samples, got {shown}")
    if lengths in (set(), {0}):
        raise ValueError(f"there is no sample: got x of shape {', '.join(str(a.shape) for a in leaves(parts[0]))}")
    return parts, lengths.pop()


class Arrays:
    """Arrays of the same length, cut into batches of `batch_size`; the last one may be smaller.

    x: an array (N, ...), or a list or dict of arrays for several inputs; y and sample_weight likewise, or None. Numbers
    keep their type: images of uint8 stay small until a batch is made of them. shuffle: each epoch has an order of its
    own, which depends on the seed and its number alone. steps: the batches of an epoch; epochs then go on where the one
    before ended, and after the last batch the next pass over the samples begins. None: a pass is an epoch. asked: the
    argument that says so, for messages. Raises ValueError where lengths differ or are 0.
    """

    def __init__(
        self,
        x: Structure,
        y: Structure = None,
        batch_size: int | None = 32,
        sample_weight: Structure = None,
        steps: int | None = None,
        shuffle: bool = False,
        asked: str = "steps",
    ):
        self.batch_size = _whole("batch_size", 32 if batch_size is None else batch_size)
        (self.x, self.y, self.sample_weight), self.length = matching(x, y, sample_weight)
        self.shuffle = shuffle
        self.passes = -(-self.length // self.batch_size)  # the batches of a pass
        self.steps = self.passes if steps is None else _whole(asked, steps)
        self.samples = min(self.length, self.steps * self.batch_size)  # an epoch, or a little more of several passes

    def begin(self) -> None:
        """Nothing to do: the batches of an epoch depend on its number alone."""

    def resume(self, epoch: int, step: int) -> None:
        """Nothing to do."""

    def epoch(self, number: int = 0, step: int = 0) -> Iterator[Batch]:
        """The batches of the epoch `number`, from `step` on."""
        place, end = number * self.steps + step, (number + 1) * self.steps
        while place < end:
            turn, first = divmod(place, self.passes)
            last = min(self.passes, first + end - place)
            yield from self._pass(turn, first, last)
            place += last - first

    def _pass(self, number: int, first: int, last: int) -> Iterator[Batch]:
        """The batches first .. last - 1 of one pass over the samples."""
        order = generator("shuffle", number).permutation(self.length) if self.shuffle else None
        for start in range(first * self.batch_size, min(last * self.batch_size, self.length), self.batch_size):
            stop = start + self.batch_size
            # without an order a batch is a view, with one a copy
            take = itemgetter(slice(start, stop) if order is None else order[start:stop])
            yield each(take, self.x), each(take, self.y), each(take, self.sample_weight)


TIMES = {"steps_per_epoch": " * epochs", "validation_steps": " * validations"}  # the batches of a whole training


class Stream:
    """An iterable of batches x, (x,), (x, y) or (x, y, sample_weight), begun anew each epoch, such as a loader.

    Its order is its own affair. It may know its `batch_size`, its `samples` and its number of batches (`len`). steps:
    the batches of an epoch; it is then begun anew only where it ends. Where it has resume(epoch, step), a run that goes
    on tells it where (`minicnn.data.loader.Loader`); others make the batches that are then left out. asked: the
    argument that gives the steps, for messages.
    """

    def __init__(self, batches: Any, steps: int | None = None, asked: str = "steps"):
        self.batches, self.limit = batches, None if steps is None else _whole(asked, steps)
        self.asked = asked
        self.length: int | None = len(batches) if hasattr(batches, "__len__") else None
        self.steps = self.length if self.limit is None else self.limit
        self.batch_size: int | None = getattr(batches, "batch_size", None)
        self.samples: int | None = getattr(batches, "samples", None) if steps is None else None
        self._running: Iterator | None = None

    def begin(self) -> None:
        """The next epoch begins the iterable anew."""
        self._running = None

    def resume(self, epoch: int, step: int) -> None:
        """The next epoch is this one, from this step on."""
        place = step if self.limit is None else epoch * self.limit + step  # from where it is begun anew
        self._running = None
        if hasattr(self.batches, "resume") and (self.limit is None or self.length):
            self.batches.resume(*((epoch, step) if self.limit is None else divmod(place, self.length or 1)))
        elif self.limit is None:
            self._running = islice(self.batches, place, None)
        else:
            for _ in range(place):
                self._next()

    def epoch(self, number: int = 0, step: int = 0) -> Iterator[Batch]:
        """The batches of the next epoch, which begins at `step`: `resume` said so, and which epoch it is.

        Raises ValueError where there is none, or too few, as from a generator that was used up.
        """
        if self.limit is not None:
            for _ in range(step, self.limit):
                yield self._next()
            return
        source, self._running = iter(self.batches) if self._running is None else self._running, None
        given = step > 0
        for batch in source:
            given = True
            yield _unpacked(batch)
        if not given:
            kind, unless = type(self.batches).__name__, f", unless {self.asked} is given" if self.asked in TIMES else ""
            raise ValueError(f"{kind} gave no batch; a generator lasts for one epoch only{unless}")

    def _next(self) -> Batch:
        for _ in range(2):
            if self._running is None:
                self._running = iter(self.batches)
            for batch in self._running:
                return _unpacked(batch)
            self._running = None
        kind, times = type(self.batches).__name__, TIMES.get(self.asked, "")
        raise ValueError(f"{kind} has no more batches; a generator must give {self.asked}{times} of them")


def batches(
    x: Any,
    y: Structure = None,
    batch_size: int | None = 32,
    sample_weight: Structure = None,
    steps: int | None = None,
    shuffle: bool = False,
    asked: str = "steps",
) -> Arrays | Stream:
    """Batches of arrays x, y; or, without y, those of an iterable x. Raises ValueError where they do not fit."""
    is_data = isinstance(x, list | tuple | dict) or hasattr(x, "shape")
    if is_data or not hasattr(x, "__iter__"):
        return Arrays(x, y, batch_size, sample_weight, steps, shuffle, asked)
    if y is not None or sample_weight is not None:
        kind = type(x).__name__
        raise ValueError(f"x is an iterable ({kind}), whose batches (x, y, sample_weight) bring labels and weights")
    return Stream(x, steps, asked)


def split(x: Structure, y: Structure, sample_weight: Structure, share: float) -> tuple[Batch, Batch]:
    """The first part of the samples for training, the last `share` of them for validation, as Keras splits them.

    Raises ValueError for a share outside 0 .. 1, for an iterable of batches, and where a part would be empty.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"validation_split must lie between 0 and 1, got {share!r}")
    data = batches(x, y, None, sample_weight)
    if isinstance(data, Stream):
        raise ValueError("validation_split needs arrays; with an iterable of batches give validation_data")
    first = int(data.length * (1 - share))
    if first in (0, data.length):
        raise ValueError(f"validation_split={share} of {data.length} samples leaves a part empty")
    whole = (data.x, data.y, data.sample_weight)
    train, held = ([each(itemgetter(cut), part) for part in whole] for cut in (slice(first), slice(first, None)))
    return (train[0], train[1], train[2]), (held[0], held[1], held[2])


def _unpacked(batch: Any) -> Batch:
    """A batch of an iterable as (x, y, sample_weight)."""
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"a batch must be (x, y) or (x, y, sample_weight), got {len(parts)} entries")
    x, y, weight = (*(each(as_array, part) for part in parts), None, None)[:3]
    return x, y, weight


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1 up, got {value!r}")
    return int(value)


def _checked(value: Any) -> Array:
    array = as_array(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"data must be arrays of numbers, got an array of type {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"data must have a first axis, the samples; got the single number {array}")
    return array
