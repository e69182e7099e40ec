"""Losses that are worth an op of their own: softmax and cross-entropy in one, which is exact where the two apart
overflow."""

from minicnn.ops.base import Op


class SoftmaxCrossEntropy(Op):
    """loss[n] = -sum over c of t[n,c] * log softmax(x)[n,c].  dx = (softmax(x) * sum(t) - t) * dloss

    x: (..., C) logits   labels: (...) whole numbers from 0 to C - 1, or (..., C) probabilities t   loss: (...)
    """

    def __init__(self, labels):
        self.labels = labels

    def forward(self, x):
        self.log_p = self.backend.log_softmax(x)
        self.t = self.one_hot(x)
        return -(self.t * self.log_p).sum(axis=-1)

    def backward(self, dy):
        p = self.xp.exp(self.log_p)
        return ((p * self.t.sum(axis=-1, keepdims=True) - self.t) * dy[..., None],)

    def one_hot(self, x):
        """The labels as probabilities, (..., C). Raises ValueError for shapes that do not fit."""
        labels = self.backend.asarray(self.labels)
        if labels.shape == x.shape:
            return labels.astype(x.dtype)
        if labels.shape != x.shape[:-1]:
            raise ValueError(
                f"labels must be {x.shape[:-1]} class numbers or {x.shape} probabilities, got {labels.shape}"
            )
        t = (labels[..., None] == self.xp.arange(x.shape[-1])).astype(x.dtype)
        if not t.any(axis=-1).all():
            raise ValueError(f"labels must be whole numbers from 0 to {x.shape[-1] - 1}, got {labels[~t.any(axis=-1)]}")
        return t
