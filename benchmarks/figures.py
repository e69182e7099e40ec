"""The few statistics that a comparison needs."""

import math
import statistics
from collections.abc import Sequence


def summary(turns: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median of all times, and the quartiles of the turns' medians as a measure of how quiet the machine was."""
    medians = sorted(statistics.median(turn) for turn in turns)
    low, high = medians[len(medians) // 4], medians[-1 - len(medians) // 4]
    return {"median": statistics.median(t for turn in turns for t in turn), "low": low, "high": high}


def ratio(ours: float | None, peers: dict[str, float | None]) -> tuple[str, float] | None:
    """The faster peer and its time over ours, above 1 where we are faster; None where there is nothing to compare."""
    known = {name: time for name, time in peers.items() if time is not None}
    if ours is None or not known:
        return None
    name = min(known, key=lambda side: known[side])
    return name, known[name] / ours


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """k of the law time ~ size^k that fits best, by least squares of the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(t) for t in times]
    return statistics.linear_regression(x, y).slope
