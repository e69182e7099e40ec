"""The arguments that convolutions and pools share, checked and turned into a `Window`."""

from typing import Any

import numpy as np

from minicnn.backend import Window
from minicnn.layers.base import Layer
from minicnn.layers.symbols import Shape


def pair(layer: Layer, name: str, value: Any, smallest: int = 1) -> tuple[int, int]:
    """A whole number, or two of them, as (height, width). Raises ValueError for anything else."""
    whole = int | np.integer
    numbers = (value, value) if isinstance(value, whole) else tuple(value) if isinstance(value, list | tuple) else ()
    if len(numbers) != 2 or any(not isinstance(n, whole) or isinstance(n, bool) or n < smallest for n in numbers):
        raise ValueError(f"{layer.name}: {name} must be one or two whole numbers from {smallest} up, got {value!r}")
    return int(numbers[0]), int(numbers[1])


def padding_name(layer: Layer, padding: Any) -> str:
    """ "valid" or "same", in any case. Raises ValueError for anything else."""
    if not isinstance(padding, str) or padding.lower() not in ("valid", "same"):
        raise ValueError(f"{layer.name}: padding must be 'valid' or 'same', got {padding!r}")
    return padding.lower()


def channels_last(layer: Layer, data_format: Any) -> str:
    """Raises ValueError for any layout but (N, H, W, C)."""
    if data_format not in (None, "channels_last"):
        raise ValueError(f"{layer.name}: data_format must be 'channels_last' (N, H, W, C), got {data_format!r}")
    return "channels_last"


def check_images(shape: Shape) -> None:
    """Raises ValueError unless the shape is (N, H, W, C)."""
    if isinstance(shape, list) or len(shape) != 4:
        raise ValueError(f"expected images of shape (None, H, W, C), got {shape}")


def check_channels(shape: Shape, channels: int) -> None:
    """Raises ValueError unless the shape is (N, H, W, channels)."""
    if isinstance(shape, list) or len(shape) != 4 or shape[3] != channels:
        raise ValueError(f"expected images of shape (None, H, W, {channels}), got {shape}")


def spatial_size(window: Window, shape: Shape, kernel: tuple[int, int]) -> tuple[int | None, int | None]:
    """(OH, OW) for an input of `shape` = (N, H, W, C); None where H or W is not known."""
    check_images(shape)
    large = 1 << 20  # stands for a size that is not known: any kernel fits
    oh, ow = window.output_size((shape[1] or large, shape[2] or large), kernel)
    return None if shape[1] is None else oh, None if shape[2] is None else ow
