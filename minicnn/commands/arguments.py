"""The flags of `minicnn train`, and how they become settings, with the defaults, a recipe and a config file."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from minicnn import data, zoo
from minicnn.commands import USAGE, UsageError, toml
from minicnn.commands.recipes import recipe
from minicnn.names import unknown

DEFAULTS: dict[str, Any] = {
    "dataset": "digits",
    "device": "cpu",
    "seed": 0,
    "dtype": "float32",
    "output": "runs",
    "log_interval": 20,
}
OF_ONE_CALL = ("config", "quiet", "verbose", "summary")  # flags that say nothing about the run: not in config.toml


class Parser(argparse.ArgumentParser):
    """Raises UsageError: one line, with the flag that comes near, where argparse prints the whole usage."""

    def parse_args(self, args=None, namespace=None):
        namespace, rest = self.parse_known_args(args, namespace)
        if rest:
            if not rest[0].startswith("-"):
                raise UsageError(f"one model at a time, got {rest[0]!r} too")
            flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
            raise UsageError(unknown("flag", rest[0].partition("=")[0], flags))
        return namespace

    def error(self, message):
        raise UsageError(message)


def parser(prog: str = "minicnn train") -> Parser:
    """The parser: a flag that is not given leaves nothing in its namespace."""
    made = Parser(
        prog=prog,
        usage="%(prog)s MODEL [flags]",
        description="Train a network of the zoo on a data set. Leaves its settings, its metrics per epoch and its "
        "weights in a run folder of its own.",
        epilog=f"Exit codes: 0 ok, 1 error, {USAGE} usage, 12 out of memory, 20 loss not finite, 130 Ctrl-C.",
        formatter_class=lambda prog: argparse.HelpFormatter(
            prog, max_help_position=28, width=min(80, shutil.get_terminal_size().columns)
        ),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    made.add_argument("model", metavar="MODEL", nargs="?", help=f"one of: {', '.join(zoo.names())}")
    _what(made.add_argument_group("the network and the data"))
    _how(made.add_argument_group("training (defaults: the model's recipe)"))
    _where(made.add_argument_group("the machine"))
    _output(made.add_argument_group("the run folder and the progress"))
    return made


def _what(group):
    group.add_argument("--variant", metavar="NAME", help="form of the network, e.g. 1998 for lenet5")
    group.add_argument("--dataset", metavar="NAME", help=f"one of: {', '.join(data.names())} (default: digits)")
    group.add_argument("--img-size", metavar="N", type=_at_least(1), help="height and width (default: the model's)")
    group.add_argument("-c", "--config", metavar="TOML", help="settings from a file; flags override them")


def _how(group):
    group.add_argument("--epochs", metavar="N", type=_at_least(0), help="passes over the training images")
    group.add_argument("-b", "--batch-size", metavar="N", type=_at_least(1), help="images a step")
    group.add_argument("--opt", choices=("sgd", "adam"), help="optimizer: sgd or adam", metavar="NAME")
    group.add_argument("--lr", metavar="X", type=_number(low=0), help="learning rate")
    group.add_argument("--sched", metavar="NAME", choices=("none", "cosine"), help="learning rate: none or cosine to 0")
    group.add_argument("--momentum", metavar="X", type=_number(low=0, below=1), help="of sgd")
    group.add_argument("--weight-decay", metavar="X", type=_number(low=0), help="decoupled, as in AdamW")
    group.add_argument("--shift", metavar="N", type=_at_least(0), help="move images at random by up to N cells")
    group.add_argument("--seed", metavar="N", type=_at_least(0), help="of weights and shuffling (default: 0)")
    group.add_argument("--limit-batches", metavar="N", type=_at_least(1), help="steps an epoch, for a quick try")


def _where(group):
    group.add_argument("--device", metavar="NAME", type=_device, help="cpu, gpu, gpu:N or auto (default: cpu)")
    group.add_argument("--dtype", metavar="NAME", choices=("float32", "float64"), help="float32 (default) or float64")
    group.add_argument("--threads", metavar="N", type=_at_least(1), help="of the CPU (default: all)")


def _output(group):
    group.add_argument("--output", metavar="DIR", help="where run folders are made (default: runs)")
    group.add_argument("--name", help="of the run folder (default: the model's); never overwritten: NAME-2, ...")
    group.add_argument("--log-interval", metavar="N", type=_at_least(1), help="steps a line, off a terminal (20)")
    group.add_argument("--summary", action="store_true", help="print the network and stop")
    group.add_argument("-q", "--quiet", action="store_true", help="only the result")
    group.add_argument("-v", "--verbose", action="store_true", help="also the settings and versions")


def resolve(argv: Sequence[str], prog: str = "minicnn train") -> SimpleNamespace:
    """The settings of a run: the command line goes before the config file, that before the recipe and the defaults.

    Raises UsageError for what does not exist or does not fit. A setting that nobody gave is None.
    """
    given = vars(parser(prog).parse_args(argv))
    if "config" in given:
        given = {**_from_file(given["config"], prog), **given}
    if "model" not in given:
        raise UsageError("which MODEL? For example lenet5")
    dataset = given.get("dataset", DEFAULTS["dataset"])
    _check_names(given["model"], given.get("variant"), dataset)
    settings: dict[str, Any] = dict.fromkeys(a.dest for a in parser()._actions if a.dest != "help")
    settings |= DEFAULTS | recipe(given["model"], dataset) | given
    if settings["momentum"] is not None and settings["opt"] != "sgd":
        if "momentum" in given:
            raise UsageError(f"--momentum belongs to --opt sgd, not to {settings['opt']}")
        settings["momentum"] = None
    settings["name"] = _plain_name(settings["name"] or settings["model"])
    return SimpleNamespace(**settings)


def to_table(settings: SimpleNamespace) -> dict[str, object]:
    """What config.toml holds: every setting that a repetition of the run needs."""
    return {key: value for key, value in vars(settings).items() if key not in OF_ONE_CALL}


def _from_file(path: str, prog: str) -> dict[str, object]:
    """A config file's settings, checked by the same parser as the flags."""
    try:
        table = toml.load(path)
    except ValueError as error:
        raise UsageError(str(error)) from None
    known = {action.dest for action in parser(prog)._actions} - {"help", *OF_ONE_CALL}
    for key in table.keys() - known:
        raise UsageError(f"{path}: {unknown('setting', key, known)}")
    argv = [f"--{key.replace('_', '-')}={value}" for key, value in table.items() if key != "model"]
    try:
        settings = vars(parser(prog).parse_args(argv))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return settings | ({"model": str(table["model"])} if "model" in table else {})


def _check_names(model, variant, dataset):
    try:
        variants = zoo.entry(model).variants
    except ValueError as error:
        raise UsageError(str(error)) from None
    if variant is not None and variant not in variants:
        raise UsageError(unknown(f"variant of {model}", variant, variants))
    if dataset not in data.names():
        raise UsageError(unknown("data set", dataset, data.names()))


def _plain_name(name: str) -> str:
    if name != Path(name).name or name in (".", ".."):
        raise UsageError(f"--name must be a folder's name without a path, got {name!r}")
    return name


def _at_least(low: int):
    def whole_number(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}, got {value}")
        return value

    whole_number.__name__ = "whole number"  # argparse's message: invalid whole number value: 'x'
    return whole_number


def _number(low: float, below: float = float("inf")):
    def number(text: str) -> float:
        value = float(text)
        if not low <= value < below:
            raise argparse.ArgumentTypeError(f"must be from {low:g} to below {below:g}, got {text}")
        return value

    return number


def _device(text: str) -> str:
    kind, colon, index = text.partition(":")
    if text not in ("cpu", "gpu", "auto") and not (kind == "gpu" and colon and index.isascii() and index.isdigit()):
        raise argparse.ArgumentTypeError(f"must be cpu, gpu, gpu:N or auto, got {text!r}")
    return text
