"""The published effects of residual networks, measured on the digits with three seeds, and whether they hold.

A claim holds where every seed lies within its bound. The bounds are wider than what one training scatters: the digits
are 1,437 images, and 12 epochs take seconds. Networks are shared between the claims; `settings.cache` keeps them, so
that a run that was stopped goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean, median
from typing import Any

import numpy as np

from minicnn.study import scale, variants
from minicnn.study.decompose import decompose
from minicnn.study.digits import Trained, seeded, split
from minicnn.study.drawing import axes
from minicnn.study.families import Member, blocks_per_stage, form, train_family, twin
from minicnn.study.instruments import Settings
from minicnn.study.lesion import changes_shape, delete_each, late, parts
from minicnn.study.paths import path_lengths
from minicnn.study.recording import record
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS

DEEP, SHALLOW = 56, 20
SEEDS, FULL_SEEDS = 3, 5
IMAGES = 32  # of the batch whose gradients are taken apart


@dataclass(frozen=True)
class Claim:
    """A number of the networks of one seed, what the paper says of it, and the bound that it must keep."""

    key: str
    text: str
    paper: str
    source: str
    above: float | None = None
    below: float | None = None

    @property
    def bound(self) -> str:
        """In words."""
        return f"> {self.above:g}" if self.above is not None else f"< {self.below:g}"

    def holds(self, values: Sequence[float]) -> bool:
        """Whether all values keep the bound; NaN does not."""
        low, high = (-np.inf if self.above is None else self.above), (np.inf if self.below is None else self.below)
        return all(low < value < high for value in values)


CLAIMS = (
    Claim(
        "degradation", "plain-56's test error is above ResNet-56's, in points", "13.3 - 5.9 = 7.4; plain-110: > 60 %",
        "He et al. 2015, arXiv:1512.03385, Fig. 6; Li et al. 2018, arXiv:1712.09913, Table 1", above=30,
    ),
    Claim(
        "residual", "ResNet-56 learns: its test error, %", "6.97",
        "He et al. 2015, Table 6", below=10,
    ),
    Claim(
        "late block", "deleting a late block costs ResNet-56 (median of 8), points", "about 0",
        "Veit et al. 2016, arXiv:1605.06431, Fig. 3", below=3,
    ),
    Claim(
        "worst late block", "the worst of these 8 blocks costs, points", "about 0",
        "Veit et al. 2016, Fig. 3", below=10,
    ),
    Claim(
        "plain pair", "the least that deleting a pair of layers costs plain-20, points", "down to a guess (VGG)",
        "Veit et al. 2016, Fig. 3", above=50,
    ),
    Claim(
        "paths at the start", "at the start 95 % of the gradient come along paths of up to so many of 27 branches",
        "17 of 54", "Veit et al. 2016", below=13.5,
    ),
    Claim(
        "paths after training", "after training 95 % come along paths of up to so many", "17 of 54",
        "Veit et al. 2016", below=13.5,
    ),
    Claim(
        "orthogonal", "median |cosine| of skip's and branch's gradients at the start", "0 (independent)",
        "De & Smith 2020, arXiv:2002.10444", below=0.1,
    ),
    Claim(
        "scale 1", "without batch norm scale 1 diverges: epochs with a finite loss, of 12", "died",
        "Szegedy et al. 2016, arXiv:1602.07261, section 3.3", below=12,
    ),
    Claim(
        "scale 0.3", "without batch norm scale 0.3 trains: test accuracy, %", "0.1 to 0.3 stabilise",
        "Szegedy et al. 2016, section 3.3", above=90,
    ),
    Claim(
        "scale 0.1", "without batch norm scale 0.1 trains: test accuracy, %", "0.1 to 0.3 stabilise",
        "Szegedy et al. 2016, section 3.3", above=90,
    ),
    Claim(
        "bn after add", "batch norm after the addition loses, points", "8.17 - 6.61 = 1.56",
        "He et al. 2016, arXiv:1603.05027, Table 2", above=1.5,
    ),
)  # fmt: skip


def networks(settings: Settings) -> dict[str, Trained]:
    """Every network that a claim needs, trained from one seed, or from the cache."""
    (shape, classes), n = form(settings), blocks_per_stage(DEEP)
    made: dict[str, Callable[[], Any]] = {
        "residual": partial(twin, "resnet", DEEP, shape, classes),
        "plain": partial(twin, "plain", DEEP, shape, classes),
        "shallow plain": partial(twin, "plain", SHALLOW, shape, classes),
        "bn after add": partial(variants.build, n, "bn_after_add", "identity", shape, classes),
        "scale 1": partial(scale.build, n, 1.0, False, shape, classes),
        "scale 0.3": partial(scale.build, n, 0.3, False, shape, classes),
        "scale 0.1": partial(scale.build, n, 0.1, False, shape, classes),
    }
    return train_family([Member(label, build().name, build) for label, build in made.items()], settings)


def measure(kept: dict[str, Trained], settings: Settings) -> dict[str, float]:
    """The figures of one seed, by the claims' keys. kept: what `networks` trained from it."""
    images = split(settings.load())
    error = {name: 100 * (1 - one.test_accuracy) for name, one in kept.items()}
    settings.say("deleting blocks")
    cost = deletions(kept["residual"].model, images.x_test, images.y_test)
    plain, without = delete_each(kept["shallow plain"].model, images.x_test, images.y_test)
    with seeded(settings.seed):
        fresh = twin("resnet", DEEP, *form(settings))
    settings.say("gradients of the residual network, by block and by path")
    x, y = images.x_train[:IMAGES], images.y_train[:IMAGES]
    start, end = (record(model, x, y, loss=LOSS, precise=True) for model in (fresh, kept["residual"].model))
    return {
        "degradation": error["plain"] - error["residual"],
        "residual": error["residual"],
        "late block": float(np.median(cost)),
        "worst late block": float(cost.max()),
        "plain pair": float(100 * (without.min() - plain)),
        "paths at the start": float(path_lengths(start, samples=0)["effective"][1]),
        "paths after training": float(path_lengths(end, samples=0)["effective"][1]),
        "orthogonal": median(abs(block["cosine"]) for block in decompose(start)),
        "bn after add": error["bn after add"] - error["residual"],
        "scale 1": float(np.isfinite(kept["scale 1"].history["loss"]).sum()),
        **{name: 100 - error[name] for name in ("scale 0.3", "scale 0.1")},
    }


def deletions(model: Any, x: Any, y: Any) -> np.ndarray:
    """What each late block costs when it is deleted, in points of error: `lesion.late`."""
    base, deleted = delete_each(model, x, y)
    found = parts(model, x)
    return late(
        {
            "parts": found, "error": base, "deleted": deleted,
            "changes shape": [changes_shape(part) for part in found],
        }
    )  # fmt: skip


# The instrument ------------------------------------------------------------------------------------------------------


def run(settings: Settings) -> Result:
    """Measures all claims with the seeds settings.seed and two more, or with `full` four more."""
    for what, value in (("MODEL", settings.model), ("--weights", settings.weights), ("--variant", settings.variant)):
        if value is not None:
            raise ValueError(f"the claims are about networks of their own: {what} {value} has no meaning here")
    seeds = [settings.seed + i for i in range(FULL_SEEDS if settings.full else SEEDS)]
    found, kept = {}, {}
    for seed in seeds:
        settings.say(f"seed {seed}")
        here = replace(settings, seed=seed)
        kept[seed] = networks(here)
        found[seed] = measure(kept[seed], here)
    values = {claim.key: [found[seed][claim.key] for seed in seeds] for claim in CLAIMS}
    held = {claim.key: claim.holds(values[claim.key]) for claim in CLAIMS}
    labels = kept[seeds[0]]
    trained = {labels[label].model.name: trainings([kept[seed][label] for seed in seeds]) for label in labels}
    figures = {
        "seeds": seeds, "values": values, "holds": held, "networks": trained,
        "bounds": {claim.key: claim.bound for claim in CLAIMS},
        "sources": {claim.key: claim.source for claim in CLAIMS},
    }  # fmt: skip
    return Result(
        "claims", "Published effects, measured on the digits",
        f"{settings.data_words}, seeds {seeds[0]} to {seeds[-1]}", figures,
        [table(values), networks_table(trained)], [picture(values)], METHOD,
        "; ".join(dict.fromkeys(claim.source for claim in CLAIMS)), EXPECTED, verdict(held),
    )  # fmt: skip


def table(values: dict[str, list[float]]) -> Table:
    """A row for each claim."""
    columns = ["claim", "in the paper", "mean", "least", "most", "bound", "holds"]
    rows = [
        [c.text, c.paper, mean(values[c.key]), min(values[c.key]), max(values[c.key]), c.bound, c.holds(values[c.key])]
        for c in CLAIMS
    ]
    return Table(f"Each claim with {len(next(iter(values.values())))} seeds", columns, rows)


def trainings(kept: Sequence[Trained]) -> dict[str, list[float]]:
    """The figures of one network, seed by seed. seconds: of CPU."""
    return {
        "train loss": [one.train_loss for one in kept],
        "test accuracy": [one.test_accuracy for one in kept],
        "seconds": [one.seconds for one in kept],
    }


def networks_table(found: dict[str, dict[str, list[float]]]) -> Table:
    """A row for each network."""
    rows = [
        [name, *(f(100 * a for a in one["test accuracy"]) for f in (mean, min, max)), mean(one["seconds"])]
        for name, one in found.items()
    ]
    return Table(
        "The networks: test accuracy in %, and CPU time", ["network", "mean", "least", "most", "seconds"], rows
    )


def verdict(held: dict[str, bool]) -> str:
    """How many claims hold, and which do not."""
    failing = [claim.text for claim in CLAIMS if not held[claim.key]]
    if failing:
        return f"does not hold: {len(failing)} of {len(held)} claims: {'; '.join(failing)}."
    return f"holds: all {len(held)} claims, with every seed."


def picture(values: dict[str, list[float]]) -> Picture:
    """A strip for each claim."""
    caption = "A circle for every seed; the grey side of the line is where the claim says that they lie."
    return Picture(
        "claims", "Claims and seeds", caption, lambda figure: draw(figure, values), (8.5, 0.75 * len(CLAIMS) + 0.4)
    )


def draw(figure: Any, values: dict[str, list[float]]) -> None:
    """The values of each claim beside its bound, each on its own scale."""
    for i, claim in enumerate(CLAIMS):
        ax = axes(figure, "", "", (len(CLAIMS), 1, i + 1))
        bound = claim.above if claim.above is not None else claim.below or 0.0
        low, high = min(0.0, bound, *values[claim.key]), max(bound, *values[claim.key])
        low, high = low - 0.05 * (high - low), high + 0.08 * (high - low)
        side = (low, bound) if claim.above is None else (bound, high)
        ax.axvspan(*side, color="#000000", alpha=0.1, linewidth=0)
        ax.axvline(bound, color="#000000", linewidth=1)
        ax.plot(values[claim.key], [0] * len(values[claim.key]), "o", color="#000000", fillstyle="none")
        ax.set_xlim(low, high)
        ax.set_ylim(-1, 1)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="x", labelsize="small")
        ax.set_title(claim.text, loc="left", fontsize="small", pad=2)


METHOD = """Every network is trained from each seed in one setting: 1,437 digits of 8 x 8 pixels, 12 epochs, SGD with
a momentum of 0.9, a weight decay of 1e-4, batches of 64, a rate of 0.05 that falls to a tenth after 70 % of the epochs.
ResNet-56, plain-56 and plain-20 with batch norm; ResNet-56 with batch norm after the addition; ResNet-56 without batch
norm and branches scaled by 1, 0.3 and 0.1.

Late blocks are those behind the last change of shape. Pairs of plain layers are those that give the shape they take.
The gradients are those of 32 training images in float64, in training mode. A claim holds where every seed keeps its
bound."""

EXPECTED = """The papers worked with CIFAR-10, ImageNet and weeks of GPUs. The effects are in the architecture, and most
of them far larger than the scatter of seeds: they show on small images in minutes. Differences of a point or two, such
as full pre-activation's gain, do not."""
