"""F1: the gradient of every block, parted into what came along the skip and what came through the branch.

At y = s(x) + F(x) the gradient g of y comes back to the fork x along two ways, g_skip = J_s^T g and g_branch = J_F^T g,
and the fork's gradient is their sum: He et al. 2016, arXiv:1603.05027, equation 5, where s is the identity, and its
J a 1 that no weight can make small. At a concatenation there are as many ways as branches.
"""

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

from minicnn import ops
from minicnn.study.blocks import Block, Contribution
from minicnn.study.drawing import STYLES, axes, label_ends, plain_ticks
from minicnn.study.instruments import Settings
from minicnn.study.measures import cosine, dot, norm, ratio
from minicnn.study.recording import Record, record
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS, batch, described, states, words

PAPER = (
    "He, Zhang, Ren, Sun 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027, equation 5. "
    "Zaeemzadeh, Rahnavard, Shah 2018, Norm-Preservation, arXiv:1805.07477. "
    "De, Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity Function, arXiv:2002.10444"
)
ORTHOGONAL = 0.1  # |cosine| below which we call two gradients nearly orthogonal
Figures = dict[str, Any]


def decompose(seen: Record) -> list[Figures]:
    """The figures of every block of a record, in forward order; lengths are Euclidean norms over the batch.

    merge_norm |g_y|, fork_norm |g_x|, gain |g_x| / |g_y|; for blocks with a skip skip_norm, branch_norm, ratio
    |g_branch| / |g_skip|, cosine between the two, skip_share <g_skip, g_x> / |g_x|^2 and branch_share: with what other
    readers of the fork return the shares add up to 1. consumers: of each reader of the fork its layer, the windows
    on its way, role, norm and share. Raises ValueError where the model has no merge.
    """
    return [figures_of(block) for block in seen.need()]


def figures_of(block: Block) -> Figures:
    """Those of one block."""
    whole = block.fork_gradient
    square = dot(whole, whole)
    found: Figures = {
        "merge": block.name,
        "kind": block.kind,
        "fork": block.fork_name,
        "skip": None if block.skip is None else block.ways[block.skip].layer,
        "branches": [way.layer for way in block.branches],
        "merge_norm": norm(block.gradient),
        "fork_norm": square**0.5,
        "gain": ratio(square**0.5, norm(block.gradient)),
        "consumers": [
            {
                "layer": c.layer,
                "way": windows(block, c),
                "role": c.role,
                "norm": norm(c.gradient),
                "share": ratio(dot(c.gradient, whole), square),
            }
            for c in block.contributions
        ],
    }
    if block.skip is not None:
        skip, branch = block.skip_gradient, block.branch_gradient
        found |= {
            "skip_norm": norm(skip),
            "branch_norm": norm(branch),
            "ratio": ratio(norm(branch), norm(skip)),
            "cosine": cosine(skip, branch),
            "skip_share": ratio(dot(skip, whole), square),
            "branch_share": ratio(dot(branch, whole), square),
        }
    return found


def windows(block: Block, one: Contribution) -> str:
    """What stands between a reader of the fork and the merge: "1x1, 5x5" or "pool, 1x1"; "" for neither."""
    ways = [way.inside for way in block.ways if one.edge[0] in way.inside and one.edge[0] is not block.fork]
    behind = {one.edge[0]}
    for tensor in sorted(set().union(*ways), key=lambda t: t.order):
        if any(parent in behind for parent in tensor.parents):
            behind.add(tensor)
    found = []
    for tensor in sorted(behind if ways else (), key=lambda t: t.order):
        if isinstance(tensor.op, ops.Conv2D):
            kernel = tensor.parents[1]
            found.append("x".join(map(str, kernel.shape[:2])) if kernel is not None else "")
        elif isinstance(tensor.op, ops.MaxPool2D | ops.AvgPool2D):
            found.append("pool")
    return ", ".join(found)


def explain_merge(block: Block) -> str:
    """In words and numbers what happens to the gradient between a merge and its fork; `block` from a record."""
    one = figures_of(block)
    ways = ", ".join(way.layer for way in block.ways)
    handed = {
        "add": "A sum hands the gradient on to each of them, whole: it neither divides nor averages it.",
        "concatenate": "A concatenation cuts the gradient into pieces, one for each of them.",
        "multiply": "A product hands to each of them the gradient times the other one.",
    }.get(block.kind, "Each of them gets its part of the gradient.")
    lines = [
        f"{block.name} ({block.kind}) joins {ways}. A gradient of length {one['merge_norm']:.4g} arrives. {handed}",
        f"The ways began at {block.fork_name}, which {len(block.contributions)} layers read. They return:",
    ]
    for c in one["consumers"]:
        lines.append(f"  {c['layer']} ({c['role']}): length {c['norm']:.4g}, share {c['share']:.1%}")
    lines.append(f"There they are added up: the gradient of {block.fork_name} has length {one['fork_norm']:.4g}.")
    if block.skip is not None:
        lines.append(f"The cosine between what the skip and the branch return is {one['cosine']:+.3f}.")
    return "\n".join(lines)


def run(settings: Settings) -> Result:
    """The decomposition of a network's blocks, at the start and trained. Raises ValueError where it has no merge."""
    found: dict[str, list[Figures]] = {}
    for state, model, split in states(settings):
        x, y = batch(settings, split)
        settings.say(f"one forward and backward pass of {model.name}, {words(state, settings)}, {len(x)} images")
        found[state] = decompose(record(model, x, y, loss=LOSS, precise=True))
    names = {state: words(state, settings) for state in found}
    residual = {state: [b for b in some if "ratio" in b] for state, some in found.items()}
    modules = {state: [b for b in some if b["kind"] == "concatenate"] for state, some in found.items()}
    first = next(iter(found))
    tables, pictures = [], []
    if residual[first]:
        tables.append(residual_table(residual, names))
        pictures.append(residual_picture(residual, names))
    if modules[first]:
        tables += [module_table(some, names[state]) for state, some in modules.items()]
        pictures.append(module_picture(modules, names))
    return Result(
        "decompose", "What the skip and the branch return to each fork", described(settings, split),
        {"states": found, "summary": {state: summary(some) for state, some in residual.items() if some}},
        tables, pictures, METHOD, PAPER, EXPECTED, verdict(residual, modules, names),
    )  # fmt: skip


METHOD = """\
One batch goes forward and backward through the network, layer by layer, in float64, in training mode (batch norm takes
the statistics of the batch). At the fork x of every block the gradient has several parts, one for each layer that reads
x; the engine adds them up. Here they are looked at before they are added.

For a residual block y = s(x) + F(x): g is the gradient that arrives at y, "skip" is what the shortcut s returns to x,
"branch" what F returns. "Share" is a part's projection on the sum, <part, g_x> / |g_x|^2: the shares of a fork add up
to 1. A cosine of 0 says that skip and branch pull in unrelated directions, 1 that they agree. The gain is
|g_x| / |g|: above 1 the gradient grows on its way through the block, below 1 it shrinks."""

EXPECTED = """\
The skip of an identity shortcut returns exactly the gradient that arrived: |skip| = |g|. That is the 1 in equation 5 of
He et al. 2016, and the reason why the gradient cannot vanish through a chain of blocks.

At the start skip and branch are nearly orthogonal, and the branch's part falls from the first block of a network to the
last: the skip carries the sum of all blocks so far, of which each adds one (De and Smith 2020). Training lets the
branches return less still, and the gain comes near to 1: deep residual blocks preserve the norm (Zaeemzadeh et al.
2018)."""


def summary(some: list[Figures]) -> Figures:
    """Medians over the residual blocks of one state, and the identity skips' worst departure from |g_skip| = |g_y|."""
    identities = [b for b in some if b["skip"] == "identity" and b["kind"] == "add"]
    return {
        "blocks": len(some),
        "median_abs_cosine": middle(abs(b["cosine"]) for b in some),
        "median_ratio": middle(b["ratio"] for b in some),
        "median_skip_share": middle(b["skip_share"] for b in some),
        "median_gain": middle(b["gain"] for b in some),
        "median_gain_error": middle(abs(b["gain"] - 1) for b in some),
        "identity_skips": len(identities),
        "identity_error": max((abs(ratio(b["skip_norm"], b["merge_norm"]) - 1) for b in identities), default=0.0),
    }


def middle(values: Iterable[float]) -> float:
    """The median of what is finite (a branch that returns nothing has no cosine); NaN of nothing."""
    finite = [v for v in values if math.isfinite(v)]
    return median(finite) if finite else math.nan


def verdict(residual: dict[str, list[Figures]], modules: dict[str, list[Figures]], names: dict[str, str]) -> str:
    """What the figures say of the published claims."""
    totals = {state: summary(some) for state, some in residual.items() if some}
    if not totals:
        state, some = next(iter(modules.items()))
        largest = middle(max(c["share"] for c in b["consumers"]) for b in some)
        return f"measured: in the median module the strongest branch returns {largest:.0%} of the fork's gradient."
    first, last = totals[next(iter(totals))], totals[list(totals)[-1]]
    claims, words_ = [first["identity_error"] < 1e-9], []
    if first["identity_skips"]:
        words_.append(f"each of {first['identity_skips']} identity skips returns the whole gradient that arrives")
    if "start" in totals:
        claims.append(first["median_abs_cosine"] < ORTHOGONAL)
        words_.append(f"at the start skip and branch have a median |cosine| of {first['median_abs_cosine']:.3f}")
    if "trained" in totals:
        claims.append(last["median_gain_error"] < first["median_gain_error"] or last["median_gain_error"] < 0.1)
        words_.append(
            f"the median gain |g_x| / |g_y| goes from {first['median_gain']:.2f} to {last['median_gain']:.2f}, and "
            f"|branch| / |skip| from {first['median_ratio']:.2f} to {last['median_ratio']:.2f}, {names['trained']}"
        )
    return f"{'holds' if all(claims) else 'does not hold'}: {'; '.join(words_)}."


# Tables and pictures -------------------------------------------------------------------------------------------------


def residual_table(residual: dict[str, list[Figures]], names: dict[str, str]) -> Table:
    """A row a block; where there are two states, a column for each."""
    parts = (("|b|/|s|", "ratio"), ("cosine", "cosine"), ("share", "skip_share"), ("gain", "gain"))
    several = len(residual) > 1
    ends = {"trained": "end"}  # shorter, for 80 columns
    columns = [f"{title} {ends.get(state, state)}" if several else title for title, _ in parts for state in residual]
    rows = [
        [blocks[0]["merge"], *(block[key] for _, key in parts for block in blocks)]
        for blocks in zip(*residual.values(), strict=True)
    ]
    title = f"Residual blocks from the input on, {' and '.join(names.values())}. b: branch, s: skip; share: the skip's"
    return Table(title, ["block", *columns], rows)


def module_table(some: list[Figures], state: str) -> Table:
    """A row for each reader of each fork."""
    rows = [
        [b["merge"] if i == 0 else None, c["layer"], c["way"], c["role"], c["norm"], c["share"]]
        for b in some
        for i, c in enumerate(b["consumers"])
    ]
    return Table(f"Modules, {state}", ["module", "reader of the fork", "windows", "role", "norm", "share"], rows)


def residual_picture(residual: dict[str, list[Figures]], names: dict[str, str]) -> Picture:
    """Ratio, cosine and gain by block."""
    panels: tuple[tuple[str, str, float, str], ...] = (
        ("ratio", "|branch| / |skip|", 1, "log"),
        ("cosine", "cosine(skip, branch)", 0, "linear"),
        ("gain", "gain  |g_x| / |g_y|", 1, "linear"),
    )

    changes = [i for i, b in enumerate(next(iter(residual.values())), start=1) if b["skip"] != "identity"]

    def draw(figure):
        for place, (key, label, rest, scale) in enumerate(panels, start=1):
            ax = axes(figure, "block, from the input on" if place == 3 else "", "", (3, 1, place), label)
            ax.axhline(rest, color="#999999", linewidth=0.8)
            ax.set_yscale(scale)
            for number in changes:
                ax.axvline(number, color="#cccccc", linewidth=0.8, linestyle=":", zorder=0)
            for style, (state, some) in zip(STYLES, residual.items(), strict=False):
                numbers = range(1, len(some) + 1)
                ax.plot(numbers, [b[key] for b in some], **style, linewidth=1.2, label=names[state])
            if key == "cosine":
                known = [abs(b[key]) for some in residual.values() for b in some if math.isfinite(b[key])]
                most = 1.1 * max(known, default=0.0)
                ax.set_ylim(-max(0.2, most), max(0.2, most))
            if scale == "log":
                plain_ticks(ax)
            label_ends(ax, gap=0.13)

    caption = (
        "Each point is one residual block. Top: the length of what the branch returns to the fork, against the skip's. "
        "Middle: the cosine between the two; at 0 they are orthogonal. Bottom: by how much the gradient grows on its "
        "way back through the block. Dotted: blocks whose skip is no identity, where the shape changes."
    )
    return Picture("blocks", "Skip and branch, block by block", caption, draw, (7.0, 6.6))


def module_picture(modules: dict[str, list[Figures]], names: dict[str, str]) -> Picture:
    """The shares of the readers, module by module, for the last state."""
    state, some = list(modules.items())[-1]
    shares = [c["share"] for block in some for c in block["consumers"]]
    letter = LETTER * (max(shares) - min(shares))

    def label(ax, row, consumers):
        """Above and below in turn, where there is room: what is left out stands in the table."""
        ends = [-math.inf, -math.inf]
        for c in sorted(consumers, key=lambda c: c["share"]):
            text, below = c["way"] or c["layer"], ends[0] > ends[1]
            half = letter * len(text) / 2
            if c["share"] - half < ends[below]:
                continue
            ends[below] = c["share"] + half
            away = {"xytext": (0, -9 if below else 5), "textcoords": "offset points"}
            ax.annotate(text, (c["share"], row), ha="center", fontsize=6, **away)

    def draw(figure):
        ax = axes(figure, "share of the fork's gradient", "module, from the input on")
        for row, block in enumerate(some):
            ax.axhline(row, color="#dddddd", linewidth=0.6, zorder=0)
            for c in block["consumers"]:
                ax.plot(c["share"], row, linestyle="", **MARKS.get(c["role"], MARKS["other"]))
            if len(some) <= 24:
                label(ax, row, block["consumers"])
        ax.axvline(0, color="#999999", linewidth=0.8)
        ax.set_yticks(range(len(some)), [b["merge"] for b in some], fontsize=7)
        ax.invert_yaxis()

    caption = (
        f"Every mark is a reader of a module's fork, {names[state]}: filled circles are the module's branches, squares "
        "what goes past it. A module's shares add up to 1; a negative one works against the sum."
    )
    return Picture("modules", "What each branch returns", caption, draw, (7.0, 1.5 + 0.36 * len(some)))


LETTER = 0.01  # of the axis: the width of a letter beside a mark
MARKS: dict[str, dict[str, Any]] = {
    "branch": {"marker": "o", "color": "#000000", "markersize": 5},
    "skip": {"marker": "s", "color": "#D55E00", "markersize": 5},
    "other": {"marker": "s", "color": "#D55E00", "markersize": 5, "markerfacecolor": "none"},
}
