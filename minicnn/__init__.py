"""minicnn: classic CNNs on a small autograd engine, with instruments that show how gradients travel."""

import importlib

from minicnn import backend, config, data, functions, gradcheck, layers, ops, training, zoo
from minicnn.backend import DeviceError, Window
from minicnn.config import set_floatx, set_random_seed, set_threads
from minicnn.layers import Input, Layer, Symbol
from minicnn.model import Model, Sequential, load_model
from minicnn.ops import Op
from minicnn.tensor import Edge, Tensor, Weight, apply, no_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "DeviceError", "Edge", "Input", "Layer", "Model", "Op", "Sequential", "Symbol", "Tensor", "Weight", "Window",
    "apply", "backend", "config", "data", "functions", "gradcheck", "layers", "load_model", "no_grad", "ops",
    "set_floatx", "set_random_seed", "set_threads", "training", "vjp", "zoo",
]  # fmt: skip


def __getattr__(name: str):
    """`minicnn.study`, imported when it is asked for: few programs want the instruments, and all want a quick start."""
    if name == "study":
        return importlib.import_module("minicnn.study")
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
