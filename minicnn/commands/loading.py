"""A run that is over, or stopped, opened again: its settings, its network with weights, its preprocessing."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn.commands import UsageError, building, runs
from minicnn.commands.arguments import complete, from_file
from minicnn.commands.preprocessing import Preprocessing, loads
from minicnn.data.image_list import ImageList
from minicnn.formats import safetensors
from minicnn.layers.initializers import placeholders
from minicnn.model import Model, saving
from minicnn.training import checkpoints
from minicnn.training.checkpoints import Checkpoint


@dataclass
class Opened:
    """A run: its network as it is used, without auxiliary heads, and what its images go through."""

    folder: Path
    settings: SimpleNamespace
    model: Model
    preprocessing: Preprocessing
    weights: Path  # the file that the network's weights are of
    tested: Any = field(default=None, repr=False)  # what test_part has found

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the outputs stand for."""
        return self.preprocessing.class_names


def settings_of(run: str | Path) -> SimpleNamespace:
    """The settings of a run folder. Raises UsageError where it is none."""
    folder = Path(run)
    if not folder.is_dir():
        raise UsageError(f"{run}: no such run folder")
    if not (folder / runs.CONFIG).is_file():
        raise UsageError(f"{run} is no run folder: there is no {runs.CONFIG} in it")
    return complete(from_file(str(folder / runs.CONFIG)))


def open_run(run: str | Path, which: str | None = None) -> Opened:
    """The network of a run folder with the weights of its end, or of a checkpoint: "best", "last", or a file's path.

    A run that has not ended gives its last checkpoint. Raises UsageError, FormatError, ValueError and OSError for what
    is not there or does not fit.
    """
    folder, settings = Path(run), settings_of(run)
    path = _weights(folder, which)
    preprocessing = noted(path)
    if preprocessing is None:
        raise UsageError(f"{path} does not say how its images were prepared: it is of no run of minicnn train")
    if checkpoints.is_checkpoint(path):
        model = _from_checkpoint(settings, checkpoints.read(path), preprocessing)
    else:
        settings.aux_weight = None
        model = _built(settings, preprocessing)
        saving.load_weights(model, path)
    return Opened(folder, settings, model, preprocessing, path)


def noted(path: str | Path) -> Preprocessing | None:
    """What a .safetensors file says of its images: of weights or a checkpoint of a run; None where it says nothing."""
    text = _notes(path).get("preprocessing")
    return None if text is None else loads(text)


def noted_variant(path: str | Path) -> str | None:
    """The variant of the network whose weights a .safetensors file of a run holds; None for the default one."""
    return _notes(path).get("variant") or None


def _notes(path: str | Path) -> dict[str, Any]:
    if Path(path).suffix != ".safetensors":
        return {}
    if not checkpoints.is_checkpoint(Path(path)):
        return dict(safetensors.metadata(path))
    facts = checkpoints.facts(Path(path))
    return facts | {"variant": facts.get("config", {}).get("variant")}


def _weights(folder: Path, which: str | None) -> Path:
    """The file with the weights that were asked for."""
    stored = folder / runs.CHECKPOINTS
    if which in ("best", "last"):
        path = stored / f"{which}.safetensors"
        if not path.is_file():
            raise UsageError(f"{folder} has no {which} checkpoint")
        return path
    if which is not None:
        return Path(which)
    for path in (folder / runs.WEIGHTS, stored / "last.safetensors"):
        if path.is_file():
            return path
    raise UsageError(f"{folder} has neither {runs.WEIGHTS} nor a checkpoint: nothing was trained there yet")


def _from_checkpoint(settings: SimpleNamespace, checkpoint: Checkpoint, preprocessing: Preprocessing) -> Model:
    """The network at a checkpoint: with the moving averages of its weights where the run keeps some."""
    model = _built(settings, preprocessing)
    saving.load_arrays(model, checkpoint.part("weights"), "the checkpoint")
    slots = checkpoint.part("optimizer")
    for i, weight in enumerate(model.trainable_weights):
        if f"{i}/average" in slots:
            weight.assign(slots[f"{i}/average"])
    return building.without_heads(model)


def _built(settings: SimpleNamespace, preprocessing: Preprocessing) -> Model:
    with placeholders():
        return building.build(settings, len(preprocessing.class_names))


def test_part(opened: Opened, data_dir: str | None = None) -> tuple[Any, np.ndarray, float]:
    """The images of the run's data set that it was not trained on, their labels, and the largest value of a cell.

    Without the pictures that cannot be read, where the run has --skip-broken. Read once a process.
    Raises ValueError where the data set has other classes now.
    """
    if opened.tested is None:
        dataset = building.load_data(opened.settings, data_dir)
        if tuple(dataset.class_names) != opened.class_names:
            here, there = (f"{len(n)}, {', '.join(n[:4])}..." for n in (dataset.class_names, opened.class_names))
            raise ValueError(f"the data set has other classes, {here}, than the run was trained on, {there}")
        images, labels = dataset.x_test, dataset.y_test
        if opened.settings.skip_broken and isinstance(images, ImageList):
            kept = _readable(images)
            images, labels = images.part(kept), labels[kept]
        opened.tested = images, labels, dataset.top
    return opened.tested


def _readable(images: ImageList) -> np.ndarray:
    """The indices of the pictures that can be read; says how many cannot."""
    pieces = np.array_split(np.arange(len(images)), -(-len(images) // 64))
    kept = np.concatenate([piece[images.read(piece)[1]] for piece in pieces])
    if len(kept) < len(images):
        print(f"{len(images) - len(kept):,} of {len(images):,} test images cannot be read: left out", file=sys.stderr)
    return kept


def prepared_pieces(opened: Opened, images: Any, top: float, size: int = 256):
    """The images as the network wants them, some at a time."""
    if not isinstance(images, np.ndarray):
        images = images.sized(opened.preprocessing.shape[:2], opened.preprocessing.shape[2])
    for start in range(0, len(images), size):
        yield opened.preprocessing(images[start : start + size], top)
