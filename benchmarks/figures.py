"""The few statistics that a comparison needs."""

import math
import statistics
from collections.abc import Sequence


def summary(turns: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median of all times, and the quartiles of the turns' medians as a measure of how quiet the machine was."""
    medians = sorted(statistics.median(turn) for turn in turns)
    low, high = medians[len(medians) // 4], medians[-1 - len(medians) // 4]
    return {"median": statistics.median(t for turn in turns for t in turn), "low": low, "high": high}


def ratio(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> dict[str, float]:
    """How many times as long as ours theirs takes: the median of what each round gives, and the quartiles.

    The turns of a round meet the same mood of the machine, which changes from round to round: where it has two, a third
    apart, and each side's median falls into another one, the medians' own ratio says more of that than of the sides.
    """
    pairs = zip(ours, theirs, strict=True)
    found = sorted(statistics.median(b) / statistics.median(a) for a, b in pairs)
    return {
        "median": statistics.median(found),
        "low": found[len(found) // 4],
        "high": found[-1 - len(found) // 4],
    }


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """k of the law time ~ size^k that fits best, by least squares of the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(t) for t in times]
    return statistics.linear_regression(x, y).slope
