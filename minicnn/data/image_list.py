"""Pictures in files that behave like an array of them, and are decoded when they are asked for."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.augment import checked_size
from minicnn.data.pictures import decode
from minicnn.data.views import View


class ImageList:
    """The pictures of `files` as uint8 (N, H, W, C), each the largest square in its middle, if no view says otherwise.

    size: (H, W)   channels: 3, or 1 for grey. `images[indices]` decodes those; `np.asarray(images)` decodes all.
    skip_broken: whether a Loader leaves out files that cannot be read; they gather in `broken`, name -> reason.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        files: Sequence[str | Path],
        size: tuple[int, int] = (224, 224),
        channels: int = 3,
        skip_broken: bool = False,
    ):
        self.files = [str(file) for file in files]
        self.size, self.channels, self.skip_broken = checked_size(size), channels, skip_broken
        self.broken: dict[str, str] = {}
        self._lock = threading.Lock()

    def sized(self, size: tuple[int, int], channels: int = 3) -> "ImageList":
        """The same pictures in another size; what is broken is noted in both."""
        return self._like(self.files, size, channels)

    def part(self, indices: np.ndarray) -> "ImageList":
        """The pictures of these indices; what is broken is noted in both."""
        return self._like([self.files[i] for i in np.asarray(indices).tolist()], self.size, self.channels)

    def _like(self, files: list[str], size: tuple[int, int], channels: int) -> "ImageList":
        made = ImageList(files, size, channels, self.skip_broken)
        made.broken, made._lock = self.broken, self._lock
        return made

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)"""
        return len(self.files), *self.size, self.channels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> np.ndarray:
        """The pictures of these indices. Raises ValueError or OSError, which name the file, where one is broken."""
        chosen = np.arange(len(self.files))[index]
        images = [decode(self.files[i], self.size, self.channels) for i in np.atleast_1d(chosen).tolist()]
        return images[0] if chosen.ndim == 0 else np.array(images, np.uint8).reshape(-1, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.uint8, copy=False)

    def read(
        self, indices: np.ndarray, view: View | None = None, drawn: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(images, kept): the pictures of these indices (n,), and which of them could be read, (n,) of bool.

        view, drawn: what is shown of each, and the view's random numbers (n, ...); in the view's size.
        Raises ValueError or OSError, which name the file, for a broken one, unless skip_broken.
        """
        size = self.size if view is None else view.size
        images = np.empty((len(indices), *size, self.channels), np.uint8)
        kept = np.ones(len(indices), bool)
        for k, i in enumerate(indices.tolist()):
            try:
                images[k] = decode(self.files[i], size, self.channels, self._place(view, drawn, k))
            except (ValueError, OSError) as error:
                if not self.skip_broken:
                    raise
                kept[k] = False
                with self._lock:
                    self.broken[self.files[i]] = str(error)
        return (images, kept) if kept.all() else (images[kept], kept)

    @staticmethod
    def _place(view: View | None, drawn: np.ndarray | None, k: int) -> Any:
        if view is None or drawn is None:
            return None
        row = drawn[k : k + 1]
        return lambda height, width: tuple(view.boxes(np.array([height]), np.array([width]), row)[0].tolist())
