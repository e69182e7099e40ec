"""How often the prediction is right."""

import numpy as np

from minicnn.backend import backend_of
from minicnn.training.metrics.base import MeanMetric


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where the largest score, the first of equal ones, is that of the class. (N,) or (N, 1), (N, C) -> (N,)"""
    return shaped(y_true, y_pred.shape[:-1]) == y_pred.argmax(axis=-1)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest score is that of the class with the largest label. (N, C), (N, C) -> (N,)"""
    return shaped(y_true, y_pred.shape).argmax(axis=-1) == y_pred.argmax(axis=-1)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where the prediction is on the label's side of `threshold`, itself on that of 0. (N, D), (N, D) -> (N, D)"""
    return shaped(y_true, y_pred.shape) == (y_pred > threshold)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where fewer than k classes have a larger score than the right one. (N,) or (N, 1), (N, C) -> (N,)"""
    y_true = shaped(y_true, y_pred.shape[:-1]).astype(np.int64)
    own = backend_of(y_pred).xp.take_along_axis(y_pred, y_true[..., None], axis=-1)
    return (y_pred > own).sum(axis=-1) < k


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where fewer than k classes have a larger score than the right one. (N, C), (N, C) -> (N,)"""
    return sparse_top_k_categorical_accuracy(shaped(y_true, y_pred.shape).argmax(axis=-1), y_pred, k)


def shaped(y_true, shape):
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
