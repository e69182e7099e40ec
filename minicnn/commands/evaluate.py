"""`minicnn evaluate RUN`: what the network of a run is worth on the test images, class by class."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.commands import guarded, loading
from minicnn.commands.arguments import Parser
from minicnn.commands.loading import Opened, open_run
from minicnn.commands.predict import one_device, shortened
from minicnn.commands.scores import Scores
from minicnn.data.crops import ten_crop
from minicnn.data.images import resize

LARGER = 256 / 224  # the size of the images from which ten crops are cut: Krizhevsky et al. 2012, section 4.1
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
    made.add_argument("--crops", choices=("one", "ten"), default="one", metavar="N",
        help="one (default), or ten: corners, middle, and mirrored, of larger images")  # fmt: skip
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
    count = f"{len(found.labels):,} images{', ten crops' if settings.crops == 'ten' else ''}"
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
    """The probabilities of all test images; of ten crops their means."""
    images, labels, top = loading.test_part(opened, data_dir)
    pieces = _ten(opened, images, top) if crops == "ten" else _one(opened, images, top)
    return Scores(np.asarray(labels), np.concatenate(list(pieces)))


def _one(opened: Opened, images: Any, top: float) -> Iterator[np.ndarray]:
    for x in loading.prepared_pieces(opened, images, top):
        yield opened.model.predict(x, 64, verbose=0)


def _ten(opened: Opened, images: Any, top: float) -> Iterator[np.ndarray]:
    """Larger images, cut at the corners and in the middle, mirrored too (AlexNet, section 4.1)."""
    height, width, channels = opened.preprocessing.shape
    larger = (round(height * LARGER), round(width * LARGER))
    if not isinstance(images, np.ndarray):
        images = images.sized(larger, channels)
    for start in range(0, len(images), 32):
        some = images[start : start + 32]
        if opened.preprocessing.pad:  # with the border that belongs to them
            some = opened.preprocessing.sized(some, top)
        cut = ten_crop(resize(some, larger), (height, width))  # (N, 10, H, W, C)
        x = opened.preprocessing(cut.reshape(-1, *cut.shape[2:]), 1 if opened.preprocessing.pad else top)
        yield opened.model.predict(x, 64, verbose=0).reshape(*cut.shape[:2], -1).mean(1)


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
