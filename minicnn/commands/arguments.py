"""How the flags of `minicnn train` become settings, with the defaults, a recipe, a config file and a run to resume."""

import argparse
import shutil
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from minicnn import data, zoo
from minicnn.commands import USAGE, UsageError, toml
from minicnn.commands.flags import GROUPS
from minicnn.commands.recipes import recipe, words_of_recipes
from minicnn.names import unknown

DEFAULTS: dict[str, Any] = {
    "dataset": "digits",
    "val_split": 0.0,
    "workers": 0,
    "decay_bias_bn": True,
    "decay_rate": 0.1,
    "device": "cpu",
    "seed": 0,
    "dtype": "float32",
    "output": "runs",
    "save_every": "1",
    "keep": 3,
    "on_save_error": "stop",
    "log_interval": 20,
}
OF_ONE_CALL = ("config", "resume", "quiet", "verbose", "summary")  # they say nothing about the run: not in config.toml
# What a run that is resumed cannot change: its weights, its slots or its place in the data would mean something else.
FIXED = (
    "model", "variant", "dataset", "img_size", "preprocessing", "val_split", "opt", "batch_size", "grad_accum_steps",
    "ema", "seed", "limit_batches", "dtype", "aux_weight", "weights", "augment", "recipe",
)  # fmt: skip


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
        description="Train a network of the zoo on a data set. Leaves its settings, its metrics, its checkpoints and "
        "its weights in a run folder of its own.",
        epilog=f"{AUGMENT}\n\n{words_of_recipes()}\n\n{CODES}",
        formatter_class=lambda prog: Formatter(
            prog, max_help_position=28, width=min(80, shutil.get_terminal_size().columns)
        ),
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    made.add_argument("model", metavar="MODEL", nargs="?", help=f"one of: {', '.join(zoo.names())}")
    for title, fill in GROUPS.items():
        fill(made.add_argument_group(title))
    return made


AUGMENT = (
    "--augment: names with commas between them, each perhaps with a number. shift:2 moves by up to 2 cells of the "
    "network's input; crop:4 adds 4 cells all round and cuts; flip mirrors; scale:256-480 resizes the shorter side "
    "and cuts; resized cuts 8 to 100 % and resizes; jitter:0.4 changes brightness, contrast and saturation; "
    "lighting:0.1 is AlexNet's change of colours; none is none."
)
CODES = (
    f"Exit codes: 0 ok, 1 error, {USAGE} usage, 12 out of memory, 20 loss not finite, 130 Ctrl-C, 143 SIGTERM. The "
    "first of these signals ends the step and saves; the second acts at once."
)


class Formatter(argparse.HelpFormatter):
    """Keeps the paragraphs of the epilog apart, and shows --flag and --no-flag in one column."""

    def _fill_text(self, text, width, indent):
        return "\n\n".join(super(Formatter, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


def resolve(argv: Sequence[str], prog: str = "minicnn train") -> SimpleNamespace:
    """The settings of a run: the command line goes before the config file, that before the recipe and the defaults.

    Raises UsageError for what does not exist or does not fit. A setting that nobody gave is None.
    """
    return complete(parse(argv, prog))


def parse(argv: Sequence[str], prog: str = "minicnn train") -> dict[str, Any]:
    """What the command line, and the config file that it names, say. Raises UsageError."""
    given = vars(parser(prog).parse_args(argv))
    return {**from_file(given["config"], prog), **given} if "config" in given else given


def complete(given: dict[str, Any]) -> SimpleNamespace:
    """The settings, where what was given goes before the recipe and the defaults. Raises UsageError."""
    if "model" not in given:
        raise UsageError("which MODEL? For example lenet5")
    dataset = given.get("dataset", DEFAULTS["dataset"])
    _check_names(given["model"], given.get("variant"), dataset)
    settings: dict[str, Any] = dict.fromkeys(a.dest for a in parser()._actions if a.dest != "help")
    try:
        settings |= DEFAULTS | recipe(given["model"], dataset, given.get("recipe")) | given
    except ValueError as error:
        raise UsageError(str(error)) from None
    _settle_momentum(settings, given)
    _check_schedule(settings, given)
    if settings["sched"] == "plateau" and settings["sched_patience"] is None:
        settings["sched_patience"] = 5
    settings["name"] = settings["name"] or settings["model"]
    return SimpleNamespace(**settings)


def changed(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that goes on: its own, and over them what was given now. Raises UsageError.

    A setting of which the run's own say nothing is that of its recipe, or the default.
    """
    own = vars(complete(before))
    for name in FIXED:
        if name in given and given[name] != own[name]:
            flag = f"--{name.replace('_', '-')}" if name != "model" else "MODEL"
            raise UsageError(f"{flag} cannot change when a run goes on: it is {own[name]} there")
    return before | given


def to_table(settings: SimpleNamespace) -> dict[str, object]:
    """What config.toml holds: every setting that a repetition of the run needs."""
    return {key: value for key, value in vars(settings).items() if key not in OF_ONE_CALL}


def from_file(path: str, prog: str = "minicnn train") -> dict[str, Any]:
    """A config file's settings, checked by the same parser as the flags. Raises UsageError, OSError."""
    try:
        return from_table(toml.load(path), path, prog)
    except ValueError as error:
        raise UsageError(str(error)) from None


def from_table(table: dict[str, Any], path: str, prog: str = "minicnn train") -> dict[str, Any]:
    """Settings as `to_table` gives them, checked by the same parser as the flags. Raises UsageError."""
    known = {action.dest for action in parser(prog)._actions} - {"help", *OF_ONE_CALL}
    for key in table.keys() - known:
        raise UsageError(f"{path}: {unknown('setting', key, known)}")
    argv = [_flag(key, value) for key, value in table.items() if key != "model" and value is not None]
    try:
        settings = vars(parser(prog).parse_args(argv))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return settings | ({"model": str(table["model"])} if "model" in table else {})


def _flag(key: str, value: object) -> str:
    flag = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"


def _settle_momentum(settings: dict[str, Any], given: dict[str, Any]) -> None:
    """--opt momentum and nesterov have one of 0.9 unless told; adam and adamw have none."""
    opt = settings["opt"]
    if opt in ("adam", "adamw"):
        if "momentum" in given:
            raise UsageError(f"--momentum belongs to --opt sgd, nesterov and rmsprop, not to {opt}")
        settings["momentum"] = None
    elif opt in ("momentum", "nesterov") and settings["momentum"] is None:
        settings["momentum"] = 0.9
    if opt == "nesterov" and not settings["momentum"]:
        raise UsageError("--opt nesterov needs a --momentum above 0")


def _check_schedule(settings: dict[str, Any], given: dict[str, Any]) -> None:
    """Each schedule has what it needs, and what was given is of use to it."""
    needs = {"step": "decay_epochs", "exponential": "decay_epochs", "multistep": "decay_milestones"}
    need = needs.get(settings["sched"])
    if need and not settings[need]:
        raise UsageError(f"--sched {settings['sched']} needs --{need.replace('_', '-')}")
    if settings["sched"] == "plateau" and settings["warmup_epochs"]:
        raise UsageError("--warmup-epochs does not go with --sched plateau, which changes a constant rate")
    used = {
        "decay_epochs": ("step", "exponential"),
        "decay_milestones": ("multistep",),
        "decay_rate": ("step", "multistep", "exponential", "plateau"),
        "power": ("polynomial",),
        "sched_patience": ("plateau",),
        "min_lr": ("cosine", "polynomial", "plateau"),
    }
    for name, schedules in used.items():
        if settings["sched"] not in schedules:
            if name in given and "sched" in given:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} belongs to --sched {' or '.join(schedules)}, not to {settings['sched']}")
            settings[name] = None


def _check_names(model, variant, dataset):
    try:
        variants = zoo.entry(model).variants
    except ValueError as error:
        raise UsageError(str(error)) from None
    if variant is not None and variant not in variants:
        raise UsageError(unknown(f"variant of {model}", variant, variants))
    if dataset not in data.names():
        raise UsageError(unknown("data set", dataset, data.names()))
