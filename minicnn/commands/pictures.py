"""Pictures of a run, each a function that draws on an empty matplotlib Figure. Readable in greyscale."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.commands.scores import Scores
from minicnn.study import output
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.result import Picture

NUMBERED = 20  # classes up to which the cells of a confusion matrix have their numbers
ACROSS = 6  # mistakes in a row


def save(path: Path, size: tuple[float, float], draw: Callable[..., None], *arguments: Any) -> Path:
    """Draws and writes a PNG file. Raises ImportError, with what to install, where matplotlib is missing; OSError."""
    picture = Picture(path.stem, "", "", lambda figure: draw(figure, *arguments), size)
    output.save(path, output.png(picture))
    return path


def needed() -> None:
    """Raises ImportError, with what to install, where matplotlib is missing."""
    output.png(Picture("", "", "", lambda figure: None, (1, 1)))


# Curves --------------------------------------------------------------------------------------------------------------


def columns(rows: Sequence[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """The columns of metrics.csv as numbers; what is no number is NaN."""
    names = list(rows[0]) if rows else []
    return {name: np.array([_number(row.get(name)) for row in rows]) for name in names}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def curves(figure: Any, rows: Sequence[Mapping[str, str]], title: str) -> None:
    """Loss, accuracy and learning rate over the epochs, of the training and the images held out."""
    table = columns(rows)
    shown = [name for name in ("loss", "accuracy") if name in table]
    _title(figure, title)
    for place, name in enumerate(shown, 1):
        ax = axes(figure, "epoch", name, (1, len(shown) + 1, place))
        for style, (column, label) in zip(STYLES, ((name, "training"), (f"val_{name}", "held out")), strict=False):
            if column in table:
                ax.plot(table["epoch"], table[column], **_marked(style, len(rows)), label=label)
        _whole_epochs(ax)
        if f"val_{name}" in table:
            label_ends(ax)
    ax = axes(figure, "epoch", "learning rate at its beginning", (1, len(shown) + 1, len(shown) + 1))
    ax.plot(table["epoch"], table["lr"], **_marked(STYLES[0], len(rows)))
    ax.set_ylim(bottom=0)
    _whole_epochs(ax)


def together(figure: Any, runs: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Loss and accuracy of several runs: held out where all of them held images out, else of the training."""
    tables = {name: columns(rows) for name, rows in runs.items()}
    for place, kind in enumerate(("loss", "accuracy"), 1):
        held_out = all(f"val_{kind}" in table for table in tables.values())
        column, label = (f"val_{kind}", f"{kind}, held out") if held_out else (kind, f"{kind} in training")
        ax = axes(figure, "epoch", label, (1, 2, place))
        for i, (name, table) in enumerate(tables.items()):
            if column in table:
                style = _marked(STYLES[i % len(STYLES)], len(table["epoch"]))
                ax.plot(table["epoch"], table[column], **style, label=name)
        _whole_epochs(ax)
        label_ends(ax)


def _marked(style: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A style with at most some ten marks on a line."""
    return {**style, "markevery": max(count // 10, 1)}


def _whole_epochs(ax: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


# Answers -------------------------------------------------------------------------------------------------------------


def confusion(figure: Any, scores: Scores, names: Sequence[str], title: str) -> None:
    """Which class was taken for which: the share of each row, and the number of images in each cell."""
    matrix = scores.confusion
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    ax = figure.add_subplot()
    ax.set_title(title, loc="left", fontsize="medium")
    image = ax.imshow(share, cmap="Greys", vmin=0, vmax=1)
    figure.colorbar(image, ax=ax, label="share of the images of a class", shrink=0.8)
    ax.set_xlabel("taken for")
    ax.set_ylabel("class")
    if len(names) > NUMBERED:
        return
    short = [name if len(name) <= 12 else f"{name[:11]}." for name in names]
    ax.set_xticks(range(len(names)), short, rotation=0 if max(map(len, short)) <= 3 else 60, ha="center")
    ax.set_yticks(range(len(names)), short)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        dark = share[i, j] > 0.5
        ax.text(j, i, str(matrix[i, j]), ha="center", va="center", fontsize="small", color="white" if dark else "black")


def mistakes(figure: Any, images: np.ndarray, scores: Scores, names: Sequence[str], title: str) -> None:
    """The images that were taken for something else with the most confidence, at most 24: those of scores.worst()."""
    worst = scores.worst(len(images))
    _title(figure, title)
    for place, (image, index) in enumerate(zip(images, worst, strict=True), 1):
        ax = figure.add_subplot(-(-len(images) // ACROSS), ACROSS, place)
        _show(ax, image)
        found = scores.predicted[index]
        sure = scores.probabilities[index, found]
        ax.set_title(f"{names[scores.labels[index]][:12]}\nfor {names[found][:12]}, {sure:.0%}", fontsize="x-small")


def _title(figure: Any, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")


def _show(ax: Any, image: np.ndarray, symmetric: bool = False, grey: bool = True) -> None:
    """An image (H, W, 1 or 3), or a map (H, W), without ticks."""
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    if image.ndim == 3:
        ax.imshow(image)
    else:
        limits = {"vmin": -np.abs(image).max(), "vmax": np.abs(image).max()} if symmetric else {}
        ax.imshow(image, cmap="gray" if grey else "Greys", **limits)
    ax.set_xticks([])
    ax.set_yticks([])


# Inside --------------------------------------------------------------------------------------------------------------


def filters(figure: Any, kernel: np.ndarray, title: str, most: int = 64) -> None:
    """The kernels (KH, KW, C, F) of a convolution: in colour for 3 channels, else of the first one; grey is 0."""
    shown = min(kernel.shape[-1], most)
    across = int(np.ceil(np.sqrt(shown)))
    _title(figure, title)
    largest = np.abs(kernel).max() or 1.0
    for i in range(shown):
        ax = figure.add_subplot(-(-shown // across), across, i + 1)
        one = kernel[..., i] if kernel.shape[2] == 3 else kernel[..., :1, i]
        _show(ax, one / largest / 2 + 0.5 if kernel.shape[2] == 3 else one[..., 0], symmetric=True)


def activations(figure: Any, image: np.ndarray, maps: Mapping[str, np.ndarray], title: str, across: int = 8) -> None:
    """An image, and below it the first channels of some layers' outputs (H, W, C); black is the largest of a map."""
    _title(figure, title)
    grid = figure.add_gridspec(len(maps) + 1, across)
    ax = figure.add_subplot(grid[0, 0])
    _show(ax, image)
    ax.set_title("image", fontsize="x-small", loc="left")
    for row, (name, map_) in enumerate(maps.items(), 1):
        for i in range(min(across, map_.shape[-1])):
            ax = figure.add_subplot(grid[row, i])
            _show(ax, map_[..., i], grey=False)
            if i == 0:
                ax.set_title(f"{name}  {' x '.join(map(str, map_.shape))}", fontsize="x-small", loc="left")
