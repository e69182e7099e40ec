"""Labels and targets as they come from outside: turned into arrays, checked once, with one message for each mistake."""

from typing import Any

import numpy as np

from minicnn.backend import backend_of, to_numpy
from minicnn.ops.loss import no_classes
from minicnn.tensor import as_array

Array = Any


def class_labels(y_true: Any, y_pred: Array) -> Array:
    """Class numbers as integers of the shape of `y_pred` without its last axis, on the device of `y_pred`.

    y_true: (N,) or (N, 1) for predictions (N, C); whole numbers of any type. Raises ValueError, with what was received,
    for another shape, for NaN, for numbers that are not whole and for those outside 0 .. C - 1.
    """
    labels, classes = as_array(y_true), y_pred.shape[-1]
    _check_numbers(labels)
    expected = y_pred.shape[:-1]
    if labels.shape == (*expected, 1):
        labels = labels.reshape(expected)
    if labels.shape != expected:
        hint = "; one-hot labels need 'categorical_crossentropy'" if labels.shape == y_pred.shape else ""
        raise ValueError(f"labels must be class numbers of shape {expected}, got shape {labels.shape}{hint}")
    if labels.dtype.kind == "f":
        _refuse(labels, labels % 1 != 0, "labels must be whole numbers")
    if (wrong := no_classes(labels, classes)) is not None:
        _refuse(labels, wrong, f"labels must lie in 0 .. {classes - 1} for {classes} classes")
    return backend_of(y_pred).asarray(labels).astype(np.int64)


def dense_targets(y_true: Any, y_pred: Array, low: float = -np.inf, high: float = np.inf) -> Array:
    """Targets in the shape, type and place of `y_pred`. A last axis of length 1 may be there or not, as in Keras.

    Raises ValueError, with what was received, for another shape, for NaN, and for values outside low .. high.
    """
    targets = as_array(y_true)
    _check_numbers(targets)
    if targets.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        targets = targets[..., None]
    if targets.shape != y_pred.shape:
        fits = targets.shape in (y_pred.shape[:-1], (*y_pred.shape[:-1], 1))
        hint = "; class numbers need 'sparse_categorical_crossentropy'" if fits else ""
        raise ValueError(f"targets must have the shape of the predictions, {y_pred.shape}, got {targets.shape}{hint}")
    if np.isfinite(low) or np.isfinite(high):
        _refuse(targets, (targets < low) | (targets > high), f"targets must lie in {low:g} .. {high:g}")
    return backend_of(y_pred).asarray(targets).astype(y_pred.dtype, copy=False)


def fitting_weights(weights: Any, values: Array) -> Array:
    """Weights of samples in the type and place of `values`, (N, ...), with axes that spread over it.

    weights: (N,), (N, 1), or (N, ...) as far as they go. Raises ValueError for another shape, NaN, or infinity.
    """
    weights = as_array(weights)
    _check_numbers(weights, "sample weights")
    given, shape = weights.shape, values.shape
    if weights.ndim > values.ndim and given[values.ndim :] == (1,):
        weights = weights[..., 0]
    if weights.ndim == 0 or weights.shape != shape[: weights.ndim]:
        raise ValueError(f"sample weights must have the shape of the losses, {shape}, or {shape[:1]}, got {given}")
    weights = backend_of(values).asarray(weights).astype(values.dtype, copy=False)
    return weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))


def class_weights(y: Any, weights: dict[int, float]) -> Array:
    """The weight of each sample's class: weights[class], or 1 where there is none, as in Keras.

    y: class numbers (N,) or (N, 1), or one-hot labels (N, C).
    """
    y = as_array(y)
    if y.ndim > 1:
        y = y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
    found = backend_of(y).xp.ones(y.shape, np.float64)
    for number, weight in weights.items():
        found[y.round() == number] = weight
    return found


def _check_numbers(labels: Array, what: str = "labels") -> None:
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be numbers, got an array of type {labels.dtype}")
    if labels.dtype.kind == "f":
        _refuse(labels, labels != labels, f"{what} must not be NaN")
        _refuse(labels, abs(labels) == np.inf, f"{what} must be finite")


def _refuse(labels: Array, bad: Array, rule: str) -> None:
    """Raises ValueError with the first label where `bad`."""
    if not bad.any():
        return
    bad = to_numpy(bad)
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    where = ", ".join(map(str, place))
    raise ValueError(f"{rule}, got {to_numpy(labels)[place]} at index {where} ({bad.sum()} of {bad.size} are wrong)")
