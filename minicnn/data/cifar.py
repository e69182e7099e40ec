"""CIFAR-10 in its binary layout: 60,000 colour photographs of 32 x 32 in ten classes.

A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
A record is a byte with the label and 3,072 bytes of image: the planes of red, green and blue, each 32 x 32.
"""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data import Dataset, files
from minicnn.data.packed import CHUNK, Capped, Unpacked

SIDE, CHANNELS, CLASSES = 32, 3, 10
RECORD = 1 + CHANNELS * SIDE * SIDE
RECORDS = 10_000  # of a whole file
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
ARCHIVE = "cifar-10-binary.tar.gz"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
REMOTE = files.Remote(
    ARCHIVE,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    (f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",),
)
MEMBERS = 100  # of an archive; the real one has nine
Arrays = tuple[np.ndarray, np.ndarray]


def read_batch(path: str | Path) -> Arrays:
    """x (N, 32, 32, 3) uint8 and y (N,) int64 of a .bin file, or of one packed with xz (.bin.xz).

    Raises ValueError, which names the file, for any other file, OSError where it cannot be opened.
    """
    path = Path(path)
    with open(path, "rb") as file:
        if path.suffix != ".xz":
            _check_size(path, path.stat().st_size)
            return _records(path, file.read())
        unpacked = Unpacked(file, path, "xz")
        data = unpacked.read(RECORD * RECORDS)
        unpacked.finish()
        return _records(path, data)


def read_archive(path: str | Path) -> dict[str, Arrays]:
    """The arrays of each of the six files in cifar-10-binary.tar.gz. Nothing is extracted, other members are left.

    Raises ValueError, which names the file, for an archive that lacks one, OSError where it cannot be opened.
    """
    path = Path(path)
    most = (len(TRAIN) + 1) * RECORD * RECORDS + (1 << 20)
    found: dict[str, Arrays] = {}
    with open(path, "rb") as file:
        unpacked = Unpacked(file, path, "gzip")
        stream: Any = Capped(unpacked, most)
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:  # one pass, no seeking
                for number, member in enumerate(archive):
                    if number == MEMBERS:
                        raise ValueError(f"{path}: has more than {MEMBERS} members")
                    _take(path, archive, member, found)
            while stream.read(CHUNK):  # to the checksum at the end
                pass
            unpacked.finish()
        except (tarfile.TarError, EOFError, UnicodeError, RecursionError) as error:
            raise ValueError(f"{path}: not a sound tar archive ({error or type(error).__name__})") from None
    missing = [name for name in (*TRAIN, TEST) if name not in found]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(f'{FOLDER}/{name}' for name in missing)}")
    return found


def _take(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, found: dict[str, Arrays]) -> None:
    """Reads the member if it is one of the six."""
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    if folder != FOLDER or name not in (*TRAIN, TEST):
        return
    if not member.isfile() or member.issparse() or name in found:
        raise ValueError(f"{path}: {member.name} is a link, or there twice: not the archive of CIFAR-10")
    _check_size(f"{path}: {member.name}", member.size)
    stream = archive.extractfile(member)  # a stream of the archive's bytes: nothing is written
    data = b"" if stream is None else stream.read()
    _check_size(f"{path}: {member.name}", len(data))
    found[name] = _records(f"{path}: {member.name}", data)


def _check_size(path: Path | str, size: int) -> None:
    if size == 0 or size % RECORD or size > RECORD * RECORDS:
        raise ValueError(f"{path}: must hold 1 to {RECORDS:,} records of {RECORD:,} bytes, and has {size:,} bytes")


def _records(path: Path | str, data: bytes) -> Arrays:
    _check_size(path, len(data))
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    y = records[:, 0].astype(np.int64)
    if y.max() >= CLASSES:
        raise ValueError(f"{path}: labels must be 0 to {CLASSES - 1}, record {int(y.argmax())} has {y.max()}")
    planes = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), y


def load(data_dir: str | Path | None = None) -> Dataset:
    """CIFAR-10: x (N, 32, 32, 3) uint8, y (N,) int64; what a local folder has of it, if that is a part.

    Raises FileNotFoundError where it is not here and cannot be downloaded, ValueError for damaged files.
    """
    found = _local(data_dir)
    if isinstance(found, str):
        found = read_archive(files.fetch("cifar10", [REMOTE], found)[0])
    x, y = (np.concatenate(parts) for parts in zip(*(found[name] for name in TRAIN if name in found), strict=True))
    return Dataset("cifar10", x, y, *found[TEST], CLASS_NAMES, full=(len(TRAIN) * RECORDS, RECORDS))


def _local(data_dir: str | Path | None) -> dict[str, Arrays] | str:
    """The batches of the first folder that has one for training and that for test; else what to say of the folders."""
    parts = ""
    for folder in files.folders(data_dir, (FOLDER,)):
        paths = {name: files.first_of(folder, (name, f"{name}.xz")) for name in (*TRAIN, TEST)}
        present = {name: path for name, path in paths.items() if path is not None}
        if TEST in present and len(present) > 1:
            return {name: read_batch(path) for name, path in present.items()}
        archive = files.first_of(folder, (ARCHIVE,))
        if archive is not None:
            return read_archive(archive)
        if present:
            parts = (
                f"{folder} has {', '.join(present)}, but {'no file for training' if TEST in present else f'no {TEST}'}"
            )
    return parts
