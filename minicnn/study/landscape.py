"""F11: the loss around a network: slices along filter-normalised directions, and the extremes of the curvature.

Li et al. 2018: Visualizing the Loss Landscape of Neural Nets, arXiv:1712.09913. Deep plain networks stand in a chaotic
landscape, residual ones in a smooth and nearly convex one. Directions have, filter by filter, the length of the
weights, so that networks whose weights are scaled differently can be compared; biases and batch norms stay.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.config import generator
from minicnn.study.curvature import STEP, hessian_extremes, loss_of
from minicnn.study.digits import seeded, train
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.probing import undisturbed, weights_kept
from minicnn.study.result import Picture, Result, Table
from minicnn.study.subjects import subject, twin
from minicnn.tensor import no_grad

Direction = list[np.ndarray]  # an array for each of model.trainable_weights

# Directions ----------------------------------------------------------------------------------------------------------


def direction(model: Any, *key: int | str) -> Direction:
    """A random direction, filter-normalised (Li et al., section 4); the same for the same seed of the process and key.

    Every filter (the slice of a kernel that makes one channel) gets the norm of the model's own; biases and what a
    batch norm learns get 0.
    """
    rng = generator("landscape", *key)
    return [normalised(rng.normal(size=w.shape), to_numpy(w.data)) for w in model.trainable_weights]


def normalised(noise: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`noise` with the norm of `weight` in each filter, its last axis; zeros for what has one axis or none."""
    if weight.ndim < 2:
        return np.zeros(weight.shape)
    axes = tuple(range(weight.ndim - 1))
    own, other = (np.sqrt(np.sum(np.square(a, dtype="float64"), axis=axes)) for a in (weight, noise))
    return noise * (own / np.where(other > 0, other, 1))


def save_directions(path: Any, model: Any, directions: Sequence[Direction]) -> None:
    """Writes directions to a .npz file, each weight's part under its name: a slice can be drawn again, or finer."""
    arrays = {
        f"{i}/{w.name}": part
        for i, one in enumerate(directions)
        for w, part in zip(model.trainable_weights, one, strict=True)
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_directions(path: Any, model: Any) -> list[Direction]:
    """What `save_directions` wrote. Raises ValueError where a weight is missing or has another shape."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    count = len({name.partition("/")[0] for name in arrays})
    found = []
    for i in range(count):
        one = []
        for w in model.trainable_weights:
            part = arrays.get(f"{i}/{w.name}")
            if part is None or part.shape != w.shape:
                got = "nothing" if part is None else f"shape {part.shape}"
                raise ValueError(f"{path}: direction {i} of {w.name} must have the shape {w.shape}, got {got}")
            one.append(part)
        found.append(one)
    return found


# Slices --------------------------------------------------------------------------------------------------------------


def slice_1d(model: Any, x: Any, y: Any, along: Direction, steps: Any, **how: Any) -> np.ndarray:
    """The loss at weights + t * along for every t of `steps`; the weights are as before afterwards.

    how: `loss` and `training`, as in `loss_of`. Not a number where the loss overflows.
    """
    return slice_2d(model, x, y, (along, along), steps, [0.0], **how)[0]


def slice_2d(model: Any, x: Any, y: Any, along: Sequence[Direction], across: Any, down: Any, **how: Any) -> np.ndarray:
    """The loss at weights + a * along[0] + b * along[1]: (len(down), len(across)), a from `across`, b from `down`.

    Raises ValueError for directions of another model.
    """
    weights = model.trainable_weights
    shapes = [w.shape for w in weights]
    if any([np.shape(part) for part in one] != shapes for one in along):
        raise ValueError(
            f"{model.name}: a direction has an array for each of its {len(weights)} trainable weights, in "
            "their shapes: direction(model, 0) draws one"
        )
    start = [to_numpy(w.data).astype("float64") for w in weights]
    found = np.empty((len(down), len(across)))
    with weights_kept(model), undisturbed(model), no_grad(), np.errstate(all="ignore"):
        for i, b in enumerate(down):
            for j, a in enumerate(across):
                for w, s, first, second in zip(weights, start, *along, strict=True):
                    w.assign(s + a * first + b * second)
                found[i, j] = float(loss_of(model, x, y, **how).numpy())
    return found


def convex_share(losses_along: np.ndarray) -> float:
    """The share of a slice where it bends upwards: second differences that are positive; 1 for a convex one."""
    values = np.asarray(losses_along, "float64")
    bends = values[2:] - 2 * values[1:-1] + values[:-2]
    finite = bends[np.isfinite(bends)]
    return float(np.mean(finite > 0)) if len(finite) else float("nan")


# The study -----------------------------------------------------------------------------------------------------------

PAPER = "Li et al. 2018: Visualizing the Loss Landscape of Neural Nets, arXiv:1712.09913, sections 4 to 6"
EPOCHS = 8
REACH = np.linspace(-1, 1, 21)  # along a slice, in lengths of the weights
PLANE = np.linspace(-0.6, 0.6, 11)
SEEN, CURVED = 256, 64  # training images: for slices, and for the curvature
LANCZOS = 15  # steps
DEEP = 50  # layers, from which on the paper finds plain networks in a chaotic landscape


def run(settings: Any) -> Result:
    """A residual network and its plain twin after the same short training: slices, a plane, curvature.

    By default at 20 and at 56 layers; for a network that is named, that one and its twin.
    """
    names = pairs_of(settings.model)
    found = {name: look(name, settings) for name in names}
    figures = {
        "networks": {name: {k: v for k, v in one.items() if k != "model"} for name, one in found.items()},
        "reach": REACH.tolist(), "plane": PLANE.tolist(), "step": STEP,
    }  # fmt: skip
    subject = f"{', '.join(names)}, {settings.data_words}, seed {settings.seed}"
    return Result(
        "landscape", "The loss around a network", subject, figures, tables(found), pictures(found), METHOD, PAPER,
        EXPECTED, verdict(found),
    )  # fmt: skip


def pairs_of(name: str | None) -> list[str]:
    """The networks: the one that is named and its plain twin, or both pairs of the default."""
    if name is None:
        return ["resnet20", "plain20", "resnet56", "plain56"]
    return [name, *(t for t in [twin(name)] if t)]


def look(name: str, settings: Any) -> dict[str, Any]:
    """A network, trained unless its weights are given; two slices, the plane of their directions, its curvature."""
    model, images = subject(settings, name)
    history = {"loss": [float("nan")], "val_accuracy": [float("nan")]}
    if settings.weights is None or name != settings.model:
        epochs = settings.epochs or EPOCHS
        settings.say(f"{name}: {epochs} epochs of training")
        history = train(model, images, epochs, settings.seed)
    x, y = images.x_train[:SEEN], images.y_train[:SEEN]
    settings.say(f"{name}: slices and curvature")
    with seeded(settings.seed):
        directions = [direction(model, k) for k in range(2)]
    reach, plane = (REACH, PLANE) if not settings.full else (np.linspace(-1, 1, 51), np.linspace(-1, 1, 25))
    slices = [slice_1d(model, x, y, one, reach) for one in directions]
    flat = slice_2d(model, x[:128], y[:128], directions, plane, plane)
    curvature = hessian_extremes(model, x[:CURVED], y[:CURVED], steps=LANCZOS * (2 if settings.full else 1))
    return {
        "loss": float(slices[0][len(reach) // 2]), "accuracy": float(history["val_accuracy"][-1]),
        "slices": [one.tolist() for one in slices], "plane": flat.tolist(), "curvature": curvature,
        "reach": reach.tolist(), "across": plane.tolist(), "convex": [convex_share(one) for one in slices],
        "rise": float(np.median([np.log10(max(one[i], 1e-9)) for one in slices for i in (0, -1)])),
    }  # fmt: skip


def verdict(found: dict[str, dict[str, Any]]) -> str:
    """Of each pair: how high the loss rises a length of the weights away, and the share of negative curvature."""
    parts, holds = [], []
    for name, one in found.items():
        other = twin(name)
        if other is None or other not in found:
            continue
        plain = found[other]
        ratios = one["curvature"]["ratio"], plain["curvature"]["ratio"]
        parts.append(
            f"{other} against {name}: loss {10 ** plain['rise']:.3g} against {10 ** one['rise']:.3g} a length of the "
            f"weights away, |smallest / largest| eigenvalue {ratios[1]:.2g} against {ratios[0]:.2g}"
        )
        holds.append((plain["rise"] - one["rise"], ratios[1] - ratios[0]))
    if not parts:
        one = next(iter(found.values()))
        return (
            f"measured: |smallest / largest| eigenvalue {one['curvature']['ratio']:.2g}; the zoo has no plain twin to "
            "compare with."
        )
    text = "; ".join(parts)
    deep = [name for name in found if twin(name) in found and layers_of(name) >= DEEP]
    if not deep:
        return f"measured: {text}. The paper finds no difference at this depth."
    higher, more_negative = holds[-1]
    if higher > 1 and more_negative > 0:
        return f"holds: {text}."
    if higher > 1:
        return f"holds for the height of the loss, not for its curvature: {text}."
    return f"does not hold (the loss around the deepest plain network should be ten times higher): {text}."


def layers_of(name: str) -> int:
    """56 for resnet56."""
    return int("0" + "".join(c for c in name if c.isdigit()))


def tables(found: dict[str, dict[str, Any]]) -> list[Table]:
    """One row a network."""
    columns = ["network", "loss", "test accuracy", "loss at 1", "bends up", "largest", "smallest", "ratio"]
    rows = [
        [name, one["loss"], one["accuracy"], 10 ** one["rise"], float(np.mean(one["convex"])),
         one["curvature"]["largest"], one["curvature"]["smallest"], one["curvature"]["ratio"]]
        for name, one in found.items()
    ]  # fmt: skip
    return [Table("The loss around each network, and the eigenvalues of its Hessian", columns, rows)]


def pictures(found: dict[str, dict[str, Any]]) -> list[Picture]:
    """The slices of all networks, and the planes."""

    def slices(figure: Any) -> None:
        ax = axes(figure, "distance, in lengths of the weights", "loss")
        for (name, one), style in zip(found.items(), STYLES, strict=False):
            for i, values in enumerate(one["slices"]):
                shown = {**style, "marker": None} if i else {**style, "markevery": 2}
                ax.plot(one["reach"], np.clip(values, 1e-4, None), label=name if i == 0 else f"_{name}", **shown)
        ax.set_yscale("log")
        label_ends(ax)

    def planes(figure: Any) -> None:
        rows = 2 if len(found) > 2 else 1
        columns = -(-len(found) // rows)
        for i, (name, one) in enumerate(found.items()):
            # column by column: a pair stands one above the other
            place = (i % rows) * columns + i // rows + 1 if rows > 1 else i + 1
            ax = figure.add_subplot(rows, columns, place)
            logs = np.log10(np.clip(np.array(one["plane"], float), 1e-3, 1e6))
            levels = np.arange(-2, 6.01, 0.5)
            lines = {"colors": "black", "linewidths": 0.7, "linestyles": "solid"}
            drawn = ax.contour(one["across"], one["across"], logs, levels=levels, **lines)
            ax.clabel(drawn, levels[::2], fmt=lambda v: f"{10**v:g}", fontsize="x-small")
            ax.contourf(one["across"], one["across"], logs, levels=levels, cmap="Greys", alpha=0.5)
            ax.set_title(name, loc="left", fontsize="small")
            ax.set_aspect("equal")
            ax.tick_params(labelsize="x-small")
        figure.supxlabel("distance along the first direction, in lengths of the weights", fontsize="small")
        figure.supylabel("along the second", fontsize="small")

    return [
        Picture("landscape_slices", "The loss along two directions", "Solid marks: the first direction; without "
                "marks: the second. Directions have, filter by filter, the length of the weights.", slices, (8.0, 4.4)),
        Picture("landscape_planes", "The loss on the plane of both", "Lines of equal loss, half a power of ten apart.",
                planes, (8.0, 7.2) if len(found) > 2 else (8.0, 4.2)),
    ]  # fmt: skip


METHOD = f"""Each network learns the digits for {EPOCHS} epochs. Two random directions are drawn; every filter of them
gets the norm of the network's own filter, biases and batch norms stay (filter normalisation). The mean loss of {SEEN}
training images is computed along each, from minus to plus one length of the weights, and of 128 images on the plane of
both, with the moving statistics, as Li et al. do. The seed fixes the directions.

The largest and the smallest eigenvalue of the Hessian of the loss of {CURVED} images come from Lanczos's method with
full orthogonalisation. A product of the Hessian with a vector is the central difference of two gradients in float64,
at {STEP:g} of the weights' length, the cube root of the rounding unit, where truncation and rounding are smallest
together; every ReLU stays open where it is open at the weights themselves, for across a kink a difference of gradients
says nothing of curvature. On losses whose Hessian is known it is right to 1e-8. A ratio |smallest / largest| near 0
says convex, near 1 as much downwards as upwards."""

EXPECTED = """At 20 layers plain and residual networks look alike. With depth the plain one's surroundings turn from
nearly convex to chaotic: the loss shoots up within a fraction of the weights' length, and negative curvature is as
strong as positive. Skips prevent it. Here networks are narrow, learn 8 x 8 digits and for a short time: plain-56
hardly learns at all, so what is seen is the landscape in which its training stays."""
