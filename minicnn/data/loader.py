"""Batches of a data set, in a new order each epoch and augmented on the way."""

from collections.abc import Callable, Iterator

import numpy as np

from minicnn.config import generator


class Loader:
    """Batches (x, y) for `fit`: each `for` over it is the next epoch, in its own order.

    x: (N, ...)   y: (N, ...)   augment(x, generator) -> x: for a batch of training images, or None.
    limit: at most so many batches an epoch. Order and augmentation depend on the seed, the epoch and the step alone.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = 32,
        augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
        limit: int | None = None,
    ):
        self.x, self.y, self.batch_size, self.augment = x, y, batch_size, augment
        steps = -(-len(x) // batch_size)
        self.steps = steps if limit is None else min(steps, limit)
        self.samples = min(len(x), self.steps * batch_size)  # an epoch
        self.epoch = 0  # the next one

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = generator("shuffle", epoch).permutation(len(self.x))
        for step in range(self.steps):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            x = self.x[chosen]
            if self.augment is not None:
                x = self.augment(x, generator("augment", epoch, step))
            yield x, self.y[chosen]
