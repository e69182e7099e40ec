"""From settings to what trains: the data in two or three parts, the network, the batches, the optimizer."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicnn import data, zoo
from minicnn.commands import UsageError
from minicnn.commands.preprocessing import Preprocessing
from minicnn.config import generator
from minicnn.data import augment
from minicnn.data.colour import ColourJitter, PCALighting
from minicnn.data.image_list import ImageList
from minicnn.data.loader import Loader
from minicnn.data.statistics import colour_components
from minicnn.data.views import RandomResizedCrop, ResizeCrop
from minicnn.model import Model
from minicnn.names import unknown
from minicnn.training import optimizers, schedules
from minicnn.training.compiled import Compiled
from minicnn.training.losses import SparseCategoricalCrossentropy
from minicnn.zoo.heads import head_names
from minicnn.zoo.heads import without_heads as without_heads

# The data ------------------------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """A data set with a part of the training images held out, where --val-split asks for one."""

    dataset: data.Dataset
    training: np.ndarray  # indices into x_train
    validation: np.ndarray

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.dataset.class_names)


def load_data(settings: SimpleNamespace, data_dir: str | None = None) -> data.Dataset:
    """The data set of the settings, from data_dir if given. Its note says where only a part of it is there."""
    options = {"skip_broken": bool(settings.skip_broken)} if settings.dataset == "folder" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", data.PartialDataWarning)
        return data.load(settings.dataset, data_dir or settings.data_dir, **options)


def split(dataset: data.Dataset, share: float) -> Parts:
    """Holds out this share of the training images, drawn by the seed. Raises UsageError where a part is empty."""
    count = len(dataset.x_train)
    held = round(count * share)
    if share and not 0 < held < count:
        parts = f"{count - held} for training and {held} to validate"
        raise UsageError(f"--val-split {share:g} of {count} images leaves {parts}")
    order = generator("validation").permutation(count) if held else np.arange(count)
    return Parts(dataset, np.sort(order[held:]), np.sort(order[:held]))


def preprocessing(settings: SimpleNamespace, shape: tuple[int, int, int], parts: Parts) -> Preprocessing:
    """What the images of this data set go through, its means taken from the training part."""
    dataset = parts.dataset
    source = tuple(dataset.x_train.shape[1:3]) if isinstance(dataset.x_train, np.ndarray) else None
    # 28 x 28 in 32 x 32 are padded, as LeCun et al. 1998 did; what is further from the size is resized
    wider = [0] if source is None else [shape[0] - source[0], shape[1] - source[1]]
    pad = any(wider) and 0 <= min(wider) and max(wider) <= 4
    made = Preprocessing(shape, settings.preprocessing, pad, source if pad else None, class_names=dataset.class_names)
    images = dataset.x_train
    if isinstance(images, np.ndarray):
        return made.fitted(images[parts.training], dataset.top)
    return made.fitted(_sized(images, shape, parts.training), dataset.top)


def batches(settings: SimpleNamespace, parts: Parts, prepare: Preprocessing) -> Loader:
    """The training images, in a new order each epoch, augmented as the settings say."""
    images, labels = _chosen(parts.dataset, parts.training, prepare)
    chain = augmentation(settings.augment, prepare, images, parts.dataset.top)
    return Loader(images, labels, settings.batch_size, chain, limit=settings.limit_batches, workers=settings.workers)


def validation_batches(settings: SimpleNamespace, parts: Parts, prepare: Preprocessing) -> Loader | None:
    """The images held out, as they lie, or None."""
    if not len(parts.validation):
        return None
    images, labels = _chosen(parts.dataset, parts.validation, prepare)
    return plain_batches(images, labels, settings, prepare, parts.dataset.top)


def plain_batches(images: Any, labels: np.ndarray, settings: SimpleNamespace, prepare: Preprocessing, top: float):
    """Images for evaluation: in their order, not augmented, and no more than --limit-batches."""
    if not isinstance(images, np.ndarray):
        images = images.sized(prepare.shape[:2], prepare.shape[2])
    chain, limit = [_Prepared(prepare, top)], settings.limit_batches
    return Loader(images, labels, settings.batch_size, chain, limit=limit, shuffle=False, workers=settings.workers)


def _chosen(dataset: data.Dataset, indices: np.ndarray, prepare: Preprocessing) -> tuple[Any, np.ndarray]:
    images = dataset.x_train
    if isinstance(images, np.ndarray):
        return (images if len(indices) == len(images) else images[indices]), dataset.y_train[indices]
    return _sized(images, prepare.shape, indices), dataset.y_train[indices]


def _sized(images: ImageList, shape: tuple[int, int, int], indices: np.ndarray) -> ImageList:
    """The pictures of these indices, in the network's size."""
    return ImageList([images.files[i] for i in indices.tolist()], shape[:2], shape[2], images.skip_broken)


# Augmentation --------------------------------------------------------------------------------------------------------


class _Prepared:
    """The preprocessing as a step of a chain."""

    def __init__(self, prepare: Preprocessing, top: float):
        self.prepare, self.top = prepare, top

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.prepare(images, self.top)


def augmentation(text: str | None, prepare: Preprocessing, images: Any, top: float) -> list[Any]:
    """The chain that --augment names, with the preprocessing in its place. Raises UsageError for what is no such list.

    Views, flips, crops and colours come before the preprocessing, on bytes; shifts behind it, in cells of the input.
    """
    before: list[Any] = []
    after: list[Any] = []
    for part in (text or "none").split(","):
        name, _, number = part.strip().partition(":")
        if name not in AUGMENTATIONS:
            raise UsageError(f"--augment {text}: {unknown('augmentation', name, AUGMENTATIONS)}")
        try:
            made = AUGMENTATIONS[name](number, prepare.shape[:2], images, top)
        except ValueError as error:
            raise UsageError(f"--augment {part}: {error}") from None
        if made is not None:
            (after if name == "shift" else before).append(made)
    return [*before, _Prepared(prepare, top), *after]


def _scaled(number: str, size: tuple[int, int], images: Any, top: float) -> Any:
    low, _, high = (number or "256-480").partition("-")
    # the papers' numbers are for inputs of 224: smaller inputs have smaller pictures
    scale = min(size) / 224
    return ResizeCrop(size, (max(round(int(low) * scale), *size), max(round(int(high or low) * scale), *size)))


def _jitter(number: str, size: tuple[int, int], images: Any, top: float) -> Any:
    strength = float(number or 0.4)
    return ColourJitter(strength, strength, strength, top)


def _lighting(number: str, size: tuple[int, int], images: Any, top: float) -> Any:
    return PCALighting(*colour_components(images), strength=float(number or 0.1))


AUGMENTATIONS: dict[str, Callable[[str, tuple[int, int], Any, float], Any]] = {
    "none": lambda number, size, images, top: None,
    "shift": lambda number, size, images, top: augment.Shift(int(number or 2)),
    "crop": lambda number, size, images, top: augment.RandomCrop(padding=int(number or 4)),
    "flip": lambda number, size, images, top: augment.HorizontalFlip(float(number or 0.5)),
    "scale": _scaled,
    "resized": lambda number, size, images, top: RandomResizedCrop(size),
    "jitter": _jitter,
    "lighting": _lighting,
}


# The network ---------------------------------------------------------------------------------------------------------


def build(settings: SimpleNamespace, classes: int) -> Model:
    """The network, for images of --img-size and this number of classes; with its auxiliary heads for --aux-weight."""
    height, width, channels = zoo.entry(settings.model).input_shape
    if settings.img_size is not None:
        height = width = settings.img_size
    more = {"aux": True} if settings.aux_weight is not None else {}
    try:
        return zoo.build(
            settings.model, settings.variant, input_shape=(height, width, channels), classes=classes, **more
        )
    except TypeError as error:
        if more and "aux" in str(error):
            raise UsageError(f"--aux-weight: {settings.model} has no auxiliary heads") from None
        raise


class Feed:
    """A loader's batches, of which the last one stays at hand."""

    def __init__(self, loader: Loader):
        self.loader = loader
        self.batch_size, self.samples = loader.batch_size, loader.samples
        self.last: Any = None

    def __len__(self) -> int:
        return len(self.loader)

    def resume(self, epoch: int, step: int) -> None:
        """As the loader's."""
        self.loader.resume(epoch, step)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in self.loader:
            self.last = batch
            yield batch


# How it learns -------------------------------------------------------------------------------------------------------


def compile_model(model: Model, settings: SimpleNamespace, steps: int) -> None:
    """Gives the model its optimizer, scheduled over epochs of `steps`, its loss and its metrics.

    The numbers of several outputs are called main_loss, aux1_loss and so on, whatever their layers are called.
    """
    first, *heads = names = head_names(model)
    model.compiled = Compiled(
        optimizer(settings, steps),
        loss=loss(settings),
        metrics={first: ["accuracy"]},
        loss_weights=[1.0] + [settings.aux_weight] * len(heads) if heads else None,
        output_names=names,
    )
    if not settings.decay_bias_bn:
        model.optimizer.exclude_from_weight_decay(var_list=[w for w in model.trainable_weights if len(w.shape) < 2])


def loss(settings: SimpleNamespace) -> Any:
    """Cross-entropy with class numbers, smoothed if asked for."""
    return SparseCategoricalCrossentropy(label_smoothing=settings.label_smoothing or 0.0)


def optimizer(settings: SimpleNamespace, steps: int) -> Any:
    """The optimizer that the settings name, its learning rate scheduled over epochs of `steps`."""
    rate = schedule(settings, steps)
    common: dict[str, Any] = {"weight_decay": settings.weight_decay, "global_clipnorm": settings.clip_grad}
    if settings.ema is not None:
        common |= {"use_ema": True, "ema_momentum": settings.ema}
    if settings.grad_accum_steps not in (None, 1):
        common["gradient_accumulation_steps"] = settings.grad_accum_steps
    momentum = settings.momentum or 0.0
    match settings.opt:
        case "sgd" | "momentum" | "nesterov":
            return optimizers.SGD(rate, momentum=momentum, nesterov=settings.opt == "nesterov", **common)
        case "rmsprop":  # decay 0.9 and epsilon 1, as all papers of the Inceptions have it
            return optimizers.RMSprop(rate, rho=0.9, momentum=momentum, epsilon=1.0, **common)
        case "adam":
            return optimizers.Adam(rate, **common)
    return optimizers.AdamW(rate, **{key: value for key, value in common.items() if value is not None})  # its own decay


def schedule(settings: SimpleNamespace, steps: int) -> Any:
    """The learning rate as a function of the step, or a number; plateau is a callback's affair."""
    rate, low, total = settings.lr, settings.min_lr or 0.0, max(settings.epochs * steps, 1)
    match settings.sched:
        case "cosine":
            made: Any = schedules.CosineDecay(rate, total, alpha=low / rate if rate else 0.0)
        case "polynomial":
            made = schedules.PolynomialDecay(rate, total, low, settings.power or 1.0)
        case "step":
            made = schedules.StepDecay(rate, max(round(settings.decay_epochs * steps), 1), settings.decay_rate)
        case "multistep":
            ends = [int(part) * steps for part in settings.decay_milestones.split(",")]
            made = schedules.MultiStepDecay(rate, ends, settings.decay_rate)
        case "exponential":
            made = schedules.ExponentialDecay(rate, settings.decay_epochs * steps, settings.decay_rate)
        case _:
            made = rate
    warm = round((settings.warmup_epochs or 0) * steps)
    return schedules.Warmup(made, warm) if warm else made
