"""Losses, with Keras's names, arguments and formulas (Keras 3.15, `keras/src/losses/losses.py`).

A loss holds labels (an array) against predictions (a Tensor). `loss(y_true, y_pred)` is a scalar, the mean over the
batch; `loss.per_sample(y_true, y_pred)` keeps a value for each sample. Your own loss is a function
`f(y_true, y_pred)` of an array and a Tensor, or a subclass of Loss with `call`.
"""

from typing import Any

from minicnn.names import unknown
from minicnn.training.losses.base import FunctionLoss, Loss
from minicnn.training.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CrossEntropy,
    SparseCategoricalCrossentropy,
)
from minicnn.training.losses.regression import MeanAbsoluteError, MeanSquaredError

__all__ = [
    "LOSSES", "BinaryCrossentropy", "CategoricalCrossentropy", "CrossEntropy", "FunctionLoss", "Loss",
    "MeanAbsoluteError", "MeanSquaredError", "SparseCategoricalCrossentropy", "binary_crossentropy",
    "categorical_crossentropy", "get", "mean_absolute_error", "mean_squared_error", "sparse_categorical_crossentropy",
]  # fmt: skip


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0):
    """The losses of the samples: see SparseCategoricalCrossentropy."""
    return SparseCategoricalCrossentropy(from_logits, label_smoothing=label_smoothing).per_sample(y_true, y_pred)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0):
    """The losses of the samples: see CategoricalCrossentropy."""
    return CategoricalCrossentropy(from_logits, label_smoothing).per_sample(y_true, y_pred)


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0):
    """The losses of the samples: see BinaryCrossentropy."""
    return BinaryCrossentropy(from_logits, label_smoothing).per_sample(y_true, y_pred)


def mean_squared_error(y_true, y_pred):
    """The losses of the samples: see MeanSquaredError."""
    return MeanSquaredError().per_sample(y_true, y_pred)


def mean_absolute_error(y_true, y_pred):
    """The losses of the samples: see MeanAbsoluteError."""
    return MeanAbsoluteError().per_sample(y_true, y_pred)


LOSSES: dict[str, type[Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
}


def get(identifier: Any) -> Loss:
    """The loss called `identifier`: a name or class name of Keras's, its alias, a Loss, its class, or a function.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if isinstance(identifier, dict):
        return _class(identifier["class_name"]).from_config(identifier["config"])
    if isinstance(identifier, str):
        cls = _class(identifier)
        return cls(name=identifier.lower() if identifier.lower() in LOSSES else None)
    if not callable(identifier):
        raise TypeError(f"a loss must be a name, a Loss or a function of (y_true, y_pred), got {identifier!r}")
    name = getattr(identifier, "__name__", "")
    if identifier is globals().get(name):
        return LOSSES[name]()  # our own function, as its name
    return FunctionLoss(identifier)


def serialize(loss: Loss) -> dict[str, Any]:
    """The loss as plain data, in Keras's form. Raises ValueError for a function of somebody's own."""
    kind = type(loss)
    if kind not in LOSSES.values():
        raise ValueError(f"the loss {loss.name!r} is a program of its own, which no file describes")
    return {"module": "keras.losses", "class_name": kind.__name__, "config": loss.get_config(), "registered_name": None}


def _class(name: str) -> type[Loss]:
    by_class = {cls.__name__: cls for cls in LOSSES.values()}
    found = LOSSES.get(name.lower()) or by_class.get(name)
    if found is None:
        raise ValueError(unknown("loss", name, LOSSES))
    return found
