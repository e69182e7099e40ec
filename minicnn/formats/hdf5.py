"""HDF5 read safely, with h5py: every link and every size is checked before memory is taken.

A file may point at other files, name one object twice, or declare terabytes in a few bytes. Nothing here follows a
link to elsewhere, and all that is read of a file together is at most as large as the file (`EXPANSION` times where
it is compressed).
"""

import io
import math
import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats import FormatError
from minicnn.formats.attributes import Strings

EXPANSION = 64  # how much larger than the file all its compressed data may become
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
        with (
            _bytes_of(source) as view,
            h5py.File(source if isinstance(source, Path) else io.BytesIO(source), "r") as file,
        ):
            yield Reader(h5py, file, view, label)
    except (FormatError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # which type h5py raises depends on where the damage is
        text = " ".join(str(error).split())
        raise FormatError(f"{label}: not a sound HDF5 file ({text[:200] or type(error).__name__})") from None


@contextmanager
def _bytes_of(source: Path | bytes) -> Iterator[Any]:
    """The bytes of a file, without reading them all."""
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield view


class Reader:
    """One open file: `root`, what was visited in it, and how many bytes may still be read."""

    def __init__(self, h5py: Any, file: Any, view: Any, label: str):
        self.h5py, self.root, self.size, self.label = h5py, file, len(view), label
        self.plain_left, self.packed_left = self.size, EXPANSION * self.size
        self.strings = Strings(view)
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
        found = self._strings(group, name, ())
        if len(found) != 1:
            raise self.fail(f"the attribute {name!r} of {group.name} is not a string")
        return found[0]

    def names(self, group: Any, name: str) -> list[str]:
        """The strings of a list in an attribute `name`, or in its parts name0, name1, ..., as long ones are kept."""
        if name in group.attrs:
            return self._strings(group, name, (0,))
        found: list[str] = []
        part = 0
        while f"{name}{part}" in group.attrs:
            found += self._strings(group, f"{name}{part}", (0,))
            part += 1
        return found

    def _strings(self, group: Any, name: str, shape: tuple[int, ...]) -> list[str]:
        """The strings of an attribute with as many axes as `shape`. h5py says what it is, and reads none of it."""
        attribute = self.h5py.h5a.open(group.id, name.encode())
        if attribute.shape is None or len(attribute.shape) != len(shape):
            raise self.fail(f"the attribute {name!r} of {group.name} is not {'a list' if shape else 'a string'}")
        count = math.prod(attribute.shape)
        if count == 0:  # Keras's empty list is one of numbers
            return []
        kind = self.h5py.check_string_dtype(attribute.dtype)
        if kind is None or count > self.size:
            raise self.fail(f"the attribute {name!r} of {group.name} does not hold strings")
        header = self.h5py.h5o.get_info(group.id).addr
        if kind.length is None:
            found = self.strings.referred(header, name, count)
        else:
            found = self.strings.fixed(header, name, count, kind.length)
        return [text.decode("utf-8") for text in found]

    # Arrays --------------------------------------------------------------------------------------------------------

    def array(self, dataset: Any, kinds: str = "f") -> np.ndarray:
        """The floating-point numbers of a dataset; with "fi" in `kinds` whole numbers too.

        Raises FormatError where the file does not hold as many as it declares.
        """
        if not isinstance(dataset, self.h5py.Dataset):
            raise self.fail(f"{dataset.name} is not a dataset")
        if dataset.dtype.kind not in kinds or dataset.dtype.itemsize not in (2, 4, 8):
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
