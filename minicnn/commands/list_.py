"""`minicnn list`: the networks of the zoo."""

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from minicnn import zoo
from minicnn.commands import UsageError, guarded
from minicnn.commands.arguments import Parser
from minicnn.layers.initializers import placeholders
from minicnn.names import unknown

WIDTH = 80


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("list", lambda: show(sys.argv[1:] if argv is None else argv))


def show(argv: Sequence[str]) -> None:
    """Prints the table, or JSON. Raises UsageError for a word that no network's name contains."""
    parser = Parser(
        prog="minicnn list",
        description="The networks of the zoo: parameters and multiply-adds per image (of the first variant, at the "
        "input shown), papers, and variants with the default first.",
        allow_abbrev=False,
    )
    parser.add_argument("words", metavar="WORD", nargs="*", help="only networks whose names contain one of these")
    parser.add_argument("--json", action="store_true", help="one JSON array, for programs")
    arguments = parser.parse_args(list(argv))
    chosen = names(arguments.words)
    if arguments.json:
        print(json.dumps([facts(name) for name in chosen], indent=2))
        return
    for line in table(chosen):
        print(line, flush=True)  # counting takes a moment: what is known is shown


def names(words: Sequence[str]) -> list[str]:
    """The networks whose names contain one of the words, a paper's together. Raises UsageError where none does."""
    every = list(zoo.FAMILIES)
    for word in words:
        if not any(word.lower() in name for name in every):
            raise UsageError(unknown("model", word, every))
    papers = list(dict.fromkeys(zoo.entry(name).paper for name in every))
    every.sort(key=lambda name: papers.index(zoo.entry(name).paper))
    return [name for name in every if not words or any(word.lower() in name for word in words)]


def facts(name: str) -> dict[str, Any]:
    """What the zoo knows of a network, and what its first variant costs."""
    entry = zoo.entry(name)
    with placeholders():
        model = zoo.build(name)
    return {
        "name": name,
        "parameters": model.count_params(),
        "multiply_adds": model.multiply_adds(),
        "input_shape": list(entry.input_shape),
        "classes": entry.classes,
        "paper": entry.paper,
        "variants": list(entry.variants),
    }


def table(chosen: Sequence[str]) -> Iterator[str]:
    """The lines, at most WIDTH characters wide; networks of one paper stand under its name."""
    wide = max(len(name) for name in chosen)
    head = f"  {'network':<{wide}} {'parameters':>11} {'mult-adds':>9}  {'input':<9}  "
    yield f"{head}variants"
    for paper, group in groupby(chosen, key=lambda name: zoo.entry(name).paper):
        yield ""
        yield from textwrap.wrap(paper, WIDTH)
        for name in group:
            known = facts(name)
            size = "x".join(map(str, zoo.entry(name).input_shape))
            start = f"  {name:<{wide}} {known['parameters']:>11,} {short(known['multiply_adds']):>9}  {size:<9}  "
            line = start + " ".join(zoo.entry(name).variants)
            yield from textwrap.wrap(line.rstrip(), WIDTH, subsequent_indent=" " * len(start))


def short(number: int) -> str:
    """Four digits with K, M or G: 3857973248 is "3.858 G"."""
    for power, letter in ((9, "G"), (6, "M"), (3, "K")):
        if number >= 10**power:
            return f"{number / 10**power:.4g} {letter}"
    return str(number)
