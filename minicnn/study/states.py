"""The states in which an instrument looks at a network: with its first weights, trained, or with those of a file."""

from collections.abc import Iterator
from typing import Any

from minicnn import zoo
from minicnn.study.digits import Split, train
from minicnn.study.instruments import MOST
from minicnn.study.subjects import subject

EPOCHS, BATCH = 4, 128
SMALL = 32  # pixels: a network for larger images takes hours to train on a CPU, so it is not trained unless asked for
FEW = 16  # images of a batch that is larger than that
LOSS = "sparse_categorical_crossentropy"


def states(settings: Any, epochs: int = EPOCHS) -> Iterator[tuple[str, Any, Split]]:
    """(what it is called, the model, the images): "start", then "trained"; or "weights" of settings.weights alone.

    epochs: of training, unless settings.epochs says; 0 ends it at "start". The model is the same one, trained between,
    on as many images as the settings allow; it is tested on MOST at most unless settings.full is set.
    """
    model, split = subject(settings)
    if not settings.full:
        split = split._replace(x_test=split.x_test[:MOST], y_test=split.y_test[:MOST])
    yield ("weights" if settings.weights else "start"), model, split
    large = max(zoo.entry(settings.model).input_shape[:2]) > SMALL
    count = settings.epochs if settings.epochs is not None else 0 if large or settings.weights else epochs
    if count:
        train(model, split, count, settings.seed, say=settings.say)
        yield "trained", model, split


def words(name: str, settings: Any, epochs: int = EPOCHS) -> str:
    """What a state is called in a report."""
    if name == "trained":
        count = epochs if settings.epochs is None else settings.epochs
        return f"after {count} epoch{'s' if count > 1 else ''}"
    return f"with {settings.weights}" if name == "weights" else "at the start"


def described(settings: Any, split: Split) -> str:
    """The subject of a report: the network, the images, the seed."""
    variant = f" ({settings.variant})" if settings.variant else ""
    size = "x".join(map(str, split.x_train.shape[1:]))
    return f"{settings.model}{variant}, {settings.data_words} {size}, seed {settings.seed}"


def batch(settings: Any, split: Split, size: int = BATCH) -> tuple[Any, Any]:
    """The first training images and their labels: settings.batch_size, or `size` of them, or FEW large ones."""
    count = settings.batch_size or (size if max(split.x_train.shape[1:3]) <= SMALL else FEW)
    return split.x_train[:count], split.y_train[:count]
