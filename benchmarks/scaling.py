"""`python -m benchmarks scaling`: how the cost of resnet18 grows with the batch, and with the side of the images.

Prints k of the law time ~ size^k that fits best: 1 is linear in the batch, 2 is linear in the pixels.
"""

import argparse
from dataclasses import replace
from typing import Any

from benchmarks import figures, machine, tables
from benchmarks.cpu import common, measure, target, write
from benchmarks.networks import MODES, NETWORKS, Network

NETWORK = NETWORKS["resnet18"]
BATCHES = (2, 4, 8, 16)
SIDES = (96, 128, 160, 192, 224, 256)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    common(parser)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), metavar="MODE",
                        help="predict, train or both")  # fmt: skip
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES), metavar="N")
    parser.add_argument("--sides", type=int, nargs="*", default=list(SIDES), metavar="PIXELS")


def main(settings: argparse.Namespace) -> int:
    """Measures, prints, writes. 0, or 1 where our own network failed."""
    about = machine.describe(settings.threads)
    print(tables.header(about), flush=True)
    by_batch = {n: replace(NETWORK, batch=n) for n in settings.batches}
    by_side = {side: replace(NETWORK, input_shape=(side, side, 3)) for side in settings.sides}
    found: list[dict[str, Any]] = []
    failures: list[str] = []
    loads: list[float | None] = []
    printed = []
    for title, networks in (("batch", by_batch), ("side", by_side)):
        for mode in settings.modes:
            wanted: list[tuple[Network, str]] = [(network, mode) for network in networks.values()]
            results, failed = measure(wanted, settings, about)
            loads += about["busy"]
            failures += failed
            for one in results:
                shape = one["network"]["input_shape"]
                one |= {"size": one["network"]["batch"] if title == "batch" else shape[0], "over": title}
            if results:
                printed.append(f"\n{NETWORK.name} {mode}\n\n{tables.scaling(results, title, laws(results))}")
            found += results
    about["busy"] = loads
    print("\n".join([*printed, "", *tables.notes(found), *failures]))
    if found and (path := target(settings, "scaling", about)):
        write(found, about, path)
    return 1 if failures else 0


def laws(points: list[dict[str, Any]]) -> dict[str, float]:
    """The exponent for each side that has two points or more."""
    found = {}
    for side in points[0]["sides"]:
        pairs = [(one["size"], one["sides"][side]["median"]) for one in points if "median" in one["sides"][side]]
        if len({size for size, _ in pairs}) > 1:
            found[side] = figures.exponent(*zip(*pairs, strict=True))
    return found
