"""Strings in the attributes of an HDF5 file, read from its bytes.

The library trusts what a reference to a string says of its length: it takes up to 4 GiB for one before it looks,
and one string may be referred to a thousand times. So references are followed here, inside the file's own bytes.
Words and numbers are those of the HDF5 File Format Specification, version 3: III.E (global heap), IV.A (object
headers, attributes).
"""

import struct
from collections.abc import Iterator
from typing import Any

ATTRIBUTE, CONTINUATION = 0x0C, 0x10  # types of messages in the header of an object
SHARED = 2  # a flag: the message stands elsewhere
MOST_BLOCKS = 1000  # of one header


class Damaged(ValueError):
    """The bytes are not what the specification says."""


class Strings:
    """The strings of one file. view: its bytes. Raises Damaged; reads no more than the file's size in all."""

    def __init__(self, view: Any):
        self.view, self.left = view, len(view)
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def fixed(self, header: int, name: str, count: int, width: int) -> list[bytes]:
        """`count` strings of `width` bytes each, from the attribute of the object whose header stands there."""
        data = self.take(self.place(header, name), count * width)
        return [data[i : i + width].rstrip(b"\0") for i in range(0, count * width, width)]

    def referred(self, header: int, name: str, count: int) -> list[bytes]:
        """`count` strings that the attribute refers to: length, place of a heap, index in it."""
        place = self.place(header, name)
        references = struct.iter_unpack("<IQI", self.take(place, 16 * count))
        return [self.string(*reference) for reference in references]

    def string(self, length: int, heap: int, index: int) -> bytes:
        """One string of a heap. A length of 0 refers to nothing."""
        if length == 0:
            return b""
        if heap not in self.heaps:
            self.heaps[heap] = dict(self.objects(heap))
        place, size = self.heaps[heap].get(index, (0, 0))
        if length > size:
            raise Damaged(f"a string of {length:,} bytes where there are {size:,}")
        return self.take(place, length).rstrip(b"\0")

    def take(self, place: int, size: int) -> bytes:
        """Bytes of the file. What is taken twice counts twice."""
        if place < 0 or place + size > len(self.view) or size > self.left:
            raise Damaged(f"{size:,} bytes of strings at {place:,}, which the file does not hold")
        self.left -= size
        return bytes(self.view[place : place + size])

    def numbers(self, form: str, place: int) -> tuple[Any, ...]:
        """Little-endian numbers at a place."""
        size = struct.calcsize("<" + form)
        if not 0 <= place <= len(self.view) - size:
            raise Damaged(f"a part at {place:,}, beyond the end")
        return struct.unpack("<" + form, self.view[place : place + size])

    def objects(self, heap: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """(index, (place, size)) of everything in a global heap: a signature, its size, then index, size, data, ..."""
        signature, size = self.numbers("8sQ", heap)
        if signature != b"GCOL\x01\0\0\0" or size > len(self.view) - heap:
            raise Damaged(f"no heap of strings at {heap:,}")
        place, end = heap + 16, heap + size
        while place + 16 <= end:
            index, length = self.numbers("H6xQ", place)
            if index == 0:  # the rest is free
                return
            if length > end - place - 16:
                raise Damaged(f"a heap of strings at {heap:,} with a string larger than itself")
            yield index, (place + 16, length)
            place += 16 + -(-length // 8) * 8

    def place(self, header: int, name: str) -> int:
        """Where the data of an attribute begins."""
        wanted = name.encode()
        for kind, flags, start, _ in self.messages(header):
            if kind != ATTRIBUTE or flags & SHARED:
                continue
            version, _, name_size, type_size, space_size = self.numbers("BBHHH", start)
            start += 9 if version == 3 else 8
            sizes = (name_size, type_size, space_size)
            if version == 1:  # each part is filled up to a multiple of 8
                sizes = tuple(-(-size // 8) * 8 for size in sizes)
            if bytes(self.view[start : start + name_size]).rstrip(b"\0") == wanted:
                return start + sum(sizes)
        raise Damaged(f"the attribute {name!r} is kept in a way that is not read")

    def messages(self, header: int) -> Iterator[tuple[int, int, int, int]]:
        """(type, flags, place, size) of every message in the header of an object, old form or new ("OHDR")."""
        new = bytes(self.view[header : header + 4]) == b"OHDR"
        blocks = [self.first_block_of_new(header)] if new else [(header + 16, *self.numbers("I", header + 8))]
        order = 2 if new and self.numbers("B", header + 5)[0] & 4 else 0
        for number, (place, size) in enumerate(blocks):
            if number > MOST_BLOCKS or size > len(self.view) - place:
                raise Damaged("a header without end")
            end = place + size
            head = 4 + order if new else 8
            while place + head <= end:
                kind, length, flags = self.numbers("BHB" if new else "HHB", place)
                if kind == CONTINUATION and length >= 16:
                    start, extent = self.numbers("QQ", place + head)
                    blocks.append((start + 4, extent - 8) if new else (start, extent))  # "OCHK" and a checksum around
                yield kind, flags, place + head, length
                place += head + length

    def first_block_of_new(self, header: int) -> tuple[int, int]:
        """(place, size) of the first messages behind "OHDR"."""
        _, flags = self.numbers("BB", header + 4)
        place = header + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        (size,) = self.numbers({1: "B", 2: "H", 4: "I", 8: "Q"}[width], place)
        return place + width, size
