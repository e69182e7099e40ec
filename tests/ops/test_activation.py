"""Activations: away from the kink against finite differences, at it against the written rule."""

import math

import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from tests import loops
from tests.checks import assert_close, away_from_zero


@pytest.mark.parametrize(
    "op, formula",
    [(ReLU, lambda v: max(v, 0.0)), (Sigmoid, loops.sigmoid), (Tanh, math.tanh)],
    ids=["ReLU", "Sigmoid", "Tanh"],
)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5)], ids=str)
def test_elementwise(xp, rng, op, formula, shape):
    x = xp.asarray(away_from_zero(rng, *shape))
    assert_close(op()(x), loops.elementwise(formula, x))
    check_grad(op(), x)


def test_relu_at_the_kink(xp, rng):
    x = xp.asarray([[-1.0, 0.0, 2.0], [0.0, -0.0, 1e-30]])
    dy = xp.asarray(rng.normal(size=(2, 3)))
    op = ReLU()
    assert_close(op(x), [[0.0, 0.0, 2.0], [0.0, 0.0, 1e-30]])
    assert_close(op.backward(dy)[0], loops.relu_grad(x, dy))


@pytest.mark.parametrize("op, ends", [(Sigmoid, (0.0, 1.0)), (Tanh, (-1.0, 1.0))])
def test_no_overflow_far_out(xp, op, ends):
    op = op()
    assert_close(op(xp.asarray([-1000.0, 1000.0])), ends)
    assert_close(op.backward(xp.ones(2))[0], [0.0, 0.0])


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax(xp, rng, axis):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(Softmax(axis)(x), loops.softmax(x, axis))
    check_grad(Softmax(axis), x)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_log_softmax(xp, rng, axis):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(LogSoftmax(axis)(x), loops.log_softmax(x, axis))
    check_grad(LogSoftmax(axis), x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_large_numbers(xp, dtype):
    x = xp.asarray([[1000.0, 1001.0, 1002.0], [-1e30, 0.0, -1e30]], dtype=dtype)
    assert_close(Softmax()(x), loops.softmax(x))
    assert_close(LogSoftmax()(x), loops.log_softmax(x))
    assert_close(Softmax()(x)[0], [0.09003057, 0.24472848, 0.6652409], 1e-6)
