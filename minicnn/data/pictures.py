"""Pictures from files, with Pillow."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np


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
    image_module = pillow()
    if channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, the network wants {channels}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            # Pillow warns above MAX_IMAGE_PIXELS, and refuses twice as many: we refuse the first.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(path) as image:
                return _squared(image_module, image, size, channels)
    except PermissionError:
        raise
    except Exception as error:  # each of Pillow's formats raises its own errors for a damaged file
        raise ValueError(f"{path}: not a picture that can be read ({error or type(error).__name__})") from None


def _squared(image_module: Any, image: Any, size: tuple[int, int], channels: int) -> np.ndarray:
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, of which convert("L") would keep the lowest values alone
        image = image_module.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    image = image.convert("L" if channels == 1 else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))  # before the resizing, which would look beyond the border
    image = image.resize((size[1], size[0]), image_module.Resampling.BILINEAR)
    return np.asarray(image, np.float32).reshape(*size, channels)
