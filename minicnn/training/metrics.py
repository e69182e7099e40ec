"""Metrics, with Keras's names: numbers that gather over the batches of an epoch.

`update_state(y_true, y_pred)` adds a batch, `result()` is the number so far, `reset_state()` begins again. Sums stay on
the device until somebody asks, so that a GPU need not stop after each step.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.backend import backend_of, to_numpy
from minicnn.names import unknown
from minicnn.tensor import as_array, no_grad
from minicnn.training import losses
from minicnn.training.labels import fitting_weights

Array = Any


class Metric:
    """Base class. A subclass writes `update_state`, `result` and `reset_state`.

    Only as one of the `weighted_metrics` it is also given sample_weight=, (N,), where there are weights.
    direction: "up" or "down", whether larger or smaller is better, for callbacks that watch it.
    """

    direction: str | None = None
    settings: tuple[str, ...] = ()

    def __init__(self, name: str):
        self.name = name

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        raise NotImplementedError(f"{type(self).__name__} has no update_state(self, y_true, y_pred)")

    def result(self) -> float:
        """The number over all batches since the last reset."""
        raise NotImplementedError(f"{type(self).__name__} has no result(self)")

    def reset_state(self) -> None:
        """Forgets all batches."""
        raise NotImplementedError(f"{type(self).__name__} has no reset_state(self)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this metric again: its name, and the attributes that are named in `settings`."""
        return {"name": self.name, **{name: getattr(self, name) for name in self.settings}}

    def get_state(self) -> dict[str, np.ndarray]:
        """What was gathered so far, by name, for a checkpoint: the attributes that are numbers or arrays."""
        kept = {k: v for k, v in vars(self).items() if isinstance(v, int | float) or hasattr(v, "dtype")}
        return {name: np.array(to_numpy(as_array(value))) for name, value in kept.items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what `get_state` gave."""
        for name, value in state.items():
            setattr(self, name, value.item() if np.ndim(value) == 0 else np.array(value))

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """Adds a batch and returns the result so far."""
        self.update_state(y_true, y_pred)
        return self.result()


class Mean(Metric):
    """The mean of the values given. `sample_weight`: for how many a value stands, one number or an array of them."""

    def __init__(self, name: str = "mean"):
        super().__init__(name)
        self.total: Any = 0.0
        self.count: float = 0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Adds values: an array or Tensor of any shape, (N, ...), with weights of shape (N,) or a number."""
        values = as_array(values)
        # in float64: a float32 sum would stop growing at about 2**24 samples
        if sample_weight is None or isinstance(sample_weight, int | float):
            times = 1 if sample_weight is None else sample_weight
            self.total = self.total + values.sum(dtype=np.float64) * times
            self.count += values.size * times
            return
        values = values.astype(np.float64)
        weights = fitting_weights(sample_weight, values)
        self.total = self.total + (values * weights).sum()
        self.count = self.count + weights.sum() * (values.size // weights.size)

    def result(self) -> float:
        """The mean so far, 0.0 before the first value."""
        return float(self.total) / float(self.count) if self.count else 0.0

    def reset_state(self) -> None:
        """Forgets all values."""
        self.total, self.count = 0.0, 0


class MeanMetric(Metric):
    """The mean over the samples of `values(y_true, y_pred)`, a function of two arrays on the predictions' device."""

    def __init__(self, name: str, values: Callable[[Array, Array], Array]):
        super().__init__(name)
        self.values = values
        self.mean = Mean(name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        y_pred = as_array(y_pred)
        self.mean.update_state(self.values(backend_of(y_pred).asarray(as_array(y_true)), y_pred), sample_weight)

    def result(self) -> float:
        """The mean over the samples so far."""
        return self.mean.result()

    def reset_state(self) -> None:
        """Forgets all batches."""
        self.mean.reset_state()

    def get_state(self) -> dict[str, np.ndarray]:
        """What was gathered so far."""
        return self.mean.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what `get_state` gave."""
        self.mean.set_state(state)


class LossMetric(MeanMetric):
    """The mean over the samples of a loss."""

    direction = "down"

    def __init__(self, loss: losses.Loss):
        super().__init__(loss.name, loss.per_sample)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch; predictions stay a Tensor here, since a loss asks for its logits."""
        with no_grad():
            self.mean.update_state(self.values(y_true, y_pred), sample_weight)


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest score, the first of equal ones, is that of the class. (N,) or (N, 1), (N, C) -> (N,)"""
    return _fit(y_true, y_pred.shape[:-1]) == y_pred.argmax(axis=-1)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest score is that of the class with the largest label. (N, C), (N, C) -> (N,)"""
    return _fit(y_true, y_pred.shape).argmax(axis=-1) == y_pred.argmax(axis=-1)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where the prediction is on the label's side of `threshold`, itself on that of 0. (N, D), (N, D) -> (N, D)"""
    return _fit(y_true, y_pred.shape) == (y_pred > threshold)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where fewer than k classes have a larger score than the right one. (N,) or (N, 1), (N, C) -> (N,)"""
    y_true = _fit(y_true, y_pred.shape[:-1]).astype(np.int64)
    own = backend_of(y_pred).xp.take_along_axis(y_pred, y_true[..., None], axis=-1)
    return (y_pred > own).sum(axis=-1) < k


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where fewer than k classes have a larger score than the right one. (N, C), (N, C) -> (N,)"""
    return sparse_top_k_categorical_accuracy(_fit(y_true, y_pred.shape).argmax(axis=-1), y_pred, k)


def _fit(y_true, shape):
    """The labels in this shape; a last axis of length 1 may be there or not. Raises ValueError for any other."""
    if y_true.shape not in (shape, (*shape, 1)) and (*y_true.shape, 1) != shape:
        raise ValueError(f"labels must have shape {shape} for this metric, got {y_true.shape}")
    return y_true.reshape(shape)


class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest score is that of the class, for class numbers."""

    direction = "up"

    def __init__(self, name: str = "sparse_categorical_accuracy"):
        super().__init__(name, sparse_categorical_accuracy)


class CategoricalAccuracy(MeanMetric):
    """How often the largest score is that of the class, for one-hot labels."""

    direction = "up"

    def __init__(self, name: str = "categorical_accuracy"):
        super().__init__(name, categorical_accuracy)


class BinaryAccuracy(MeanMetric):
    """How often the prediction is on the label's side of `threshold`."""

    direction, settings = "up", ("threshold",)

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5):
        super().__init__(name, lambda y_true, y_pred: binary_accuracy(y_true, y_pred, threshold))
        self.threshold = threshold


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the class is among the k largest scores, for class numbers."""

    direction, settings = "up", ("k",)

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy"):
        super().__init__(name, lambda y_true, y_pred: sparse_top_k_categorical_accuracy(y_true, y_pred, k))
        self.k = k


class TopKCategoricalAccuracy(MeanMetric):
    """How often the class is among the k largest scores, for one-hot labels."""

    direction, settings = "up", ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy"):
        super().__init__(name, lambda y_true, y_pred: top_k_categorical_accuracy(y_true, y_pred, k))
        self.k = k


METRICS: dict[str, Any] = {
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
}
ACCURACY = ("accuracy", "acc")


def serialize(metric: Metric) -> dict[str, Any]:
    """The metric as plain data, in Keras's form. Raises ValueError for one of somebody's own."""
    kind = type(metric)
    if kind not in METRICS.values():
        raise ValueError(f"the metric {metric.name!r} is a program of its own, which no file describes")
    config = metric.get_config()
    return {"module": "keras.metrics", "class_name": kind.__name__, "config": config, "registered_name": None}


def get(identifier: Any, y_true: Any = None, y_pred: Any = None) -> Metric:
    """The metric called `identifier`: a name or class name of Keras's, a Metric, its class, a function, or a loss.

    "accuracy" and "acc" need the shapes of y_true and y_pred: binary where the predictions have one column, for class
    numbers where the labels have fewer axes or one column, else one-hot. A function f(y_true, y_pred) of arrays gives a
    value for each sample. Raises ValueError for an unknown name, TypeError for anything else.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, losses.Loss):
        return LossMetric(identifier)
    if isinstance(identifier, dict) and "class_name" in identifier:
        cls = _of_class(identifier["class_name"])
        if cls is None:
            raise ValueError(unknown("metric", identifier["class_name"], [c.__name__ for c in METRICS.values()]))
        names = inspect.signature(cls.__init__).parameters
        return get(cls(**{k: v for k, v in (identifier.get("config") or {}).items() if k in names}))
    if isinstance(identifier, type) and issubclass(identifier, Metric | losses.Loss):
        return get(identifier())  # type: ignore[call-arg]
    if isinstance(identifier, str):
        return _by_name(identifier, y_true, y_pred)
    if not callable(identifier):
        raise TypeError(f"a metric must be a name, a Metric or a function of (y_true, y_pred), got {identifier!r}")
    name = getattr(identifier, "__name__", "metric")
    if identifier is getattr(losses, name, None):
        return LossMetric(losses.get(identifier))
    return MeanMetric(name, identifier)


def of_kind(identifier: Any, kind: str | None) -> Metric:
    """As `get`, where the class that "accuracy" stands for is known by its name."""
    if identifier in ACCURACY and kind is not None:
        check_name(kind)
        return _of_class(kind)(name=identifier)
    return get(identifier)


def check_name(name: str) -> None:
    """Raises ValueError for the name of no metric, with those that come near."""
    if not (name.lower() in METRICS or name.lower() in losses.LOSSES or name in ACCURACY or _of_class(name)):
        raise ValueError(unknown("metric", name, [*ACCURACY, *METRICS, *losses.LOSSES]))


def _of_class(name: str) -> Any:
    classes = [*METRICS.values(), *losses.LOSSES.values()]
    return next((cls for cls in classes if cls.__name__ == name), None)


def _by_name(name: str, y_true: Any, y_pred: Any) -> Metric:
    check_name(name)
    if name in ACCURACY:
        return _accuracy(y_true, y_pred)(name=name)
    if cls := METRICS.get(name.lower()):
        return cls(name=name)
    return get(_of_class(name) or losses.get(name))


def _accuracy(y_true: Any, y_pred: Any) -> Any:
    if y_true is None or y_pred is None:
        raise ValueError("'accuracy' depends on the shapes of labels and predictions: give them, or name one of "
                         "'sparse_categorical_accuracy', 'categorical_accuracy', 'binary_accuracy'")  # fmt: skip
    true, pred = np.shape(y_true), y_pred.shape
    if pred[-1] == 1:
        return BinaryAccuracy
    sparse = len(true) < len(pred) or true[-1] == 1
    return SparseCategoricalAccuracy if sparse else CategoricalAccuracy
