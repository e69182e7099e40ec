"""Losses, with Keras's names, arguments and formulas (Keras 3.15, `keras/src/losses/losses.py`).

A loss holds labels (an array) against predictions (a Tensor). `loss(y_true, y_pred)` is a scalar, the mean over the
batch; `loss.per_sample(y_true, y_pred)` keeps a value for each sample. Your own loss is a function
`f(y_true, y_pred)` of an array and a Tensor, or a subclass of Loss with `call`.
"""

from collections.abc import Callable
from typing import Any

from minicnn import ops
from minicnn.backend import backend_of
from minicnn.config import config
from minicnn.names import snake_case, unknown
from minicnn.tensor import Tensor, apply, as_array
from minicnn.training.labels import class_labels, dense_targets

Array = Any
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None)


class Loss:
    """Base class: `call(y_true, y_pred)` gives a Tensor with a value for each sample; `labels` prepares y_true for it.

    `reduction` says what calling the loss gives: the mean ("sum_over_batch_size", Keras's name for it), the "sum", or
    each sample's value (None). Raises ValueError for any other.
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
        return self.call(self.labels(y_true, y_pred.data), y_pred)

    def __call__(self, y_true: Any, y_pred: Any) -> Tensor:
        losses = self.per_sample(y_true, y_pred)
        if self.reduction in (None, "none"):
            return losses
        return losses.sum() if self.reduction == "sum" else losses.mean()

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


class CrossEntropy(Loss):
    """What the three cross-entropies share: the arguments, and where the logits come from.

    Where the predictions are a softmax's (or sigmoid's) output, the tensor before it (`y_pred.logits`) is used: exact,
    never clipped, with gradient p - t. So does Keras (`_keras_logits`). Only probabilities of other origin are clipped,
    to epsilon .. 1 - epsilon.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(name, reduction)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in 0 .. 1, got {label_smoothing!r}")
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def logits(self, y_pred: Tensor) -> Tensor | None:
        """The logits behind the predictions, or None where there are only probabilities."""
        return y_pred.logits if y_pred.logits is not None else y_pred if self.from_logits else None

    def get_config(self):
        """The arguments that make this loss again."""
        return {**super().get_config(), "from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class SparseCategoricalCrossentropy(CrossEntropy):
    """loss[n] = -log p[n, y_true[n]], for class numbers y_true.

    y_true: (N,) or (N, 1) whole numbers in 0 .. C - 1   y_pred: (N, C)   per sample: (N,)
    Raises ValueError for NaN, fractions, class numbers out of range and other shapes. Clipped probabilities are divided
    by their sum, as Keras does by taking the softmax of their logarithms.
    """

    def __init__(
        self, from_logits: bool = False, reduction: str | None = "sum_over_batch_size", name: str | None = None
    ):
        super().__init__(from_logits, 0.0, reduction, name)

    def labels(self, y_true, y_pred):
        """y_true as integers, checked."""
        return class_labels(y_true, y_pred)

    def call(self, y_true, y_pred):
        """The formula: a value for each sample."""
        logits = self.logits(y_pred)
        if logits is None:
            logits = _clipped(y_pred).log()
        return apply(ops.SoftmaxCrossEntropy(y_true), logits)

    def get_config(self):
        """The arguments that make this loss again."""
        return {key: value for key, value in super().get_config().items() if key != "label_smoothing"}


class CategoricalCrossentropy(CrossEntropy):
    """loss[n] = -sum over c of t[n,c] * log p[n,c], for one-hot labels or probabilities t.

    y_true: (N, C) in 0 .. 1   y_pred: (N, C)   per sample: (N,)
    label_smoothing s: t * (1 - s) + s / C. Raises ValueError for NaN, values outside 0 .. 1 and other shapes.
    """

    def labels(self, y_true, y_pred):
        """y_true as probabilities, checked and smoothed."""
        t = dense_targets(y_true, y_pred, low=0, high=1)
        s = self.label_smoothing
        return t * (1 - s) + s / t.shape[-1] if s else t

    def call(self, y_true, y_pred):
        """The formula: a value for each sample."""
        logits = self.logits(y_pred)
        if logits is not None:
            return apply(ops.SoftmaxCrossEntropy(y_true), logits)
        p = _clipped(y_pred / y_pred.sum(axis=-1, keepdims=True))
        return -(p.log() * y_true).sum(axis=-1)


class BinaryCrossentropy(CrossEntropy):
    """loss[n] = mean over the last axis of -(t * log p + (1 - t) * log(1 - p)), for labels t of 0 or 1.

    y_true: (N, D) in 0 .. 1   y_pred: (N, D)   per sample: (N,)
    label_smoothing s: t * (1 - s) + s / 2. Raises ValueError for NaN, values outside 0 .. 1 and other shapes.
    """

    def labels(self, y_true, y_pred):
        """y_true as probabilities, checked and smoothed."""
        t = dense_targets(y_true, y_pred, low=0, high=1)
        s = self.label_smoothing
        return t * (1 - s) + s / 2 if s else t

    def call(self, y_true, y_pred):
        """The formula: a value for each sample."""
        z = self.logits(y_pred)
        if z is None:
            p = _clipped(y_pred)
            return -(p.log() * y_true + (1 - p).log() * (1 - y_true)).mean(axis=-1)
        # sigmoid(z) is the second half of softmax([0, z]): the stable op for two classes serves here too
        xp = backend_of(z.data).xp
        z = z.reshape((*z.shape, 1))
        z = apply(ops.Concatenate(-1), xp.zeros_like(z.data), z)
        return apply(ops.SoftmaxCrossEntropy(xp.stack([1 - y_true, y_true], axis=-1)), z).mean(axis=-1)


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


def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False):
    """The losses of the samples: see SparseCategoricalCrossentropy."""
    return SparseCategoricalCrossentropy(from_logits).per_sample(y_true, y_pred)


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


def _class(name: str) -> type[Loss]:
    by_class = {cls.__name__: cls for cls in LOSSES.values()}
    found = LOSSES.get(name.lower()) or by_class.get(name)
    if found is None:
        raise ValueError(unknown("loss", name, LOSSES))
    return found


def _clipped(p: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1, where the logarithm ends."""
    return apply(ops.Clip(config.epsilon, 1 - config.epsilon), p)


def _floating(array: Array) -> Array:
    return array if array.dtype.kind == "f" else array.astype(config.floatx)

