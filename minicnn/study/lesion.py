"""F3: what a trained network loses with a block. Veit, Wilber, Belongie 2016, arXiv:1605.06431, sections 4.1 to 4.3.

    each = delete_each(model, x, y)          the error without each block in turn, beside that of the whole network
    delete_random(model, x, y, (1, 2, 5))    the error without so many blocks
    swap_random(model, x, y, (1, 2, 5))      the error after so many exchanges, and how much order is left
    scale_each(model, x, y, (0.5, 2))        the error with one branch at a time scaled

Each takes any trained classifier: a residual network, by its blocks, or a chain, by pairs of its layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import zoo
from minicnn.config import generator
from minicnn.study.digits import Split, seeded
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.families import Member, train_family
from minicnn.study.instruments import Settings
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import SMALL
from minicnn.study.subjects import subject
from minicnn.study.surgery import Operation, Part, Theatre, errors

PAPER = "Veit, Wilber, Belongie 2016, Residual Networks Behave Like Ensembles of Relatively Shallow Networks, " + (
    "arXiv:1605.06431, sections 4.1 to 4.3"
)
COUNTS = (1, 2, 3, 5, 8, 12, 16, 20)
FACTORS = (0.0, 0.25, 0.5, 0.75, 1.25, 1.5, 2.0)
TRIALS, FULL_TRIALS = 8, 40
MOST_IMAGES = 2000  # of a test part: enough for an error within a point
HARMLESS, FATAL = 3.0, 50.0  # points of error: for a late block of a residual network, for a pair of plain layers

Say = Callable[[str], None]


def parts(model: Any, x: Any, layers: int = 2) -> list[Part]:
    """What can be deleted. x: an image or more, as the model takes them.   layers: as for `surgery.Theatre`."""
    return Theatre(model, x[:1], layers).parts


def delete_each(model: Any, x: Any, y: np.ndarray, layers: int = 2) -> tuple[float, np.ndarray]:
    """The error of the whole network, and without each part in turn (parts,): shares of the images x, from 0 to 1."""
    count = len(parts(model, x, layers))
    found = errors(model, x, y, [Operation(), *(Operation(delete=(i,)) for i in range(count))], layers)
    return float(found[0]), found[1:]


def delete_random(
    model: Any,
    x: Any,
    y: np.ndarray,
    counts: Sequence[int],
    trials: int = TRIALS,
    layers: int = 2,
    say: Say | None = None,
) -> np.ndarray:
    """The errors without `counts` parts drawn at random, (len(counts), trials). The draws depend on the seed alone.

    Raises ValueError for more parts than there are.
    """
    many = len(parts(model, x, layers))
    if not all(0 <= k <= many for k in counts):
        raise ValueError(f"{model.name}: of {many} parts 0 to {many} can be deleted, got {max(counts)}")
    draws = [generator("lesion", k, t).choice(many, size=k, replace=False) for k in counts for t in range(trials)]
    operations = [Operation(delete=tuple(map(int, draw))) for draw in draws]
    return errors(model, x, y, operations, layers, say=say).reshape(len(counts), trials)


def swap_random(
    model: Any,
    x: Any,
    y: np.ndarray,
    counts: Sequence[int],
    trials: int = TRIALS,
    layers: int = 2,
    say: Say | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Errors and Kendall's taus after `counts` exchanges of two alike parts, each (len(counts), trials).

    tau: 1 for the order of the trained network, 0 for none, -1 for the reverse. Raises ValueError where no two parts
    are alike.
    """
    found = parts(model, x, layers)
    orders = [shuffled(found, k, generator("swap", k, t)) for k in counts for t in range(trials)]
    error = errors(model, x, y, [Operation(order=order) for order in orders], layers, say=say)
    shape = len(counts), trials
    return error.reshape(shape), np.array([kendall_tau(order) for order in orders]).reshape(shape)


def shuffled(found: Sequence[Part], exchanges: int, rng: np.random.Generator) -> list[int]:
    """An order of the parts after so many exchanges of two that are alike."""
    alike: dict[tuple, list[int]] = {}
    for i, part in enumerate(found):
        alike.setdefault(part.layout, []).append(i)
    pairs = [(a, b) for group in alike.values() for a in group for b in group if a < b]
    if not pairs:
        raise ValueError("no two parts are alike: nothing can change places")
    order = list(range(len(found)))
    for choice in rng.integers(len(pairs), size=exchanges):
        a, b = pairs[choice]
        order[a], order[b] = order[b], order[a]
    return order


def kendall_tau(order: Sequence[int]) -> float:
    """Kendall's rank correlation of an order of 0..n-1 with 0, 1, 2, ...: (pairs in order - others) / pairs."""
    ranks = np.asarray(order)
    signs = np.sign(ranks[None, :] - ranks[:, None])[np.triu_indices(len(ranks), 1)]
    return float(signs.mean()) if signs.size else 1.0


def scale_each(
    model: Any, x: Any, y: np.ndarray, factors: Sequence[float] = FACTORS, say: Say | None = None
) -> np.ndarray:
    """The errors with one branch at a time times a factor, (blocks, len(factors)). Of residual networks only."""
    count = len(parts(model, x))
    operations = [Operation(scale={i: factor}) for i in range(count) for factor in factors]
    return errors(model, x, y, operations, say=say).reshape(count, len(factors))


# The instrument ------------------------------------------------------------------------------------------------------


def run(settings: Settings) -> Result:
    """Trains a network (or reads its weights), operates on it, and on a plain one of 20 layers beside it."""
    settings = replace(settings, model=settings.model or "resnet56")
    name = str(settings.model)
    measured = {name: operated(name, settings, everything=True)}
    if measured[name]["residual"] and settings.weights is None and name != "plain20":
        measured["plain20"] = operated("plain20", settings, everything=False)
    figures = {"networks": measured, "trials": FULL_TRIALS if settings.full else TRIALS}
    subject = f"{name}, {settings.data_words}, seed {settings.seed}"
    return Result(
        "lesion", "Lesions: networks without some of their blocks", subject, figures, tables(measured),
        pictures(measured), METHOD, PAPER, EXPECTED, verdict(measured),
    )  # fmt: skip


def operated(name: str, settings: Settings, everything: bool) -> dict[str, Any]:
    """The errors of one network after every kind of operation; `everything`: not only single deletions."""
    model, images = subject_of(name, settings)
    x, y = images.x_test[:MOST_IMAGES], images.y_test[:MOST_IMAGES]
    theatre = Theatre(model, x[:1])
    settings.say(f"{name}: deleting each of {len(theatre.parts)} parts")
    base, deleted = delete_each(model, x, y)
    found: dict[str, Any] = {
        "residual": theatre.residual, "classes": int(theatre.result.shape[-1]), "error": base,
        "parts": [part.name for part in theatre.parts],
        "changes shape": [changes_shape(part) for part in theatre.parts],
        "deleted": deleted.tolist(),
    }  # fmt: skip
    if not everything:
        return found
    trials = FULL_TRIALS if settings.full else TRIALS
    counts = [k for k in COUNTS if k < len(theatre.parts)]
    with seeded(settings.seed):
        settings.say(f"{name}: deleting several at random")
        found |= {"counts": counts, "deleted at random": delete_random(model, x, y, counts, trials).tolist()}
        if len({part.layout for part in theatre.parts}) < len(theatre.parts):
            settings.say(f"{name}: exchanging parts")
            error, tau = swap_random(model, x, y, counts, trials)
            found |= {"swapped": error.tolist(), "tau": tau.tolist()}
    if theatre.residual:
        settings.say(f"{name}: scaling branches")
        found |= {"factors": list(FACTORS), "scaled": scale_each(model, x, y, FACTORS).tolist()}
    return found


def changes_shape(part: Part) -> bool:
    """Whether a block halves its images or has more channels than what enters: its skip is no identity in any case."""
    entering = min(part.inside, key=lambda t: t.order).parents[0]
    return entering is not None and entering.shape != part.end.shape


def subject_of(name: str, settings: Settings) -> tuple[Any, Split]:
    """The trained network, and its data. Raises ValueError for one that takes hours to train, without epochs given."""
    if name != settings.model:
        settings = replace(settings, variant=None, weights=None)
    model, images = subject(settings, name)
    if settings.weights is not None:
        return model, images
    if settings.epochs is None and max(zoo.entry(name).input_shape[:2]) > SMALL:
        raise ValueError(
            f"{name} is made for larger images and takes hours to train on a CPU: give a trained one with --weights "
            "FILE, or say with --epochs how long to train"
        )
    member = Member(name, name if settings.variant is None else f"{name}-{settings.variant}", lambda: model)
    return train_family([member], settings)[name].model, images


def costs(found: dict[str, Any]) -> np.ndarray:
    """What each single deletion costs, in points of error."""
    return 100 * (np.array(found["deleted"]) - found["error"])


def late(found: dict[str, Any]) -> np.ndarray:
    """What the blocks behind the last change of shape cost, in points; those of the last quarter where none changes."""
    changes = [i for i, change in enumerate(found["changes shape"]) if change]
    count = len(found["parts"])
    first = changes[-1] + 1 if changes and changes[-1] + 1 < count else count - -(-count // 4)
    return costs(found)[first:]


def verdict(measured: dict[str, dict]) -> str:
    """Whether the median late block costs a residual network little, and any pair a plain one nearly everything."""
    sentences, holds = [], True
    for name, found in measured.items():
        cost = costs(found)
        if found["residual"]:
            some = late(found)
            holds &= bool(np.median(some) < HARMLESS)
            sentences.append(
                f"deleting one late block costs {name} {np.median(some):.1f} points in the median, {some.max():.1f} at "
                f"most (of all blocks {np.median(cost):.1f} and {cost.max():.1f})"
            )
        else:
            holds &= bool(cost.min() > FATAL)
            sentences.append(f"deleting any pair of layers costs {name} {cost.min():.1f} to {cost.max():.1f} points")
    return ("holds: " if holds else "does not hold: ") + "; ".join(sentences) + "."


def tables(measured: dict[str, dict]) -> list[Table]:
    """A summary, and every single deletion of the first network."""
    rows = [
        [name, len(f["parts"]), 100 * f["error"], *(float(g(costs(f))) for g in (np.min, np.median, np.max))]
        for name, f in measured.items()
    ]
    columns = ["network", "parts", "error, %", "least cost", "median cost", "greatest cost"]
    found = [Table("One part deleted: the cost in points of error", columns, rows)]
    name, first = next(iter(measured.items()))
    each = zip(first["parts"], first["changes shape"], costs(first), strict=True)
    found.append(
        Table(
            f"{name}: each part",
            ["part", "changes the shape", "cost, points"],
            [[p, bool(c), float(v)] for p, c, v in each],
        )
    )
    if "counts" in first:
        draws = zip(first["counts"], 100 * np.array(first["deleted at random"]), strict=True)
        rows = [[k, *(float(g(d)) for g in (np.min, np.median, np.max))] for k, d in draws]
        title = f"{name}: several deleted at random, error in %"
        found.append(Table(title, ["parts", "least", "median", "most"], rows))
    return found


# Pictures ------------------------------------------------------------------------------------------------------------


def pictures(measured: dict[str, dict]) -> list[Picture]:
    """Error by the part deleted, by the number deleted, by the order left, by the scale."""
    name, first = next(iter(measured.items()))
    found = [
        Picture(
            "lesion_each", "One block deleted",
            "The error of the trained network without one of its blocks (pairs of layers in a plain network). Open "
            "marks: blocks that change the shape. Dotted: a guess, and the whole network.",
            lambda figure: draw_each(figure, measured),
        )
    ]  # fmt: skip
    if "counts" in first:
        caption = f"The median error of {name} over random choices of blocks; the band holds all of them."
        found.append(
            Picture("lesion_random", "Several blocks deleted", caption, lambda figure: draw_random(figure, first))
        )
    if "tau" in first:
        caption = (
            "Each point: some exchanges of two alike blocks. 1 is the order in which the network was trained, 0 no "
            "order, -1 the reverse."
        )
        title = "Blocks in another order"
        found.append(Picture("lesion_order", title, caption, lambda figure: draw_tau(figure, first)))
    if "scaled" in first:
        caption = "One branch at a time is multiplied; 1 is the trained network, 0 a deletion."
        found.append(Picture("lesion_scale", "One branch scaled", caption, lambda figure: draw_scaled(figure, first)))
    return found


def draw_each(figure: Any, measured: dict[str, dict]) -> None:
    """The error by the place of the deleted part, from 0 for the first to 1 for the last."""
    ax = axes(figure, "place of the deleted block: 0 the first, 1 the last", "test error, %")
    for (name, found), style in zip(measured.items(), STYLES, strict=False):
        places, error = np.linspace(0, 1, len(found["parts"])), 100 * np.array(found["deleted"])
        ax.plot(places, error, label=name, **style)
        changing = np.array(found["changes shape"], bool)
        if changing.any():
            ax.plot(places[changing], error[changing], "o", color=style["color"], fillstyle="none", markersize=9)
        ax.axhline(100 * found["error"], color=style["color"], linewidth=0.7, linestyle=":")
    guess_line(ax, next(iter(measured.values())))
    label_ends(ax)


def guess_line(ax: Any, found: dict) -> None:
    """The error of a guess."""
    error = 100 * (1 - 1 / found["classes"])
    ax.axhline(error, color="#8C8C8C", linewidth=0.7, linestyle=":")
    ax.set_ylim(0, max(100.0, ax.get_ylim()[1]))
    ax.annotate("a guess", (0.01, error), xycoords=("axes fraction", "data"), va="bottom", fontsize="small")


def draw_random(figure: Any, found: dict) -> None:
    """The median error by the number of deleted parts, and the range."""
    ax = axes(figure, "blocks deleted", "test error, %")
    counts, error = [0, *found["counts"]], 100 * np.array(found["deleted at random"])
    base = 100 * found["error"]
    low, middle, high = (np.array([base, *g(error, axis=1)]) for g in (np.min, np.median, np.max))
    ax.fill_between(counts, low, high, color="#000000", alpha=0.15, linewidth=0)
    ax.plot(counts, middle, **STYLES[0])
    ax.set_xticks(counts)
    guess_line(ax, found)


def draw_tau(figure: Any, found: dict) -> None:
    """The error by Kendall's tau."""
    ax = axes(figure, "Kendall's tau of the order of the blocks", "test error, %")
    tau, error = np.array(found["tau"]), 100 * np.array(found["swapped"])
    ax.plot([1.0], [100 * found["error"]], "o", color=STYLES[0]["color"])
    ax.plot(tau.ravel(), error.ravel(), "o", color=STYLES[0]["color"], fillstyle="none", markersize=5)
    ax.invert_xaxis()
    guess_line(ax, found)


def draw_scaled(figure: Any, found: dict) -> None:
    """The error by the factor: the median over the blocks, and the worst block."""
    ax = axes(figure, "factor of one branch", "test error, %")
    base, error = 100 * found["error"], 100 * np.array(found["scaled"])
    factors = np.array([*found["factors"], 1.0])
    order = np.argsort(factors)
    lines = {"worst block": np.max(error, axis=0), "median block": np.median(error, axis=0)}
    for (label, line), style in zip(lines.items(), STYLES, strict=False):
        ax.plot(factors[order], np.append(line, base)[order], label=label, **style)
    ax.set_ylim(0, None)
    label_ends(ax)


METHOD = """A network is trained, and then only looked at: one pass over the test images in inference leaves a tape, and
every operation computes again what stands behind it. Nothing is trained after an operation.

Deleting a residual block leaves its skip alone, y = x (at a change of shape, the skip's padding or projection). In a
network without skips a pair of layers that gives the shape it takes is left out, as Veit et al. left out layers of VGG.
Exchanging lets two blocks that are built alike change places. Scaling multiplies a branch, y = x + s F(x).

The random choices depend on the seed. Kendall's tau is the share of pairs of blocks in their old order minus that of
the others."""

EXPECTED = """Veit et al. 2016: without any one of its blocks a ResNet of 110 layers loses next to nothing, except at
the changes of shape, while a VGG falls to the level of a guess. The error grows smoothly with the number of deleted
blocks and with disorder, as an ensemble's of many paths would. Plain networks have one path: whatever is taken out of
it, the layers behind meet what they never saw. On the digits the first blocks matter too: they stand behind a single
convolution."""
