"""Several crops of each image, over which evaluation averages: images (N, H, W, C) to crops (N, crops, h, w, C)."""

from collections.abc import Callable, Sequence

import numpy as np

from minicnn.data.augment import checked_size
from minicnn.data.views import resample

Size = tuple[int, int]


def ten_crop(images: np.ndarray, size: Size) -> np.ndarray:
    """The four corners and the centre, then their mirror images: (N, 10, h, w, C).

    Krizhevsky et al. 2012 (AlexNet), section 4.1; 224 x 224 out of 256 x 256 there. Raises ValueError for a size that
    does not fit.
    """
    return _with_mirrored(_corners_and_centre(images, _fitting(images, size)))


def grid_crops(images: np.ndarray, size: Size, scales: Sequence[int], grid: int = 5) -> np.ndarray:
    """A regular grid of grid x grid crops of the image at each scale, then their mirror images.

    (N, 2 * len(scales) * grid**2, h, w, C); 150 for scales (256, 384, 512): VGG (Simonyan and Zisserman 2014,
    arXiv:1409.1556, section 3.2). A scale is the length that the shorter side is resized to.
    """
    high, wide = checked_size(size)
    parts = []
    for scale in scales:
        x = _resized(images, scale)
        rows, columns = (
            np.linspace(0, have - want, grid).round().astype(int)
            for have, want in zip(x.shape[1:3], _fitting(x, (high, wide)), strict=True)
        )
        parts += [x[:, r : r + high, c : c + wide] for r in rows for c in columns]
    return _with_mirrored(np.stack(parts, axis=1))


def inception_crops(images: np.ndarray, size: Size, scales: Sequence[int] = (256, 288, 320, 352)) -> np.ndarray:
    """Inception's: at each scale three squares (left, centre, right, or top, centre, bottom), of each the four corners
    and the centre and the square itself resized; then the mirror images.

    (N, 36 * len(scales), h, w, C), 144 for its four scales: Szegedy et al. 2014, arXiv:1409.4842, section 7. A scale is
    the length that the shorter side is resized to.
    """
    size = checked_size(size)
    parts = []
    for scale in scales:
        x = _resized(images, scale)
        height, width = x.shape[1:3]
        side = min(height, width)
        for place in (0.0, 0.5, 1.0):
            row, column = round(place * (height - side)), round(place * (width - side))
            square = x[:, row : row + side, column : column + side]
            parts += [_corners_and_centre(square, _fitting(square, size)), _shown(square, size)[:, None]]
    return _with_mirrored(np.concatenate(parts, axis=1))


def average_crops(predict: Callable[[np.ndarray], np.ndarray], crops: np.ndarray) -> np.ndarray:
    """The mean of what `predict` (images (M, h, w, C) to (M, classes)) says of the crops (N, crops, h, w, C) of each
    image: (N, classes)."""
    if crops.ndim != 5:
        raise ValueError(f"expected crops of shape (N, crops, H, W, C), got {crops.shape}")
    n, count = crops.shape[:2]
    found = np.asarray(predict(crops.reshape(n * count, *crops.shape[2:])))
    return found.reshape(n, count, *found.shape[1:]).mean(axis=1)


def _fitting(images: np.ndarray, size: Size) -> Size:
    high, wide = checked_size(size)
    if high > images.shape[1] or wide > images.shape[2]:
        raise ValueError(f"cannot cut {high} x {wide} out of {images.shape[1]} x {images.shape[2]}")
    return high, wide


def _corners_and_centre(images: np.ndarray, size: Size) -> np.ndarray:
    """(N, 5, h, w, C): top left, top right, bottom left, bottom right, centre"""
    (height, width), (high, wide) = images.shape[1:3], size
    down, right = height - high, width - wide
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return np.stack([images[:, r : r + high, c : c + wide] for r, c in places], axis=1)


def _with_mirrored(crops: np.ndarray) -> np.ndarray:
    return np.concatenate([crops, crops[:, :, :, ::-1]], axis=1)


def _resized(images: np.ndarray, scale: int) -> np.ndarray:
    """With the shorter side `scale` long."""
    height, width = images.shape[1:3]
    side = min(height, width)
    return _shown(images, (round(height * scale / side), round(width * scale / side)))


def _shown(images: np.ndarray, size: Size) -> np.ndarray:
    return resample(images, np.tile([0.0, 0.0, *images.shape[1:3]], (len(images), 1)), size)
