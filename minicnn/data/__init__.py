"""Data sets by name: `load("digits").x_train`. Batches of them: `minicnn.data.loader`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicnn.names import unknown


@dataclass(frozen=True)
class Dataset:
    """Images (N, H, W, C) uint8 with values 0..top and labels (N,) int64, in a part for training and one for test."""

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    top: int = 255  # the brightest value

    @property
    def classes(self) -> int:
        return len(self.class_names)


def _digits() -> Dataset:
    from minicnn.data import digits

    return digits.load()


LOADERS: dict[str, Callable[[], Dataset]] = {"digits": _digits}


def names() -> list[str]:
    """The data sets that load() knows."""
    return sorted(LOADERS)


def load(name: str) -> Dataset:
    """The data set of this name. Raises ValueError, with the names that come near, for an unknown one."""
    if name not in LOADERS:
        raise ValueError(unknown("data set", name, LOADERS))
    return LOADERS[name]()
