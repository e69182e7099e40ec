"""safetensors: our own format for weights. The package of that name reads and writes; the checks before it are ours."""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats import FormatError
from minicnn.formats.atomic import write_atomically

LARGEST_HEADER = 100_000_000  # bytes, as the format's own limit
BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}


def write(path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Writes named arrays, in one piece or not at all. Raises OSError where the place cannot be written."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    try:
        write_atomically(Path(path), lambda place: save_file(contiguous, place, metadata=metadata or {}))
    except SafetensorError as error:  # what the package makes of an OSError
        raise OSError(f"{path}: cannot be written ({error})") from None


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes in a file, from its header alone. Raises FormatError, or FileNotFoundError."""
    return {name: tuple(entry["shape"]) for name, entry in _header(Path(path)).items() if name != "__metadata__"}


def metadata(path: str | Path) -> dict[str, str]:
    """What the writer noted in the header. Raises FormatError, or FileNotFoundError."""
    noted = _header(Path(path)).get("__metadata__", {})
    if not isinstance(noted, dict) or not all(isinstance(value, str) for value in noted.values()):
        raise FormatError(f"{path}: not a safetensors file: its metadata are not texts by name")
    return noted


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The named arrays of a file. Raises FormatError for anything but a sound file, FileNotFoundError for none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    _header(Path(path))
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise FormatError(f"{path}: not a sound safetensors file ({error})") from None


def _header(path: Path) -> dict[str, dict]:
    """The JSON header, checked against the size of the file: its own length, then what each entry says of its data."""
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
    if not isinstance(header, dict):
        raise FormatError(f"{path}: not a safetensors file: its header is no JSON object")
    for name, entry in header.items():
        if name != "__metadata__" and not _sound(entry, size - 8 - length):
            raise FormatError(f"{path}: the entry {name[:80]!r} of its header asks for what the file does not hold")
    return header


def _sound(entry: Any, size: int) -> bool:
    """Whether an entry's shape, type and place agree, inside `size` bytes of data."""
    if not isinstance(entry, dict) or not isinstance(entry.get("shape"), list):
        return False
    shape, places, width = entry["shape"], entry.get("data_offsets"), BYTES.get(str(entry.get("dtype")))
    if width is None or not isinstance(places, list) or len(places) != 2:
        return False
    if not all(isinstance(n, int) and n >= 0 for n in [*shape, *places]):
        return False
    return places[1] <= size and places[1] - places[0] == math.prod(shape) * width
