"""Does a backward pass compute the derivative? Central differences in float64, against a random upstream gradient.

With an upstream gradient of ones a batch norm that lacks a term of its backward pass goes unnoticed; with a random one
it is off by 0.8. Keep away from kinks and ties (ReLU at 0, equal maxima): there is no derivative to compare with.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from minicnn.backend import backend_of, to_numpy
from minicnn.ops.base import Op, unbroadcast
from minicnn.tensor import Tensor

STEP = 1e-5
TOLERANCE = 1e-6
MOST_CELLS = 400


class GradientError(AssertionError):
    """A backward pass that disagrees with finite differences; the message shows where, and both numbers."""


def check_grad(op: Op, *arrays: Any, rng: np.random.Generator | None = None, tolerance: float = TOLERANCE) -> None:
    """Checks `op.backward` at `arrays` (float64; None for an optional input). Raises GradientError where it is wrong.

    Cell by cell, for up to 400 cells of each input (drawn at random where there are more): the difference must stay
    within
    `tolerance` of the largest cell. A gradient that is 0.1 % off in one cell of ordinary size is rejected.
    """
    rng = rng or np.random.default_rng(0)
    op = _unused(op)
    once = _unused(op)
    y = once(*arrays)
    dy = once.backend.asarray(rng.normal(size=y.shape))
    gradients = once.backward(dy)
    if not isinstance(gradients, tuple):
        raise GradientError(f"{type(op).__name__}: backward must give a tuple, a gradient for each input")
    for i, (x, dx) in enumerate(zip_longest(arrays, gradients)):
        if x is None:
            continue
        what = f"{type(op).__name__}, input {i}"
        if dx is None:
            raise GradientError(f"{what}: backward gives no gradient")
        try:
            dx = unbroadcast(dx, x.shape)
        except ValueError:
            raise GradientError(f"{what}: the gradient has shape {dx.shape}, the input {x.shape}") from None
        _compare(
            what, lambda x, i=i: _unused(op)(*arrays[:i], x, *arrays[i + 1 :]), x, dx, dy, rng, tolerance
        )


def _unused(op: Op) -> Op:
    """A copy of `op` that wants every gradient, and whose generators draw what those of `op` would draw next."""
    fresh = copy.copy(op)
    fresh.needs = ()
    for name, value in vars(op).items():
        if isinstance(value, np.random.Generator):
            setattr(fresh, name, copy.deepcopy(value))
    return fresh


def check_function(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    rng: np.random.Generator | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Checks the whole backward sweep of `function()` for each of `inputs`: leaves in float64, the weights of a
    model say.

    `function` takes no arguments and gives a Tensor of any shape; it is run again after each small change of an input's
    data, so it must compute the same thing each time. A model: check_function(lambda: model(x),
    model.trainable_weights).
    """
    rng = rng or np.random.default_rng(0)
    y = function()
    dy = backend_of(y.data).asarray(rng.normal(size=y.shape))
    for tensor in inputs:
        tensor.grad = None
    y.backward(dy)
    for i, tensor in enumerate(inputs):
        if tensor.grad is None:
            raise GradientError(f"{getattr(tensor, 'name', f'input {i}')}: no gradient arrived")

        def run(value, tensor=tensor):
            before, tensor.data = tensor.data, value
            try:
                return function().data
            finally:
                tensor.data = before

        _compare(getattr(tensor, "name", f"input {i}"), run, tensor.data, tensor.grad, dy, rng, tolerance)


def _compare(what, run, x, dx, dy, rng, tolerance):
    """Central differences of sum(run(x) * dy) against dx, in up to MOST_CELLS cells."""
    if x.dtype != np.float64:
        raise TypeError(f"{what}: gradients are checked in float64, got {x.dtype}")
    if dx.shape != x.shape:
        raise GradientError(f"{what}: the gradient has shape {dx.shape}, the input {x.shape}")
    host, dx, dy_host = to_numpy(x), to_numpy(dx), to_numpy(dy)
    cells = np.arange(x.size) if x.size <= MOST_CELLS else rng.choice(x.size, MOST_CELLS, replace=False)
    numeric = np.empty(len(cells))
    for k, cell in enumerate(cells):
        sides = []
        for step in (STEP, -STEP):
            moved = host.copy()
            moved.reshape(-1)[cell] += step
            sides.append(to_numpy(run(backend_of(x).asarray(moved))))
        numeric[k] = ((sides[0] - sides[1]) * dy_host).sum() / (2 * STEP)
    analytic = dx.reshape(-1)[cells]
    error = np.abs(numeric - analytic)
    scale = max(np.abs(numeric).max(initial=0.0), np.abs(analytic).max(initial=0.0), 1e-3)
    if not error.max(initial=0.0) <= tolerance * scale:
        worst = int(np.argmax(error))
        where = tuple(int(i) for i in np.unravel_index(cells[worst], x.shape))
        raise GradientError(
            f"{what}, cell {where}: backward gives {analytic[worst]:.9g}, finite differences {numeric[worst]:.9g} "
            f"(off by {error[worst] / scale:.2g} of the largest, allowed {tolerance:g})"
        )
