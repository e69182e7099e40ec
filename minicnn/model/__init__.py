"""Models: the functional graph and Sequential, their weights, summary and files."""

from minicnn.model.model import Model, Sequential

__all__ = ["Model", "Sequential"]
