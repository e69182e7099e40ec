"""`minicnn summary MODEL`: the layers of a network of the zoo."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence

from minicnn import zoo
from minicnn.commands import UsageError, guarded
from minicnn.commands.arguments import Parser, complete
from minicnn.commands.recipes import in_words
from minicnn.layers.initializers import placeholders
from minicnn.model.receptive_field import receptive_fields
from minicnn.model.summary import fold
from minicnn.names import unknown

LAYER = 44  # characters of the first column of the table of receptive fields, which is 80 wide


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("summary", lambda: show(sys.argv[1:] if argv is None else argv))


def show(argv: Sequence[str]) -> None:
    """Prints the summary. Raises UsageError for what does not exist, ValueError for images that are too small."""
    arguments = parser().parse_args(list(argv))
    if arguments.model not in zoo.FAMILIES:
        raise UsageError(unknown("model", arguments.model, zoo.FAMILIES))
    entry = zoo.entry(arguments.model)
    if arguments.variant is not None and arguments.variant not in entry.variants:
        raise UsageError(unknown(f"variant of {entry.name}", arguments.variant, entry.variants))
    height, width, channels = entry.input_shape
    if arguments.img_size is not None:
        height, width = arguments.img_size
    with placeholders():
        model = zoo.build(entry.name, arguments.variant, (height, width, channels), arguments.num_classes)
    model.summary()
    print(f" Paper: {entry.paper}")
    print("\n".join(recipes(entry.name)))
    if arguments.receptive_field:
        print_fields(model)


def recipes(name: str) -> list[str]:
    """How minicnn train trains it, in lines of 80: in small, and as its paper did, where there is one."""
    lines = []
    for which in ("small", "paper"):
        try:
            lines += in_words(complete({"model": name, "recipe": which, "dataset": "digits"}))
        except UsageError:
            lines.append(f" Recipe: {which}: there is none")
    return lines


def parser() -> Parser:
    """The arguments."""
    made = Parser(
        prog="minicnn summary",
        description="Print the layers of a network: shapes, parameters, multiply-adds per image.",
        allow_abbrev=False,
    )
    made.add_argument("model", metavar="MODEL", help="a network of the zoo (minicnn list shows them)")
    made.add_argument("--variant", metavar="NAME", help="form of the network, e.g. torch for resnet50")
    made.add_argument("--img-size", metavar="N|HxW", type=image_size, help="of the input (default: the network's own)")
    made.add_argument(
        "--num-classes", metavar="N", type=whole_number, help="number of classes (default: the network's own)"
    )
    made.add_argument("--receptive-field", action="store_true", help="also which pixels the units of each layer see")
    return made


def image_size(text: str) -> tuple[int, int]:
    """(height, width) from "224" or "480x640"."""
    tall, cross, wide = text.partition("x")
    return whole_number(tall), whole_number(wide if cross else tall)


def whole_number(text: str) -> int:
    """A number from 1 up. Raises ArgumentTypeError for anything else."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError(f"must be a whole number from 1 up, got {text!r}")
    return int(text)


def print_fields(model) -> None:
    """A line a layer: the size of its units' fields, how far apart they lie, and the middle of the first one's."""
    print("\nReceptive fields in pixels (height x width where they differ): their size, the")
    print("jump from one unit to the next, and the middle of the first one's; the image's")
    print("first pixel is at 0.")
    print(f" {'Layer (type)':<{LAYER}} {'Size':>11} {'Jump':>9}  Middle")
    for name, field in receptive_fields(model).items():
        size, jump, middle = both(field.size), both(field.jump), both(field.offset)
        if field.jump == (0, 0):
            jump, middle = "-", "all of it"
        first, *rest = fold(f"{name} ({type(model.get_layer(name)).__name__})", LAYER).split("\n")
        print(f" {first:<{LAYER}} {size:>11} {jump:>9}  {middle}")
        for line in rest:
            print(f" {line}")


def both(pair: tuple[float, float]) -> str:
    """ "7", or "7 x 5"."""
    tall, wide = (f"{number:g}" for number in pair)
    return tall if tall == wide else f"{tall} x {wide}"
