"""Data sets by name: `load("digits").x_train`. Batches of them: `minicnn.data.loader`."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.names import unknown

if TYPE_CHECKING:
    from minicnn.data.image_list import ImageList

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10", "folder")


class PartialDataWarning(UserWarning):
    """Of a data set only a part is here."""


@dataclass(frozen=True)
class Dataset:
    """Images (N, H, W, C) uint8 with values 0..top and labels (N,) int64, in a part for training and one for test.

    Those of an image folder are an ImageList, which decodes what is asked for.
    """

    name: str
    x_train: "np.ndarray | ImageList"
    y_train: np.ndarray
    x_test: "np.ndarray | ImageList"
    y_test: np.ndarray
    class_names: tuple[str, ...]
    top: int = 255  # the brightest value
    full: tuple[int, int] | None = None  # images for training and for test of the whole set, where that is known

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.class_names)

    @property
    def note(self) -> str:
        """What part of the whole this is, in words; nothing where it is the whole."""
        have = (len(self.x_train), len(self.x_test))
        if self.full is None or have == self.full:
            return ""
        return (
            f"only a part of {self.name} is here: {have[0]:,} of {self.full[0]:,} images for training, "
            f"{have[1]:,} of {self.full[1]:,} for test"
        )


def names() -> list[str]:
    """The data sets that load() knows."""
    return list(NAMES)


def load(name: str, data_dir: str | Path | None = None, **options: Any) -> Dataset:
    """The data set of this name.

    data_dir: a folder with its files, or with a folder of its name that has them. Next the folder that the environment
    variable MINICNN_DATA names is looked through, then the cache, into which what is missing is downloaded. "digits"
    comes with minicnn; "folder" is `minicnn.data.folder.load(data_dir, **options)`: pictures, a folder for each class.
    Warns with PartialDataWarning where only a part of the set is there, as `note` says too.
    Raises ValueError, with the names that come near, for an unknown name, and for damaged files; FileNotFoundError for
    files that are neither there nor to be had.
    """
    if name not in NAMES:
        raise ValueError(unknown("data set", name, NAMES))
    if name == "folder":
        from minicnn.data import folder

        return folder.load(data_dir, **options)
    if options:
        raise TypeError(f"the data set {name} has no options, got {', '.join(options)}")
    dataset = _load(name, data_dir)
    if dataset.note:
        warnings.warn(dataset.note, PartialDataWarning, stacklevel=2)
    return dataset


def _load(name: str, data_dir: str | Path | None) -> Dataset:
    from minicnn.data import cifar, digits, mnist

    if name == "digits":
        return digits.load()
    return cifar.load(data_dir) if name == "cifar10" else mnist.load(name, data_dir)
