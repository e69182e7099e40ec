"""F2: the gradient of the input by the length of the paths it came along, beside Veit's estimate from samples.

Veit, Wilber, Belongie 2016, arXiv:1605.06431, read a residual network as the sum of 2^n paths, measure the gradient
along single ones, and multiply by how many there are. Here the sum over all paths of a length is exact, and with its
sign: see `minicnn.study.lengths`.
"""

import math
from typing import Any

from minicnn.study.blocks import Block
from minicnn.study.drawing import STYLES, axes
from minicnn.study.instruments import Settings
from minicnn.study.lengths import path_terms, sampled_norms
from minicnn.study.measures import dot, norm, ratio
from minicnn.study.recording import Record, record
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS, batch, described, states, words

PAPER = (
    "Veit, Wilber, Belongie 2016, Residual Networks Behave Like Ensembles of Relatively Shallow Networks, "
    "arXiv:1605.06431, section 5"
)
MOST = 0.95  # of the gradient, in the shortest range of lengths that holds so much
IMAGES = 32
SAMPLES = 135  # single paths a length, divided by the number of blocks, so that they cost about as much in any network
Figures = dict[str, Any]


def path_lengths(seen: Record, samples: int | None = None, seed: int = 0, blocks: list[Block] | None = None) -> Figures:
    """The figures of a record's first input, in lists by length k = 0 .. n.

    paths C(n, k); norm |G_k| of the sum over all paths of the length; share <G_k, G> / |G|^2, the shares add up to 1;
    single, the mean norm along `samples` single paths, and estimate, single times C(n, k), which is Veit's.
    effective: the shortest range (from, to) of lengths with MOST of the gradient; all_paths: of the paths.
    middle: the mean length, weighted with the shares.   error: |sum of G_k - G| / |G|, what rounding leaves.
    samples: 135 / n, two at least, unless given; 0 leaves the estimate out. Raises ValueError where there is no
    residual block.
    """
    blocks = seen.need(residual=True) if blocks is None else blocks
    samples = max(2, SAMPLES // len(blocks)) if samples is None else samples
    terms, whole = path_terms(seen, blocks)[0], seen.input_gradients[0]
    n, square = len(blocks), dot(whole, whole)
    shares = [ratio(dot(term, whole), square) for term in terms]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    found: Figures = {
        "blocks": n,
        "paths": [math.comb(n, k) for k in range(n + 1)],
        "norm": [norm(term) for term in terms],
        "share": shares,
        "effective": shortest_range(shares, MOST),
        "all_paths": shortest_range([math.comb(n, k) / 2**n for k in range(n + 1)], MOST),
        "middle": sum(k * share for k, share in enumerate(shares)),
        "peak": max(range(n + 1), key=lambda k: shares[k]),
        "error": ratio(norm(total - whole), square**0.5),
    }
    first, last = found["effective"]
    found["share_of_paths"] = sum(found["paths"][first : last + 1]) / 2**n
    if samples:
        single = [sum(some) / len(some) for _, some in sampled_norms(seen, samples, seed, blocks)]
        found["single"] = single
        found["estimate"] = [s * count for s, count in zip(single, found["paths"], strict=True)]
    return found


def shortest_range(shares: list[float], most: float) -> tuple[int, int]:
    """(from, to), the fewest neighbouring entries that add up to `most` at least; the first such."""
    n = len(shares)
    for width in range(n):
        for start in range(n - width):
            if sum(shares[start : start + width + 1]) >= most:
                return start, start + width
    return 0, n - 1


def run(settings: Settings) -> Result:
    """The path lengths of a network, at the start and trained. Raises ValueError where it has no residual block."""
    found: dict[str, Figures] = {}
    for state, model, split in states(settings):
        x, y = batch(settings, split, IMAGES)
        settings.say(f"paths of {model.name}, {words(state, settings)}, {len(x)} images")
        found[state] = path_lengths(record(model, x, y, loss=LOSS, precise=True), seed=settings.seed)
    names = {state: words(state, settings) for state in found}
    return Result(
        "paths", "How long the paths are that bring the gradient", described(settings, split), {"states": found},
        [table(one, names[state]) for state, one in found.items()],
        [share_picture(found, names), norm_picture(found, names)],
        METHOD, PAPER, EXPECTED, verdict(found, names),
    )  # fmt: skip


METHOD = """\
With n residual blocks there are 2^n ways from the loss back to the input: at every sum a path takes either the skip or
the branch. Its length is the number of branches it goes through; of length k there are C(n, k) paths. Padding and
projections on a skip count as skip. One batch goes through the network in float64, in training mode, and its tape is
kept.

Exactly: one sweep back along the tape carries a gradient for each length; what enters a branch moves up by one. So the
n + 1 sums over all paths of a length come out of n (n + 1) / 2 passes through branches, and add up to the gradient of
the input. The share of a length is <G_k, G> / |G|^2, with its sign: lengths whose paths cancel each other have a small
share, however many they are.

Veit's estimate: for each length a few paths are drawn at random, the norm of the gradient along each alone is measured,
and its mean is multiplied by C(n, k). Norms do not see that paths cancel each other, so that this is no estimate of
|G_k| but of what |G_k| were if all paths of a length agreed; and in a trained network, where a few paths carry nearly
all, a few samples seldom meet one of them."""

EXPECTED = """\
Most paths have a length about n / 2, but the gradient does not come along them: along a single path it falls
exponentially with the length, and what is left in the end comes along short paths. Veit et al. found in a network of 54
blocks that lengths from 5 to 17 bring almost all of it, which are 0.45 % of all paths.

The exact sums tell the same without samples, and show by how much the estimate is off. "Exponential ensemble" is a
strong word for what one sees: the paths share their weights, and batch norm couples the images."""


def verdict(found: dict[str, Figures], names: dict[str, str]) -> str:
    """Whether the paths that matter are shorter than most paths are, in every state."""
    parts, claims = [], []
    for state, one in found.items():
        (first, last), (_, longest) = one["effective"], one["all_paths"]
        claims.append(one["middle"] < one["blocks"] / 2 and last < longest)
        parts.append(
            f"{names[state]} {MOST:.0%} of the gradient comes along paths of {first} to {last} of {one['blocks']} "
            f"branches, {percent(one['share_of_paths'])} of all paths, on average {one['middle']:.1f} long"
        )
    middle = next(iter(found.values()))["blocks"] / 2
    return f"{'holds' if all(claims) else 'does not hold'}: {'; '.join(parts)}; the average path has {middle:g}."


def percent(share: float) -> str:
    """12%, 0.45%, or 3e-06%."""
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"


def table(one: Figures, state: str) -> Table:
    """A row for each length."""
    columns = ["length", "paths", "share", "|G_k|"]
    rows: list[list[Any]] = [
        [k, float(c) if c > 99999 else c, s, g]
        for k, (c, s, g) in enumerate(zip(one["paths"], one["share"], one["norm"], strict=True))
    ]
    if "single" in one:
        columns += ["one path", "one path x paths"]
        rows = [[*row, s, e] for row, s, e in zip(rows, one["single"], one["estimate"], strict=True)]
    return Table(f"Paths by length, {state}", columns, rows)


def share_picture(found: dict[str, Figures], names: dict[str, str]) -> Picture:
    """The shares by length, and how the paths themselves are spread."""

    def draw(figure):
        ax = axes(figure, "length of the path: branches that it goes through", "share of the input's gradient")
        one = next(iter(found.values()))
        spread = [c / 2 ** one["blocks"] for c in one["paths"]]
        ax.fill_between(range(len(spread)), spread, color="#dddddd", linewidth=0, zorder=0)
        peak = max(range(len(spread)), key=spread.__getitem__)
        ax.annotate("all paths", (peak, spread[peak]), (0, 5), textcoords="offset points", ha="center", color="#666666")
        for style, (state, figures) in zip(STYLES, found.items(), strict=False):
            ax.plot(figures["share"], **style, linewidth=1.3)
            k = figures["peak"]
            ax.annotate(
                names[state], (k, figures["share"][k]), (7, 4), textcoords="offset points", color=style["color"]
            )
        ax.axhline(0, color="#999999", linewidth=0.8, zorder=0)
        ax.set_xlim(-0.3, one["blocks"])

    caption = (
        "The part of the input's gradient that comes along all paths of a length together; the parts add up to 1. "
        "Grey: how many of the paths have that length."
    )
    return Picture("shares", "Short paths bring the gradient", caption, draw)


def norm_picture(found: dict[str, Figures], names: dict[str, str]) -> Picture:
    """|G_k|, a single path's norm, and Veit's estimate by length, a panel a state."""
    series = (
        ("norm", "all, exactly", 0.35, -22),
        ("single", "one path", 0.3, -30),
        ("estimate", "one x number", 0.45, 18),
    )

    def draw(figure):
        shared = None
        for place, (state, one) in enumerate(found.items(), start=1):
            label = "norm of the input's gradient" if place == 1 else ""
            ax = axes(figure, "length of the path", label, (1, len(found), place), names[state])
            ax.set_yscale("log")
            if shared is not None:
                ax.sharey(shared)
            shared = ax
            for style, (key, text, where, away) in zip(STYLES, series, strict=False):
                points = [(k, v) for k, v in enumerate(one.get(key, [])) if v > 0]
                if not points:
                    continue
                color = style["color"]
                ax.plot(*zip(*points, strict=True), **{**style, "markersize": 3}, linewidth=1.1)
                if place > 1:
                    continue  # the same marks and colours; where lines come near, words would lie upon them
                at = points[int(where * (len(points) - 1))]
                ax.annotate(text, at, (0, away), textcoords="offset points", ha="center", color=color, fontsize=8)

    caption = (
        "Along one path the gradient falls exponentially with its length. Times the number of paths of that length, it "
        "is Veit's estimate. It misses the sum in two ways: paths cancel each other, which norms do not see; and where "
        "a few paths carry nearly all, a few samples seldom meet one of them."
    )
    return Picture("norms", "One path, all paths, and the estimate", caption, draw)
