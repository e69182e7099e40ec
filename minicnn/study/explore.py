"""The explorer: one HTML page with the network's graph, its edges as thick as the gradient that passes them.

The page needs no network and nothing beside itself: data, style, program and the layout library (dagre, MIT) stand in
it. A slider goes through snapshots of a training, at each of which one batch was recorded.
"""

import html
import json
from importlib import resources
from typing import Any

import numpy as np

from minicnn.study.digits import BATCH_SIZE, EPOCHS, Split, train
from minicnn.study.drawing import STYLES, axes, label_ends, plain_ticks
from minicnn.study.flow import Flow
from minicnn.study.result import Picture, Result, Table
from minicnn.study.states import LOSS
from minicnn.study.subjects import subject
from minicnn.training.callbacks import Callback, LambdaCallback

PROBE = 32  # images that are recorded at every snapshot
BUDGET = 1.2e12  # multiply-adds of the training, forward and backward: about a minute


# The page ------------------------------------------------------------------------------------------------------------


def page(data: dict[str, Any], title: str) -> str:
    """The HTML page for `data` of a Flow. Names from models and files cannot break out of it."""
    folder = resources.files("minicnn.study") / "page"
    parts = {name: (folder / name).read_text(encoding="utf-8") for name in
             ("explore.html", "explore.css", "explore.js", "dagre.min.js")}  # fmt: skip
    text = parts["explore.html"]
    for mark, part in (
        ("TITLE", html.escape(title)),
        ("STYLE", parts["explore.css"]),
        ("LIBRARY", parts["dagre.min.js"]),
        ("PROGRAM", parts["explore.js"]),
        ("DATA", embedded(data)),  # last: what a name contains is not searched for marks
    ):
        text = text.replace("{{" + mark + "}}", part, 1)
    return text


def embedded(data: Any) -> str:
    """JSON that can stand in a <script> of HTML: no character in it begins a tag, a comment or a line of a program."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


# The study -----------------------------------------------------------------------------------------------------------


def run(settings: Any) -> Result:
    """Trains a network of the zoo for a while, records a batch at some steps, and makes the page."""
    model, images = subject(settings)
    images, epochs = affordable(model, images, settings.epochs)
    size = settings.batch_size or BATCH_SIZE
    a_batch = min(PROBE, max(4, int(2e10 / max(1, model.multiply_adds()))))
    x, y = images.x_train[:a_batch], images.y_train[:a_batch]
    explorer = Flow(model.name)
    steps = -(-len(images.x_train) // size)
    wanted = snapshot_steps(epochs * steps)
    explorer.add(model, x, y, {"step": 0, "epoch": 0.0}, loss=LOSS)

    def look(*_: Any) -> None:
        if model.step in wanted:
            explorer.add(model, x, y, {"step": model.step, "epoch": model.step / steps}, loss=LOSS)

    if epochs:
        many = f"{epochs} epochs" if epochs > 1 else "an epoch"
        settings.say(f"{model.name}: training for {many} of {len(images.x_train)} images, {len(wanted)} snapshots")
        watcher: list[Callback] = [LambdaCallback(on_train_batch_end=look)]
        train(model, images, epochs, settings.seed, batch_size=size, say=settings.say, callbacks=watcher)
    data = explorer.data()
    about = f"{model.name}, {settings.data_words}, seed {settings.seed}"
    data["about"] = {
        "dataset": settings.dataset, "seed": settings.seed, "images": len(x), "input": list(model.input_shape[1:]),
        "parameters": model.count_params(),
    }  # fmt: skip
    title = f"{model.name}: gradients along its edges"
    return Result(
        "explore", "The explorer", about, data, [table(explorer)], pictures(explorer), METHOD, PAPER, EXPECTED,
        verdict(explorer), files={"explore.html": page(data, title)},
    )  # fmt: skip


def affordable(model: Any, images: Split, epochs: int | None) -> tuple[Split, int]:
    """The images and the epochs of a training within the budget: EPOCHS, or fewer, or one of fewer images."""
    if epochs is not None:
        return images, epochs
    an_image = 3 * max(1, model.multiply_adds())
    epochs = min(EPOCHS, int(BUDGET / (an_image * len(images.x_train))))
    if epochs:
        return images, epochs
    count = min(len(images.x_train), max(4 * BATCH_SIZE, int(BUDGET / an_image)))
    return Split(images.x_train[:count], images.y_train[:count], images.x_test[:64], images.y_test[:64]), 1


def snapshot_steps(total: int, count: int = 12) -> list[int]:
    """About `count` steps from 0 to `total`, even on a logarithmic scale: most happens at the start."""
    if not total:
        return [0]
    return sorted({0, *np.geomspace(1, total, count - 1).round().astype(int).tolist()})


def table(explorer: Flow) -> Table:
    """Norms at the first and the last snapshot, for each block; without blocks, for each layer that has weights."""
    if any(b.skip[0] is not None for b in explorer.blocks):
        columns = ["block", "skip, new", "branch, new", "cosine, new", "skip, end", "branch, end", "cosine, end"]
        some = [b for b in explorer.blocks if b.skip[0] is not None]
        rows = [[b.name, *(v[i] for i in (0, -1) for v in (b.skip, b.branch, b.cosine))] for b in some]
        return Table("Norm of the gradient that returns to the fork", columns, rows)
    some_nodes = [n for n in explorer.nodes if n.parameters or n.kind == "merge"]
    rows = [[n.name, n.gradient[0], n.gradient[-1]] for n in some_nodes]
    return Table("Norm of the gradient of the output", ["layer", "new", "end"], rows)


def pictures(explorer: Flow) -> list[Picture]:
    """Skip and branch block by block, at the first and the last snapshot; for plain networks, layer by layer."""

    def draw(figure: Any) -> None:
        lines = [b for b in explorer.blocks if b.skip[0] is not None]
        ends = sorted({0, len(explorer.snapshots) - 1})
        for place, i in enumerate(ends):
            step = explorer.snapshots[i]["step"]
            where = "block, from the image to the loss" if lines else "layer, from the image to the loss"
            ax = axes(figure, where, "norm of the gradient", (1, len(ends), place + 1), f"step {step}")
            if lines:
                series = {"skip": [b.skip[i] for b in lines], "branch": [b.branch[i] for b in lines]}
            else:
                series = {"gradient": [n.gradient[i] for n in explorer.nodes if n.parameters]}
            for (name, values), style in zip(series.items(), STYLES[2:0:-1], strict=False):
                ax.plot(range(1, len(values) + 1), values, label=name, **style)
            ax.set_yscale("log")
            plain_ticks(ax)
            label_ends(ax)

    caption = "What skip and branch return to the fork; the same batch before and after training."
    return [Picture("explore", "The gradient, block by block", caption, draw, (9.0, 4.0))]


def verdict(explorer: Flow) -> str:
    """Whether skip and branch are near orthogonal at the start, and how much comes along each."""
    lines = [b for b in explorer.blocks if b.skip[0] is not None]
    edges, nodes = len(explorer.edges), len(explorer.nodes)
    page = f"the page shows {nodes} nodes and {edges} edges at {len(explorer.snapshots)} snapshots"
    if not lines:
        return f"measured: {page}; there is no residual block."
    cosines = np.array([b.cosine[0] for b in lines], float)
    before, after = (np.array([b.branch[i] for b in lines], float) / [b.skip[i] for b in lines] for i in (0, -1))
    typical = float(np.median(np.abs(cosines)))
    text = (
        f"before training the median |cosine| of skip and branch is {typical:.2f}, the median branch brings "
        f"{np.median(before):.2f} of what its skip brings, afterwards {np.median(after):.2f}; {page}."
    )
    return ("holds: " if typical < 0.1 else "does not hold: ") + text


METHOD = """A batch of training images is sent through the network, and its loss back, before training and at some
steps of it, closer together at the start. Every layer's consumers are kept apart, so each line of the page carries the
gradient that its consumer returned, not their sum. A line's share is its inner product with the whole gradient of the
tensor, by the square of that: the shares at a fork add up to 1.

Open explore.html in a browser; nothing is loaded from anywhere. Lines are as thick as the norm of the gradient, on a
logarithmic scale unless set otherwise. Boxes fold the layers between two forks; a click opens one."""

PAPER = "He et al. 2016: Identity Mappings in Deep Residual Networks, arXiv:1603.05027, eq. 5"

EXPECTED = """In a residual network the skip returns all of the gradient that arrives, at every block; the branch adds
its own part nearly at a right angle before training. In a plain network there is one line, and what it loses or gains
is lost or gained for all layers before it."""
