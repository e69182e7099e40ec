"""Training: losses, metrics, optimizers, callbacks and the loop that brings them together."""

from minicnn.training.callbacks import Callback, History
from minicnn.training.compiled import Compiled
from minicnn.training.loop import evaluate, fit, predict
from minicnn.training.optimizers import SGD, Adam, AdamW, RMSprop
from minicnn.training.steps import test_on_batch, train_on_batch

__all__ = [
    "SGD", "Adam", "AdamW", "Callback", "Compiled", "History", "RMSprop", "evaluate", "fit", "predict", "test_on_batch",
    "train_on_batch",
]  # fmt: skip
