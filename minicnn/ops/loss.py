"""Losses that are worth an op of their own: softmax and cross-entropy in one, which is exact where the two apart
overflow."""

from minicnn.ops.base import Op


class SoftmaxCrossEntropy(Op):
    """loss[n] = -sum over c of t[n,c] * log softmax(x)[n,c].  dx = (softmax(x) * sum(t) - t) * dloss

    x: (..., C) logits   labels: (...) whole numbers from 0 to C - 1, or (..., C) probabilities t   loss: (...)
    log_p: log softmax(x), where it is at hand
    """

    def __init__(self, labels, log_p=None):
        self.labels, self.known = labels, log_p

    def forward(self, x):
        labels = self.backend.asarray(self.labels)
        self.t = labels.astype(x.dtype) if labels.shape == x.shape else None
        self.own = None if self.t is not None else self.places(labels, x)
        self.log_p = self.backend.log_softmax(x) if self.known is None else self.known
        return -self.log_p[self.own] if self.t is None else -(self.t * self.log_p).sum(axis=-1)

    def backward(self, dy):
        dx = self.xp.exp(self.log_p)
        if self.t is None:
            dx[self.own] -= 1
        else:
            dx = dx * self.t.sum(axis=-1, keepdims=True) - self.t
        return (dx * dy[..., None],)

    def places(self, labels, x):
        """Where in x the classes stand, as an index. Raises ValueError for labels that do not fit."""
        xp, shape, classes = self.xp, x.shape[:-1], x.shape[-1]
        if labels.shape != shape:
            raise ValueError(f"labels must be {shape} class numbers or {x.shape} probabilities, got {labels.shape}")
        if labels.dtype.kind not in "biuf":
            raise ValueError(f"labels must be whole numbers from 0 to {classes - 1}, got an array of {labels.dtype}")
        if (wrong := no_classes(labels, classes)) is not None:
            raise ValueError(f"labels must be whole numbers from 0 to {classes - 1}, got {labels[wrong]}")
        rows = [xp.arange(n).reshape(-1, *(1,) * (len(shape) - 1 - i)) for i, n in enumerate(shape)]
        return (*rows, labels.astype(xp.int64))  # a copy: the way back asks again


def no_classes(labels, classes: int):
    """Which of the labels are none of 0 .. classes - 1: booleans of their shape, or None where all are classes."""
    if labels.dtype.kind != "f":
        numbers = labels.astype("int64", copy=False).view("uint64")  # without its sign a negative number is large
        if not labels.size or numbers.max() < classes:
            return None
    wrong = ~((labels >= 0) & (labels < classes) & (labels % 1 == 0))
    return wrong if wrong.any() else None
