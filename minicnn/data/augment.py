"""Changes of training images that leave what they show, each keyed by (seed, epoch, index of the image).

An augmentation first draws a table of random numbers, one row for each image of the data set, from a generator that
depends on the seed, the epoch and its place in the chain alone. A batch takes the rows of its images. So the pictures
are the same for any number of workers, any size of batch, and after resuming in the middle of an epoch, and no
generator is made for each image.

Images are (N, H, W, C), uint8 or floats; results have the same type unless the class says otherwise, and arguments are
never changed. `minicnn.data.views` cuts and resizes, `minicnn.data.colour` changes colours, `minicnn.data.crops` is for
evaluation.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minicnn.config import generator


class Augmentation:
    """What a chain is made of. A subclass says which numbers an image needs, and what becomes of it."""

    def draw(self, random: np.random.Generator, n: int) -> np.ndarray:
        """The random numbers of images 0..n-1, a row each: (n, ...). Row i must not depend on n."""
        raise NotImplementedError

    def __call__(self, images: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """The images (N, H, W, C) changed as their rows (N, ...) of the table say."""
        raise NotImplementedError


class Chain:
    """Augmentations, and plain functions of a batch of images, one after the other.

    >>> chain = Chain([RandomCrop(padding=4), HorizontalFlip(), Normalise(mean, deviation)])
    >>> images = chain(x_train[indices], indices, chain.tables(epoch=3, n=len(x_train)))
    """

    def __init__(self, steps: Iterable[Callable[..., np.ndarray]]):
        self.steps = tuple(steps)
        for step in self.steps:
            if not callable(step):
                raise TypeError(f"a chain is made of augmentations and functions of images, got {step!r}")

    @staticmethod
    def of(augment: Any) -> "Chain":
        """A chain of None (nothing happens), of one step or of a sequence of them; a chain stays itself."""
        if isinstance(augment, Chain):
            return augment
        return Chain([] if augment is None else augment if isinstance(augment, list | tuple) else [augment])

    def tables(self, epoch: int, n: int) -> list[np.ndarray | None]:
        """For each step its random numbers in this epoch, a row for each of n images; None for plain functions."""
        tables: list[np.ndarray | None] = []
        place = 0  # among the random ones: a function more in the chain changes no picture
        for step in self.steps:
            if isinstance(step, Augmentation):
                tables.append(step.draw(generator("augment", place, epoch), n))
                place += 1
            else:
                tables.append(None)
        return tables

    def __call__(self, images: np.ndarray, indices: np.ndarray, tables: Sequence[np.ndarray | None]) -> np.ndarray:
        """The images (N, ...) of these indices (N,) of the data set, changed with `tables()` of the epoch."""
        for step, table in zip(self.steps, tables, strict=True):
            images = step(images) if table is None else step(images, table[indices])
        return images


class RandomCrop(Augmentation):
    """A part of `size` (H, W) from anywhere in the image, which is first widened on all sides.

    padding: by so many cells of the value `fill`   size: None for that of the image.
    With a padding of 4 it is the augmentation of CIFAR in He et al. 2015, arXiv:1512.03385, section 4.2 (after Lee et
    al. 2014, arXiv:1409.5185, section 4); with none, and 224 x 224 out of 256 x 256, that of AlexNet (Krizhevsky et
    al. 2012, section 4.1). Raises ValueError where the image is too small.
    """

    def __init__(self, padding: int = 0, size: tuple[int, int] | None = None, fill: float = 0):
        if padding < 0:
            raise ValueError(f"padding must be at least 0, got {padding}")
        self.padding, self.size, self.fill = padding, checked_size(size) if size is not None else None, fill

    def draw(self, random, n):
        """Where to cut, in rows and in columns, as shares of the room that there is: (n, 2)."""
        return random.random((n, 2), dtype=np.float32)

    def __call__(self, images, drawn):
        n, height, width, channels = images.shape
        high, wide = self.size or (height, width)
        rows, columns = height + 2 * self.padding - high, width + 2 * self.padding - wide  # that a corner may move
        if rows < 0 or columns < 0:
            raise ValueError(f"cannot cut {high} x {wide} out of {height} x {width} with a padding of {self.padding}")
        edge = (self.padding, self.padding)
        padded = np.pad(images, ((0, 0), edge, edge, (0, 0)), constant_values=self.fill) if self.padding else images
        # A float32 below 1 times a whole number may round up to it: hence the minimum.
        corners = np.minimum((drawn * (rows + 1, columns + 1)).astype(np.int64), (rows, columns))
        cut = np.empty((n, high, wide, channels), images.dtype)
        for i, (row, column) in enumerate(corners.tolist()):  # copies whole rows: 4 x as fast as a gather
            cut[i] = padded[i, row : row + high, column : column + wide]
        return cut


class Shift(RandomCrop):
    """Moves each image by whole cells, from -most to most along either axis; what comes in at the border is 0."""

    def __init__(self, most: int):
        super().__init__(padding=most)


class HorizontalFlip(Augmentation):
    """Mirrors each image left to right with this probability (AlexNet, section 4.1)."""

    def __init__(self, probability: float = 0.5):
        if not 0 <= probability <= 1:
            raise ValueError(f"the probability of a flip must be from 0 to 1, got {probability}")
        self.probability = probability

    def draw(self, random, n):
        """Which images are mirrored: (n,)."""
        return random.random(n, dtype=np.float32) < self.probability

    def __call__(self, images, drawn):
        images = images.copy()
        images[drawn] = images[drawn, :, ::-1]
        return images


def checked_size(size: Sequence[int]) -> tuple[int, int]:
    """(H, W) of whole numbers from 1 up. Raises ValueError for anything else."""
    if len(size) != 2 or not all(isinstance(s, int | np.integer) and s >= 1 for s in size):
        raise ValueError(f"size must be (height, width), each a whole number from 1 up, got {size!r}")
    return int(size[0]), int(size[1])
