"""The matrices of Winograd's convolution, made from the points at which its polynomials are known.

F(m, 3) takes t = m + 2 points, infinity among them. Those near to 1 in size round best: for m = 4 the usual 0, +-1, +-2
give 4.6 times the error of 0, +-2/3, +-3/2 (largest error 6.7e-6 and 1.5e-6 of the largest y, unit-variance data of 64
channels; sixteen sets tried; cf. Barabasz et al. 2018, arXiv:1803.10986).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(2, 3), Fraction(-2, 3), Fraction(3, 2), Fraction(-3, 2)),
}  # and infinity


def _symmetric(*sizes: str) -> tuple[Fraction, ...]:
    """0, and each number with either sign."""
    return Fraction(0), *(sign * Fraction(size) for size in sizes for sign in (1, -1))


ROW_POINTS = {  # of F(m, k) along one axis by k and m, the best of some hundred sets for each
    3: {4: POINTS[4]},
    5: {4: _symmetric("1", "1/2", "5/3"), 6: _symmetric("3/7", "5/6", "6/5", "7/3")},
    7: {4: _symmetric("3/4", "4/3", "2/5", "5/2"), 6: _symmetric("1", "3/4", "4/3", "2/5", "5/2")},
}


@dataclass(frozen=True)
class Points:
    """F(m x m, 3 x 3), t = m + 2: what each transform multiplies by, in float32.

    input: (t, t)   output: (m, t)   upstream: (t, m) of dy, along either axis;
    kernel: (t*t, 9)   kernel_gradient: (9, t*t) back to dw, along both at once
    """

    m: int
    t: int
    input: np.ndarray
    kernel: np.ndarray
    output: np.ndarray
    upstream: np.ndarray
    kernel_gradient: np.ndarray


@lru_cache
def points(m: int) -> Points:
    """The matrices of F(m x m, 3 x 3), for m = 2 and 4."""
    a, g, b = cook_toom(POINTS[m], m)
    return Points(m, m + 2, _single(b), _single(np.kron(g, g)), _single(a), _single(a.T), _single(np.kron(g.T, g.T)))


@dataclass(frozen=True)
class RowPoints:
    """F(m, k) along one axis, t = m + k - 1.

    input: (t, t)   kernel: (t, k)   output: (m, t)   upstream: (t, m) of dy
    """

    m: int
    t: int
    input: np.ndarray
    kernel: np.ndarray
    output: np.ndarray
    upstream: np.ndarray


@lru_cache
def row_points(k: int = 3, m: int = 4) -> RowPoints:
    """The matrices of F(m, k), for those of ROW_POINTS, in float32."""
    a, g, b = cook_toom(ROW_POINTS[k][m], m, k)
    return RowPoints(m, m + k - 1, _single(b), _single(g), _single(a), _single(a.T))


def cook_toom(finite, m: int, k: int = 3):
    """A^T (m, t), G (t, k) and B^T (t, t) of F(m, k) in float64, with y = A^T [(G w) * (B^T x)].

    Row i of G has the powers of point i over the product of its distances to the others; row i of B^T the coefficients
    of the product of (z - other points); column i of A^T its powers; the last of each stands for infinity.
    Blahut 2010, Fast Algorithms for Signal Processing, section 5.2.
    """
    distances = [np.prod([p - q for q in finite if q != p]) for p in finite]
    a = [[*(p**i for p in finite), Fraction(i == m - 1)] for i in range(m)]
    g = [[p**i / d for i in range(k)] for p, d in zip(finite, distances, strict=True)] + [[0] * (k - 1) + [1]]
    b = [[*_product(q for q in finite if q != p), 0] for p in finite] + [_product(finite)]
    return tuple(np.array(matrix, np.float64) for matrix in (a, g, b))


def _product(roots) -> list:
    """The coefficients of the product of (z - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*(root * c for c in coefficients), Fraction(0)]
        coefficients = [x - y for x, y in zip(shifted, scaled, strict=True)]
    return coefficients


def _single(matrix) -> np.ndarray:
    return np.ascontiguousarray(matrix, np.float32)
