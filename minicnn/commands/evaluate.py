"""`minicnn evaluate RUN`: what the network of a run is worth on the test images, class by class."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.commands import guarded, loading
from minicnn.commands.arguments import Parser
from minicnn.commands.loading import Opened, open_run
from minicnn.commands.predict import one_device, shortened
from minicnn.commands.scores import Scores
from minicnn.data.crops import grid_crops, inception_crops, ten_crop
from minicnn.data.images import resize

Cut = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def ten(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """AlexNet's ten, of images of 256/224 of the size: Krizhevsky et al. 2012, section 4.1."""
    return ten_crop(resize(images, (round(size[0] * 256 / 224), round(size[1] * 256 / 224))), size)


def vgg(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """VGG's 150, at three scales: Simonyan and Zisserman 2014, section 3.2."""
    return grid_crops(images, size, [round(min(size) * scale / 224) for scale in (256, 384, 512)])


def inception(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Inception's 144, at four scales: Szegedy et al. 2014, section 7."""
    return inception_crops(images, size, [round(min(size) * scale / 224) for scale in (256, 288, 320, 352)])


# By name: how many there are, the side of the largest image for a network of 224, and how they are cut
CROPS: dict[str, tuple[int, int, Cut]] = {
    "ten": (10, 256, ten), "vgg": (150, 512, vgg), "inception": (144, 352, inception)
}  # fmt: skip
SHOWN = 20  # classes of which the confusion matrix is printed


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("evaluate", lambda: evaluate(parser().parse_args(sys.argv[1:] if argv is None else list(argv))))


def parser() -> Parser:
    """The parser of the command."""
    made = Parser(
        prog="minicnn evaluate",
        usage="%(prog)s RUN [flags]",
        description="Test the network of a run: accuracy and loss, then precision, recall and F1 of each class, and "
        "what was taken for what.",
        epilog="Exit codes: 0 ok, 1 error, 2 usage.",
        formatter_class=lambda prog: argparse.HelpFormatter(
            prog, max_help_position=28, width=min(80, shutil.get_terminal_size().columns)
        ),
        allow_abbrev=False,
    )
    made.add_argument("run", metavar="RUN", help="a run folder, e.g. runs/lenet5")
    made.add_argument("--checkpoint", metavar="WHICH", help="best, last, or a file (default: the weights of the end)")
    made.add_argument("--crops", choices=("one", *CROPS), default="one", metavar="NAME",
        help="one (default); ten: corners, middle, and mirrored, of larger images; vgg: 150, or inception: 144, of "
        "several sizes")  # fmt: skip
    made.add_argument("--data-dir", metavar="DIR", help="where the data set lies (default: the run's)")
    made.add_argument("--device", metavar="NAME", type=one_device, default="cpu", help="cpu (default), gpu or gpu:N")
    made.add_argument("--json", action="store_true", help="all numbers as JSON")
    return made


def evaluate(settings: argparse.Namespace) -> None:
    """Prints the tables. Raises UsageError, ValueError and OSError for what is not there or does not fit."""
    opened = open_run(settings.run, settings.checkpoint)
    opened.model.to(settings.device)
    found = scores(opened, settings.crops, settings.data_dir)
    if settings.json:
        print(json.dumps(as_numbers(opened, found, settings.crops)))
        return
    names = opened.class_names
    crops = f", {CROPS[settings.crops][0]} crops of each" if settings.crops in CROPS else ""
    count = f"{len(found.labels):,} images{crops}"
    print(f"{opened.settings.model} on {opened.settings.dataset}: {opened.weights} ({count})")
    more = f"  top-5 {found.top(5):.4f}" if len(names) > 5 else ""
    print(f"accuracy {found.accuracy:.4f}{more}  loss {found.losses.mean():.4f}\n")
    width = max(5, min(30, max(map(len, names))))
    print(f"{'class':<{width}}  images  precision  recall      f1")
    for name, row in zip(names, found.by_class(), strict=True):
        numbers = f"{row['images']:>6,}  {row['precision']:>9.4f}  {row['recall']:>6.4f}  {row['f1']:>6.4f}"
        print(f"{shortened(name, width):<{width}}  {numbers}")
    if len(names) <= SHOWN:
        print("\nrows: what it is, columns: what it was taken for")
        print("\n".join(matrix_lines(found.confusion, names)))


def scores(opened: Opened, crops: str = "one", data_dir: str | None = None) -> Scores:
    """The probabilities of all test images; of several crops their means."""
    images, labels, top = loading.test_part(opened, data_dir)
    pieces = _one(opened, images, top) if crops == "one" else _of_crops(opened, images, top, crops)
    return Scores(np.asarray(labels), np.concatenate(list(pieces)))


def _one(opened: Opened, images: Any, top: float) -> Iterator[np.ndarray]:
    for x in loading.prepared_pieces(opened, images, top):
        yield opened.model.predict(x, 64, verbose=0)


def _of_crops(opened: Opened, images: Any, top: float, crops: str) -> Iterator[np.ndarray]:
    """The means over the crops of larger images."""
    height, width, channels = opened.preprocessing.shape
    count, largest, cut = CROPS[crops]
    if not isinstance(images, np.ndarray):
        images = images.sized((round(height * largest / 224), round(width * largest / 224)), channels)
    together = max(320 // count, 1)
    for start in range(0, len(images), together):
        some = images[start : start + together]
        if opened.preprocessing.pad:  # with the border that belongs to them
            some = opened.preprocessing.sized(some, top)
        parts = cut(some, (height, width))  # (N, crops, H, W, C)
        x = opened.preprocessing(parts.reshape(-1, *parts.shape[2:]), 1 if opened.preprocessing.pad else top)
        yield opened.model.predict(x, 64, verbose=0).reshape(*parts.shape[:2], -1).mean(1)


def as_numbers(opened: Opened, found: Scores, crops: str) -> dict[str, Any]:
    """All that is printed, for other programs."""
    rows = dict(zip(opened.class_names, found.by_class(), strict=True))
    return {
        "run": str(opened.folder), "weights": str(opened.weights), "crops": crops, "images": len(found.labels),
        "accuracy": found.accuracy, "loss": float(found.losses.mean()), "classes": rows,
        "confusion": found.confusion.tolist(),
    }  # fmt: skip


def matrix_lines(matrix: np.ndarray, names: Sequence[str]) -> list[str]:
    """The confusion matrix in lines; classes have their names on the left and numbers above."""
    width = max(len(f"{matrix.max():,}"), 2) + 1
    left = max(2, min(16, max(map(len, names))))
    lines = [" " * (left + 4) + "".join(f"{i:>{width}}" for i in range(len(names)))]
    for i, (name, row) in enumerate(zip(names, matrix.tolist(), strict=True)):
        cells = "".join(f"{n if n else '.':>{width}}" for n in row)
        lines.append(f"{i:>2}  {shortened(name, left):<{left}}{cells}")
    return lines
