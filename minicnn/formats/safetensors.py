"""safetensors: our own format for weights. The package of that name reads and writes; the checks before it are ours."""

import json
import struct
from pathlib import Path

import numpy as np

from minicnn.formats import FormatError
from minicnn.formats.atomic import write_atomically

LARGEST_HEADER = 100_000_000  # bytes, as the format's own limit


def write(path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Writes named arrays, in one piece or not at all. Raises OSError where the place cannot be written."""
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    write_atomically(Path(path), lambda place: save_file(contiguous, place, metadata=metadata or {}))


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes in a file, from its header alone. Raises FormatError, or FileNotFoundError."""
    return {name: tuple(entry["shape"]) for name, entry in _header(Path(path)).items() if name != "__metadata__"}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a file. Raises FormatError for anything but a sound file, FileNotFoundError for none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    _header(Path(path))
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise FormatError(f"{path}: not a sound safetensors file ({error})") from None


def _header(path: Path) -> dict:
    """The JSON header: its length is checked against the file's size before a byte of it is read."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else None
        if length is None or length > min(size - 8, LARGEST_HEADER):
            raise FormatError(f"{path}: not a safetensors file, or a cut one ({size} bytes)")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise FormatError(f"{path}: not a safetensors file: its header is no JSON") from None
    entries = [e for name, e in header.items() if name != "__metadata__"] if isinstance(header, dict) else [None]
    if not all(isinstance(e, dict) and isinstance(e.get("shape"), list) for e in entries):
        raise FormatError(f"{path}: not a sound safetensors file: an entry of its header has no shape")
    return header
