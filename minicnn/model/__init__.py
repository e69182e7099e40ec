"""Models: the functional graph and Sequential, their weights, summary and files."""

from minicnn.model.model import Model, Sequential
from minicnn.model.rebuilding import load_model, model_from_config

__all__ = ["Model", "Sequential", "load_model", "model_from_config"]
