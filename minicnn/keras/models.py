"""keras.models"""

from minicnn.model import Model, Sequential, load_model
from minicnn.model.keras_model import save_model

__all__ = ["Model", "Sequential", "load_model", "save_model"]
