"""Normalisation and dropout."""

import numpy as np
import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import BatchNorm, BatchNormInference, Dropout, LocalResponseNorm
from tests import loops
from tests.checks import assert_close, to_numpy

SHAPES = [(6, 3), (2, 4, 5, 3), (2, 5, 3)]
LRN = [(5, 1.0, 1.0, 0.5), (2, 2.0, 0.1, 0.75), (1, 1.0, 0.5, 1.0), (0, 1.0, 1.0, 0.5)]


@pytest.mark.parametrize("scale", [True, False], ids=["gamma", "no gamma"])
@pytest.mark.parametrize("center", [True, False], ids=["beta", "no beta"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(xp, rng, shape, center, scale):
    x = xp.asarray(rng.normal(3.0, 2.0, size=shape))
    gamma = xp.asarray(rng.uniform(0.5, 2.0, size=shape[-1])) if scale else None
    beta = xp.asarray(rng.normal(size=shape[-1])) if center else None
    op = BatchNorm(1e-3)
    assert_close(op(x, gamma, beta), loops.batch_norm(x, gamma, beta, 1e-3))
    mean, variance = loops.moments(x)
    assert_close(op.mean, mean)
    assert_close(op.variance, variance)
    check_grad(BatchNorm(1e-3), x, gamma, beta)


def test_batch_variance_is_biased(xp):
    op = BatchNorm(1e-3)
    op(xp.asarray([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [12.0]]), None, None)
    assert_close(op.mean, [5.0])
    assert_close(op.variance, [10.5])


def test_batch_norm_far_from_zero_in_float32(xp, rng):
    """mean(x^2) - mean(x)^2 would lose every digit here."""
    x = (rng.normal(size=(8, 9, 7, 3)) + 1000.0).astype("f4")
    op = BatchNorm(1e-3)
    y = op(xp.asarray(x), None, None)
    assert_close(op.variance, loops.moments(x)[1], 1e-3)
    assert_close(y, loops.batch_norm(x), 1e-3)


def test_batch_norm_of_a_constant(xp):
    """No spread: the output is beta and the gradient finite."""
    op = BatchNorm(1e-3)
    x = xp.full((4, 3), 7.0)
    assert_close(op(x, xp.ones(3), xp.asarray([1.0, 2.0, 3.0])), np.tile([1.0, 2.0, 3.0], (4, 1)))
    assert all(bool(xp.isfinite(g).all()) for g in op.backward(xp.ones((4, 3))))


@pytest.mark.parametrize("scale", [True, False], ids=["gamma", "no gamma"])
@pytest.mark.parametrize("center", [True, False], ids=["beta", "no beta"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_inference(xp, rng, shape, center, scale):
    x = xp.asarray(rng.normal(3.0, 2.0, size=shape))
    mean, variance = xp.asarray(rng.normal(size=shape[-1])), xp.asarray(rng.uniform(0.5, 2.0, size=shape[-1]))
    gamma = xp.asarray(rng.uniform(0.5, 2.0, size=shape[-1])) if scale else None
    beta = xp.asarray(rng.normal(size=shape[-1])) if center else None
    op = BatchNormInference(mean, variance, 1e-3)
    assert_close(op(x, gamma, beta), loops.batch_norm(x, gamma, beta, 1e-3, mean, variance))
    check_grad(BatchNormInference(mean, variance, 1e-3), x, gamma, beta)


@pytest.mark.parametrize("radius, bias, alpha, beta", LRN)
@pytest.mark.parametrize("shape", [(2, 3, 4, 7), (2, 1, 3, 1)], ids=str)
def test_local_response_norm(xp, rng, shape, radius, bias, alpha, beta):
    x = xp.asarray(rng.normal(size=shape))
    op = LocalResponseNorm(radius, bias, alpha, beta)
    assert_close(op(x), loops.local_response_norm(x, radius, bias, alpha, beta))
    check_grad(LocalResponseNorm(radius, bias, alpha, beta), x)


@pytest.mark.parametrize("rate", [0.0, 0.4, 0.7])
def test_dropout_keeps_and_scales(xp, rng, rate):
    """What is kept is x/(1-rate), the rest 0; the gradient goes where the number went."""
    x = xp.asarray(rng.uniform(0.5, 2.0, size=(50, 40)))
    op = Dropout(rate, np.random.default_rng(7))
    y = op(x)
    kept = to_numpy(y) != 0
    assert abs(kept.mean() - (1 - rate)) < 0.04  # 2,000 draws: a standard deviation is 0.011 at most
    assert_close(y, np.where(kept, to_numpy(x) / (1 - rate), 0.0))
    dy = xp.asarray(rng.normal(size=(50, 40)))
    assert_close(op.backward(dy)[0], np.where(kept, to_numpy(dy) / (1 - rate), 0.0))


def test_dropout_draws_what_its_generator_says(xp):
    x = xp.ones((5, 40))
    same, other = (to_numpy(Dropout(0.5, np.random.default_rng(seed))(x)) for seed in (7, 8))
    np.testing.assert_array_equal(to_numpy(Dropout(0.5, np.random.default_rng(7))(x)), same)
    assert (same != other).any()


def test_dropout_gradient(xp, rng):
    check_grad(Dropout(0.4, np.random.default_rng(7)), xp.asarray(rng.normal(size=(4, 5))))


def test_gamma_of_the_wrong_length(xp):
    with pytest.raises(ValueError, match=r"4"):
        BatchNorm(1e-3)(xp.ones((2, 5, 5, 3)), xp.ones(4), xp.ones(4))
