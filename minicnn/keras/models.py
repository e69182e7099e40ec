"""keras.models"""

from minicnn.model import Model, Sequential

__all__ = ["Model", "Sequential"]
