"""What normalisation needs to know of the training images. Sums of uint8 are exact, whatever the size of the pieces."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from minicnn.data.image_list import ImageList

PIECE = 256  # images at a time: an ImageList is never decoded as a whole


def channel_statistics(images: "np.ndarray | ImageList") -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of each channel over all cells of all images (N, H, W, C): (C,) each, float64."""
    total, products, cells = _moments(images)
    mean = total / cells
    return mean, np.sqrt(np.maximum(np.diag(products) / cells - mean**2, 0))


def mean_image(images: "np.ndarray | ImageList") -> np.ndarray:
    """The mean of each cell over the images: (H, W, C) float64; AlexNet subtracts it, and ResNet on CIFAR."""
    total, count = np.zeros(images.shape[1:], np.float64), 0
    for piece in _pieces(images):
        total += piece.sum(axis=0, dtype=np.float64)
        count += len(piece)
    return total / count


def colour_components(images: "np.ndarray | ImageList") -> tuple[np.ndarray, np.ndarray]:
    """(standard deviations (C,), directions (C, C)) of the principal components of the pixels' colours.

    Column i of the directions, of length 1, belongs to deviation i; the largest stands first, and the largest entry of
    a direction is positive. For `PCALighting`.
    """
    total, products, cells = _moments(images)
    mean = total / cells
    values, vectors = np.linalg.eigh(products / cells - np.outer(mean, mean))
    values, vectors = values[::-1], vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    return np.sqrt(np.maximum(values, 0)), vectors * signs


def _moments(images: "np.ndarray | ImageList") -> tuple[np.ndarray, np.ndarray, int]:
    """The sums of the channels (C,) and of the products of any two (C, C), and the number of cells."""
    channels = images.shape[-1]
    total, products, cells = np.zeros(channels), np.zeros((channels, channels)), 0
    for piece in _pieces(images):
        x = piece.reshape(-1, channels).astype(np.float64)
        total += x.sum(axis=0)
        products += x.T @ x
        cells += len(x)
    return total, products, cells


def _pieces(images: "np.ndarray | ImageList") -> Iterator[np.ndarray]:
    if len(images.shape) != 4 or len(images) == 0:
        raise ValueError(f"expected images of shape (N, H, W, C), at least one, got {images.shape}")
    for start in range(0, len(images), PIECE):
        if isinstance(images, np.ndarray):
            yield images[start : start + PIECE]
        else:  # which may leave out broken files
            yield images.read(np.arange(start, min(start + PIECE, len(images))))[0]
