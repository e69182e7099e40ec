"""F4: plain networks against residual ones as they get deeper. He et al. 2015, arXiv:1512.03385, section 4.2, Fig. 6.

The shortcuts of option A have no weights, so that a plain network and its residual twin have the same parameters, and
under one seed the same initial ones: all that differs is the sums.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minicnn.study.digits import Trained, seeded, split
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.families import Member, draw_training, form, train_family, twin, wanted_depth
from minicnn.study.instruments import Settings
from minicnn.study.measures import norm
from minicnn.study.recording import gradients
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS

PAPER = "He et al. 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2, Fig. 6, Table 6"
DEPTHS, FULL_DEPTHS = (20, 56), (20, 32, 44, 56, 110)
RISE, LEVEL = 10.0, 5.0  # points of training error from the shallowest to the deepest: of plain networks, of residual


def relative_gradients(model: Any, x: Any, y: Any) -> tuple[list[str], np.ndarray]:
    """For every kernel, in forward order, its name and the norm of its gradient divided by its own norm.

    x, y: a batch of images and class numbers; batch norm takes the batch's statistics, as in training.
    """
    found = gradients(model, x, y, wrt="weights", loss=LOSS)
    kernels = {w.name: norm(w.data) for w in model.trainable_weights if w.name.endswith("/kernel")}
    names = [name for name in found if name in kernels]
    return names, np.array([norm(found[name]) / kernels[name] for name in names])


def measured(kept: Trained, fresh: Any, x: Any, y: Any) -> dict[str, Any]:
    """What became of a trained network, and its gradients at the start (`fresh`: the same network, untrained)."""
    names, before = relative_gradients(fresh, x, y)
    history = kept.history
    return {
        "parameters": int(fresh.count_params()),
        "train loss": kept.train_loss,
        "train error": 100 * (1 - history["accuracy"][-1]),
        "test error": 100 * (1 - kept.test_accuracy),
        "loss by epoch": history["loss"],
        "test error by epoch": [100 * (1 - a) for a in history["val_accuracy"]],
        "kernels": names,
        "gradient at the start": before.tolist(),
        "gradient after training": [] if kept.diverged else relative_gradients(kept.model, x, y)[1].tolist(),
        "seconds": kept.seconds,
    }


def compare(members: Sequence[Member], settings: Settings) -> dict[str, dict[str, Any]]:
    """The figures of `measured` for each of some networks, by their labels, all trained from the same seed.

    The members may be anybody's: Member("mine", "mine", build), with build() giving a classifier of images.
    """
    found = {}
    for member, kept in zip(members, train_family(members, settings).values(), strict=True):
        with seeded(settings.seed):
            fresh = member.build()
        images = split(settings.load(), fresh.input_shape[1:])
        found[member.label] = measured(kept, fresh, images.x_train[:64], images.y_train[:64])
    return found


# The instrument ------------------------------------------------------------------------------------------------------


def run(settings: Settings) -> Result:
    """Trains pairs of twins of 20 and 56 layers, or with `full` of 20 to 110."""
    own = wanted_depth(settings, None)
    depths = (own,) if own else FULL_DEPTHS if settings.full else DEPTHS
    shape, classes = form(settings)
    members = [
        Member(f"{kind}{depth}", f"{kind}{depth}", partial(twin, kind, depth, shape, classes))
        for depth in depths
        for kind in ("resnet", "plain")
    ]
    found = compare(members, settings)
    figures = {"depths": list(depths), "networks": found}
    subject = f"{', '.join(map(str, depths))} layers, {settings.data_words}, seed {settings.seed}"
    return Result(
        "degradation", "Degradation: plain against residual networks", subject, figures, tables(found),
        pictures(depths, found), METHOD, PAPER, EXPECTED, verdict(depths, found),
    )  # fmt: skip


def tables(found: dict[str, dict]) -> list[Table]:
    """A row for each network; gradients as the first kernel's relative to the last convolution's."""
    columns = ["network", "parameters", "train loss", "train error, %", "test error, %", "gradient, first / last"]
    rows = [
        [name, f["parameters"], f["train loss"], f["train error"], f["test error"], first_by_last(f)]
        for name, f in found.items()
    ]
    return [Table("Errors after the last epoch; gradients at the start", columns, rows)]


def first_by_last(found: dict) -> float:
    """The relative gradient of the first convolution by that of the last one (the kernel before the dense layer's)."""
    gradient = found["gradient at the start"]
    return gradient[0] / gradient[-2]


def verdict(depths: Sequence[int], found: dict[str, dict]) -> str:
    """Whether the training error rises with depth in plain networks, and does not in residual ones."""
    low, high = min(depths), max(depths)
    error = {name: f["train error"] for name, f in found.items()}
    if low == high:
        plain, residual = error[f"plain{high}"], error[f"resnet{high}"]
        holds = plain - residual > RISE
        text = f"with {high} layers the plain network's training error is {plain:.1f} %, the residual one's "
        text += f"{residual:.1f} %."
    else:
        rise = {kind: error[f"{kind}{high}"] - error[f"{kind}{low}"] for kind in ("plain", "resnet")}
        holds = rise["plain"] > RISE and rise["resnet"] < LEVEL
        text = f"from {low} to {high} layers the training error goes from {error[f'plain{low}']:.1f} to "
        text += f"{error[f'plain{high}']:.1f} % in the plain network, from {error[f'resnet{low}']:.1f} to "
        text += f"{error[f'resnet{high}']:.1f} % in the residual one."
    return ("holds: " if holds else "does not hold: ") + text


# Pictures ------------------------------------------------------------------------------------------------------------


def pictures(depths: Sequence[int], found: dict[str, dict]) -> list[Picture]:
    """Training, errors by depth, gradients by layer."""
    shown = [f"{kind}{d}" for d in sorted({min(depths), max(depths)}) for kind in ("resnet", "plain")]
    deepest = max(depths)
    made = [
        Picture(
            "degradation_training", "Training", "The mean loss on the training part, epoch by epoch.",
            lambda figure: draw_training(figure, {name: found[name]["loss by epoch"] for name in shown}),
        ),
        Picture(
            "degradation_gradients", f"Gradients at the start, {deepest} layers",
            "For every kernel the norm of its gradient divided by its own norm, before the first step. Plain networks "
            "with batch norm do not vanish: their gradients explode towards the input.",
            lambda figure: draw_gradients(figure, {name: found[name] for name in shown if name.endswith(str(deepest))}),
        ),
    ]  # fmt: skip
    if len(depths) > 1:
        caption = "The error after the last epoch, by the number of layers: test with marks, training as thin lines."
        made.insert(
            1, Picture("degradation_depth", "Error by depth", caption, lambda fig: draw_depth(fig, depths, found))
        )
    return made


def draw_depth(figure: Any, depths: Sequence[int], found: dict[str, dict]) -> None:
    """Errors by depth."""
    ax = axes(figure, "layers", "error, %")
    for (kind, label), style in zip((("resnet", "residual"), ("plain", "plain")), STYLES, strict=False):
        ax.plot(depths, [found[f"{kind}{d}"]["test error"] for d in depths], label=label, **style)
        thin = style | {"linewidth": 0.7, "marker": ""}
        ax.plot(depths, [found[f"{kind}{d}"]["train error"] for d in depths], **thin)
    ax.set_xticks(depths)
    ax.set_ylim(0, None)
    label_ends(ax)


def draw_gradients(figure: Any, found: dict[str, dict]) -> None:
    """Relative gradients by layer, the dense layer left out."""
    ax = axes(figure, "convolution, from the input", "gradient's norm / kernel's norm")
    for (name, f), style in zip(found.items(), STYLES, strict=False):
        gradient = f["gradient at the start"][:-1]
        ax.plot(range(1, len(gradient) + 1), gradient, label=name, **style | {"markersize": 3})
    ax.set_yscale("log")
    label_ends(ax)


METHOD = """Networks of 6n + 2 layers for small images, with batch norm, are trained twice: with shortcuts of option A,
which have no weights, and without. Both begin with the same weights and see the same images in the same order.

The training error is that of the last epoch, taken while the network learns; the test error is taken after it. The
gradients are those of the first 64 training images: for each kernel the norm of its gradient divided by the norm of the
kernel."""

EXPECTED = """He et al. 2015: plain networks get worse with depth, on the training part too (on CIFAR-10 plain-20 to
plain-56, and plain-110 with an error above 60 %), while residual ones get better up to 110 layers. It is no vanishing
gradient: batch norm sees to that. Yang et al. 2019 (arXiv:1902.08129): in plain networks batch norm makes gradients
explode towards the input, by a factor at every layer; with skips they stay of one size."""
