"""The cross-entropies."""

from typing import Any

from minicnn import ops
from minicnn.backend import backend_of
from minicnn.config import config
from minicnn.tensor import Tensor, apply
from minicnn.training.labels import class_labels, dense_targets
from minicnn.training.losses.base import Loss

Array = Any


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

    def of_softmax(self, y_true: Array, y_pred: Tensor, logits: Tensor) -> Tensor:
        """The loss of each sample by its logits; what a softmax on the tape computed of them is not computed again."""
        log_p = y_pred.op.log_y if isinstance(y_pred.op, ops.Softmax) and y_pred.logits is logits else None
        return apply(ops.SoftmaxCrossEntropy(y_true, log_p), logits)

    def get_config(self):
        """The arguments that make this loss again."""
        return {**super().get_config(), "from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class SparseCategoricalCrossentropy(CrossEntropy):
    """loss[n] = -log p[n, y_true[n]], for class numbers y_true.

    y_true: (N,) or (N, 1) whole numbers in 0 .. C - 1   y_pred: (N, C)   per sample: (N,)
    label_smoothing s (ours: Keras has it for one-hot labels alone): they become 1 - s + s / C for the class and s / C
    for the others (Szegedy et al. 2015, arXiv:1512.00567, section 7).
    Clipped probabilities are divided by their sum, as Keras does by taking the softmax of their logarithms.
    Raises ValueError for NaN, fractions, class numbers out of range and other shapes.
    """

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__(from_logits, label_smoothing, reduction, name)

    def labels(self, y_true, y_pred):
        """y_true as integers, checked; smoothed they are probabilities."""
        y_true, s = class_labels(y_true, y_pred), self.label_smoothing
        if not s:
            return y_true
        classes = y_pred.shape[-1]
        own = y_true[..., None] == backend_of(y_pred).xp.arange(classes)
        return (own * (1 - s) + s / classes).astype(y_pred.dtype, copy=False)

    def call(self, y_true, y_pred):
        """The formula: a value for each sample."""
        logits = self.logits(y_pred)
        if logits is None:
            logits = _clipped(y_pred).log()
        return self.of_softmax(y_true, y_pred, logits)

    def get_config(self):
        """The arguments that make this loss again; without smoothing they are Keras's."""
        config = super().get_config()
        return config if self.label_smoothing else {k: v for k, v in config.items() if k != "label_smoothing"}


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
            return self.of_softmax(y_true, y_pred, logits)
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


def _clipped(p: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1, where the logarithm ends."""
    return apply(ops.Clip(config.epsilon, 1 - config.epsilon), p)
