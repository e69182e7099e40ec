"""Pictures from files, with Pillow."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ORIENTATION = 0x0112  # EXIF: from 5 on, rows and columns are exchanged
GAP = 2  # a JPEG may be decoded smaller, but not below twice the size wanted: resizing then smooths what is left
Place = Callable[[int, int], tuple[float, float, float, float]]


def pillow() -> Any:
    """The module PIL.Image. Raises ImportError that says how to install it."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("pictures are read with Pillow: pip install 'minicnn[images]'") from None
    return Image


def read_picture(path: str | Path, size: tuple[int, int], channels: int = 3) -> np.ndarray:
    """The largest square in the middle of a picture, turned as its camera says, in the size (H, W).

    Result: (H, W, channels) float32, 0..255; grey for 1 channel, red, green, blue for 3. Resized bilinearly, with
    antialiasing. Raises ValueError, which names the file, for what Pillow cannot read or finds too large, OSError
    where there is no such file.
    """
    with warnings.catch_warnings():  # Pillow's, on damaged metadata; in a thread this would not be safe
        warnings.simplefilter("ignore")
        return decode(path, size, channels).astype(np.float32)


def decode(path: str | Path, size: tuple[int, int], channels: int = 3, place: Place | None = None) -> np.ndarray:
    """As `read_picture`, in uint8; `place` says for a height and width, upright, which box is shown instead.

    place(height, width) -> (top, left, height, width), in pixels, not always whole ones. Any number of threads at once.
    """
    image_module = pillow()
    if channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, the network wants {channels}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with image_module.open(path) as image:
            most = image_module.MAX_IMAGE_PIXELS
            if most is not None and image.width * image.height > most:  # Pillow warns, and refuses twice as many
                raise ValueError(f"{image.width} x {image.height} pixels: a decompression bomb?")
            return _shown(image_module, image, size, channels, place)
    except PermissionError:
        raise
    except Exception as error:  # each of Pillow's formats raises its own errors for a damaged file
        raise ValueError(f"{path}: not a picture that can be read ({error or type(error).__name__})") from None


def _shown(image_module: Any, image: Any, size: tuple[int, int], channels: int, place: Place | None) -> np.ndarray:
    from PIL import ImageOps

    turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    width, height = image.size[::-1] if turned else image.size
    side = min(height, width)
    box = ((height - side) // 2, (width - side) // 2, side, side) if place is None else place(height, width)
    mode = "L" if channels == 1 else "RGB"
    shrink = min(box[2] / size[0], box[3] / size[1]) / GAP
    if shrink > 1:  # libjpeg leaves out what is not wanted: up to 8 x as small, several times as fast
        image.draft(mode, tuple(math.ceil(s / shrink) for s in image.size))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, of which convert("L") would keep the lowest values alone
        image = image_module.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    image = image.convert(mode)
    down, across = image.height / height, image.width / width  # 1 unless drafted
    top, left, high, wide = box[0] * down, box[1] * across, box[2] * down, box[3] * across
    corners: Any = (left, top, min(left + wide, image.width), min(top + high, image.height))
    if place is None:  # a square of its own: resizing does not look beyond its border
        image, corners = image.crop((*map(math.ceil, corners[:2]), *map(math.floor, corners[2:]))), None
    image = image.resize((size[1], size[0]), image_module.Resampling.BILINEAR, box=corners)
    return np.asarray(image).reshape(*size, channels)
