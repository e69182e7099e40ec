"""What differs between devices. `backend_of(*arrays)` gives the kernels for arrays, by their type; `get(name)` by
name."""

import re
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.backend.cpu import CpuBackend
from minicnn.backend.errors import DeviceError
from minicnn.backend.reference import Backend
from minicnn.backend.window import Window, same_pads

__all__ = ["Backend", "DeviceError", "Window", "backend_of", "get", "same_pads", "to_numpy"]

CPU = CpuBackend()


def get(name: str = "cpu") -> Backend:
    """The backend called "cpu", "gpu" or "gpu:1". Raises DeviceError where CuPy, the driver or the GPU is missing."""
    if name == "cpu":
        return CPU
    match = re.fullmatch(r"gpu(?::(\d+))?", name)
    if match is None:
        raise ValueError(f"device must be 'cpu', 'gpu' or 'gpu:N', got {name!r}")
    return _gpu(int(match[1] or 0))


@lru_cache
def _gpu(index: int) -> Backend:
    try:
        from minicnn.backend.gpu import GpuBackend
    except ImportError as error:
        raise DeviceError(f"device 'gpu' needs CuPy: pip install 'minicnn[gpu]' ({error})") from None
    return GpuBackend(index)


def backend_of(*arrays: Any) -> Backend:
    """The backend of the arrays' type; None and Python numbers fit any. Raises TypeError where devices are mixed."""
    for array in arrays:
        if type(array) is not np.ndarray and array is not None:
            break
    else:  # as nearly always: a step asks some hundred times
        return CPU
    kinds = {type(a).__module__.partition(".")[0] for a in arrays if not (a is None or isinstance(a, int | float))}
    if kinds <= {"numpy"}:
        return CPU
    if kinds == {"cupy"}:
        return _gpu(_device_index(arrays))
    if kinds == {"cupy", "numpy"}:
        raise TypeError("arrays of two devices in one operation: move them to one with .to('cpu') or .to('gpu')")
    raise TypeError(f"expected NumPy or CuPy arrays, got {', '.join(sorted(type(a).__name__ for a in arrays))}")


def _device_index(arrays) -> int:
    return next(a.device.id for a in arrays if hasattr(a, "device"))


def to_numpy(array: Any) -> np.ndarray:
    """A NumPy array with the values of `array`, wherever it lives; a NumPy array itself is returned as it is."""
    return array.get() if type(array).__module__.partition(".")[0] == "cupy" else np.asarray(array)
