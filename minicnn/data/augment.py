"""Changes of training images that leave what they show."""

import numpy as np


def shift(images: np.ndarray, random: np.random.Generator, most: int) -> np.ndarray:
    """Moves each image by whole cells, from -most to most along either axis; what comes in at the border is 0.

    images: (N, H, W, C); a new array of the same shape and type
    """
    n, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    first = random.integers(0, 2 * most + 1, (2, n, 1))  # (axis, N, 1): 0 moves by +most, 2 most by -most
    rows = first[0] + np.arange(height)  # (N, H)
    columns = first[1] + np.arange(width)  # (N, W)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
