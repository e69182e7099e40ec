"""Labels and images in other forms: one-hot, of norm 1."""

from typing import Any

import numpy as np


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot labels of class numbers: (...) or (..., 1) -> (..., C), of the default float type, as in Keras.

    num_classes: C; the largest class and one more unless given. Raises ValueError for numbers outside 0 .. C - 1.
    """
    labels = np.asarray(x).astype(np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    classes = int(labels.max(initial=-1)) + 1 if num_classes is None else num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"class numbers must lie in 0 .. {classes - 1}, got {labels.min()} .. {labels.max()}")
    return np.eye(classes)[labels]


def normalize(x: Any, axis: int = -1, order: float = 2) -> np.ndarray:
    """x divided by its norm along an axis; what is 0 stays 0."""
    x = np.atleast_1d(np.asarray(x))
    norm = np.linalg.norm(x, order, axis, keepdims=True) if x.ndim else abs(x)
    return x / np.where(norm == 0, 1, norm)
