"""`minicnn train MODEL`: trains a network of the zoo, and leaves a run folder."""

import contextlib
import math
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import minicnn
from minicnn import backend, config, data, zoo
from minicnn.commands import NOT_FINITE, Stopped, guarded, toml
from minicnn.commands.arguments import resolve, to_table
from minicnn.commands.runs import MetricsFile, make_folder, write_text
from minicnn.data.augment import Shift
from minicnn.data.images import prepare
from minicnn.data.loader import Loader
from minicnn.training import SGD, Adam, Callback
from minicnn.training.progress import Progress
from minicnn.training.schedules import CosineDecay


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("train", lambda: train(resolve(sys.argv[1:] if argv is None else argv)))


def train(settings: SimpleNamespace) -> None:
    """A whole run: the summary, the training, the test, the files.

    Raises DeviceError, ValueError and OSError for what is not there or does not fit, before the training begins;
    Stopped for a loss that is not finite, and for Ctrl-C, when the weights of the last step are kept.
    """
    say: Callable[..., None] = _nothing if settings.quiet else print
    device = choose_device(settings.device, say)
    config.set_random_seed(settings.seed)
    config.set_floatx(settings.dtype)
    if settings.threads is not None:
        config.set_threads(settings.threads)
    if settings.verbose:
        say(f"minicnn {minicnn.__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}, {device}")
        say(toml.dumps(to_table(settings)), end="")
    dataset = data.load(settings.dataset)
    model = build(settings, dataset.classes)
    if settings.summary or not settings.quiet:
        model.summary()
    if settings.summary:
        return
    model.to(device)
    loader = training_batches(dataset, model.input_shape[1:], settings)
    model.compile(
        optimizer(settings, steps=settings.epochs * len(loader)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    folder = make_folder(settings.output, settings.name)
    write_text(folder / "config.toml", toml.dumps(to_table(settings)))
    _fit(model, loader, settings, folder)
    _test(model, dataset, settings)
    files = [name for name in ("config.toml", "metrics.csv", "weights.safetensors") if (folder / name).exists()]
    print(f"run folder: {folder} ({', '.join(files)})")  # without an epoch there are no metrics


def _nothing(*_, **__) -> None:
    """Takes what print takes."""


def choose_device(name: str, say: Callable[..., None]) -> str:
    """The device by that name, or for "auto" the GPU if there is one. Raises DeviceError where it is not there."""
    if name != "auto":
        backend.get(name)
        return name
    try:
        backend.get("gpu")
        chosen, why = "gpu", ""
    except backend.DeviceError as error:
        chosen, why = "cpu", f" ({error})"
    say(f"device auto: {chosen}{why}")
    return chosen


def build(settings: SimpleNamespace, classes: int):
    """The network, for images of --img-size and this number of classes."""
    height, width, channels = zoo.entry(settings.model).input_shape
    if settings.img_size is not None:
        height = width = settings.img_size
    return zoo.build(settings.model, settings.variant, input_shape=(height, width, channels), classes=classes)


def optimizer(settings: SimpleNamespace, steps: int):
    """The optimizer that the settings name, its learning rate scheduled over `steps`."""
    rate = CosineDecay(settings.lr, max(steps, 1)) if settings.sched == "cosine" else settings.lr
    if settings.opt == "sgd":
        return SGD(rate, momentum=settings.momentum or 0.0, weight_decay=settings.weight_decay)
    return Adam(rate, weight_decay=settings.weight_decay)


def training_batches(dataset: data.Dataset, shape: tuple[int, int, int], settings: SimpleNamespace) -> Loader:
    """The training images in the network's shape, augmented as the settings say."""
    x = prepare(dataset.x_train, shape, dataset.top)
    augment = Shift(settings.shift) if settings.shift else None
    return Loader(x, dataset.y_train, settings.batch_size, augment, limit=settings.limit_batches)


def _fit(model, loader: Loader, settings, folder: Path) -> None:
    weights = folder / "weights.safetensors"
    try:
        with remembered_signals() as received, warnings.catch_warnings():
            # A loss that runs away has a message of its own, from Watch.
            warnings.filterwarnings("ignore", "(overflow|invalid value|divide by zero) encountered", RuntimeWarning)
            watch = Watch(MetricsFile(folder / "metrics.csv"), loader.samples, received)
            shown = [] if settings.quiet else [Progress(log_interval=settings.log_interval)]
            model.fit(loader, epochs=settings.epochs, verbose=0, callbacks=[watch, *shown])
    except KeyboardInterrupt:  # the second Ctrl-C: in the middle of a step
        model.save_weights(weights)
        raise
    except Stopped as stopped:
        if stopped.code == NOT_FINITE:
            raise
        model.save_weights(weights)
        raise Stopped(f"{stopped}; the weights so far are in {weights}", stopped.code) from None
    model.save_weights(weights)


def _test(model, dataset, settings) -> None:
    x = prepare(dataset.x_test, model.input_shape[1:], dataset.top)
    result = model.evaluate(x, dataset.y_test, settings.batch_size, verbose=0, return_dict=True)
    print(f"test accuracy {result['accuracy']:.4f}  loss {result['loss']:.4f}  ({len(x)} images)")


class Watch(Callback):
    """Writes a row of metrics an epoch, and stops after a step whose loss is not finite or during which a signal came.

    received: the signals so far, from remembered_signals(). Raises Stopped.
    """

    def __init__(self, metrics: MetricsFile, samples: int, received: list[signal.Signals]):
        self.metrics, self.samples, self.received = metrics, samples, received

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the epoch's clock."""
        self.epoch, self.begun = epoch, time.perf_counter()
        self.rate = self.model.compiled.optimizer.learning_rate

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss and at the signals."""
        place = f"epoch {self.epoch + 1}, step {batch + 1}"
        if not math.isfinite(logs["loss"]):
            raise Stopped(f"the loss is {logs['loss']} after {place}: try a smaller --lr", NOT_FINITE)
        if self.received:
            raise Stopped(f"stopped by {self.received[0].name} after {place}", 128 + self.received[0])

    def on_epoch_end(self, epoch, logs=None):
        """Writes the row."""
        seconds = time.perf_counter() - self.begun
        numbers = {name: f"{value:.6g}" for name, value in logs.items()}
        rates = {"seconds": f"{seconds:.3f}", "images_per_second": f"{self.samples / seconds:.1f}"}
        self.metrics.add({"epoch": epoch + 1, "lr": f"{self.rate:g}", **numbers, **rates})


@contextlib.contextmanager
def remembered_signals() -> Iterator[list[signal.Signals]]:
    """Within the block the first Ctrl-C or SIGTERM is only remembered, in the list; the second one acts at once."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield received
        return

    def remember(number, frame):
        received.append(signal.Signals(number))
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.signal(one, remember) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
