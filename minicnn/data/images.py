"""Images as arrays: (N, H, W, C) in, float32 (N, H, W, C) of a network's size and range out."""

import numpy as np
from numpy.typing import ArrayLike


def resize(images: ArrayLike, size: tuple[int, int]) -> np.ndarray:
    """Bilinear interpolation between the centres of the cells, without antialiasing: what tf.image.resize does.

    images: (N, H, W, C) of any real type   size: (OH, OW)   result: (N, OH, OW, C) float32
    """
    images = _checked(images)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), each at least 1, got {size}")
    if images.shape[1:3] == tuple(size):
        return images.astype(np.float32)
    rows = _interpolate(images.astype(np.float32), size[0], axis=1)
    return _interpolate(rows, size[1], axis=2)


def _interpolate(x: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Along one axis: output cell i has its centre at (i + 1/2) n / size in a row of n cells of width 1."""
    n = x.shape[axis]
    place = (np.arange(size) + 0.5) * (n / size) - 0.5  # in units of cells, 0 at the centre of the first one
    low = np.floor(place).astype(int)
    weight = (place - low).astype(np.float32)  # (size,): the share of the cell above
    weight = weight.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    below = np.take(x, np.clip(low, 0, n - 1), axis)  # outside the centres the border's value goes on
    above = np.take(x, np.clip(low + 1, 0, n - 1), axis)
    return below + weight * (above - below)


def prepare(images: ArrayLike, shape: tuple[int, int, int], top: float) -> np.ndarray:
    """Images as a network wants them: resized to `shape` = (H, W, C), and scaled from [0, top] to [0, 1].

    Grey images are repeated where the network wants several channels. Raises ValueError for other changes of channels.
    """
    images = _checked(images)
    channels = images.shape[-1]
    if channels not in (1, shape[2]):
        raise ValueError(f"images have {channels} channels, the network wants {shape[2]}")
    x = resize(images, shape[:2]) / np.float32(top)
    return np.repeat(x, shape[2] // channels, axis=-1)


def _checked(images: ArrayLike) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"images must have the shape (N, H, W, C), got {images.shape}")
    return images
