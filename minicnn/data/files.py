"""Where the files of a data set are: in a folder of the user's, or in pooch's cache, downloaded and checked."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "MINICNN_DATA"
SECONDS = 30  # that a mirror may keep silent


@dataclass(frozen=True)
class Remote:
    """A file of a data set: its name, its checksum, and the addresses to try, in this order."""

    name: str
    sha256: str
    addresses: tuple[str, ...]


def folders(data_dir: str | Path | None, inner: Sequence[str]) -> list[Path]:
    """Where to look for a data set: the inner folders of data_dir, itself, then the same of $MINICNN_DATA.

    Raises FileNotFoundError where data_dir is given and not there.
    """
    if data_dir is not None and not Path(data_dir).is_dir():
        raise FileNotFoundError(f"{data_dir}: no such folder")
    given = [Path(place) for place in (data_dir, os.environ.get(VARIABLE)) if place]
    places = [place / name for place in given for name in (*inner, "")]
    return [place for place in places if place.is_dir()]


def first_of(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of these files that the folder has, or None."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def cache(name: str) -> Path:
    """The folder of a data set in the user's cache."""
    import pooch

    return Path(pooch.os_cache("minicnn")) / name


def fetch(dataset: str, files: Sequence[Remote], found: str = "") -> list[Path]:
    """The files in the cache, downloaded where they are not there yet, or are not what they should be.

    found: what is to be said of the folders that were looked through. Raises FileNotFoundError, which says which file
    to put where, and its addresses, where one cannot be had.
    """
    folder = cache(dataset)
    paths: list[Path] = []
    for file in files:
        path, reason = _download(file, folder)
        if path is None:
            raise FileNotFoundError(_advice(dataset, files, folder, found, reason))
        paths.append(path)
    return paths


def _download(file: Remote, folder: Path) -> tuple[Path | None, str]:
    """The file, or None and why no address gave it."""
    import pooch

    reasons = []
    for address in file.addresses:
        get: Any = pooch.HTTPDownloader(timeout=SECONDS)
        try:
            path = pooch.retrieve(address, f"sha256:{file.sha256}", file.name, folder, downloader=get)
            return Path(path), ""
        except Exception as error:  # requests', pooch's and the system's own: the next mirror may do
            reasons.append(f"{address.split('/')[2]}: {_short(error)}")
    return None, "; ".join(reasons)


def _short(error: Exception) -> str:
    if isinstance(error, ValueError) and "hash" in str(error):
        return "what came has another checksum"
    text = " ".join(str(error).split())
    return text if 0 < len(text) <= 100 else type(error).__name__  # urllib3's tell a long story


def _advice(dataset: str, files: Sequence[Remote], folder: Path, found: str, reason: str) -> str:
    names = ", ".join(file.name for file in files)
    mirrors = " or ".join(address.removesuffix(files[0].name) for address in files[0].addresses)
    return (
        f"{dataset} is not here and cannot be downloaded.{found and f' {found}.'}\nGet {names} from {mirrors}\nand put "
        f"what you get into {folder}, or into a folder that --data-dir (data_dir=) or {VARIABLE} names.\n({reason})"
    )
