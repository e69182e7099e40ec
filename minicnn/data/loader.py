"""Batches of a data set, in a new order each epoch and augmented on the way."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from minicnn.config import generator
from minicnn.data.augment import Chain
from minicnn.data.image_list import ImageList
from minicnn.data.views import View

Batch = tuple[np.ndarray, np.ndarray]


class Loader:
    """Batches (x, y) for `fit`: each `for` over it is the next epoch, in its own order.

    x: an array (N, ...), whose numbers keep their type until a batch is made, or an ImageList   y: (N, ...)
    augment: a Chain, a list of its steps, or one: augmentations and plain functions of the images, such as `prepare`
    limit: at most so many batches an epoch   shuffle: False for the samples as they lie
    workers: threads that make batches, each a part of it (0: the caller's own); `prefetch` batches are made ahead.
    Order and augmentation depend on the seed, the epoch and the index of a sample alone: neither on the workers nor on
    where an epoch was resumed. What goes wrong in a worker is raised where the batch is asked for.
    """

    def __init__(
        self,
        x: np.ndarray | ImageList,
        y: np.ndarray,
        batch_size: int = 32,
        augment: Any = None,
        limit: int | None = None,
        shuffle: bool = True,
        workers: int = 0,
        prefetch: int = 2,
    ):
        for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0), ("prefetch", prefetch, 1)):
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name} must be a whole number from {least} up, got {value!r}")
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(f"x and y must have the same number of samples, at least 1, got {len(x)} and {len(y)}")
        self.x, self.y, self.batch_size, self.shuffle = x, np.asarray(y), int(batch_size), shuffle
        self.chain, self.workers, self.prefetch = Chain.of(augment), workers, prefetch
        steps = -(-len(x) // batch_size)
        self.steps = steps if limit is None else min(steps, limit)
        self.samples = min(len(x), self.steps * batch_size)  # an epoch
        self.epoch = 0  # the next one
        self._step = 0  # where it begins

    def __len__(self) -> int:
        return self.steps

    def resume(self, epoch: int, step: int = 0) -> None:
        """The next iteration is this epoch from this step on; the batches before it are not made.

        With step = len(self) it is empty: the end of the epoch. Raises ValueError for numbers that are none of these.
        """
        if epoch < 0 or not 0 <= step <= self.steps:
            raise ValueError(f"cannot resume at epoch {epoch}, step {step}: an epoch has the steps 0 to {self.steps}")
        self.epoch, self._step = epoch, step

    def __iter__(self) -> Iterator[Batch]:
        epoch, step = self.epoch, self._step
        self.epoch, self._step = epoch + 1, 0
        return self._batches(epoch, step)

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        order = generator("shuffle", epoch).permutation(len(self.x)) if self.shuffle else np.arange(len(self.x))
        tables = self.chain.tables(epoch, len(self.x))
        batches = (order[s * self.batch_size : (s + 1) * self.batch_size] for s in range(first, self.steps))
        made = self._one_by_one(batches, tables) if self.workers == 0 else self._from_threads(batches, tables)
        for x, y in made:
            if len(x):
                yield x, y
            elif self.shuffle:  # whose steps are counted, to go on from one of them
                raise ValueError("every picture of a batch is broken")

    def _one_by_one(self, batches: Iterator[np.ndarray], tables: list) -> Iterator[Batch]:
        for chosen in batches:
            yield self._part(chosen, tables)

    def _from_threads(self, batches: Iterator[np.ndarray], tables: list) -> Iterator[Batch]:
        """The batches in their order, each made in as many parts as there are threads."""
        ahead: deque[list[Future]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minicnn-loader")
        try:
            for chosen in batches:
                pieces = np.array_split(chosen, min(self.workers, len(chosen)))
                ahead.append([pool.submit(self._part, piece, tables) for piece in pieces])
                if len(ahead) > self.prefetch:
                    yield self._joined([part.result() for part in ahead.popleft()])
            while ahead:
                yield self._joined([part.result() for part in ahead.popleft()])
        finally:  # also where the caller breaks off, or a part failed
            pool.shutdown(wait=True, cancel_futures=True)

    def _part(self, chosen: np.ndarray, tables: list) -> Batch:
        """The samples of these indices, augmented."""
        if isinstance(self.x, ImageList):
            return self._pictures(self.x, chosen, tables)
        return self.chain(self.x[chosen], chosen, tables), self.y[chosen]

    def _pictures(self, images: ImageList, chosen: np.ndarray, tables: list) -> Batch:
        """As `_part`; a view at the head of the chain is cut out of the files themselves, in their own size."""
        steps = self.chain.steps
        if steps and isinstance(steps[0], View):
            x, kept = images.read(chosen, steps[0], tables[0][chosen])
            steps, tables = steps[1:], tables[1:]
        else:
            x, kept = images.read(chosen)
        return Chain(steps)(x, chosen[kept], tables), self.y[chosen[kept]]

    @staticmethod
    def _joined(parts: list[Batch]) -> Batch:
        x, y = parts[0]
        if len(parts) > 1:
            x, y = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
        return x, y
