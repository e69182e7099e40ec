"""keras.models"""

from minicnn.model import Model, Sequential, load_model

__all__ = ["Model", "Sequential", "load_model"]
