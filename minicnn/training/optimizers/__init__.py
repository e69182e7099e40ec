"""Optimizers, with Keras's names, arguments and formulas (Keras 3.15, `keras/src/optimizers`).

    loss.backward()
    optimizer.step(model.trainable_weights)
"""

from typing import Any

from minicnn.names import unknown
from minicnn.training.optimizers.base import Optimizer
from minicnn.training.optimizers.rules import SGD, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "OPTIMIZERS", "Optimizer", "RMSprop", "get"]

OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam, "adamw": AdamW}


def get(identifier: Any) -> Optimizer:
    """The optimizer called `identifier`: a name, an Optimizer, its class, or a dict with class_name and config.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, dict):
        return _class(str(identifier.get("class_name"))).from_config(dict(identifier.get("config") or {}))
    if isinstance(identifier, str):
        return _class(identifier)()
    raise TypeError(f"an optimizer must be a name or an Optimizer, got {identifier!r}")


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer as plain data, in Keras's form, without its state."""
    kind = type(optimizer)
    module = "keras.optimizers" if OPTIMIZERS.get(kind.__name__.lower()) is kind else kind.__module__
    return {
        "module": module, "class_name": kind.__name__, "config": optimizer.get_config(), "registered_name": None
    }  # fmt: skip


def _class(name: str) -> Any:
    if name.lower() not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", name, OPTIMIZERS))
    return OPTIMIZERS[name.lower()]
