"""`minicnn study NAME [MODEL]`: an instrument, its tables, and a report."""

import sys
from argparse import HelpFormatter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from minicnn import config, data, zoo
from minicnn.commands import UsageError, guarded
from minicnn.commands.arguments import Parser
from minicnn.commands.kinds import at_least
from minicnn.commands.runs import make_folder
from minicnn.names import unknown
from minicnn.study.instruments import INSTRUMENTS, MOST, Settings, find, quietly
from minicnn.study.output import write
from minicnn.study.printing import show

OUTPUT = "studies"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("study", lambda: study(sys.argv[1:] if argv is None else argv))


def study(argv: Sequence[str]) -> None:
    """Runs an instrument, prints its tables and verdict and writes its files; without a name, lists the instruments.

    Raises UsageError for what does not exist, and what the instrument raises.
    """
    settings = resolve(argv)
    if settings.name is None:
        print_list()
        return
    instrument = find(settings.name)
    config.set_random_seed(settings.seed)
    result = instrument.run(asked(settings))
    show(result)
    folder = target(settings, result.subject)
    for line in write(result, folder):
        print(line)


def resolve(argv: Sequence[str]) -> SimpleNamespace:
    """The settings. Raises UsageError for a study, model, variant or data set that does not exist."""
    given = parser().parse_args(list(argv))
    settings = SimpleNamespace(**vars(given))
    for kind, name, known in (
        ("study", settings.name, INSTRUMENTS),
        ("model", settings.model, zoo.names()),
        ("data set", settings.dataset, named_sets()),
    ):
        if name is not None and name not in known:
            raise UsageError(unknown(kind, name, known))
    if settings.name is not None and settings.variant is not None:
        model = settings.model or find(settings.name).model
        if model is None:
            raise UsageError(f"--variant {settings.variant} of which MODEL?")
        variants = zoo.entry(model).variants
        if settings.variant not in variants:
            raise UsageError(unknown(f"variant of {model}", settings.variant, variants))
    return settings


def named_sets() -> list[str]:
    """The data sets that a name is enough for: not pictures in a folder."""
    return [name for name in data.names() if name != "folder"]


def asked(settings: SimpleNamespace) -> Settings:
    """What the instrument is asked for."""
    fields = {name: getattr(settings, name) for name in vars(Settings()) if hasattr(settings, name)}
    return Settings(**fields, say=quietly if settings.quiet else say)


def say(text: str) -> None:
    """A line of progress, on stderr: what stands on stdout is the result alone."""
    print(text, file=sys.stderr, flush=True)


def target(settings: SimpleNamespace, subject: str) -> Path:
    """The folder for the files: --out, or a new one in studies/."""
    if settings.out is not None:
        return Path(settings.out)
    model = settings.model or find(settings.name).model
    return make_folder(OUTPUT, settings.name if model is None else f"{settings.name}-{model}")


def print_list() -> None:
    """The instruments, a line each."""
    print("usage: minicnn study NAME [MODEL] [flags]\n\nThe instruments (* trains networks: some minutes):")
    for one in INSTRUMENTS.values():
        print(f"  {one.name + ('*' if one.trains else ''):<12} {one.summary}")


def parser() -> Parser:
    """The parser."""
    made = Parser(
        prog="minicnn study",
        usage="%(prog)s [NAME [MODEL]] [flags]",
        description="Look at a network with one of the instruments. Prints a table and a verdict, and leaves the "
        "figures (JSON), the pictures (PNG) and a report (one HTML file) in a folder. Without NAME: the list.",
        formatter_class=lambda prog: HelpFormatter(prog, max_help_position=26, width=80),
        allow_abbrev=False,
    )
    made.add_argument("name", metavar="NAME", nargs="?", help=f"one of: {', '.join(INSTRUMENTS)}")
    made.add_argument("model", metavar="MODEL", nargs="?", help="a network of the zoo (default: the instrument's)")
    made.add_argument("--variant", metavar="NAME", help="form of the network, e.g. B for resnet56")
    sets = ", ".join(named_sets())
    made.add_argument(
        "--dataset",
        metavar="NAME",
        default="digits",
        help=f"one of: {sets} (default: digits)",
    )
    made.add_argument("--data-dir", metavar="DIR", help="where it lies (default: the folder that MINICNN_DATA names)")
    made.add_argument(
        "--images",
        metavar="N",
        type=at_least(1),
        help=f"for training at most (default: {MOST:,}; all with --full), which the report says",
    )
    made.add_argument("--weights", metavar="FILE", help="of a trained network")
    made.add_argument("--epochs", metavar="N", type=at_least(0), help="of training, before or during the study")
    made.add_argument("-b", "--batch-size", metavar="N", type=at_least(1), help="images at a time")
    made.add_argument("--seed", metavar="N", type=at_least(0), default=0, help="of weights and shuffling (default: 0)")
    made.add_argument("--full", action="store_true", help="the long version: more depths, variants, seeds")
    made.add_argument("--cache", metavar="DIR", help="keeps what the study trains, for the next run")
    made.add_argument("--out", metavar="DIR", help=f"for the files (default: a new folder in {OUTPUT})")
    made.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return made
