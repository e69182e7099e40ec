"""F9: auxiliary heads. How much of the trunk's gradient comes from each head, and does it pull the same way?

Szegedy et al. 2014, arXiv:1409.4842, section 5: classifiers on modules in the middle were put in so that gradient gets
to the early layers; their losses weigh 0.3. Szegedy et al. 2015, arXiv:1512.00567, section 4, found that they did not
help early in training, and took them for regularizers.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.backend import to_numpy
from minicnn.layers.symbols import Node
from minicnn.study.digits import BATCH_SIZE, Split, seeded
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.measures import cosine, norm, share
from minicnn.study.probing import batch_norms, undisturbed
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS
from minicnn.study.subjects import subject
from minicnn.tensor import Tensor, vjp
from minicnn.training import losses
from minicnn.training.callbacks import LambdaCallback, TerminateOnNaN
from minicnn.training.optimizers import Adam

PAPER = (
    "Szegedy et al. 2014: Going Deeper with Convolutions, arXiv:1409.4842, section 5; Szegedy et al. 2015: "
    "Rethinking the Inception Architecture, arXiv:1512.00567, section 4"
)
WEIGHT = 0.3  # of an auxiliary loss, beside 1 for the main one (2014, section 5)
PROBE = 16  # images whose gradient is taken apart
RATE = 5e-4  # of Adam: SGD has not begun to learn after a minute
BUDGET = 1e12  # multiply-adds of each of the two trainings
ALONG = (layers.BatchNormalization, layers.Activation, layers.ReLU)


@dataclass
class Heads:
    """The gradient at each node of the trunk, by head: rows of `norm`, `share` and `cosine` stand for heads.

    nodes: names, from the image on.   heads: the names of the outputs, the main one first.   share: the inner product
    with the sum of all heads' gradients by the square of that sum; shares add up to 1.   cosine: with the main head's
    gradient; not a number where one of them vanishes.
    """

    nodes: list[str]
    heads: list[str]
    norm: np.ndarray
    share: np.ndarray
    cosine: np.ndarray


def trunk(model: Any) -> list[Node]:
    """The nodes with images that every path from the input to the first output goes through, in their order.

    A node is left out where only a batch norm or an activation reads it: the activated output stands for the layer.
    Raises ValueError for a model with several inputs.
    """
    if len(model.inputs) != 1:
        raise ValueError(f"{model.name}: the trunk begins at one input, got {len(model.inputs)}")
    nodes, end = list(model.steps), model.outputs[0].node
    down: dict[Node, int] = {model.inputs[0].node: 1}
    up: dict[Node, int] = {end: 1}
    for node in nodes:  # exact numbers of paths: integers have no bound
        down[node] = sum(down[p.node] for p in node.parents)
    for node in reversed(nodes):
        for parent in node.parents:
            up[parent.node] = up.get(parent.node, 0) + up.get(node, 0)
    readers: dict[Node, list[Node]] = {}
    for node in nodes:
        for parent in node.parents:
            readers.setdefault(parent.node, []).append(node)
    through = [n for n in nodes if down[n] * up.get(n, 0) == down[end] and len(n.outputs[0].shape) == 4]
    return [n for n in through if not (len(readers[n]) == 1 and isinstance(readers[n][0].layer, ALONG))]


def head_gradients(
    model: Any, x: Any, y: Any, weights: Sequence[float] | None = None, loss: Any = None, training: bool = True
) -> Heads:
    """Sends a batch through once and sweeps back from each output alone.

    weights: of the losses of the outputs; 1 for the first and 0.3 for the others unless given. loss: as for compile;
    sparse cross-entropy unless given. Weights, statistics and random numbers stay as they are. Raises ValueError for a
    model with one output, or one without a trunk.
    """
    names = model.output_names
    if len(names) < 2:
        raise ValueError(
            f"{model.name}: there is no auxiliary head, only the output {names[0]!r}. Build one that has some: "
            "zoo.build('inception_v1', aux=True), or 'inception_v3'"
        )
    weights = [1.0] + [WEIGHT] * (len(names) - 1) if weights is None else list(weights)
    if len(weights) != len(names):
        raise ValueError(f"{model.name}: {len(names)} outputs need as many weights, got {len(weights)}")
    nodes = trunk(model)
    if not nodes:
        raise ValueError(f"{model.name}: no layer with images lies on every path to {names[0]!r}")
    loss = losses.get(LOSS if loss is None else loss)
    seen: dict[Node, Tensor] = {}

    def look(node: Node, output: Any) -> None:
        if node in wanted:
            seen[node] = output

    wanted = set(nodes)
    with undisturbed(model), model.backend.working():
        outputs = model.run(x, training=training, tap=look)
        targets = [seen[node] for node in nodes]
        parts = [
            [to_numpy(g).astype("float64") for g in vjp(loss(y, output) * weight, targets)]
            for output, weight in zip(outputs, weights, strict=True)
        ]
    sums = [sum(some) for some in zip(*parts, strict=True)]
    return Heads(
        [node.layer.name for node in nodes], names,
        np.array([[norm(g) for g in some] for some in parts]),
        np.array([[share(g, whole) for g, whole in zip(some, sums, strict=True)] for some in parts]),
        np.array([[cosine(g, main) for g, main in zip(some, parts[0], strict=True)] for some in parts]),
    )  # fmt: skip


# The study -----------------------------------------------------------------------------------------------------------


def run(settings: Any) -> Result:
    """A network with its heads over a short training, and the same without them: the auxiliary losses weigh 0."""
    try:
        model, images = subject(settings, aux=True)
    except TypeError:
        raise ValueError(
            f"{settings.model} has no auxiliary heads: take inception_v1 or inception_v3, or call "
            "minicnn.study.heads.head_gradients on a model of your own with several outputs"
        ) from None
    own = head_gradients(model, images.x_train[:PROBE], images.y_train[:PROBE])
    redrawn = begin_as_he(model, settings)
    start = model.get_weights()
    images, steps, size = affordable(model, images, settings)
    seen, history = follow(model, images, steps, size, settings, WEIGHT)
    model.set_weights(start)
    _, alone = follow(model, images, steps, size, settings, 0.0)
    figures = figures_of(seen, {"with heads": history, "without heads": alone})
    figures["own"] = {"redrawn": redrawn, "share": own.share.tolist(), "norm": own.norm.tolist()}
    figures |= {"weight": WEIGHT, "images": len(images.x_train), "input": list(model.input_shape[1:])}
    subject_ = f"{model.name}, {settings.data_words}, seed {settings.seed}"
    return Result(
        "aux", "What auxiliary heads give the trunk", subject_, figures, tables(figures), pictures(figures), METHOD,
        PAPER, EXPECTED, verdict(figures),
    )  # fmt: skip


def begin_as_he(model: Any, settings: Any) -> bool:
    """Draws the kernels of a network without batch norm as He et al. 2015, arXiv:1502.01852, unless a file gave them.

    With Glorot's, of about half the variance, 22 layers without batch norm do not begin to learn within minutes.
    Returns whether it did.
    """
    if settings.weights is not None or batch_norms(model):
        return False
    with seeded(settings.seed):
        for weight in model.trainable_weights:
            if weight.ndim == 4:
                weight.assign(layers.initializers.HeNormal()(weight.shape, weight.dtype))
    return True


def affordable(model: Any, images: Split, settings: Any) -> tuple[Split, int, int]:
    """The images, the steps and the batch: within the budget, in a number of whole epochs if those were asked for."""
    size = settings.batch_size or BATCH_SIZE // 4
    steps = int(BUDGET * (4 if settings.full else 1) / (3 * size * max(1, model.multiply_adds())))
    if settings.epochs is not None:
        steps = settings.epochs * -(-len(images.x_train) // size)
    test = 128
    return Split(images.x_train, images.y_train, images.x_test[:test], images.y_test[:test]), max(1, steps), size


def follow(
    model: Any, images: Split, steps: int, size: int, settings: Any, weight: float
) -> tuple[dict[int, Heads], dict[str, float]]:
    """Trains for `steps` and takes the gradient apart at some of them; then the main head's test loss and accuracy.

    weight: of the auxiliary losses; with 0 nothing is taken apart.
    """
    count = len(model.output_names)
    x, y = images.x_train[:PROBE], images.y_train[:PROBE]
    seen: dict[int, Heads] = {}
    wanted = {0, *np.geomspace(1, steps, 7).round().astype(int).tolist()} if weight else set()

    def look(*_: Any) -> None:
        if model.step in wanted:
            seen[model.step] = head_gradients(model, x, y)

    model.step = 0
    look()
    loss = ["sparse_categorical_crossentropy"] * count
    model.compile(Adam(RATE), loss, loss_weights=[1.0] + [weight] * (count - 1))
    settings.say(f"{model.name}: {steps} steps, auxiliary losses weigh {weight:g}")
    watch = [TerminateOnNaN(), LambdaCallback(on_train_batch_end=look)]
    with seeded(settings.seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflows, in a network that diverges
        for order in epochs_of(len(images.x_train), steps, size, settings.seed):
            labels = [images.y_train[order]] * count
            model.fit(images.x_train[order], labels, size, 1, verbose=0, callbacks=watch, shuffle=False)
    return seen, at_the_end(model, images, size)


def epochs_of(count: int, steps: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Indices of `count` images in a new order for every epoch, the last one cut to `steps` batches in all."""
    per_epoch = -(-count // size)
    for epoch in range(-(-steps // per_epoch)):
        order = np.random.default_rng([seed, epoch]).permutation(count)
        yield order[: (steps - epoch * per_epoch) * size]


def at_the_end(model: Any, images: Split, size: int) -> dict[str, float]:
    """Loss and accuracy of the first output on the test images."""
    predicted = np.asarray(model.predict(images.x_test, size, verbose=0)[0], "float64")
    right = predicted[np.arange(len(predicted)), images.y_test]
    accuracy = float(np.mean(predicted.argmax(axis=1) == images.y_test))
    return {"test loss": float(-np.mean(np.log(right + 1e-12))), "test accuracy": accuracy}


def places(found: Heads) -> list[str]:
    """What to call the heads: the main one, and the others by the last node of the trunk that they read."""
    last = [found.nodes[int(np.flatnonzero(row > 0)[-1])] if (row > 0).any() else "nothing" for row in found.norm]
    return ["main head", *(f"head on {node}" for node in last[1:])]


def figures_of(seen: dict[int, Heads], ends: dict[str, dict[str, float]]) -> dict[str, Any]:
    """All numbers, by step."""
    first = next(iter(seen.values()))
    return {
        "nodes": first.nodes, "heads": places(first), "outputs": first.heads, "steps": sorted(seen), "after": ends,
        "share": [seen[s].share.tolist() for s in sorted(seen)],
        "norm": [seen[s].norm.tolist() for s in sorted(seen)],
        "cosine": [seen[s].cosine.tolist() for s in sorted(seen)],
    }  # fmt: skip


def from_heads(rows: Any, node: int = 0) -> float:
    """The share of all auxiliary heads together."""
    return float(1 - np.array(rows)[0, node])


def verdict(figures: dict[str, Any]) -> str:
    """The auxiliary heads' share at the trunk's first node: with the network's own kernels, and over the training."""
    own, shares = from_heads(figures["own"]["share"]), [from_heads(rows) for rows in figures["share"]]
    start = f"{own:.0%} of the gradient before training"
    if figures["own"]["redrawn"]:
        start += f", {shares[0]:.0%} if the kernels are drawn as He et al. say"
    ends = figures["after"]
    text = (
        f"at {figures['nodes'][0]} the auxiliary heads bring {start}, at most {max(shares):.0%} during training and "
        f"{shares[-1]:.0%} after {figures['steps'][-1]} steps; the main head's test loss is then "
        f"{ends['with heads']['test loss']:.3f} with them and {ends['without heads']['test loss']:.3f} without."
    )
    if own <= 0.1:
        return f"does not hold: {text}"
    return f"holds: {text}" if min(shares) > 0.1 else f"holds in part: {text}"


def tables(figures: dict[str, Any]) -> list[Table]:
    """Shares along the trunk at the first and the last step; the ends of both trainings."""
    starts = {"new": figures["share"][0], "end": figures["share"][-1]}
    if figures["own"]["redrawn"]:
        starts = {"Glorot": figures["own"]["share"], "He": figures["share"][0], "end": figures["share"][-1]}
    cosines = [[None if np.isnan(c) else float(c) for c in figures["cosine"][i][1]] for i in (0, -1)]
    rows = [
        [name, *(from_heads(one, i) for one in starts.values()), *(c[i] for c in cosines)]
        for i, name in enumerate(figures["nodes"])
    ]
    ends = [[name, one["test loss"], one["test accuracy"]] for name, one in figures["after"].items()]
    title = "Share of the auxiliary heads in the trunk's gradient; the first one's cosine with the main head"
    return [
        Table(title, ["node", *starts, "cosine, new", "cosine, end"], rows),
        Table("The main head after the same training", ["losses", "test loss", "test accuracy"], ends),
    ]


def pictures(figures: dict[str, Any]) -> list[Picture]:
    """Shares along the trunk, and at its beginning over the training."""
    heads, nodes, steps = figures["heads"], figures["nodes"], figures["steps"]

    def along(figure: Any) -> None:
        for place, (i, when) in enumerate(((0, "before training"), (-1, f"after {steps[-1]} steps"))):
            ax = axes(figure, "", "share of the gradient, %" if not place else "", (1, 2, place + 1), when)
            for head, values, style in zip(heads, figures["share"][i], STYLES, strict=False):
                ax.plot(range(len(nodes)), 100 * np.array(values), label=head, **style)
            every = max(1, -(-len(nodes) // 12))
            ax.set_xticks(range(0, len(nodes), every), nodes[::every], rotation=60, ha="right", fontsize="x-small")
            if place:
                label_ends(ax)

    def over(figure: Any) -> None:
        left = axes(figure, "step", "share of the gradient, %", (1, 2, 1), f"at {nodes[0]}")
        right = axes(figure, "step", "cosine with the main head's gradient", (1, 2, 2))
        for k, (head, style) in enumerate(zip(heads, STYLES, strict=False)):
            left.plot(steps, [100 * one[k][0] for one in figures["share"]], label=head, **style)
            if k:
                right.plot(steps, [one[k][0] for one in figures["cosine"]], label=head, **style)
        for ax in (left, right):
            ax.set_xscale("symlog", linthresh=1)
            ax.set_xlim(0, None)
        label_ends(right)

    caption = "The shares of all heads add up to 100 % at every node; behind its own place a head brings nothing."
    return [
        Picture("aux_trunk", "Whose gradient the trunk gets, from the image on", caption, along, (9.0, 4.8)),
        Picture("aux_training", "The first node of the trunk over the training", "Left: the shares of the heads. "
                "Right: whether the auxiliary gradient points where the main one does.", over, (9.0, 4.0)),
    ]  # fmt: skip


METHOD = f"""The network with its auxiliary classifiers, at the smallest image size that they allow, learns the
enlarged digits with Adam; kernels of a network without batch norm begin as He et al. 2015 say. Auxiliary losses weigh
{WEIGHT}. At some steps {PROBE} images are sent through, and each head's loss is sent back alone along the same tape. At
each node of the trunk (every path to the main output goes through it) the share of a head is the inner product of its
gradient with the sum of all, by the square of that sum.

Then the same initial weights learn from the same batches with the auxiliary losses weighing 0."""

EXPECTED = """Auxiliary heads were added to bring gradient to the early layers (2014): before training a large part of
what the first layers get should come from them. That is so where the main head's gradient fades on its way, as with
Glorot's kernels and no batch norm; where it does not, as with He's, the heads add little. The later paper (2015) saw no
faster start with them, and an effect near the end of long trainings only, as of a regularizer: a short training is not
expected to end better with them."""
