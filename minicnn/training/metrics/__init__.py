"""Metrics, with Keras's names: numbers that gather over the batches of an epoch.

`update_state(y_true, y_pred)` adds a batch, `result()` is the number so far, `reset_state()` begins again. Sums stay on
the device until somebody asks, so that a GPU need not stop after each step.
"""

import inspect
from typing import Any

import numpy as np

from minicnn.names import unknown
from minicnn.training import losses
from minicnn.training.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from minicnn.training.metrics.base import LossMetric, Mean, MeanMetric, Metric
from minicnn.training.metrics.confusion import Precision, Recall

__all__ = [
    "ACCURACY", "METRICS", "BinaryAccuracy", "CategoricalAccuracy", "LossMetric", "Mean", "MeanMetric", "Metric",
    "Precision", "Recall", "SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy",
    "binary_accuracy", "categorical_accuracy", "check_name", "get", "of_kind", "serialize",
    "sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip

METRICS: dict[str, Any] = {
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "precision": Precision,
    "recall": Recall,
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
