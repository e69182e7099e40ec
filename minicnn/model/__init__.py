"""Models: the functional graph and Sequential, their weights, summary and files."""

from minicnn.model.model import Model
from minicnn.model.rebuilding import load_model, model_from_config
from minicnn.model.sequential import Sequential

__all__ = ["Model", "Sequential", "load_model", "model_from_config"]
