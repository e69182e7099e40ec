"""Metrics from counts of true and false positives and negatives."""

from typing import Any

import numpy as np

from minicnn.backend import backend_of, to_numpy
from minicnn.tensor import as_array
from minicnn.training.labels import fitting_weights
from minicnn.training.metrics.accuracy import shaped
from minicnn.training.metrics.base import Metric


class Confusion(Metric):
    """Base class: counts labels of 0 or 1 against scores, (N,) or (N, C), each above the threshold being a yes.

    top_k: only the k largest scores of a sample can be a yes, and without a threshold all of them are. class_id: only
    that column counts. Raises ValueError for a threshold outside 0 .. 1, as Keras does.
    """

    direction = "up"
    settings = ("thresholds", "top_k", "class_id")

    def __init__(
        self,
        thresholds: float | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name or type(self).__name__.lower())
        if thresholds is not None and not (isinstance(thresholds, int | float) and 0 <= thresholds <= 1):
            raise ValueError(f"thresholds must be one number in 0 .. 1, got {thresholds!r}")
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self.reset_state()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        y_pred = as_array(y_pred)
        xp = backend_of(y_pred).xp
        true = shaped(backend_of(y_pred).asarray(as_array(y_true)), y_pred.shape) > 0
        yes = y_pred > (0.5 if self.thresholds is None else self.thresholds)
        if self.top_k is not None:
            best = xp.argsort(-y_pred, axis=-1, kind="stable")[..., : self.top_k]
            among = xp.zeros(y_pred.shape, bool)
            xp.put_along_axis(among, best, True, axis=-1)
            yes = among if self.thresholds is None else among & yes
        weights = xp.ones(y_pred.shape, np.float64)
        if sample_weight is not None:
            weights = weights * fitting_weights(sample_weight, weights)
        if self.class_id is not None:
            true, yes, weights = (a[..., self.class_id] for a in (true, yes, weights))
        self.hits += float(to_numpy((weights * (true & yes)).sum()))
        self.false_alarms += float(to_numpy((weights * (~true & yes)).sum()))
        self.misses += float(to_numpy((weights * (true & ~yes)).sum()))

    def reset_state(self) -> None:
        """Forgets all batches."""
        self.hits = self.false_alarms = self.misses = 0.0

    def get_state(self) -> dict[str, np.ndarray]:
        """The counts."""
        return {name: np.asarray(getattr(self, name)) for name in ("hits", "false_alarms", "misses")}


class Precision(Confusion):
    """The share of what was called a yes that is one; 0 where nothing was."""

    def result(self) -> float:
        """The share over all batches."""
        return self.hits / (self.hits + self.false_alarms or 1.0)


class Recall(Confusion):
    """The share of what is a yes that was called one; 0 where nothing is."""

    def result(self) -> float:
        """The share over all batches."""
        return self.hits / (self.hits + self.misses or 1.0)
