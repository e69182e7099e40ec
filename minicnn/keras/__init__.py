"""Keras's module names over ours, no code: `from minicnn import keras` for `from tensorflow import keras`."""

from minicnn.keras import (
    activations,
    backend,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from minicnn.layers import Input, Layer
from minicnn.model import Model, Sequential

__all__ = [
    "Input", "Layer", "Model", "Sequential", "activations", "backend", "callbacks", "datasets", "initializers",
    "layers", "losses", "metrics", "models", "optimizers", "regularizers", "utils",
]  # fmt: skip
