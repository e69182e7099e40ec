"""The instruments by name. Each is a module with `run(settings) -> Result`, imported when it is asked for."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from minicnn import data
from minicnn.names import unknown
from minicnn.study.result import Result

MOST = 2000  # images for training, unless the full study is asked for: more than the digits are, and minutes enough


def quietly(text: str) -> None:
    """Says nothing."""


@dataclass
class Settings:
    """What a run of an instrument is asked for. What is None is the instrument's own choice.

    model: a name of the zoo.   weights: a file.   full: the long version (families of trained networks).
    data_dir: where the data set lies.   images: for training at most; None: MOST, or all of them where `full` is set.
    cache: a folder that keeps the networks which the family trains, so that they are not trained again.
    say(text): shows a line of progress; called with nothing to do where `quiet` is set.
    """

    model: str | None = None
    variant: str | None = None
    dataset: str = "digits"
    data_dir: str | None = None
    images: int | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    weights: str | None = None
    cache: str | None = None
    full: bool = False
    quiet: bool = False
    say: Callable[[str], None] = quietly

    @property
    def network(self) -> str:
        """The model's name. Raises ValueError where none was asked for."""
        if self.model is None:
            raise ValueError("which MODEL? For example resnet20")
        return self.model

    def load(self) -> data.Dataset:
        """The data set, with no more images for training than are wanted; a shortened one is called cifar10-2000.

        Raises what `data.load` does.
        """
        known = data.load(self.dataset, self.data_dir)
        most = self.images or (None if self.full else MOST)
        if most is None or len(known.x_train) <= most:
            return known
        name = f"{known.name}-{most}"
        return replace(known, name=name, x_train=known.x_train[:most], y_train=known.y_train[:most])

    @property
    def data_words(self) -> str:
        """The data set as a report names it: with the number of its images where it is not all of them."""
        used = self.load()
        if used.name == self.dataset:
            return used.name
        return f"{self.dataset} ({len(used.x_train):,} images for training)"


@dataclass(frozen=True)
class Instrument:
    """An entry of the table: a module of minicnn.study, one line on it, the model that it takes unless told.

    trains: whether it trains a family of networks, which takes minutes.
    """

    name: str
    summary: str
    model: str | None
    trains: bool = False
    module: str | None = None

    def run(self, settings: Settings) -> Result:
        """Imports the module and runs it, on its own model unless `settings` name one."""
        module = importlib.import_module(f"minicnn.study.{self.module or self.name}")
        return module.run(replace(settings, model=settings.model or self.model))


INSTRUMENTS = {
    one.name: one
    for one in (
        Instrument("decompose", "the gradient of each residual block, parted into skip and branch", "resnet56"),
        Instrument("paths", "the input's gradient by the length of its paths, exactly", "resnet56"),
        Instrument("depth", "gradients, activations and update sizes layer by layer", "resnet56"),
        Instrument("trace", "one backward pass, op by op: shapes, sums at forks, memory, time", "resnet20"),
        Instrument("lesion", "delete, swap and scale blocks of a trained network", "resnet56", trains=True),
        Instrument("degradation", "plain against residual networks as they get deeper", None, trains=True),
        Instrument("variants", "where batch norm, ReLU and the shortcut stand in a block", None, trains=True),
        Instrument("scale", "the scale of the residual branch, with and without batch norm", None, trains=True),
        Instrument("shatter", "how alike the gradients of neighbouring inputs are", None),
        # Windows takes no file aux.py.
        Instrument("aux", "what auxiliary heads add to the trunk's gradient", "inception_v1", module="heads"),
        Instrument("erf", "theoretical and effective receptive fields", None),
        Instrument("landscape", "filter-normalised slices of the loss, and its curvature", None, trains=True),
        Instrument("claims", "the published effects with three seeds: which of them hold", None, trains=True),
        Instrument("explore", "one interactive page: the graph, and the gradient along its edges", "resnet20"),
    )
}


def find(name: str) -> Instrument:
    """The instrument of this name. Raises ValueError, with those that come near, where there is none."""
    if name not in INSTRUMENTS:
        raise ValueError(unknown("study", name, INSTRUMENTS))
    return INSTRUMENTS[name]


def run(name: str, settings: Settings | None = None) -> Result:
    """Runs an instrument. Raises ValueError for an unknown one, and what its `run` raises."""
    return find(name).run(settings or Settings())
