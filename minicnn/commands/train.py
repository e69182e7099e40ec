"""`minicnn train MODEL`: trains a network of the zoo, and leaves a run folder."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import minicnn
from minicnn import backend, config
from minicnn.backend import to_numpy
from minicnn.commands import MEMORY, Stopped, building, guarded, memory, runs, toml
from minicnn.commands.arguments import complete, parse, to_table
from minicnn.commands.plot import draw_curves
from minicnn.commands.preprocessing import Preprocessing, loads
from minicnn.commands.recipes import in_words
from minicnn.commands.resuming import resumed
from minicnn.commands.runs import make_folder, write_text
from minicnn.commands.watching import Rows, Saver, remembered_signals
from minicnn.model import saving
from minicnn.training import Callback, checkpoints
from minicnn.training.blame import first_not_finite
from minicnn.training.callbacks import EarlyStopping, LambdaCallback, ReduceLROnPlateau, TensorBoard
from minicnn.training.progress import Progress
from minicnn.training.recalibration import recalibrate
from minicnn.training.store import Store
from minicnn.zoo.heads import head_names

Say = Callable[..., None]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, unless given) and returns its exit code."""
    return guarded("train", lambda: command(sys.argv[1:] if argv is None else argv))


def command(argv: Sequence[str]) -> None:
    """A run, a new one or one that goes on."""
    given = parse(argv)
    found = None
    if "resume" in given:
        found = runs.find(given["resume"], given.get("output", "runs"), given.get("name") or given.get("model"))
    if found is not None:
        given = resumed(given, found)
    train(complete(given), found)


def train(settings: SimpleNamespace, found: runs.Found | None = None) -> None:
    """A whole run: the summary, the training, the test, the files. found: the run to go on with.

    Raises DeviceError, ValueError and OSError for what is not there or does not fit, before the training begins;
    Stopped for a loss that is not finite, for want of memory, and for Ctrl-C, when a checkpoint is kept.
    """
    say: Say = _nothing if settings.quiet else print
    device = prepare_process(settings, say)
    dataset = building.load_data(settings)
    if dataset.note:
        say(dataset.note)
    parts = building.split(dataset, settings.val_split)
    model = building.build(settings, parts.classes)
    if settings.summary or not settings.quiet:
        model.summary()
        print("\n".join(in_words(settings)))
    if settings.summary:
        return
    if settings.weights is not None and found is None:
        saving.load_weights(building.without_heads(model), settings.weights)
    model.to(device)
    with contextlib.closing(Run(settings, parts, model, say, found)) as run:
        run.open()
        try:
            run.fit()
            run.finish()
        except Exception as error:
            if not memory.is_out_of_memory(error):
                raise
            reason = f" ({error})" if str(error) else ""
        else:
            print(f"run folder: {run.folder} ({', '.join(runs.left(run.folder))})")
            return
        # behind the handler, where the arrays of the failed step are gone
        raise Stopped(memory.advice(model, settings.batch_size, run.free()) + reason, MEMORY)


def prepare_process(settings: SimpleNamespace, say: Say) -> str:
    """Sets what the whole process shares, and returns the device. Raises DeviceError where it is not there."""
    device = choose_device(settings.device, say)
    config.set_random_seed(settings.seed)
    config.set_floatx(settings.dtype)
    if settings.threads is not None:
        config.set_threads(settings.threads)
    if settings.conv is not None:
        config.set_conv(settings.conv)
    if settings.precision is not None:
        config.set_precision(settings.precision)
    if settings.verbose:
        say(f"minicnn {minicnn.__version__}, NumPy {np.__version__}, Python {sys.version.split()[0]}, {device}")
        say(toml.dumps(to_table(settings)), end="")
    return device


def _nothing(*_, **__) -> None:
    """Takes what print takes."""


def choose_device(name: str, say: Say) -> str:
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


class Run:
    """One training: its folder, its model, and what looks on."""

    def __init__(self, settings, parts: building.Parts, model: Any, say: Say, found: runs.Found | None):
        self.settings, self.parts, self.model, self.say, self.found = settings, parts, model, say, found
        self.preprocessing = self._preprocessing()
        loader = building.batches(settings, parts, self.preprocessing)
        validation = building.validation_batches(settings, parts, self.preprocessing)
        self.feed = building.Feed(loader)
        self.validation = validation
        building.compile_model(model, settings, len(loader))
        self.weights = saving.weight_names(model)
        if found is not None:
            checkpoints.restore(found.checkpoint, model, self.weights)
        self.lock: Any = None
        self.before: Any = None  # with --debug-nan: the step and the weights before it

    def open(self) -> None:
        """Makes or takes the folder, which is this process's until `close`."""
        self.folder = self._folder()

    def _preprocessing(self) -> Preprocessing:
        shape = self.model.input_shape[1:]
        if self.found is not None and self.found.checkpoint.facts.get("preprocessing"):
            return loads(self.found.checkpoint.facts["preprocessing"])
        return building.preprocessing(self.settings, shape, self.parts)

    def _folder(self) -> Path:
        """The run's folder: a new one, or that of the run that goes on, cut back to where its checkpoint stands."""
        settings, found = self.settings, self.found
        if found is None:
            folder = make_folder(settings.output, settings.name)
            self.lock = runs.claim(folder)
            write_text(folder / runs.CONFIG, toml.dumps(to_table(settings)))
            return folder
        folder = found.origin if found.in_place and found.origin else make_folder(settings.output, settings.name)
        self.lock = runs.claim(folder)
        store = Store(folder / runs.CHECKPOINTS)
        store.clean()
        step, facts = found.checkpoint.step, found.checkpoint.facts
        epoch, position = facts["epoch"], facts["position"]
        if found.origin is not None:
            runs.cut_back(found.origin, folder, epoch, step)
        write_text(folder / runs.CONFIG, toml.dumps(to_table(settings)))
        for text in found.refused:
            print(f"minicnn train: passed over: {' '.join(text.split())}", file=sys.stderr)
        then, now = facts.get("versions", {}), checkpoints.versions()
        other = [f"{name} {then[name]} then, {now[name]} now" for name in now if then.get(name, now[name]) != now[name]]
        if other:
            self.say(f"the last bits may differ from those of a run that was not stopped: {'; '.join(other)}")
        place = f"epoch {epoch + 1}, step {position}" if position else f"epoch {epoch}"
        self.say(f"going on after {place} (step {step}) from {found.path}")
        if epoch == settings.epochs:
            self.say("the run has all its epochs: a larger --epochs would go on")
        return folder

    def close(self) -> None:
        """Leaves the folder to others."""
        if self.lock is not None:
            self.lock.close()

    # Training --------------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Trains to the end, or to where a signal or a loss that is not finite stops it."""
        settings, start = self.settings, None if self.found is None else self.found.checkpoint
        epochs = settings.epochs
        if start is not None and start.facts["finished"] and start.facts["config"].get("patience") == settings.patience:
            self.say("the run has ended early, for want of progress: a larger --patience would go on")
            epochs = start.facts["epoch"]
        first = {} if start is None else {
            "initial_epoch": start.facts["epoch"], "initial_step": start.facts["position"]
        }  # fmt: skip
        with remembered_signals() as received, warnings.catch_warnings():
            # A loss that runs away has a message of its own, from Rows.
            warnings.filterwarnings("ignore", "(overflow|invalid value|divide by zero) encountered", RuntimeWarning)
            self.model.fit(
                self.feed, epochs=epochs, verbose=0, validation_data=self.validation,
                plan=not settings.debug_nan, callbacks=self._callbacks(received, start), **first,
            )  # fmt: skip

    def _callbacks(self, received: list, start: Any) -> list[Callback]:
        settings = self.settings
        main = head_names(self.model)[0] if len(self.model.outputs) > 1 else None
        rows = Rows(self.folder, self.feed.samples, main, self._blame, bool(settings.debug_nan))
        shown: list[Callback] = [] if settings.quiet else [Progress(log_interval=settings.log_interval)]
        watching: list[Callback] = [rows, *self._scheduling(main), *shown]
        if settings.debug_nan:
            watching.append(LambdaCallback(on_train_batch_begin=lambda batch, logs=None: self.remember()))
        accuracy = "val_accuracy" if main is None else f"val_{main}_accuracy"
        saver = Saver(
            Store(self.folder / runs.CHECKPOINTS, settings.keep), self.weights, watching, self._facts(),
            every=settings.save_every, monitor="loss" if self.validation is None else accuracy,
            on_error=settings.on_save_error, steps=len(self.feed), received=received,
            blame=self._blame, start=start,
        )  # fmt: skip
        return [*watching, saver]

    def _scheduling(self, main: str | None) -> list[Callback]:
        """What acts on the numbers of an epoch: plateau, patience, TensorBoard."""
        settings = self.settings
        made: list[Callback] = []
        monitor = "loss" if self.validation is None else "val_loss"
        if settings.sched == "plateau":
            given = {"factor": settings.decay_rate, "patience": settings.sched_patience}
            made.append(ReduceLROnPlateau(monitor, min_lr=settings.min_lr or 0.0, **given))
        if settings.patience is not None:
            made.append(EarlyStopping(monitor, patience=settings.patience))
        if settings.tensorboard:
            made.append(TensorBoard(self.folder / runs.TENSORBOARD))
        return made

    def _facts(self) -> dict[str, Any]:
        return {
            "minicnn": minicnn.__version__, "config": to_table(self.settings),
            "class_names": list(self.parts.dataset.class_names), "preprocessing": self.preprocessing.dumps(),
        }  # fmt: skip

    def _blame(self) -> str:
        """What was not finite first, in words: with --debug-nan in the very step, else with the weights after it."""
        x, y = self.feed.last
        if self.before is not None:
            step, values = self.before
            for weight, value in zip(self.weights.values(), values, strict=True):
                weight.assign(value)
            self.model.step = step
            return first_not_finite(self.model, x, y)
        return first_not_finite(self.model, x) or "; --debug-nan looks closer"

    def remember(self) -> None:
        """Keeps the weights before a step, for a closer look at it."""
        self.before = (self.model.step, [to_numpy(w.data).copy() for w in self.weights.values()])

    def free(self) -> int | None:
        """Bytes that another step could take, if anybody knows."""
        self.feed.last = None
        return memory.available() if self.model.backend.xp is np else None

    def tell_broken(self) -> None:
        """Says which pictures --skip-broken left out."""
        broken = getattr(self.feed.loader.x, "broken", {})
        for text in list(broken.values())[:10]:
            print(f"minicnn train: {' '.join(text.split())}", file=sys.stderr)
        if broken:
            words = "1 picture was" if len(broken) == 1 else f"{len(broken):,} pictures were"
            print(f"minicnn train: {words} left out of the training", file=sys.stderr)

    # The end ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The weights to use, and what they are worth on the test images."""
        settings, dataset = self.settings, self.parts.dataset
        self.tell_broken()
        if settings.recalibrate_bn:
            self.feed.resume(settings.epochs, 0)  # an order that does not depend on where the run was resumed
            recalibrate(self.model, self.feed)
        model = building.without_heads(self.model)
        notes = {"preprocessing": self.preprocessing.dumps(), "variant": settings.variant or ""}
        saving.save_weights(model, self.folder / runs.WEIGHTS, notes)
        model.compile(self.model.optimizer, loss=building.loss(settings), metrics=["accuracy"])
        test = building.plain_batches(dataset.x_test, dataset.y_test, settings, self.preprocessing, dataset.top)
        result = model.evaluate(test, verbose=0, return_dict=True)
        print(f"test accuracy {result['accuracy']:.4f}  loss {result['loss']:.4f}  ({test.samples} images)")
        with contextlib.suppress(ImportError):  # no matplotlib, no picture
            draw_curves(self.folder, f"{settings.model} on {settings.dataset}")
