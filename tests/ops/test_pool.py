"""Pooling: padding never wins a maximum and never counts in a mean; ties go to the first."""

import numpy as np
import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import AvgPool2D, MaxPool2D, Window
from tests import loops
from tests.checks import assert_close, distinct

SIZES = [(2, 2), (3, 2), (2, 3)]
STRIDES = [(1, 1), (2, 1), (3, 2), (2, 4)]
PADS = ["valid", "same", ((1, 0), (0, 1))]


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_max_pool(xp, rng, size, strides, pads):
    x = xp.asarray(distinct(rng, 2, 7, 6, 3) - 100)  # all negative: a zero of the padding would win
    op = MaxPool2D(size, Window(strides, pads))
    assert_close(op(x), loops.max_pool(x, size, strides, pads))
    check_grad(op, x)


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_max_pool_ties_go_to_the_first(xp, rng, dtype, size, strides, pads):
    x = xp.asarray(rng.integers(0, 2, size=(2, 7, 6, 3)).astype(dtype))
    op = MaxPool2D(size, Window(strides, pads))
    y = op(x)
    dy = xp.asarray(rng.normal(size=y.shape).astype(dtype))
    assert_close(y, loops.max_pool(x, size, strides, pads))
    assert_close(op.backward(dy)[0], loops.max_pool_grad(x, dy, size, strides, pads))


def test_max_pool_ties_by_hand(xp):
    op = MaxPool2D((3, 3), Window((1, 1), "same"))
    op(xp.zeros((1, 3, 3, 1)))
    dx = op.backward(xp.arange(1.0, 10.0).reshape(1, 3, 3, 1))[0]
    assert_close(dx[0, :, :, 0], [[12, 9, 0], [15, 9, 0], [0, 0, 0]])


def test_max_pool_of_minus_infinity(xp):
    """A window that holds nothing else hands its gradient to a real cell, never to the padding."""
    op = MaxPool2D((3, 3), Window((2, 2), ((1, 1), (1, 1))))
    assert_close(op(xp.full((1, 4, 4, 1), -np.inf)), np.full((1, 2, 2, 1), -np.inf))
    assert_close(op.backward(xp.ones((1, 2, 2, 1)))[0].sum(), 4.0)


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_avg_pool(xp, rng, size, strides, pads):
    x = xp.asarray(rng.normal(size=(2, 7, 6, 3)) + 5)
    op = AvgPool2D(size, Window(strides, pads))
    assert_close(op(x), loops.avg_pool(x, size, strides, pads))
    check_grad(op, x)


def test_avg_pool_by_hand(xp):
    x = xp.arange(1.0, 7.0).reshape(1, 6, 1, 1)
    assert_close(AvgPool2D((3, 1), Window((1, 1), "same"))(x).ravel(), [1.5, 2, 3, 4, 5, 5.5])
    assert_close(AvgPool2D((3, 1), Window((2, 1), "same"))(x).ravel(), [2, 4, 5.5])


@pytest.mark.parametrize("op", [MaxPool2D, AvgPool2D])
def test_stride_larger_than_window(xp, rng, op):
    x = xp.asarray(distinct(rng, 2, 8, 7, 3))
    check_grad(op((2, 2), Window((3, 4), "same")), x)


@pytest.mark.parametrize("op, oracle", [(MaxPool2D, loops.max_pool), (AvgPool2D, loops.avg_pool)])
def test_inputs_that_are_views(xp, rng, op, oracle):
    x = xp.asarray(distinct(rng, 3, 6, 14, 2)).transpose(3, 2, 1, 0)[:, ::2, ::-1]
    assert_close(op((3, 2), Window((2, 2), "same"))(x), oracle(x, (3, 2), (2, 2), "same"))


@pytest.mark.parametrize("op", [MaxPool2D, AvgPool2D])
@pytest.mark.parametrize("shape, size, received", [
    ((7, 6, 5), (2, 2), r"\(7, 6, 5\)"),
    ((2, 3, 6, 5), (4, 2), r"4"),
], ids=["rank", "window too large"])  # fmt: skip
def test_errors_show_what_was_received(xp, op, shape, size, received):
    with pytest.raises(ValueError, match=received):
        op(size, Window((1, 1)))(xp.ones(shape))
