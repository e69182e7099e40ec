"""What all metrics share, and means of values."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.backend import backend_of, to_numpy
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
