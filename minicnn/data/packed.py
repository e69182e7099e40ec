"""Compressed files, unpacked no further than a reader allows: a small file cannot fill the memory."""

import io
import lzma
import zlib
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 16
XZ_MEMORY = 128 << 20  # bytes for unpacking; `xz -9` takes 65 MB, a made-up header may ask for 4 GB
BEST_RATIO = 1032  # deflate: 258 bytes from two bits


class Unpacked:
    """The content of a gzip (RFC 1952) or xz file as a stream that ends with ValueError for damage and surplus.

    read(n) gives n bytes, fewer only at the end. One member or stream, and nothing after it.
    """

    def __init__(self, file: BinaryIO, path: Path, kind: str):
        self.file, self.path = file, path
        self._unpacker: Any = (
            zlib.decompressobj(wbits=31)
            if kind == "gzip"
            else lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        )
        self._tail = b""  # packed bytes that zlib has not taken yet; lzma keeps its own

    def read(self, n: int) -> bytes:
        """The next n bytes. Raises ValueError, which names the file, for damaged data."""
        out = bytearray()
        while len(out) < n and not self._unpacker.eof:
            try:
                out += self._some(n - len(out))
            except (zlib.error, lzma.LZMAError) as error:
                raise ValueError(f"{self.path}: damaged compressed data ({error})") from None
        return bytes(out)

    def _some(self, n: int) -> bytes:
        """At least a byte, unless the packed data has just ended or gives nothing yet."""
        if isinstance(self._unpacker, lzma.LZMADecompressor):
            return self._unpacker.decompress(self._packed() if self._unpacker.needs_input else b"", n)
        data = self._unpacker.decompress(self._tail or self._packed(), n)
        self._tail = self._unpacker.unconsumed_tail
        return data

    def _packed(self) -> bytes:
        data = self.file.read(CHUNK)
        if not data:
            raise ValueError(f"{self.path}: the file is cut short")
        return data

    def finish(self) -> None:
        """Raises ValueError unless the content, its checksum and the file end here."""
        if self.read(1) or not self._unpacker.eof:
            raise ValueError(f"{self.path}: holds more than it should")
        if self._unpacker.unused_data or self.file.read(1):
            raise ValueError(f"{self.path}: something follows the compressed data")


class Capped(io.RawIOBase):
    """A stream that raises ValueError instead of giving more than `most` bytes."""

    def __init__(self, stream: Unpacked, most: int):
        self.stream, self.left, self.most = stream, most, most

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, n: int = -1) -> bytes:
        """The next bytes, at most n of them."""
        if n < 0 or n > self.left:
            n = self.left + 1
        data = self.stream.read(n)
        if len(data) > self.left:
            raise ValueError(f"{self.stream.path}: would unpack to more than {self.most:,} bytes")
        self.left -= len(data)
        return data
