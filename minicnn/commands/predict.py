"""`minicnn predict MODEL --weights FILE IMAGE ...`, or --run RUN: what a network sees in pictures."""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import zoo
from minicnn.commands import ERROR, UsageError, guarded
from minicnn.commands.arguments import Parser
from minicnn.commands.loading import noted, noted_variant, open_run
from minicnn.commands.preprocessing import Preprocessing
from minicnn.data.pictures import pillow, read_picture
from minicnn.layers.initializers import placeholders
from minicnn.model import load_model
from minicnn.names import unknown
from minicnn.zoo.preprocessing import MODES, decode_predictions, preprocess_input, read_labels

Preparation = Preprocessing | str  # of a run, or a mode of published weights
BATCH = 16  # pictures at a time
WIDTH = 80


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("predict", lambda: predict(parsed(sys.argv[1:] if argv is None else argv)))


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The settings. Flags may stand between the pictures. Raises UsageError."""
    made = parser()
    settings, rest = made.parse_known_intermixed_args(argv)
    if rest:
        flags = [flag for flag in made._option_string_actions if flag.startswith("--")]
        raise UsageError(unknown("flag", rest[0].partition("=")[0], flags))
    settings.model = None
    if settings.run is None:
        settings.model, settings.images = next(iter(settings.words), None), settings.words[1:]
        if settings.checkpoint is not None:
            raise UsageError("--checkpoint belongs to --run")
    else:
        settings.images = settings.words
        for flag in ("variant", "num_classes", "img_size", "weights", "preprocessing"):
            if getattr(settings, flag) is not None:
                raise UsageError(f"--{flag.replace('_', '-')} does not go with --run: the run has its own")
    if not settings.images:
        raise UsageError(f"which {'' if settings.model or settings.run else 'MODEL and '}IMAGE?")
    return settings


def parser() -> Parser:
    """The parser of the command."""
    made = Parser(
        prog="minicnn predict",
        usage="%(prog)s MODEL --weights FILE IMAGE ... [flags]\n       %(prog)s --run RUN IMAGE ... [flags]",
        description="Print the best classes of each picture: the square in its middle, in the network's size. Weights "
        "of minicnn train know how pictures are prepared and what the classes are called.",
        epilog="Exit codes: 0 ok, 1 error, also where one of the pictures cannot be read, 2 usage.",
        formatter_class=lambda prog: argparse.HelpFormatter(
            prog, max_help_position=28, width=min(WIDTH, shutil.get_terminal_size().columns)
        ),
        allow_abbrev=False,
    )
    made.add_argument(
        "words", metavar="MODEL IMAGE", nargs="*",
        help="MODEL, unless --run is given: a network of the zoo, or a .keras or .h5 file of a whole model; "
        "then pictures in any format that Pillow reads",
    )  # fmt: skip
    made.add_argument("--run", metavar="RUN", help="a run folder of minicnn train")
    made.add_argument("--checkpoint", metavar="WHICH", help="of --run: best, last, or a file (default: its weights)")
    made.add_argument("--weights", metavar="FILE", help=".safetensors, .weights.h5, .h5 or .keras")
    made.add_argument("--labels", metavar="FILE", help="names of the classes: imagenet_class_index.json, or one a line")
    made.add_argument("--variant", metavar="NAME", help="form of the network, e.g. 1998 for lenet5")
    made.add_argument("--num-classes", metavar="N", type=int, help="of the network (default: the model's)")
    made.add_argument("--img-size", metavar="N", type=int, help="height and width (default: the model's)")
    made.add_argument("--top", metavar="N", type=int, default=5, help="classes to show (default: 5)")
    made.add_argument(
        "--preprocessing", metavar="NAME", choices=MODES,
        help="what the weights were trained with: caffe, tf, torch, or unit, 0..1 (default: what the file says; else "
        "that of the published weights, where there are any, else unit)",
    )  # fmt: skip
    made.add_argument("--device", metavar="NAME", type=one_device, default="cpu", help="cpu (default), gpu or gpu:N")
    return made


def one_device(text: str) -> str:
    """The name of a device. Raises ArgumentTypeError for anything but cpu, gpu and gpu:N."""
    if re.fullmatch("cpu|gpu(:[0-9]+)?", text) is None:
        raise argparse.ArgumentTypeError(f"must be cpu, gpu or gpu:N, got {text!r}")
    return text


def predict(settings: argparse.Namespace) -> int:
    """Prints a table for each picture; returns 1 where one could not be read.

    Raises UsageError, ValueError, OSError and ImportError for what is not there or does not fit.
    """
    for name in ("num_classes", "img_size", "top"):
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    pillow()
    labels = None if settings.labels is None else read_labels(settings.labels)
    model, prepare, known = _model(settings)
    if labels is None and known:
        labels = [(str(i), name) for i, name in enumerate(known)]
    if isinstance(model.input_shape, list) or len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise ValueError(f"{model.name} does not take one picture of a known size, but {model.input_shape}")
    model.to(settings.device)
    broken = False
    for start in range(0, len(settings.images), BATCH):
        names = settings.images[start : start + BATCH]
        pictures = [_read(name, _size(prepare, model.input_shape[1:])) for name in names]
        broken |= any(picture is None for picture in pictures)
        found = [(name, picture) for name, picture in zip(names, pictures, strict=True) if picture is not None]
        if found:
            scores = _scores(model, [picture for _, picture in found], prepare)
            _show([name for name, _ in found], scores, labels, settings)
    return ERROR if broken else 0


def _model(settings: argparse.Namespace) -> tuple[Any, Preparation, tuple[str, ...]]:
    """The network with its weights, the preprocessing, and the names of the classes where they are known."""
    if settings.run is not None:
        opened = open_run(settings.run, settings.checkpoint)
        return opened.model, opened.preprocessing, opened.class_names
    if Path(settings.model).suffix in (".keras", ".h5"):
        for flag in ("variant", "num_classes", "img_size"):
            if getattr(settings, flag) is not None:
                raise UsageError(
                    f"--{flag.replace('_', '-')} belongs to a network of the zoo; {settings.model} has its own"
                )
        model = load_model(settings.model)
        if settings.weights is not None:
            model.load_weights(settings.weights)
        mode = zoo.entry(model.name).preprocessing() if model.name in zoo.names() else "unit"
        return model, settings.preprocessing or mode, ()
    if settings.model not in zoo.names():
        raise UsageError(unknown("model", settings.model, zoo.names()))
    if settings.weights is None:
        raise UsageError(f"which --weights FILE? {settings.model} with random weights knows no picture")
    entry = zoo.entry(settings.model)
    if settings.variant is not None and settings.variant not in entry.variants:
        raise UsageError(unknown(f"variant of {settings.model}", settings.variant, entry.variants))
    shape, own = entry.input_shape, _noted(settings)
    if own is not None:
        shape = own.shape
    if settings.img_size is not None:
        shape = (settings.img_size, settings.img_size, shape[2])
    variant = settings.variant or (None if own is None else noted_variant(settings.weights))
    classes = settings.num_classes or (len(own.class_names) if own is not None else None)
    with placeholders():
        model = zoo.build(settings.model, variant, input_shape=shape, classes=classes)
    model.load_weights(settings.weights)
    if own is not None:
        return model, own, own.class_names
    return model, settings.preprocessing or entry.preprocessing(settings.variant), ()


def _noted(settings: argparse.Namespace) -> Preprocessing | None:
    """What the weights say of their pictures, unless the flags say otherwise."""
    if settings.preprocessing is not None or settings.img_size is not None or not Path(settings.weights).is_file():
        return None
    return noted(settings.weights)


def _size(prepare: Preparation, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """In which a picture is read: smaller than the network's where a border is added."""
    return (*prepare.source, shape[2]) if isinstance(prepare, Preprocessing) and prepare.source else shape


def _read(name: str, shape: tuple[int, int, int]) -> np.ndarray | None:
    """The picture, or None after a line that says which one is broken."""
    try:
        return read_picture(name, shape[:2], shape[2])
    except OSError as error:
        print(f"minicnn predict: {error if error.strerror is None else f'{name}: {error.strerror}'}", file=sys.stderr)
    except ValueError as error:
        print(f"minicnn predict: {' '.join(str(error).split())}", file=sys.stderr)
    return None


def _scores(model: Any, pictures: list[np.ndarray], prepare: Preparation) -> np.ndarray:
    x = np.stack(pictures)
    scores = model.predict(prepare(x) if callable(prepare) else preprocess_input(x, prepare), verbose=0)
    scores = scores[0] if isinstance(scores, list) else scores  # the heads behind the first are for training
    if scores.ndim != 2:
        raise ValueError(f"{model.name} gives no scores of classes, but an output of shape {scores.shape[1:]}")
    return scores


def _show(names: list[str], scores: np.ndarray, labels: list[tuple[str, str]] | None, settings: Any) -> None:
    if labels is None:
        labels = [(str(i), f"class {i}") for i in range(scores.shape[1])]
    for name, best in zip(names, decode_predictions(scores, labels, settings.top), strict=True):
        print(shortened(name, WIDTH))
        for rank, (identifier, label, score) in enumerate(best, 1):
            print(f"  {rank:>3}  {score:>8.4f}  {shortened(identifier, 12):<12}  {shortened(label, 47)}".rstrip())


def shortened(text: str, width: int) -> str:
    """At most `width` characters, printable ones: a longer text loses its middle."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= width else f"{text[: (width - 3) // 2]}...{text[-(width - 3 - (width - 3) // 2) :]}"
