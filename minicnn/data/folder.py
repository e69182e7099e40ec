"""Pictures in folders, one for each class, as torchvision's ImageFolder and Keras's image_dataset_from_directory."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minicnn.data import Dataset
from minicnn.data.image_list import ImageList
from minicnn.data.pictures import pillow

# torchvision's list and Keras's together
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST_FOLDERS = ("val", "test")  # the first that is there


def load(
    root: str | Path | None,
    size: tuple[int, int] = (224, 224),
    channels: int = 3,
    skip_broken: bool = False,
    held_out: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """root/train/<class>/* and root/val/<class>/* (or test), or root/<class>/*, of which a share is held out as test.

    Classes are the folders' names in the order of their characters: 0, 1, ... The pictures of a class are all files
    below its folder that end like pictures. `held_out` of each class, at least one and not all, are for test; which
    ones depends on their names and `seed` alone, not on the run's seed, and hardly on files that come later.
    size, channels, skip_broken: of the ImageList.
    Raises ValueError for folders of another form, FileNotFoundError for none, ImportError where Pillow is missing.
    """
    pillow()
    if root is None:
        raise ValueError("which folder? The data set 'folder' needs data_dir (--data-dir)")
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be between 0 and 1, got {held_out}")
    train, test, class_names = _parts(root, held_out, seed)

    def images(part: Sequence[tuple[str, int]]) -> tuple[ImageList, np.ndarray]:
        return ImageList([p for p, _ in part], size, channels, skip_broken), np.array([y for _, y in part], np.int64)

    return Dataset("folder", *images(train), *images(test), class_names)


Labelled = list[tuple[str, int]]


def _parts(root: Path, held_out: float, seed: int) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """(file, label) for training and for test, and the names of the classes."""
    inner = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if (root / "train").is_dir() and inner is not None:
        classes = _classes(root / "train")
        more = set(_folders(inner)) - set(classes)
        if more:
            raise ValueError(f"{inner} has classes that {root / 'train'} has not: {', '.join(sorted(more)[:5])}")
        labels = {name: label for label, name in enumerate(classes)}
        train, test = (
            [(f, labels[c]) for c in _folders(part) for f in _files(part / c)] for part in (root / "train", inner)
        )
        if not test:
            raise ValueError(f"{inner}: no picture in any folder of a class")
        return train, test, classes
    if (root / "train").is_dir() or inner is not None:
        raise ValueError(f"{root} has train or {' or '.join(TEST_FOLDERS)}, but not both: what is the other part?")
    classes = _classes(root)
    parts = [_split(root, _files(root / name), held_out, seed) for name in classes]
    train, test = ([(file, label) for label, part in enumerate(parts) for file in part[which]] for which in (0, 1))
    if not test:
        raise ValueError(f"{root}: each class has but one picture, none can be held out")
    return train, test, classes


def _classes(root: Path) -> tuple[str, ...]:
    """The folders' names. Raises ValueError where there are none, or where one has no picture."""
    classes = tuple(_folders(root))
    if not classes:
        raise ValueError(f"{root}: expected a folder for each class, found none")
    for name in classes:
        if not _files(root / name):
            raise ValueError(f"{root / name}: no picture in the folder of this class ({' '.join(ENDINGS)})")
    return classes


def _folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path) -> list[str]:
    """The pictures in a folder and in those in it, by name; hidden ones are left."""
    found = []
    for place, inner, names in os.walk(folder):  # does not follow links to folders: they may lead round
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [os.path.join(place, n) for n in names if n.lower().endswith(ENDINGS) and not n.startswith(".")]
    return sorted(found)


def _split(root: Path, files: list[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """(for training, for test), each in the order of names."""
    count = min(max(round(held_out * len(files)), 1), len(files) - 1)

    def key(file: str) -> bytes:
        return hashlib.sha256(f"{seed}/{Path(file).relative_to(root).as_posix()}".encode()).digest()

    test = set(sorted(files, key=key)[:count])
    return [file for file in files if file not in test], [file for file in files if file in test]
