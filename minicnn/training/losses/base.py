"""What all losses share: labels in, a value for each sample, weights and the mean."""

from collections.abc import Callable
from typing import Any

from minicnn.backend import backend_of
from minicnn.config import config
from minicnn.names import snake_case
from minicnn.tensor import Tensor, as_array
from minicnn.training.labels import fitting_weights

Array = Any
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Loss:
    """Base class: `call(y_true, y_pred)` gives a Tensor with a value for each sample; `labels` prepares y_true for it.

    `reduction` says what calling the loss gives: the mean ("sum_over_batch_size", Keras's name for it), the "sum", or
    each sample's value (None). With a sample_weight each value is first multiplied by its sample's weight; the mean is
    still over the number of values, unless it is "mean_with_sample_weight", over the sum of the weights.
    Raises ValueError for any other reduction.
    """

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size"):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}")
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction

    def labels(self, y_true: Any, y_pred: Array) -> Array:
        """y_true as `call` gets it: on the device of y_pred, and of its type. A subclass checks it here."""
        return backend_of(y_pred).asarray(as_array(y_true)).astype(y_pred.dtype, copy=False)

    def call(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """The formula: a value for each sample."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, y_true, y_pred)")

    def per_sample(self, y_true: Any, y_pred: Any) -> Tensor:
        """The losses of the samples, (N,), or (N, ...) where predictions have more axes than (N, C)."""
        y_pred = y_pred if isinstance(y_pred, Tensor) else Tensor(_floating(as_array(y_pred)))
        losses = self.call(self.labels(y_true, y_pred.data), y_pred)
        if not isinstance(losses, Tensor):
            raise TypeError(
                f"loss {self.name!r} must give a Tensor, made from y_pred by operators and minicnn.functions, so that "
                f"it has a gradient; got {type(losses).__name__}"
            )
        return losses

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        losses = self.per_sample(y_true, y_pred)
        weights = None if sample_weight is None else fitting_weights(sample_weight, losses.data)
        if weights is not None:
            losses = losses * weights
        if self.reduction in (None, "none"):
            return losses
        if self.reduction == "sum":
            return losses.sum()
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return losses.sum() / (float(weights.sum()) or 1.0)
        return losses.mean()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Loss":
        """The loss that `get_config` described."""
        return cls(**config)


class FunctionLoss(Loss):
    """A user's function `f(y_true, y_pred)` as a loss; y_true arrives as an array of y_pred's type, unchecked."""

    def __init__(self, function: Callable, name: str | None = None, reduction: str | None = "sum_over_batch_size"):
        super().__init__(name or getattr(function, "__name__", None), reduction)
        self.function = function

    def call(self, y_true, y_pred):
        """The function's result."""
        return self.function(y_true, y_pred)

    def get_config(self):
        """The arguments that make this loss again; the function itself is one of them."""
        return {"function": self.function, **super().get_config()}


def _floating(array: Array) -> Array:
    return array if array.dtype.kind == "f" else array.astype(config.floatx)
