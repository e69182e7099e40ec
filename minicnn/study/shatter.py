"""F8: shattered gradients. How alike are the gradients of a network's output for neighbouring inputs?

Balduzzi et al. 2017: The Shattered Gradients Problem, arXiv:1702.08591. In a deep plain network the gradient with
respect to the input looks like white noise: what it says for one image says nothing about the next one. With skips it
decays far slower with depth, slowest where the branches are scaled down.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.model import Model
from minicnn.study.digits import seeded
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.probing import input_gradients
from minicnn.study.result import Picture, Result, Table
from minicnn.study.subjects import subject, twin

PAPER = "Balduzzi et al. 2017: The Shattered Gradients Problem, arXiv:1702.08591, sections 2 and 3"
WIDTH, POINTS = 200, 256  # the paper's: 200 rectifiers a layer, 256 points from -2 to 2
LAGS = (1, 2, 3, 5, 8, 12, 15, 20, 30, 45, 64)
DEPTHS = (2, 4, 10, 24, 50)
FAMILY = {  # residual, beta, batch norm
    "plain": (False, 1.0, False),
    "plain, batch norm": (False, 1.0, True),
    "residual": (True, 1.0, False),
    "residual, batch norm": (True, 1.0, True),
    "residual, batch norm, beta 0.1": (True, 0.1, True),
}


# The measures --------------------------------------------------------------------------------------------------------


def along_curve(gradients: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """How alike gradients are `lag` points apart: mean(g_i . g_(i+lag)) / mean(g_i . g_i), for each lag.

    gradients: (points, ...) in the order of the curve. 1 where the gradient does not change, 0 for white noise. The
    mean is not taken off: it is part of what the gradients have in common, and zero over draws of the weights.
    Raises ValueError for a lag beyond the curve, or a gradient that vanishes everywhere.
    """
    g = gradients.reshape(len(gradients), -1).astype("float64")
    if max(lags) >= len(g) or min(lags) < 0:
        raise ValueError(f"a curve of {len(g)} points has the lags 0 to {len(g) - 1}, got {max(lags)} or {min(lags)}")
    size = _size(g)
    return np.array([np.mean(np.sum(g[: len(g) - lag] * g[lag:], axis=1)) / size for lag in lags])


def across_batch(gradients: np.ndarray) -> float:
    """The same between any two of a batch (N, ...): mean over pairs i != j of g_i . g_j, by the mean of g_i . g_i."""
    g = gradients.reshape(len(gradients), -1).astype("float64")
    n, own = len(g), _size(g) * len(g)
    if n < 2:
        raise ValueError(f"pairs need at least 2 examples, got {n}")
    return float((np.sum(np.sum(g, axis=0) ** 2) - own) / ((n - 1) * own))


def _size(g: np.ndarray) -> float:
    size = float(np.mean(np.sum(g * g, axis=1)))
    if size == 0 or not math.isfinite(size):
        raise ValueError(f"the gradients have mean square {size}: nothing to compare")
    return size


def fully_connected(depth: int, kind: str = "plain", inputs: int = 1, width: int = WIDTH) -> Model:
    """The paper's networks: `depth` layers of `width` rectifiers from `inputs` numbers to one.

    plain: x <- W relu(x); residual: x <- alpha (x + beta W relu(x)); batch norm stands before the relu. alpha is
    1 / sqrt(2) without batch norm, as in the paper's Theorem 2, else 1. Weights and biases have variance 2 / width.
    """
    residual, beta, norm = FAMILY[kind]

    def dense(units: int) -> layers.Dense:
        noise = layers.initializers.RandomNormal(stddev=math.sqrt(2 / width))
        return layers.Dense(units, kernel_initializer="he_normal", bias_initializer=noise)

    start = layers.Input((inputs,))
    x = dense(width)(start)
    for _ in range(depth):
        y = layers.BatchNormalization(epsilon=1e-5)(x) if norm else x
        y = dense(width)(layers.ReLU()(y))
        x = layers.ScaledAdd(beta)([x, y]) if residual else y
        if residual and not norm:
            x = x * (1 / math.sqrt(2))
    return Model(start, layers.Dense(1)(x), name=f"{kind}, depth {depth}")


# The study -----------------------------------------------------------------------------------------------------------


def run(settings: Any) -> Result:
    """The paper's networks by depth, or a network of the zoo on images, over several draws of the weights."""
    return of_the_zoo(settings) if settings.model else by_depth(settings)


def by_depth(settings: Any) -> Result:
    """Every kind of FAMILY at every depth: along a line, and between random inputs."""
    draws = 40 if settings.full else 10
    curve, lines, pairs = np.linspace(-2, 2, POINTS)[:, None], {}, {}
    for kind in FAMILY:
        settings.say(f"{kind}: {draws} draws at depths {', '.join(map(str, DEPTHS))}")
        for depth in DEPTHS:
            found = [one_draw(depth, kind, settings.seed * 1000 + draw, curve) for draw in range(draws)]
            lines[kind, depth] = mean_and_error([line for line, _ in found])
            pairs[kind, depth] = mean_and_error([pair for _, pair in found])
    figures: dict[str, Any] = {
        "width": WIDTH, "points": POINTS, "draws": draws, "lags": list(LAGS), "depths": list(DEPTHS),
        "along the line": {k: {str(d): as_lists(lines[k, d]) for d in DEPTHS} for k in FAMILY},
        "between inputs": {k: {str(d): as_lists(pairs[k, d]) for d in DEPTHS} for k in FAMILY},
        "rates": rates(pairs),
    }  # fmt: skip
    about = f"fully connected networks, width {WIDTH}, {draws} draws, seed {settings.seed}"
    return Result(
        "shatter", "Shattered gradients", about, figures, tables(lines, pairs), pictures(lines, pairs),
        METHOD, PAPER, EXPECTED, verdict(pairs, figures["rates"]),
    )  # fmt: skip


def one_draw(depth: int, kind: str, seed: int, curve: np.ndarray) -> tuple[np.ndarray, float]:
    """The likeness along the curve, and between 64 random inputs, of networks with weights of this seed."""
    with seeded(seed):
        line = along_curve(input_gradients(fully_connected(depth, kind), curve), LAGS)
        batch = np.random.default_rng(seed).normal(size=(64, WIDTH))
        pair = across_batch(input_gradients(fully_connected(depth, kind, WIDTH), batch))
    return line, pair


def mean_and_error(values: Sequence[Any]) -> tuple[Any, Any]:
    """The mean over draws, and its standard error."""
    return np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / math.sqrt(len(values))


def as_lists(pair: tuple[Any, Any]) -> dict[str, Any]:
    """For JSON."""
    return {"mean": np.asarray(pair[0]).tolist(), "standard error": np.asarray(pair[1]).tolist()}


def rates(pairs: dict) -> dict[str, dict[str, Any]]:
    """Two laws fitted to the likeness between inputs of each kind: factor a layer (r^L), and power of depth (L^-p).

    Least squares on the logarithm, which needs values above 0; those within two standard errors of it are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind in FAMILY:
        seen = [(d, pairs[kind, d][0]) for d in DEPTHS if pairs[kind, d][0] > 2 * pairs[kind, d][1]]
        depth, logs = np.array([d for d, _ in seen], float), np.log([float(v) for _, v in seen])
        if len(seen) < 2:
            found[kind] = {"factor a layer": math.nan, "power of depth": math.nan, "better": "neither"}
            continue
        power, at_one = np.polyfit(np.log(depth), logs, 1)
        slope, start = np.polyfit(depth, logs, 1)
        misses = [np.sum((logs - slope * depth - start) ** 2), np.sum((logs - power * np.log(depth) - at_one) ** 2)]
        better = "exponential" if misses[0] < misses[1] else "power"
        found[kind] = {"factor a layer": float(np.exp(slope)), "power of depth": float(power), "better": better}
    return found


def verdict(pairs: dict, found: dict) -> str:
    """The order of plain, residual and small beta at the greatest depth, by more than two standard errors."""
    deepest = DEPTHS[-1]
    chain = ["plain, batch norm", "residual, batch norm", "residual, batch norm, beta 0.1"]
    values = [pairs[kind, deepest] for kind in chain]
    apart = [b[0] - a[0] > 2 * math.hypot(a[1], b[1]) for a, b in zip(values, values[1:], strict=False)]
    shown = " < ".join(f"{round(float(mean), 3) + 0:.3f} ± {error:.3f}" for mean, error in values)  # + 0: no -0.000
    text = (
        f"at depth {deepest} the gradients of two inputs are alike by {shown} (plain, residual, residual with beta "
        f"0.1, all with batch norm); a plain layer with batch norm multiplies it by "
        f"{found[chain[0]]['factor a layer']:.2f} (paper: 0.5), residual ones fall as depth to the power of "
        f"{found[chain[1]]['power of depth']:.2f} (paper: -0.5)."
    )
    return ("holds: " if all(apart) else "does not hold: ") + text


def tables(lines: dict, pairs: dict) -> list[Table]:
    """One by depth, one by lag at the greatest depth."""
    columns = ["network", *(f"depth {d}" for d in DEPTHS)]
    rows = [[kind, *(float(pairs[kind, d][0]) for d in DEPTHS)] for kind in FAMILY]
    some = [lag for lag in LAGS if lag in (1, 5, 15, 30, 64)]
    at = [LAGS.index(lag) for lag in some]
    deepest = DEPTHS[-1]
    by_lag = [[kind, *(float(lines[kind, deepest][0][i]) for i in at)] for kind in FAMILY]
    return [
        Table("Likeness of the gradients of two random inputs", columns, rows),
        Table(f"Along the line, depth {deepest}: points apart", ["network", *map(str, some)], by_lag),
    ]


def pictures(lines: dict, pairs: dict) -> list[Picture]:
    """Likeness by depth, and along the line at the greatest depth."""
    deepest = DEPTHS[-1]

    def by_depth(figure: Any) -> None:
        ax = axes(figure, "depth in layers", "likeness of two inputs' gradients")
        for kind, style in zip(FAMILY, STYLES, strict=False):
            means, errors = (np.array([pairs[kind, d][i] for d in DEPTHS]) for i in (0, 1))
            ax.errorbar(DEPTHS, means, errors, label=kind, capsize=2, **style)
        ax.set_xscale("log")
        ax.set_xticks(DEPTHS, [str(d) for d in DEPTHS])
        ax.minorticks_off()
        ax.set_ylim(-0.03, 1.03)
        label_ends(ax)

    def along(figure: Any) -> None:
        ax = axes(figure, f"points apart, of {POINTS} from -2 to 2", "likeness of the gradients")
        for kind, style in zip(FAMILY, STYLES, strict=False):
            mean, error = lines[kind, deepest]
            ax.errorbar(LAGS, mean, error, label=kind, capsize=2, **style)
        ax.set_xlim(0, LAGS[-1])
        label_ends(ax)

    text = "1: the same gradient; 0: nothing in common, as white noise. Bars: one standard error over the draws."
    return [
        Picture("shatter_depth", "Gradients of two random inputs, by depth", text, by_depth, (8.0, 4.2)),
        Picture("shatter_line", f"Gradients along a line, depth {deepest}", text, along, (8.0, 4.2)),
    ]


METHOD = f"""Networks of 2 to 50 layers with {WIDTH} rectifiers each and one output, with new weights for every draw.
The gradient of the output with respect to the input is taken at {POINTS} points of the line from -2 to 2 (networks of
one input), and at 64 random inputs of {WIDTH} numbers.

The likeness of gradients some points apart is the mean of their inner products, divided by the mean square of one
gradient: 1 for a linear network, 0 for white noise. Batch norm uses the statistics of the points themselves."""

EXPECTED = """Plain: the likeness of two inputs falls exponentially with depth, as 1/2^L where half of the rectifiers
are open for one input, independently of the other, which batch norm sees to. Residual without batch norm: (3/4)^L.
Residual with batch norm: about 1/sqrt(L). Branches scaled by 0.1: nearly 1 at any depth. Without batch norm and with
biases, deep plain networks map all inputs onto one direction: there the same rectifiers are open, which keeps
gradients more alike than the theory's assumption."""


# A network of the zoo ------------------------------------------------------------------------------------------------


def of_the_zoo(settings: Any) -> Result:
    """A network on the way from one image to another, and on a batch; beside its plain twin where there is one."""
    other = None if settings.weights else twin(settings.model)  # beside trained weights new ones say nothing
    names = [settings.model] if other is None else [settings.model, other]
    draws = 10 if settings.full else 3
    lags = tuple(lag for lag in LAGS if lag < 32)
    lines, pairs = {}, {}
    for name in names:
        settings.say(f"{name}: {draws} draws")
        found = [image_gradients(name, settings, draw, lags) for draw in range(draws)]
        lines[name] = mean_and_error([line for line, _ in found])
        pairs[name] = mean_and_error([pair for _, pair in found])
    figures = {
        "draws": draws, "lags": list(lags), "steps": 64,
        "along the way": {n: as_lists(lines[n]) for n in names},
        "between images": {n: as_lists(pairs[n]) for n in names},
    }  # fmt: skip

    def draw(figure: Any) -> None:
        ax = axes(figure, "steps apart, of 64 from one image to another", "likeness of the gradients")
        for name, style in zip(names, STYLES, strict=False):
            ax.errorbar(lags, *lines[name], label=name, capsize=2, **style)
        label_ends(ax)

    rows = [[name, float(lines[name][0][0]), float(lines[name][0][-1]), float(pairs[name][0])] for name in names]
    columns = ["network", f"{lags[0]} step apart", f"{lags[-1]} steps apart", "two images"]
    caption = "1: the same gradient; 0: nothing in common. Bars: one standard error over the draws."
    return Result(
        "shatter", "Shattered gradients", f"{settings.model}, {settings.data_words}, seed {settings.seed}", figures,
        [Table("Likeness of the gradients", columns, rows)],
        [Picture("shatter_line", "Gradients on the way from one image to another", caption, draw)],
        METHOD_OF_IMAGES, PAPER, EXPECTED, zoo_verdict(names, lines, lags),
    )  # fmt: skip


def image_gradients(name: str, settings: Any, draw: int, lags: Sequence[int]) -> tuple[np.ndarray, float]:
    """The likeness of gradients between two test images and over a batch, for weights of this draw (or the file's)."""
    model, images = subject(settings, name, seed=settings.seed * 1000 + draw)
    x = images.x_test[:32]
    share = np.linspace(0, 1, 65)[:, None, None, None]
    way = (1 - share) * x[2 * draw % len(x)] + share * x[(2 * draw + 1) % len(x)]
    return along_curve(input_gradients(model, way), lags), across_batch(input_gradients(model, x))


def zoo_verdict(names: Sequence[str], lines: dict, lags: Sequence[int]) -> str:
    """Whether the residual network keeps its gradients more alike than its plain twin."""
    shown = ", ".join(f"{lines[n][0][0]:.3f} ± {lines[n][1][0]:.3f} ({n})" for n in names)
    text = f"gradients {lags[0]} of 64 steps apart are alike by {shown}."
    if len(names) == 1:
        return f"measured: {text} The zoo has no plain twin to compare with."
    (a, da), (b, db) = ((lines[n][0][0], lines[n][1][0]) for n in names)
    return ("holds: " if a - b > 2 * math.hypot(da, db) else "does not hold: ") + text


METHOD_OF_IMAGES = """Every draw has new initial weights (or those of the file). One image of the data set turns into
another one in 64 even steps; at each the gradient of a fixed random mixture of the scores with respect to the image is
taken. The likeness of gradients some steps apart is the mean of their inner products, divided by the mean square of one
gradient; "two images" is the same between the images of a batch. Batch norm uses the statistics of the images
themselves."""
