"""A model of a few lines, for what the loop asks of one."""

import numpy as np

from minicnn import functions
from minicnn.backend import get
from minicnn.tensor import Weight
from minicnn.training.compiled import Compiled


class Linear:
    """softmax(x @ w) with w of zeros, (D, C); several outputs where there are several heads."""

    def __init__(self, d=4, c=3, names=("output",), penalty=0.0, dtype=np.float64):
        self.weights = [Weight(np.zeros((d, c), dtype), f"{name}/w") for name in names]
        self.trainable_weights = self.weights
        self.output_names, self.penalty = list(names), penalty
        self.backend, self.step, self.stop_training = get("cpu"), 0, False
        self.compiled, self.seen = None, []

    def compile(self, **arguments):
        """As Model does it."""
        self.compiled = Compiled(output_names=self.output_names, **arguments)
        return self

    def __call__(self, x, training=False, plan=False):
        self.seen.append((x, training))
        outputs = [functions.softmax(functions.matmul(x, w)) for w in self.weights]
        return outputs if len(outputs) > 1 else outputs[0]

    def regularization(self):
        """penalty * sum of squares, or None."""
        return (self.weights[0] ** 2).sum() * self.penalty if self.penalty else None


def blobs(n=60, d=4, c=3, seed=5):
    """x (n, d) around a corner for each class, y (n,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % c
    return np.eye(c, d)[y] + 0.1 * rng.normal(size=(n, d)), y
