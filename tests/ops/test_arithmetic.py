"""Sums, products, reductions: against loops over numbers, and against finite differences."""

import math
import operator

import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import (
    Absolute,
    Add,
    Clip,
    Divide,
    Exp,
    Log,
    MatMul,
    Max,
    Maximum,
    Mean,
    Minimum,
    Multiply,
    Negative,
    Power,
    ScaledAdd,
    Sqrt,
    Subtract,
    Sum,
)
from tests import loops
from tests.checks import assert_close, away_from_zero, distinct

BINARY = {
    Add: operator.add,
    Subtract: operator.sub,
    Multiply: operator.mul,
    Divide: operator.truediv,
    Maximum: max,
    Minimum: min,
}
UNARY = {Negative: operator.neg, Absolute: abs, Exp: math.exp}
POSITIVE = {Log: math.log, Sqrt: math.sqrt}
SHAPES = [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((4,), (2, 3, 4)), ((3, 1), (1, 4)), ((2, 3), ()), ((5, 1, 3), (4, 1))]
AXES = [None, 0, 1, -1, (0, 2), (-1, 1), (0, 1, 2)]


def name(value):
    return getattr(value, "__name__", None)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("op, formula", BINARY.items(), ids=name)
def test_binary(xp, rng, op, formula, shapes):
    a, b = (xp.asarray(away_from_zero(rng, *shape)) for shape in shapes)
    assert_close(op()(a, b), loops.elementwise(formula, a, b))
    check_grad(op(), a, b)


@pytest.mark.parametrize("op, formula", UNARY.items(), ids=name)
def test_unary(xp, rng, op, formula):
    x = xp.asarray(away_from_zero(rng, 3, 4))
    assert_close(op()(x), loops.elementwise(formula, x))
    check_grad(op(), x)


@pytest.mark.parametrize("op, formula", POSITIVE.items(), ids=name)
def test_unary_of_positive_numbers(xp, rng, op, formula):
    x = xp.asarray(rng.uniform(0.5, 2.0, size=(3, 4)))
    assert_close(op()(x), loops.elementwise(formula, x))
    check_grad(op(), x)


@pytest.mark.parametrize("exponent", [2, 3, 1, -1, 0.5, -1.5])
def test_power(xp, rng, exponent):
    x = xp.asarray(rng.uniform(0.5, 2.0, size=(3, 4)))
    assert_close(Power(exponent)(x), loops.elementwise(lambda v: v**exponent, x))
    check_grad(Power(exponent), x)


@pytest.mark.parametrize("exponent", [2, 3])
def test_power_of_negative_numbers_and_zero(xp, exponent):
    x = xp.asarray([-2.0, 0.0, 3.0])
    op = Power(exponent)
    assert_close(op(x), [(-2.0) ** exponent, 0.0, 3.0**exponent])
    assert_close(op.backward(xp.ones(3))[0], [exponent * v ** (exponent - 1) for v in (-2.0, 0.0, 3.0)])


def test_power_zero_has_no_slope_even_at_zero(xp):
    op = Power(0)
    assert_close(op(xp.asarray([0.0, 2.0])), [1.0, 1.0])
    assert_close(op.backward(xp.ones(2))[0], [0.0, 0.0])


@pytest.mark.parametrize("scale", [0.3, 1.0, -2.0])
def test_scaled_add(xp, rng, scale):
    x, r = xp.asarray(rng.normal(size=(3, 4))), xp.asarray(rng.normal(size=(3, 4)))
    assert_close(ScaledAdd(scale)(x, r), loops.elementwise(lambda a, b: a + scale * b, x, r))
    check_grad(ScaledAdd(scale), x, r)


def test_clip(xp, rng):
    x = xp.asarray(distinct(rng, 6, 5))
    assert_close(Clip(-0.5, 0.8)(x), loops.elementwise(lambda v: min(max(v, -0.5), 0.8), x))
    check_grad(Clip(-0.5, 0.8), x)


def test_clip_lets_nothing_through_outside(xp):
    op = Clip(0.0, 6.0)
    op(xp.asarray([-1.0, 3.0, 7.0]))
    assert_close(op.backward(xp.asarray([5.0, 7.0, 9.0]))[0], [0.0, 7.0, 0.0])


def test_absolute_has_no_slope_at_zero(xp):
    op = Absolute()
    op(xp.asarray([-1.0, 0.0, 2.0]))
    assert_close(op.backward(xp.asarray([5.0, 7.0, 9.0]))[0], [-5.0, 0.0, 9.0])


@pytest.mark.parametrize("op", [Maximum, Minimum])
def test_ties_of_maximum_and_minimum_count_once(xp, op):
    """Whoever gets it, or both by halves: what is handed on at a tie is dy, neither nothing nor twice."""
    op, dy = op(), xp.asarray([2.0, 3.0, 5.0])
    op(xp.asarray([1.0, 1.0, 4.0]), xp.asarray([1.0, 2.0, 4.0]))
    da, db = op.backward(dy)
    assert_close(da + db, dy)


MATRICES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (6, 4, 5)),
    ((1, 4), (4, 1)),
]


@pytest.mark.parametrize("shapes", MATRICES, ids=str)
def test_matmul(xp, rng, shapes):
    a, b = (xp.asarray(rng.normal(size=shape)) for shape in shapes)
    assert_close(MatMul()(a, b), loops.matmul(a, b))
    check_grad(MatMul(), a, b)


def test_matmul_of_sizes_that_do_not_meet(xp):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(4, 5\)"):
        MatMul()(xp.ones((2, 3)), xp.ones((4, 5)))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_sum(xp, rng, axis, keepdims):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(Sum(axis, keepdims)(x), loops.reduce(math.fsum, x, axis, keepdims))
    check_grad(Sum(axis, keepdims), x)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_mean(xp, rng, axis, keepdims):
    x = xp.asarray(rng.normal(size=(2, 3, 4)))
    assert_close(Mean(axis, keepdims)(x), loops.reduce(lambda cells: math.fsum(cells) / len(cells), x, axis, keepdims))
    check_grad(Mean(axis, keepdims), x)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_max(xp, rng, axis, keepdims):
    x = xp.asarray(distinct(rng, 2, 3, 4))
    assert_close(Max(axis, keepdims)(x), loops.reduce(max, x, axis, keepdims))
    check_grad(Max(axis, keepdims), x)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_ties_of_max_share_evenly(xp, rng, axis, keepdims):
    x = xp.asarray(rng.integers(0, 2, size=(2, 3, 4)).astype(float))
    op = Max(axis, keepdims)
    dy = xp.asarray(rng.normal(size=op(x).shape))
    assert_close(op.backward(dy)[0], loops.max_grad(x, dy, axis, keepdims))


def test_ties_of_max_by_hand(xp):
    op = Max()
    op(xp.asarray([2.0, 2.0, 1.0, 2.0]))
    assert_close(op.backward(xp.asarray(1.0))[0], [1 / 3, 1 / 3, 0, 1 / 3])
