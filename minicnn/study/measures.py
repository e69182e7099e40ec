"""Numbers that several instruments take of arrays."""

from typing import Any

from minicnn.backend import backend_of

Array = Any


def dot(a: Array, b: Array) -> float:
    """The inner product of two arrays of one shape."""
    return float(backend_of(a).xp.vdot(a, b))


def norm(a: Array) -> float:
    """The Euclidean norm of all numbers."""
    return dot(a, a) ** 0.5


def ratio(a: float, b: float) -> float:
    """a / b; NaN where b is 0."""
    return a / b if b else float("nan")


def share(part: Array, whole: Array) -> float:
    """<part, whole> / |whole|^2: the shares of all parts add up to 1; NaN where the whole vanishes."""
    return ratio(dot(part, whole), dot(whole, whole))


def cosine(a: Array, b: Array) -> float:
    """Of the angle between two arrays of one shape; NaN where one is 0."""
    return ratio(dot(a, b), norm(a) * norm(b))
