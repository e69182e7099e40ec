"""Keras's .keras files: a zip with three members, each read only after its size was checked. Nothing is extracted."""

import zipfile
from pathlib import Path

from minicnn.formats import FormatError

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
EXPANSION = 64  # how much larger than the file its members may become together
ENCRYPTED = 1  # a bit of a member's flags


def read(path: Path) -> dict[str, bytes]:
    """The three members of a .keras file. Raises FormatError for any other file, FileNotFoundError for none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            return {name: archive.read(name) for name in MEMBERS}
    except (FormatError, PermissionError):
        raise
    except Exception as error:  # BadZipFile, zlib.error, struct.error, ...: it depends on where the damage is
        raise FormatError(f"{path}: not a sound .keras file ({error or type(error).__name__})") from None


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = sorted(member.filename for member in members)
    if names != sorted(MEMBERS):
        shown = ", ".join(repr(name) for name in names[:4]) + ", ..." * (len(names) > 4)
        raise FormatError(f"{path}: a .keras file holds {', '.join(MEMBERS)}, this one {shown or 'nothing'}")
    if any(member.flag_bits & ENCRYPTED for member in members):
        raise FormatError(f"{path}: an encrypted .keras file is not read")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise FormatError(f"{path}: packed in a way that Keras does not use; only stored and deflated members are read")
    size = path.stat().st_size
    if any(m.compress_type == zipfile.ZIP_STORED and m.file_size != m.compress_size for m in members):
        raise FormatError(f"{path}: a member is not as large as it says")
    if sum(m.file_size for m in members) > EXPANSION * size or any(m.compress_size > size for m in members):
        raise FormatError(
            f"{path}: its members would take {sum(m.file_size for m in members):,} bytes, the file has {size:,}"
        )
