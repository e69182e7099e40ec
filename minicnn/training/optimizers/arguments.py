"""Arguments of optimizers, checked when they are given."""

import inspect
from typing import Any

import numpy as np

from minicnn.names import unknown

RENAMED = {"lr": "learning_rate", "alpha": "rho", "betas": "beta_1", "eps": "epsilon"}  # what other libraries say


def number(name: str, value: Any, low: float, high: float = np.inf, below: float = np.inf) -> float:
    """`value` as a Python float, which leaves float32 arrays float32. Raises ValueError outside of the range."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not (low <= value <= high and value < below):
        upper = f" and at most {high:g}" if high < np.inf else f" and below {below:g}"
        raise ValueError(f"{name} must be at least {low:g}{upper}, got {value!r}")
    return float(value)


def optional(name: str, value: Any) -> float | None:
    """As `number`, from 0 up; None stays None."""
    return None if value is None else number(name, value, low=0)


def whole(name: str, value: Any, low: int) -> int | None:
    """A whole number, or None. Raises ValueError for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise ValueError(f"{name} must be a whole number from {low} up, got {value!r}")
    return int(value)


def refuse_others(cls: type, others: dict[str, Any]) -> None:
    """Raises TypeError for arguments that the class does not have, with the nearest that it has."""
    if not others:
        return
    kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    parents = [inspect.signature(one.__init__).parameters for one in cls.__mro__[:-1]]  # type: ignore[misc]
    known = {name for some in parents for name, one in some.items() if one.kind not in kinds} - {"self"}
    name = next(iter(others))
    if name == "decay":
        hint = "the rate falls by a schedule (minicnn.training.schedules.InverseTimeDecay), weights by weight_decay"
        raise TypeError(f"{cls.__name__} has no argument 'decay': {hint}")
    if RENAMED.get(name) in known:
        raise TypeError(f"{cls.__name__}: unknown argument {name!r}: did you mean {RENAMED[name]!r}?")
    raise TypeError(f"{cls.__name__}: {unknown('argument', name, known)}")
