"""Activation functions by name, as layers take them."""

from collections.abc import Callable
from typing import Any

from minicnn import functions
from minicnn.names import unknown


def linear(x):
    """x itself"""
    return x


def relu(x, negative_slope=0.0, max_value=None):
    """max(x, 0); below zero `negative_slope` * x, above at most `max_value` (where the gradient still passes)."""
    y = functions.relu(x)
    if negative_slope:
        y = y - functions.relu(-x) * negative_slope
    return y if max_value is None else functions.clip(y, float("-inf"), max_value)


def sigmoid(x):
    """1 / (1 + e^-x)"""
    return functions.sigmoid(x)


def tanh(x):
    """The hyperbolic tangent."""
    return functions.tanh(x)


def softmax(x, axis=-1):
    """e^x / sum(e^x) along `axis`"""
    return functions.softmax(x, axis)


def log_softmax(x, axis=-1):
    """log(softmax(x))"""
    return functions.log_softmax(x, axis)


BY_NAME: dict[str, Callable] = {f.__name__: f for f in (linear, relu, sigmoid, tanh, softmax, log_softmax)}


def get(identifier: Any) -> Callable:
    """An activation by name, or a function itself; None is `linear`. Raises ValueError for an unknown name."""
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if identifier not in BY_NAME:
            raise ValueError(unknown("activation", identifier, BY_NAME))
        return BY_NAME[identifier]
    if callable(identifier):
        return identifier
    raise ValueError(f"an activation must be a name or a function, got {identifier!r}")


def serialize(activation: Callable) -> Any:
    """The name under which `get` finds the activation again, or the function itself where it has none."""
    name = getattr(activation, "__name__", "")
    return name if BY_NAME.get(name) is activation else activation
