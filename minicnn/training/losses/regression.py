"""Losses of numbers."""

from minicnn import ops
from minicnn.tensor import apply
from minicnn.training.labels import dense_targets
from minicnn.training.losses.base import Loss


class MeanSquaredError(Loss):
    """loss[n] = mean over the last axis of (y_true - y_pred)^2.

    y_true, y_pred: (N, ..., D)   per sample: (N, ...). Raises ValueError for NaN and other shapes.
    """

    def labels(self, y_true, y_pred):
        """y_true in the shape and type of y_pred, checked."""
        return dense_targets(y_true, y_pred)

    def call(self, y_true, y_pred):
        """The formula: a value for each sample."""
        return ((y_pred - y_true) ** 2).mean(axis=-1)


class MeanAbsoluteError(Loss):
    """loss[n] = mean over the last axis of |y_true - y_pred|; its gradient is 0 where the two are equal.

    y_true, y_pred: (N, ..., D)   per sample: (N, ...). Raises ValueError for NaN and other shapes.
    """

    def labels(self, y_true, y_pred):
        """y_true in the shape and type of y_pred, checked."""
        return dense_targets(y_true, y_pred)

    def call(self, y_true, y_pred):
        """The formula: a value for each sample."""
        return apply(ops.Absolute(), y_pred - y_true).mean(axis=-1)
