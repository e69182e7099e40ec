"""The idx format of MNIST, as it is or packed with gzip, read strictly.

Y. LeCun, C. Cortes, C. Burges: The MNIST database, "File formats for the MNIST database": two zero bytes, the type (8:
unsigned bytes), the number of axes, the length of each as a big-endian 32-bit number, then the data.
"""

import math
import struct
from pathlib import Path

import numpy as np

from minicnn.data.packed import BEST_RATIO, CHUNK, Unpacked

UNSIGNED_BYTES = 8
LARGEST = 1 << 30  # bytes of data; MNIST has 47 MB
GZIP = b"\x1f\x8b"


def read_idx(path: str | Path, axes: int) -> np.ndarray:
    """The array of unsigned bytes with this number of axes that an idx file holds.

    The shape that it declares is held against its size before anything is allocated, and against `LARGEST`.
    Raises ValueError, which names the file, for any other file, OSError where it cannot be opened.
    """
    path = Path(path)
    size = path.stat().st_size
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
        file.seek(0)
        if not packed:
            shape = _shape(path, file.read(4 + 4 * axes), axes)
            _check_size(path, shape, size - 4 - 4 * axes)
            return np.fromfile(file, np.uint8, math.prod(shape)).reshape(shape)
        unpacked = Unpacked(file, path, "gzip")
        shape = _shape(path, unpacked.read(4 + 4 * axes), axes)
        if math.prod(shape) > BEST_RATIO * size:
            raise ValueError(f"{path}: declares the shape {shape}, and is far too small for it with {size:,} bytes")
        return _filled(unpacked, path, shape)


def _shape(path: Path, header: bytes, axes: int) -> tuple[int, ...]:
    magic = bytes((0, 0, UNSIGNED_BYTES, axes))
    if header[:4] != magic and len(header) >= 4:
        what = f"of unsigned bytes with {axes} {'axis' if axes == 1 else 'axes'}"
        raise ValueError(f"{path}: not an idx file {what}: it begins with {header[:4].hex()}, not {magic.hex()}")
    if len(header) < 4 + 4 * axes:
        raise ValueError(f"{path}: the file is cut short: {len(header)} bytes of header")
    shape = struct.unpack(f">{axes}I", header[4:])
    if math.prod(shape) > LARGEST:
        raise ValueError(f"{path}: declares the shape {shape}; more than {LARGEST:,} bytes are not read")
    return shape


def _check_size(path: Path, shape: tuple[int, ...], size: int) -> None:
    if math.prod(shape) != size:
        raise ValueError(f"{path}: declares the shape {shape}, {math.prod(shape):,} bytes, and holds {size:,}")


def _filled(unpacked: Unpacked, path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The array, filled piece by piece: pages that no data arrive for never become memory."""
    flat = np.empty(math.prod(shape), np.uint8)
    done = 0
    while done < len(flat):
        piece = unpacked.read(min(16 * CHUNK, len(flat) - done))
        if not piece:
            _check_size(path, shape, done)
        flat[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    unpacked.finish()
    return flat.reshape(shape)
