"""Softmax and cross-entropy in one op."""

import numpy as np
import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import SoftmaxCrossEntropy
from tests import loops
from tests.checks import assert_close


@pytest.mark.parametrize("lead", [(6,), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_integer_labels(xp, rng, dtype, lead):
    logits = xp.asarray(rng.normal(size=(*lead, 5)))
    labels = xp.asarray(rng.integers(0, 5, size=lead).astype(dtype))
    assert_close(SoftmaxCrossEntropy(labels)(logits), loops.softmax_cross_entropy(logits, labels))
    check_grad(SoftmaxCrossEntropy(labels), logits)


@pytest.mark.parametrize("lead", [(6,), (2, 3, 4)], ids=str)
def test_probabilities(xp, rng, lead):
    logits = xp.asarray(rng.normal(size=(*lead, 5)))
    labels = xp.asarray(rng.dirichlet(np.ones(5), size=lead))
    assert_close(SoftmaxCrossEntropy(labels)(logits), loops.softmax_cross_entropy(logits, labels))
    check_grad(SoftmaxCrossEntropy(labels), logits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", [[1], [[0.0, 1.0]]], ids=["integer", "one-hot"])
def test_nothing_is_clipped(xp, labels, dtype):
    """A hopeless guess costs its full distance, and its gradient does not vanish."""
    op = SoftmaxCrossEntropy(xp.asarray(labels))
    assert_close(op(xp.asarray([[100.0, 0.0]], dtype=dtype)), [100.0])
    assert_close(op.backward(xp.ones(1, dtype=dtype))[0], [[1.0, -1.0]])


def test_labels_that_are_written_to_meanwhile(xp):
    labels = xp.asarray([0, 1])
    op = SoftmaxCrossEntropy(labels)
    op(xp.zeros((2, 3)))
    labels[:] = 2
    assert_close(op.backward(xp.ones(2))[0], np.full((2, 3), 1 / 3) - np.eye(3)[:2])


def test_large_logits(xp):
    logits = xp.asarray([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]])
    assert_close(SoftmaxCrossEntropy(xp.asarray([2, 0]))(logits), [2e4, np.log(3.0)])


def test_probabilities_in_float64_do_not_widen_float32(xp, rng):
    logits = xp.asarray(rng.normal(size=(3, 4)).astype("f4"))
    op = SoftmaxCrossEntropy(xp.asarray(rng.dirichlet(np.ones(4), size=3)))
    y = op(logits)
    assert y.dtype == np.float32
    assert op.backward(xp.ones_like(y))[0].dtype == np.float32


def test_labels_of_another_shape(xp):
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 4\)|\(2, 4\).*\(3,\)"):
        SoftmaxCrossEntropy(xp.asarray([0, 1, 2]))(xp.ones((2, 4)))


@pytest.mark.parametrize("label", [4, -1, 0.5, np.nan])
def test_labels_that_are_no_classes(label):
    with pytest.raises(ValueError, match=str(label)):
        SoftmaxCrossEntropy(np.asarray([0, label]))(np.ones((2, 4)))


@pytest.mark.parametrize("labels", [np.array([0, 0.5], object), np.array(["cat", "dog"])], ids=["objects", "words"])
def test_labels_that_are_no_numbers(labels):
    with pytest.raises(ValueError, match="whole numbers from 0 to 3, got an array of"):
        SoftmaxCrossEntropy(labels)(np.ones((2, 4)))
