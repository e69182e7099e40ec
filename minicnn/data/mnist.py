"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28 in ten classes, as idx files.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition, Proceedings of the
IEEE 86 (1998). H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, 2017, arXiv:1708.07747.
"""

import hashlib
from pathlib import Path

import numpy as np

from minicnn.data import Dataset, files
from minicnn.data.idx import read_idx

NAMES = tuple(
    f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)  # images and labels for training, then for test
CLASSES = 10
FULL = (60_000, 10_000)
FOLDERS = {"mnist": ("mnist",), "fashion_mnist": ("fashion_mnist", "fashion")}
CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
}  # fmt: skip
MIRRORS = {
    "mnist": (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    "fashion_mnist": (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # no https: the checksum vouches for it
    ),
}
SHA256 = {
    "mnist": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    "fashion_mnist": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """ "mnist" or "fashion_mnist": x (N, 28, 28, 1) uint8, y (N,) int64.

    Raises FileNotFoundError where it is not here and cannot be downloaded, ValueError for damaged files.
    """
    paths = _paths(name, data_dir)
    parts = [_part(*paths[i : i + 2]) for i in (0, 2)]
    (x_train, y_train), (x_test, y_test) = parts
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{paths[0]} has images of {x_train.shape[1]} x {x_train.shape[2]}, "
            f"{paths[2]} of {x_test.shape[1]} x {x_test.shape[2]}"
        )
    return Dataset(name, x_train, y_train, x_test, y_test, CLASS_NAMES[name], full=FULL)


def remotes(name: str) -> list[files.Remote]:
    """The four files, with their checksums and addresses."""
    return [
        files.Remote(file, sha256, tuple(mirror + file for mirror in MIRRORS[name]))
        for file, sha256 in zip(NAMES, SHA256[name], strict=True)
    ]


def _paths(name: str, data_dir: str | Path | None) -> list[Path]:
    """The four files: of the first folder that has them all, else of the cache."""
    parts = ""
    for folder in files.folders(data_dir, FOLDERS[name]):
        paths = [files.first_of(folder, (file, file.removesuffix(".gz"))) for file in NAMES]
        found = [path for path in paths if path is not None]
        if len(found) == len(NAMES):
            _check_name(name, found)
            return found
        if found:
            lacking = [file for file, path in zip(NAMES, paths, strict=True) if path is None]
            parts = f"{folder} lacks {', '.join(lacking)}"
    return files.fetch(name, remotes(name), parts)


def _check_name(name: str, paths: list[Path]) -> None:
    """Raises ValueError where the files are those of the other data set, whose names are the same."""
    sha256 = hashlib.sha256(paths[-1].read_bytes()[: 1 << 20]).hexdigest()  # the smallest of them
    for other, sums in SHA256.items():
        if other != name and sha256 == sums[-1]:
            raise ValueError(f"{paths[-1].parent} holds {other}, not {name}: put each into a folder of its name")


def _part(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_idx(images, axes=3), read_idx(labels, axes=1)
    if len(x) != len(y) or x.size == 0:
        raise ValueError(f"{images} has {len(x):,} images of {x.shape[1]} x {x.shape[2]}, {labels} {len(y):,} labels")
    if y.max() >= CLASSES:
        raise ValueError(f"{labels}: labels must be 0 to {CLASSES - 1}, number {int(y.argmax())} is {y.max()}")
    return x[..., np.newaxis], y.astype(np.int64)
