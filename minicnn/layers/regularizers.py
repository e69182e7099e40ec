"""Penalties on weights, added to the loss."""

from typing import Any

from minicnn import functions
from minicnn.names import unknown
from minicnn.tensor import Tensor


class Regularizer:
    """A function of a weight that gives a scalar tensor."""

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this regularizer again."""
        return dict(vars(self))


class L1L2(Regularizer):
    """l1 * sum(|w|) + l2 * sum(w^2), Keras's form (no half)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1, self.l2 = float(l1), float(l2)

    def __call__(self, weight):
        penalty = None
        if self.l1:
            penalty = functions.abs(weight).sum() * self.l1
        if self.l2:
            square = functions.square(weight).sum() * self.l2
            penalty = square if penalty is None else penalty + square
        return weight.sum() * 0.0 if penalty is None else penalty


class L1(L1L2):
    """l1 * sum(|w|)"""

    def __init__(self, l1: float = 0.01):
        super().__init__(l1=l1)

    def get_config(self):
        return {"l1": self.l1}


class L2(L1L2):
    """l2 * sum(w^2)"""

    def __init__(self, l2: float = 0.01):
        super().__init__(l2=l2)

    def get_config(self):
        return {"l2": self.l2}


l1, l2, l1_l2 = L1, L2, L1L2
BY_NAME: dict[str, type[L1L2]] = {"l1": L1, "l2": L2, "l1_l2": L1L2, "L1": L1, "L2": L2, "L1L2": L1L2}


def get(identifier: Any) -> Any:
    """A regularizer by name, by Keras's config, or itself; None stays None. Raises ValueError for others."""
    if identifier is None or (callable(identifier) and not isinstance(identifier, type)):
        return identifier
    if isinstance(identifier, dict):
        return type(get(identifier["class_name"]))(**identifier.get("config", {}))
    if isinstance(identifier, str) and identifier in BY_NAME:
        return BY_NAME[identifier]()
    raise ValueError(unknown("regularizer", identifier, BY_NAME))
