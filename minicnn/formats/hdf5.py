"""HDF5 read safely, with h5py: every link and every size is checked before memory is taken.

A file may point at other files, name one object twice, or declare terabytes in a few bytes. Nothing here follows a
link to elsewhere, and all that is read of a file together is at most as large as the file (`EXPANSION` times where
it is compressed).
"""

import io
import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats import FormatError

EXPANSION = 64  # how much larger than the file all its compressed data may become
LARGEST_NAMES = 1 << 24  # bytes in one attribute that lists names
SIGNATURE, HEAP = b"\x89HDF\r\n\x1a\n", b"GCOL\x01\0\0\0"
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3  # the filters that we undo; HDF5's own numbers


def h5py_module() -> Any:
    """h5py. Raises ImportError that says how to install it."""
    try:
        import h5py
    except ImportError:
        raise ImportError("Keras's files are read and written with h5py: pip install 'minicnn[keras]'") from None
    return h5py


@contextmanager
def opened(source: Path | bytes, label: str) -> Iterator["Reader"]:
    """A Reader on a file, or on the bytes of one, called `label` in errors.

    Whatever h5py says of a damaged file becomes a FormatError.
    """
    h5py = h5py_module()
    try:
        size = _checked_size(source, label)
        with h5py.File(source if isinstance(source, Path) else io.BytesIO(source), "r") as file:
            yield Reader(h5py, file, size, label)
    except (FormatError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # which type h5py raises depends on where the damage is
        text = " ".join(str(error).split())
        raise FormatError(f"{label}: not a sound HDF5 file ({text[:200] or type(error).__name__})") from None


def _checked_size(source: Path | bytes, label: str) -> int:
    """The size of a file, whose first bytes and heaps of strings were looked through before the library sees them."""
    if isinstance(source, bytes):
        _check_heaps(source, label)
        return len(source)
    size = source.stat().st_size
    if size < len(SIGNATURE):
        raise FormatError(f"{label}: not an HDF5 file, or a cut one ({size} bytes)")
    with open(source, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        _check_heaps(view, label)
    return size


def _check_heaps(view: Any, label: str) -> None:
    """Raises FormatError for a heap with an object larger than the heap: HDF5 would look for its end for ever.

    Strings of attributes stand in such heaps, "GCOL", version 1, size, then objects: index, size, data in eights.
    (HDF5 File Format Specification, III.E.) Sizes are numbers of 8 bytes in every file of Keras.
    """
    if view[:8] != SIGNATURE:
        raise FormatError(f"{label}: not an HDF5 file")
    widths = view[13:15] if view[8:9] in (b"\0", b"\1") else view[9:11]
    if widths != b"\x08\x08":
        raise FormatError(f"{label}: an HDF5 file with places or sizes of another width than 8 bytes is not read")
    start = view.find(HEAP)
    while start >= 0:
        (size,) = struct.unpack("<Q", view[start + 8 : start + 16].ljust(8, b"\xff"))
        place, end = start + 16, start + size
        while place + 16 <= end:
            index, length = struct.unpack("<HxxxxxxQ", view[place : place + 16].ljust(16, b"\xff"))
            need = length if index == 0 else 16 + -(-length // 8) * 8  # index 0 is what is free; it counts its own head
            if not 16 <= need <= end - place or end > len(view):
                raise FormatError(f"{label}: not a sound HDF5 file (a heap of strings is damaged)")
            place += need
        start = view.find(HEAP, start + 8)


class Reader:
    """One open file: `root`, what was visited in it, and how many bytes may still be read."""

    def __init__(self, h5py: Any, file: Any, size: int, label: str):
        self.h5py, self.root, self.size, self.label = h5py, file, size, label
        self.plain_left, self.packed_left = size, EXPANSION * size
        self._visited: set[int] = set()
        self._enter(file["/"])

    def fail(self, what: str) -> FormatError:
        """The error to raise."""
        return FormatError(f"{self.label}: {what}")

    def _enter(self, item: Any) -> None:
        """Notes an object.

        Raises FormatError for one that was there before: a cycle, or a few bytes read a thousand times.
        """
        address = self.h5py.h5o.get_info(item.id).addr
        if address in self._visited:
            raise self.fail(f"{item.name!r} is linked from several places")
        self._visited.add(address)

    def children(self, group: Any) -> list[tuple[str, Any]]:
        """(name, group or dataset), each visited once in the life of a Reader.

        Raises FormatError for links that lead away.
        """
        found = []
        for name in group:
            link = type(group.get(name, getlink=True)).__name__
            if link != "HardLink":
                raise self.fail(f"{group.name}/{name} is a link elsewhere ({link}), which is not followed")
            item = group[name]
            self._enter(item)
            found.append((name, item))
        return found

    def is_group(self, item: Any) -> bool:
        """Whether an object is a group."""
        return isinstance(item, self.h5py.Group)

    # Attributes ----------------------------------------------------------------------------------------------------

    def text(self, group: Any, name: str) -> str | None:
        """A string in an attribute; None where there is none."""
        if name not in group.attrs:
            return None
        attribute = self.h5py.h5a.open(group.id, name.encode())
        if attribute.shape != () or self.h5py.check_string_dtype(attribute.dtype) is None:
            raise self.fail(f"the attribute {name!r} of {group.name} is not a string")
        if attribute.get_storage_size() > self.size:
            raise self.fail(f"the attribute {name!r} of {group.name} is larger than the file")
        return self._decoded(group.attrs[name])

    def names(self, group: Any, name: str) -> list[str] | None:
        """The strings of a list in an attribute `name`, or in its parts name0, name1, ...; None where it is not read.

        That is so where the list holds references to strings: a thousand of them may point to one large string, and
        HDF5 would make a thousand copies. They are not read.
        """
        parts = [name] if name in group.attrs else []
        while not parts[:1] == [name] and f"{name}{len(parts)}" in group.attrs:
            parts.append(f"{name}{len(parts)}")
        found: list[str] = []
        for part in parts:
            attribute = self.h5py.h5a.open(group.id, part.encode())
            if attribute.shape is None or len(attribute.shape) != 1:
                raise self.fail(f"the attribute {part!r} of {group.name} is not a list of names")
            if attribute.shape[0] == 0:  # Keras's empty list is one of numbers
                continue
            if attribute.dtype.kind == "O" and self.h5py.check_string_dtype(attribute.dtype) is not None:
                return None
            if attribute.dtype.kind != "S" or attribute.get_storage_size() > min(self.size, LARGEST_NAMES):
                raise self.fail(f"the attribute {part!r} of {group.name} is not a list of names")
            found += [self._decoded(value) for value in group.attrs[part].tolist()]
        return found

    def _decoded(self, value: Any) -> str:
        if not isinstance(value, str | bytes):
            raise self.fail("an attribute is not a string")
        return value.decode("utf-8", "strict") if isinstance(value, bytes) else value

    # Arrays --------------------------------------------------------------------------------------------------------

    def array(self, dataset: Any) -> np.ndarray:
        """The floating-point numbers of a dataset.

        Raises FormatError where the file does not hold as many as it declares.
        """
        if not isinstance(dataset, self.h5py.Dataset):
            raise self.fail(f"{dataset.name} is not a dataset")
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (2, 4, 8):
            raise self.fail(f"{dataset.name} holds {dataset.dtype}, not floating-point numbers")
        if dataset.shape is None:
            raise self.fail(f"{dataset.name} is empty")
        if dataset.is_virtual or dataset.external:
            raise self.fail(f"{dataset.name} keeps its numbers in another file, which is not opened")
        properties = dataset.id.get_create_plist()
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        unknown = [code for code in filters if code not in (DEFLATE, SHUFFLE, FLETCHER32)]
        if unknown:
            raise self.fail(f"{dataset.name} is packed with the HDF5 filter {unknown[0]}, which is not supported")
        declared = math.prod(dataset.shape) * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        cell = math.prod(dataset.chunks) * dataset.dtype.itemsize if dataset.chunks else 0  # a chunk is read as a whole
        allowed = self.packed_left if filters else min(self.plain_left, stored)
        if stored > self.size or max(declared, cell) > allowed:
            raise self.fail(
                f"{dataset.name} declares {declared:,} bytes, but the file has room for {min(stored, allowed):,}"
            )
        if filters:
            self.packed_left -= declared
            values = self._unpacked(dataset, filters)
        else:
            self.plain_left -= declared
            values = dataset[()]
        return np.asarray(values, dataset.dtype.newbyteorder("="))

    def _unpacked(self, dataset: Any, filters: list[int]) -> np.ndarray:
        """A compressed dataset, piece by piece: HDF5's own inflate would take as much memory as the stream asks for."""
        values = np.full(dataset.shape, dataset.fillvalue, dataset.dtype)
        shape, size = dataset.chunks, math.prod(dataset.chunks) * dataset.dtype.itemsize
        for index in range(dataset.id.get_num_chunks()):
            info = dataset.id.get_chunk_info(index)
            if info.size > self.size:
                raise self.fail(f"a piece of {dataset.name} is larger than the file")
            mask, data = dataset.id.read_direct_chunk(info.chunk_offset)
            for position, code in reversed(list(enumerate(filters))):
                if not mask >> position & 1:
                    data = _undone(code, data, size, dataset.dtype.itemsize)
            if len(data) != size:
                raise self.fail(f"a piece of {dataset.name} has {len(data):,} bytes instead of {size:,}")
            place = tuple(slice(o, o + n) for o, n in zip(info.chunk_offset, shape, strict=True))
            piece = np.frombuffer(data, dataset.dtype).reshape(shape)
            inside = values[place].shape  # the last pieces stand out beyond the edge
            values[place] = piece[tuple(slice(n) for n in inside)]
        return values


def _undone(code: int, data: bytes, size: int, itemsize: int) -> bytes:
    """What went into a filter. At most `size` bytes (and a checksum) are inflated."""
    if code == FLETCHER32:
        return data[:-4]
    if code == SHUFFLE:
        whole = len(data) - len(data) % itemsize
        return np.frombuffer(data[:whole], np.uint8).reshape(itemsize, -1).T.tobytes() + data[whole:]
    return zlib.decompressobj().decompress(data, size + 8)
