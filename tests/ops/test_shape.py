"""Ops that only move numbers: NumPy is the definition of the value, finite differences of the gradient."""

import numpy as np
import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import Concatenate, Identity, Index, Pad, Reshape, Transpose
from tests.checks import assert_close, to_numpy


@pytest.mark.parametrize("shape", [(6, 4), (2, -1), (-1,), (4, 3, 2, 1)], ids=str)
def test_reshape(xp, rng, shape):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(Reshape(shape)(x), to_numpy(x).reshape(shape))
    check_grad(Reshape(shape), x)


def test_reshape_that_does_not_fit(xp):
    with pytest.raises(ValueError, match="4, ?5"):
        Reshape((4, 5))(xp.ones((2, 3)))


@pytest.mark.parametrize("axes", [None, (0, 2, 1), (2, 0, 1), (1, 2, 0), (-1, 0, 1)], ids=str)
def test_transpose(xp, rng, axes):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(Transpose(axes)(x), to_numpy(x).transpose(axes))
    check_grad(Transpose(axes), x)


KEYS = [
    1,
    -1,
    slice(1, 3),
    (slice(None), 2),
    (slice(None, None, -1), slice(1, None, 2)),
    (Ellipsis, 0),
    (slice(None), None, 1),
    np.array([3, 0, 3, 3]),
    (np.array([0, 0, 3]), np.array([1, 1, 2])),
    (slice(None), np.array([2, 2])),
    np.arange(4) % 2 == 0,
]


def on(xp, part):
    """An array of indices on the device of what it indexes."""
    return xp.asarray(part) if isinstance(part, np.ndarray) else part


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_index(xp, rng, key):
    """Rows that are taken twice get both gradients."""
    x = xp.asarray(rng.normal(size=(4, 5, 2)))
    expected = to_numpy(x)[key]
    key = tuple(on(xp, part) for part in key) if isinstance(key, tuple) else on(xp, key)
    assert_close(Index(key)(x), expected)
    check_grad(Index(key), x)


@pytest.mark.parametrize("value", [0.0, -1.5])
@pytest.mark.parametrize("pads", [((0, 0), (1, 2), (0, 3)), ((2, 0), (0, 0), (0, 1))], ids=str)
def test_pad(xp, rng, pads, value):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(Pad(pads, value)(x), np.pad(to_numpy(x), pads, constant_values=value))
    check_grad(Pad(pads, value), x)


def test_pad_that_adds_nothing(xp, rng):
    x = xp.asarray(rng.normal(size=(2, 3)))
    assert_close(Pad(((0, 0), (0, 0)))(x), x)
    check_grad(Pad(((0, 0), (0, 0))), x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concatenate(xp, rng, axis):
    shapes = [[2, 3, 4] for _ in range(3)]
    for extra, shape in enumerate(shapes):
        shape[axis] += extra
    arrays = [xp.asarray(rng.normal(size=shape)) for shape in shapes]
    assert_close(Concatenate(axis)(*arrays), np.concatenate([to_numpy(a) for a in arrays], axis))
    check_grad(Concatenate(axis), *arrays)


def test_concatenate_one_array(xp, rng):
    x = xp.asarray(rng.normal(size=(2, 3)))
    assert_close(Concatenate(-1)(x), x)
    check_grad(Concatenate(-1), x)


def test_identity(xp, rng):
    x = xp.asarray(rng.normal(size=(2, 3)))
    assert_close(Identity()(x), x)
    check_grad(Identity(), x)
