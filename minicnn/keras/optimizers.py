"""keras.optimizers"""

from minicnn.training.optimizers import SGD, Adam, Optimizer, get

__all__ = ["SGD", "Adam", "Optimizer", "get"]
