"""F10: receptive fields. Which pixels can a unit see, and which of them does it look at?

Luo et al. 2016: Understanding the Effective Receptive Field in Deep Convolutional Neural Networks, arXiv:1701.04128.
The gradient of the centre unit with respect to the image fades from the middle outwards like a Gaussian. Its width
grows with the root of the depth, where the theoretical field grows with the depth; skips make it narrower, training
wider.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import layers, zoo
from minicnn.backend import backend_of, to_numpy
from minicnn.model import Model
from minicnn.model.receptive_field import receptive_fields
from minicnn.study.digits import digits, seeded, train
from minicnn.study.drawing import STYLES, axes, label_ends, plain_ticks
from minicnn.study.probing import calibrated, undisturbed
from minicnn.study.result import Picture, Result, Table
from minicnn.tensor import Tensor, vjp

PAPER = "Luo et al. 2016: Understanding the Effective Receptive Field, arXiv:1701.04128, sections 2 and 3"
DEPTHS = (5, 10, 20, 40)
WIDTH = 8  # channels of the built-in networks


@dataclass
class Field:
    """What one unit looks at: `energy` (H, W), the mean square of the gradient of each pixel, with the sum 1.

    theoretical: the size of the field that there can be, (height, width) in pixels; None where the way to the unit
    leads through a layer of which nobody knows how it looks at its input, such as a Lambda.
    """

    layer: str
    energy: np.ndarray
    theoretical: tuple[int, int] | None

    @property
    def std(self) -> float:
        """The standard deviation of the energy in pixels, by its second moments: the mean of both axes."""
        return moments(self.energy)

    @property
    def gaussian(self) -> tuple[float, float]:
        """The standard deviation of the Gaussian that fits the energy best, and the share of variance it explains."""
        return fit_gaussian(self.energy)


def moments(energy: np.ndarray) -> float:
    """sqrt of the mean of the variances down and across, in pixels, of a map (H, W) of weights."""
    weights = energy / energy.sum()
    variances = []
    for axis in (0, 1):
        profile, place = weights.sum(axis=1 - axis), np.arange(weights.shape[axis])
        middle = profile @ place
        variances.append(profile @ (place - middle) ** 2)
    return math.sqrt(float(np.mean(variances)))


def fit_gaussian(energy: np.ndarray) -> tuple[float, float]:
    """(standard deviation in pixels, R^2) of the round Gaussian at the map's middle that fits it by least squares.

    The height of each candidate follows in closed form; the width is found by golden section between 0.1 pixels and
    the image's size.
    """
    weights = energy / energy.sum()
    rows, columns = (np.arange(n) for n in weights.shape)
    y, x = weights.sum(axis=1) @ rows, weights.sum(axis=0) @ columns
    square = (rows[:, None] - y) ** 2 + (columns[None, :] - x) ** 2

    def miss(std: float) -> float:
        shape = np.exp(-square / (2 * std * std))
        height = np.sum(weights * shape) / np.sum(shape * shape)
        return float(np.sum((weights - height * shape) ** 2))

    low, high, golden = math.log(0.1), math.log(max(weights.shape)), (math.sqrt(5) - 1) / 2
    for _ in range(60):
        a, b = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, b) if miss(math.exp(a)) < miss(math.exp(b)) else (a, high)
    std = math.exp((low + high) / 2)
    return std, 1 - miss(std) / float(np.sum((weights - weights.mean()) ** 2))


def effective_field(model: Any, x: Any, layer: str | None = None, statistics: str = "moving", seed: int = 0) -> Field:
    """The field of the unit in the middle of `layer` (default: the last one that gives images), measured on images x.

    x: (N, H, W, C). The channels of the unit are mixed with random signs, another mixture for each image; energy is
    the square of the gradient, summed over the image's channels and averaged over images. statistics: those of the
    batch norms, of this "batch" or the "moving" ones. Raises ValueError for a layer that gives no images, and for a
    model without a graph of layers.
    """
    start = model.input
    name = last_image_layer(model) if layer is None else layer
    chosen = model.get_layer(name)
    if len(chosen.output.shape) != 4:
        raise ValueError(f"layer {name!r} gives {chosen.output.shape}: only images (N, H, W, C) have a middle")
    part = Model(start, chosen.output)
    with calibrated(part, x) if statistics == "batch" else undisturbed(part):
        entrance = Tensor(part.to_tensor(x).data, requires_grad=True)
        y = part(entrance)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(y.shape[0], y.shape[3]))
        dy = np.zeros(y.shape)
        dy[:, y.shape[1] // 2, y.shape[2] // 2] = signs
        gradient = to_numpy(vjp(y, entrance, backend_of(y.data).asarray(dy, dtype=y.dtype))).astype("float64")
    energy = np.mean(np.sum(gradient**2, axis=3), axis=0)
    if not energy.sum() > 0:
        raise ValueError(f"the unit in the middle of {name!r} does not depend on these images: no field to measure")
    return Field(name, energy / energy.sum(), theoretical_size(part, name))


def theoretical_size(model: Any, layer: str) -> tuple[int, int] | None:
    """The size in pixels of what a unit of `layer` can see, None where that cannot be said."""
    try:
        return receptive_fields(model)[layer].size
    except ValueError:
        return None


def can_see(field: Field) -> float:
    """The height of what the unit can see, in pixels; NaN where that cannot be said."""
    return math.nan if field.theoretical is None else field.theoretical[0]


def last_image_layer(model: Any) -> str:
    """The last layer whose output is (N, H, W, C) with more than a pixel, else with one. Raises ValueError."""
    images = [n for n in model.steps if len(n.outputs[0].shape) == 4 and not n.layer.hidden]
    large = [n for n in images if all(size is None or size > 1 for size in n.outputs[0].shape[1:3])]
    if not images:
        raise ValueError(f"{model.name}: no layer gives images (N, H, W, C)")
    return (large or images)[-1].layer.name


def three_by_three(depth: int, residual: bool, size: int, width: int = WIDTH, norm: bool = False) -> Model:
    """`depth` 3x3 convolutions with ReLUs on images (size, size, 1) without any stride, and a classifier of ten.

    residual: a skip around every two of them. norm: batch norm behind every one.
    """
    start = layers.Input((size, size, 1))
    x = layers.Conv2D(width, 1, use_bias=False, kernel_initializer="he_normal", name="entrance")(start)

    def conv(x: Any, name: str) -> Any:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(x)
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x) if norm else x

    for i in range(1, depth // 2 + 1):
        y = layers.ReLU(name=f"relu{i}_1")(conv(x, f"conv{i}_1"))
        y = conv(y, f"conv{i}_2")
        x = layers.Add(name=f"add{i}")([x, y]) if residual else y
        x = layers.ReLU(name=f"relu{i}")(x)
    if depth % 2:
        x = layers.ReLU(name="relu_last")(conv(x, "conv_last"))
    x = layers.GlobalAveragePooling2D()(x)
    name = f"{'residual' if residual else 'plain'}-{depth}"
    return Model(start, layers.Dense(10, activation="softmax")(x), name=name)


# The study -----------------------------------------------------------------------------------------------------------


def run(settings: Any) -> Result:
    """Plain and residual networks of 3x3 convolutions by depth, and one of each before and after training."""
    return of_the_zoo(settings) if settings.model else by_depth(settings)


def by_depth(settings: Any) -> Result:
    """The widths by depth, with new weights and on random images; then what training does."""
    draws = 24 if settings.full else 8
    fields: dict[tuple[str, int], list[Field]] = {}
    for kind in ("plain", "residual"):
        for depth in DEPTHS:
            settings.say(f"{kind}, depth {depth}: {draws} draws")
            fields[kind, depth] = [random_field(depth, kind, settings.seed * 1000 + draw) for draw in range(draws)]
    widths = {key: [f.std for f in some] for key, some in fields.items()}
    trained = {kind: before_and_after(kind, settings) for kind in ("plain", "residual")}
    figures = {
        "depths": list(DEPTHS), "draws": draws,
        "std": {k: {str(d): summary(widths[k, d]) for d in DEPTHS} for k in ("plain", "residual")},
        "gaussian": {k: {str(d): gaussian_of(fields[k, d]) for d in DEPTHS} for k in ("plain", "residual")},
        "theoretical": {str(d): can_see(fields["plain", d][0]) for d in DEPTHS},
        "exponent": {k: exponent(widths, k) for k in ("plain", "residual")},
        "training": trained,
    }  # fmt: skip
    return Result(
        "erf", "Effective receptive fields", f"3x3 convolutions, {draws} draws, seed {settings.seed}", figures,
        tables(figures), pictures(figures, fields), METHOD, PAPER, EXPECTED, verdict(figures),
    )  # fmt: skip


def random_field(depth: int, kind: str, seed: int) -> Field:
    """The field of the middle unit behind `depth` convolutions with weights of this seed, on four images of noise."""
    size = 41 if depth < 30 else 61  # wide enough for what is measured: six standard deviations and more
    with seeded(seed):
        model = three_by_three(depth, kind == "residual", size)
    noise = np.random.default_rng(seed).normal(size=(4, size, size, 1))
    return effective_field(model, noise, seed=seed)


def before_and_after(kind: str, settings: Any) -> dict[str, float]:
    """The width, on test digits of 20 x 20 pixels, of ten layers with batch norm before and after a short training."""
    with seeded(settings.seed):
        model = three_by_three(10, kind == "residual", 20, width=16, norm=True)
    images = digits((20, 20, 1))
    x = images.x_test[:64]
    before = effective_field(model, x, statistics="batch")
    epochs = settings.epochs or 8
    settings.say(f"{kind}: training for {epochs} epochs")
    history = train(model, images, epochs=epochs, seed=settings.seed)
    after = effective_field(model, x)
    return {"before": before.std, "after": after.std, "accuracy": float(history["val_accuracy"][-1])}


def summary(values: list[float]) -> dict[str, float]:
    """Mean and standard error."""
    return {"mean": float(np.mean(values)), "standard error": float(np.std(values, ddof=1) / math.sqrt(len(values)))}


def gaussian_of(fields: list[Field]) -> dict[str, float]:
    """The Gaussian that fits the mean of the draws' energies."""
    std, explained = fit_gaussian(np.mean([f.energy for f in fields], axis=0))
    return {"std": std, "explained": explained}


def exponent(widths: dict, kind: str) -> float:
    """p of std ~ depth^p, by least squares on the logarithms."""
    return float(np.polyfit(np.log(DEPTHS), np.log([np.mean(widths[kind, d]) for d in DEPTHS]), 1)[0])


def verdict(figures: dict[str, Any]) -> str:
    """Root of the depth, narrower with skips, wider with training: each by its figures."""
    p, last = figures["exponent"]["plain"], str(DEPTHS[-1])
    plain, residual = (figures["std"][k][last] for k in ("plain", "residual"))
    narrower = plain["mean"] - residual["mean"] > 2 * math.hypot(plain["standard error"], residual["standard error"])
    grown = {k: v["after"] / v["before"] for k, v in figures["training"].items()}
    parts = {
        f"the plain field grows as depth to the power of {p:.2f} (paper: 0.5)": 0.4 < p < 0.6,
        f"skips make it narrower at depth {last}: {residual['mean']:.2f} against {plain['mean']:.2f} px": narrower,
        f"training widens it, {grown['plain']:.2f} times (plain) and {grown['residual']:.2f} times (residual)":
            min(grown.values()) > 1,
    }  # fmt: skip
    if all(parts.values()):
        return "holds: " + "; ".join(parts) + "."
    return "holds in part: " + "; ".join(f"{text} - {'yes' if ok else 'NO'}" for text, ok in parts.items()) + "."


def tables(figures: dict[str, Any]) -> list[Table]:
    """Widths by depth, and training."""
    rows = []
    for d in map(str, DEPTHS):
        plain, residual = (figures["std"][k][d]["mean"] for k in ("plain", "residual"))
        fits = [figures["gaussian"][k][d]["std"] for k in ("plain", "residual")]
        theory = math.sqrt(int(d) * 2 / 3)
        rows.append([int(d), figures["theoretical"][d], theory, plain, fits[0], residual, fits[1]])
    columns = ["depth", "can see, px", "sqrt(2 n / 3)", "plain, std", "Gaussian", "residual, std", "Gaussian"]
    trained = [[k, v["before"], v["after"], v["accuracy"]] for k, v in figures["training"].items()]
    return [
        Table("What a unit looks at, pixels", columns, rows),
        Table("Ten layers on digits, std in pixels", ["network", "new", "trained", "test accuracy"], trained),
    ]


def pictures(figures: dict[str, Any], fields: dict) -> list[Picture]:
    """The widths by depth; the maps themselves."""

    def widths(figure: Any) -> None:
        ax = axes(figure, "3x3 convolutions", "std of the effective field, pixels")
        ax.set_xscale("log")
        ax.set_yscale("log")
        depths = np.array(DEPTHS)
        for kind, style in zip(("plain", "residual"), STYLES, strict=False):
            some = [figures["std"][kind][str(d)] for d in DEPTHS]
            means, errors = ([s[what] for s in some] for what in ("mean", "standard error"))
            ax.errorbar(depths, means, errors, label=kind, capsize=2, **style)
        ax.plot(depths, np.sqrt(depths * 2 / 3), color="#8C8C8C", linewidth=1, label="sqrt(2 n / 3)")
        ax.set_xticks(DEPTHS, [str(d) for d in DEPTHS])
        ax.set_yticks([1, 2, 3, 5], ["1", "2", "3", "5"])
        ax.minorticks_off()
        label_ends(ax)

    def maps(figure: Any) -> None:
        for i, (kind, depth) in enumerate((k, d) for k in ("plain", "residual") for d in DEPTHS):
            ax = figure.add_subplot(2, len(DEPTHS), i + 1)
            mean = np.mean([f.energy for f in fields[kind, depth]], axis=0)
            n, half = len(mean) // 2, 15
            cut = mean[n - half : n + half + 1, n - half : n + half + 1]
            ax.imshow(cut / cut.max(), cmap="gray_r", vmin=0, vmax=1, extent=(-half - 0.5, half + 0.5) * 2)
            ax.set_title(f"{kind}, {depth} layers", fontsize="small")
            ax.set_xticks([-10, 0, 10])
            ax.set_yticks([-10, 0, 10])
            ax.tick_params(labelsize="x-small")
        figure.supxlabel("pixels from the middle", fontsize="small")

    text = "Dark: large gradient. The unit can see 2 n + 1 pixels: from 20 layers on more than is drawn."
    return [
        Picture("erf_width", "Width of the effective field", "Bars: one standard error over draws. Grey: Luo's "
                "prediction for uniform weights.", widths),
        Picture("erf_maps", "Where the gradient falls", text, maps, (8.0, 4.4)),
    ]  # fmt: skip


METHOD = f"""Networks of 3x3 convolutions with {WIDTH} channels, stride 1, He's initial weights and ReLUs see images of
noise. The gradient of the unit in the middle of the last layer, its channels mixed with random signs, is taken with
respect to the image; its square, averaged over images, is the map of what the unit looks at. Its standard deviation
comes from second moments, and beside it from the Gaussian that fits best; the size that it can see from the windows.

Then plain and residual networks of ten layers with batch norm learn the digits, enlarged to 20 x 20 pixels, and their
fields are measured on test images before and after."""

EXPECTED = """A Gaussian whose standard deviation grows as the root of the depth (sqrt(2 n / 3) pixels for 3x3 windows
with equal weights), so a falling share of what the unit can see; narrower with skips, since short paths look at few
pixels; wider after training."""


# A network of the zoo ------------------------------------------------------------------------------------------------


def of_the_zoo(settings: Any) -> Result:
    """The fields of some layers of a network, evenly by depth, on noise of its own size."""
    entry = zoo.entry(settings.model)
    with seeded(settings.seed):
        model = zoo.build(settings.model, settings.variant, entry.input_shape)
    if settings.weights is not None:
        model.load_weights(settings.weights)
    noise = np.random.default_rng(settings.seed).normal(size=(2, *entry.input_shape))
    fields = [effective_field(model, noise, name, "moving" if settings.weights else "batch") for name in some(model)]
    rows = [[f.layer, can_see(f), f.std, f.gaussian[0], 4 * f.std / can_see(f)] for f in fields]
    columns = ["layer", "can see, px", "std, px", "Gaussian, px", "4 std / can see"]
    figures = {"layers": [dict(zip(columns, row, strict=True)) for row in rows]}

    def draw(figure: Any) -> None:
        ax = axes(figure, "layer, from the image to the end", "pixels")
        places = np.arange(len(fields))
        ax.plot(places, [can_see(f) for f in fields], label="can see", **STYLES[0])
        ax.plot(places, [4 * f.std for f in fields], label="looks at (4 std)", **STYLES[1])
        ax.set_yscale("log")
        plain_ticks(ax)
        ax.set_xticks(places, [f.layer for f in fields], rotation=30, ha="right", fontsize="x-small")
        label_ends(ax)

    share = 4 * fields[-1].std / can_see(fields[-1])
    verdict = f"four standard deviations of what {fields[-1].layer} looks at are {share:.0%} of the field it can see."
    return Result(
        "erf", "Effective receptive fields", f"{settings.model}, noise, seed {settings.seed}", figures,
        [Table("What a unit looks at", columns, rows)],
        [Picture("erf_layers", "What units can see, and look at", "Both in pixels of the image.", draw)],
        METHOD.split("\n\n")[0], PAPER, EXPECTED, ("holds: " if share < 1 else "does not hold: ") + verdict,
    )  # fmt: skip


def some(model: Any, count: int = 8) -> list[str]:
    """`count` of the layers that give images and take several pixels or paths, evenly from the first to the last."""
    last = last_image_layer(model)
    names = [n.layer.name for n in model.steps if len(n.outputs[0].shape) == 4 and not n.layer.hidden]
    names = names[: names.index(last) + 1]
    places = np.linspace(0, len(names) - 1, min(count + 1, len(names))).round().astype(int)[1:]
    return [names[i] for i in places]
