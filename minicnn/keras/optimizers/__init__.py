"""keras.optimizers"""

from minicnn.keras.optimizers import schedules
from minicnn.training.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop, get, serialize
from minicnn.training.optimizers import get as deserialize

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "deserialize", "get", "schedules", "serialize"]
