"""The setting of the studies that train: the embedded digits, and a training short enough to be repeated.

SGD with a momentum of 0.9, a weight decay of 1e-4, batches of 64, a rate of 0.05 that falls to a tenth after 70 % of
the epochs: He et al. 2015, arXiv:1512.03385, section 4.2, cut down to 12 epochs of 1,437 images.

The velocity keeps its size where the rate falls, as in Keras and Caffe: for a few steps it is ten times too large for
the new rate (Goyal et al. 2017, arXiv:1706.02677, section 3, "momentum correction"). So the loss of the first epoch
after the fall may be higher than that before it.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import data, zoo
from minicnn.config import config, set_random_seed
from minicnn.data.images import prepare
from minicnn.study.output import save
from minicnn.training.callbacks import Callback, LambdaCallback, TerminateOnNaN
from minicnn.training.optimizers import SGD

EPOCHS, RATE, BATCH_SIZE = 12, 0.05, 64
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
FALL, FALL_AT = 10, 0.7  # the rate is divided by this, after that share of the epochs
VERSION = 1  # of what decides a training's numbers: raised when it changes, so that kept networks are trained anew

Say = Callable[[str], None]


class Split(NamedTuple):
    """Images (N, H, W, C), float32 from -1 to 1, and labels (N,), in a part for training and one for test."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits(shape: tuple[int, int, int] = (8, 8, 1)) -> Split:
    """The embedded digits, 1,437 for training and 360 for test, as pixel / 8 - 1; see `split` for other shapes."""
    return split("digits", shape)


def split(dataset: str | data.Dataset = "digits", shape: tuple[int, int, int] | None = None) -> Split:
    """A data set of `minicnn.data`, or its name: scaled to [-1, 1] and, where `shape` = (H, W, C) asks for it, resized.

    Raises ValueError for an unknown data set, or for channels that do not fit.
    """
    known = data.load(dataset) if isinstance(dataset, str) else dataset
    shape = tuple(known.x_train.shape[1:]) if shape is None else shape
    x_train, x_test = (prepare(x, shape, known.top / 2) - np.float32(1) for x in (known.x_train, known.x_test))
    return Split(x_train, known.y_train, x_test, known.y_test)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block everything random depends on `seed`; behind it the process goes on with its own."""
    before = config.seed, config.draws
    set_random_seed(seed)
    try:
        yield
    finally:
        config.seed, config.draws = before


@contextmanager
def cores_as_they_like() -> Iterator[None]:
    """Within the block no thread keeps a core awake: all of the processor's time is that of the work."""
    before, config.keep_awake = config.keep_awake, False
    try:
        yield
    finally:
        config.keep_awake = before


def train(
    model: Any,
    split: Split | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
    rate: float = RATE,
    batch_size: int = BATCH_SIZE,
    say: Say | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, list[float]]:
    """Trains a classifier whose output is a softmax, in the setting above, and returns its history by epoch.

    split: the digits in the model's shape unless given.   history: "loss" and "accuracy" on the training part, while it
    learns, "val_loss" and "val_accuracy" on the test part. A loss that is not finite ends it: the history is shorter.
    seed: of the order of the images and of dropout; the initial weights are drawn before, where the model is built.
    callbacks: more of them, which look on.
    """
    split = digits(model.input_shape[1:]) if split is None else split
    falls = round(FALL_AT * epochs) * -(-len(split.x_train) // batch_size)
    schedule = lambda step: rate if step < falls else rate / FALL  # noqa: E731
    model.compile(SGD(schedule, MOMENTUM, weight_decay=WEIGHT_DECAY), "sparse_categorical_crossentropy", ["accuracy"])
    watching: list[Callback] = [TerminateOnNaN(), *callbacks]
    if say is not None:
        watching.append(LambdaCallback(on_epoch_end=lambda epoch, logs: say(progress(model, epoch, epochs, logs))))
    with seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflows, in a network that diverges
        history = model.fit(
            split.x_train, split.y_train, batch_size, epochs, verbose=0, callbacks=watching,
            validation_data=(split.x_test, split.y_test),
        )  # fmt: skip
    return history.history


def progress(model: Any, epoch: int, epochs: int, logs: dict[str, float]) -> str:
    """A line on an epoch."""
    return f"{model.name}, epoch {epoch + 1} of {epochs}: loss {logs['loss']:.3f}, test {logs['val_accuracy']:.1%}"


def diverged(history: dict[str, list[float]], epochs: int) -> bool:
    """Whether the training met a loss that was not finite."""
    return len(history["loss"]) < epochs or not np.all(np.isfinite(history["loss"]))


# Trained networks that are kept --------------------------------------------------------------------------------------


@dataclass
class Trained:
    """A trained network, the history of its training, and what that took: CPU seconds of the process."""

    model: Any
    history: dict[str, list[float]]
    seconds: float
    epochs: int
    seed: int

    @property
    def diverged(self) -> bool:
        """Whether the training met a loss that was not finite."""
        return diverged(self.history, self.epochs)

    @property
    def test_accuracy(self) -> float:
        """After the last epoch, in [0, 1]; that of a guess, 0.1 of ten classes or so, where it diverged."""
        return self.history["val_accuracy"][-1]

    @property
    def train_loss(self) -> float:
        """The mean over the last epoch, NaN where it diverged."""
        return float("nan") if self.diverged else self.history["loss"][-1]


def trained(
    name: str,
    build: Callable[[], Any],
    epochs: int = EPOCHS,
    seed: int = 0,
    dataset: str | data.Dataset = "digits",
    cache: str | Path | None = None,
    say: Say | None = None,
    batch_size: int = BATCH_SIZE,
) -> Trained:
    """`build()` under `seed`, trained with the same seed; from the folder `cache` where it lies there already.

    name: what tells this network from others in the folder, such as "resnet56-A".   cache: made where it is missing; a
    file in it that is damaged, or of another version, is trained anew.
    """
    with seeded(seed):
        model = build()
    images = dataset if isinstance(dataset, str) else dataset.name
    whole = f"{name}-{images}-seed{seed}-epochs{epochs}-batch{batch_size}-v{VERSION}"
    path = None if cache is None else Path(cache, f"{whole}.safetensors")
    kept = None if path is None else read(path, model)
    if kept is None:
        with cores_as_they_like():
            before = time.process_time()
            history = train(model, split(dataset, model.input_shape[1:]), epochs, seed, batch_size=batch_size, say=say)
            kept = history, time.process_time() - before
        if path is not None:
            write(path, model, *kept)
    return Trained(model, *kept, epochs, seed)


def of_zoo(network: str, variant: str | None = None, dataset: str = "digits", **options: Any) -> Trained:
    """A network of the zoo in the shape of the data set, trained, or from the cache: `options` are those of `trained`.

    Raises ValueError for an unknown network, variant or data set.
    """
    known = data.load(dataset)
    shape, classes = known.x_train.shape[1:], known.classes
    name = network if variant is None else f"{network}-{variant}"
    return trained(name, lambda: zoo.build(network, variant, shape, classes), dataset=dataset, **options)


def write(path: Path, model: Any, history: dict[str, list[float]], seconds: float) -> None:
    """The weights into `path`, history and time into a .json file beside it, which is there when all is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save_weights(path)
    finite = {name: [v if np.isfinite(v) else None for v in values] for name, values in history.items()}
    text = json.dumps({"history": finite, "seconds": seconds}, allow_nan=False)
    save(path.with_suffix(".json"), text)


def read(path: Path, model: Any) -> tuple[dict[str, list[float]], float] | None:
    """What `write` wrote, the weights put into `model`; None where nothing fits."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        history = {
            name: [np.nan if v is None else float(v) for v in values] for name, values in found["history"].items()
        }
        seconds = float(found["seconds"])
        model.load_weights(path)
        return history, seconds
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
