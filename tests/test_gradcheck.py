"""The judge is judged: gradients with one small mistake must be refused, right ones accepted whatever is drawn."""

import numpy as np
import pytest

from minicnn import functions as F
from minicnn.gradcheck import GradientError, check_function, check_grad
from minicnn.ops import BatchNorm, Conv2D, Dropout, MatMul, Multiply, Op, Power, Window
from minicnn.tensor import Tensor


class Square(Op):
    """y = x * x, with `spoil` done to a right gradient."""

    def __init__(self, spoil=lambda dx: dx):
        self.spoil = spoil

    def forward(self, x):
        self.x = x
        return x * x

    def backward(self, dy):
        return (self.spoil(2 * self.x * dy),)


def one_cell(position, factor=1.001):
    """A spoiler: the cell at `position` is off by 0.1 %."""

    def spoil(dx):
        dx = dx.copy()
        dx.reshape(-1)[position] *= factor
        return dx

    return spoil


class OneEdgeDropped(Multiply):
    def backward(self, dy):
        return super().backward(dy)[0], self.xp.zeros_like(self.b)


class OneGradientMissing(Multiply):
    def backward(self, dy):
        return (super().backward(dy)[0],)


class OneGradientNone(Multiply):
    def backward(self, dy):
        return super().backward(dy)[0], None


class Swapped(Multiply):
    def backward(self, dy):
        return super().backward(dy)[::-1]


class BatchNormWithoutItsLastTerm(BatchNorm):
    """Without xhat * mean(dy * xhat), which an upstream gradient of ones does not see."""

    def backward(self, dy):
        _, dgamma, dbeta = super().backward(dy)
        std = self.xp.sqrt(self.variance + self.epsilon)
        return self.gamma / std * (dy - dy.mean(axis=(0, 1, 2))), dgamma, dbeta


class BatchNormWithUnbiasedVariance(BatchNorm):
    def backward(self, dy):
        count = dy.size // dy.shape[-1]
        unbiased = self.variance * count / (count - 1)
        return self.backend.batch_norm_grad(dy, self.x, self.mean, unbiased, self.gamma, self.epsilon)


class MatMulTransposed(MatMul):
    """Square matrices hide swapped axes from every check of shapes."""

    def backward(self, dy):
        da, db = super().backward(dy)
        return da, db.T


class ConvUnflipped(Conv2D):
    """The kernel turned by 180 degrees on the way back."""

    def backward(self, dy):
        kernel = self.w[::-1, ::-1]
        return self.backend.conv2d_input_grad(dy, kernel, self.x_shape, self.window), *super().backward(dy)[1:]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "spoil",
    [
        lambda dx: dx * 1.001,
        lambda dx: dx * 0.9999,
        lambda dx: -dx,
        lambda dx: dx * 0,
        lambda dx: dx + 1e-3,
        lambda dx: dx[::-1],
        lambda dx: dx * np.where(np.arange(dx.size).reshape(dx.shape) == 5, np.nan, 1.0),
        lambda dx: dx[:, :-1],
        lambda dx: dx.T,
    ],
    ids=["scaled", "scaled by 0.9999", "sign", "zero", "shifted", "reversed", "one NaN", "shape", "transposed shape"],
)
def test_wrong_gradients_are_refused(seed, spoil):
    x = np.random.default_rng(seed).uniform(0.5, 2.0, size=(3, 4))
    with pytest.raises(GradientError):
        check_grad(Square(spoil), x, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("position", range(24))
def test_one_cell_that_is_off_by_a_thousandth_is_found(rng, position):
    with pytest.raises(GradientError, match=str(np.unravel_index(position, (4, 6))[1])):
        check_grad(Square(one_cell(position)), rng.uniform(0.5, 2.0, size=(4, 6)))


@pytest.mark.parametrize("op", [OneEdgeDropped, OneGradientMissing, OneGradientNone, Swapped])
def test_edges_that_are_lost_or_swapped(rng, op):
    with pytest.raises(GradientError):
        check_grad(op(), rng.normal(size=(3, 4)), rng.normal(size=(3, 4)))


@pytest.mark.parametrize("op", [BatchNormWithoutItsLastTerm, BatchNormWithUnbiasedVariance])
def test_batch_norm_that_lacks_a_term(rng, op):
    with pytest.raises(GradientError):
        check_grad(op(1e-3), rng.normal(size=(2, 3, 4, 5)), rng.uniform(0.5, 2.0, size=5), rng.normal(size=5))


def test_transposed_axes(rng):
    with pytest.raises(GradientError):
        check_grad(MatMulTransposed(), rng.normal(size=(3, 4)), rng.normal(size=(4, 4)))


def test_flipped_kernel(rng):
    with pytest.raises(GradientError):
        check_grad(ConvUnflipped(Window((1, 1), "same")), rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 2)))


@pytest.mark.parametrize("seed", range(20))
def test_right_gradients_are_accepted(seed):
    """No false alarm, whatever is drawn."""
    rng = np.random.default_rng(seed)
    check_grad(Square(), rng.normal(size=(3, 4)), rng=rng)
    check_grad(Multiply(), rng.normal(size=(3, 4)), rng.normal(size=4), rng=rng)
    check_grad(BatchNorm(1e-3), rng.normal(5.0, 2.0, size=(2, 3, 4)), rng.normal(size=4), rng.normal(size=4), rng=rng)
    check_grad(Power(3), rng.normal(size=(3, 4)), rng=rng)
    check_grad(Dropout(0.4, rng), rng.normal(size=(3, 4)), rng=rng)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_small_and_large_gradients(rng, scale):
    """What counts is the error against the largest cell."""
    x = rng.uniform(0.5, 2.0, size=(3, 4)) * scale
    check_grad(Square(), x)
    with pytest.raises(GradientError):
        check_grad(Square(lambda dx: dx * 1.001), x)


def test_many_cells_are_sampled(rng):
    """A gradient that is wrong all over is found without looking at every cell."""
    x = rng.uniform(0.5, 2.0, size=(50, 60))
    check_grad(Square(), x)
    with pytest.raises(GradientError):
        check_grad(Square(lambda dx: dx * 1.001), x)


def test_an_op_that_was_used_can_be_checked(rng):
    """With fewer inputs than before, too: the check starts afresh."""
    x, w, b = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 3, 3, 2)), rng.normal(size=2)
    op = Conv2D(Window())
    op.needs = (False, True)
    y = op(x, w)
    check_grad(op, x, w)
    check_grad(op, x, w, b)
    np.testing.assert_array_equal(op.backward(np.ones_like(y))[1].shape, w.shape)


def test_the_message_names_op_input_cell_and_both_numbers(rng):
    with pytest.raises(GradientError, match=r"Square, input 0, cell \(1, 2\).*backward gives .*finite differences"):
        check_grad(Square(one_cell(6, 1.5)), rng.uniform(0.5, 2.0, size=(3, 4)))


def test_float32_is_refused(rng):
    with pytest.raises(TypeError, match="float32"):
        check_grad(Square(), rng.normal(size=3).astype("f4"))


def test_check_changes_nothing(rng):
    x = rng.normal(size=(3, 4))
    before = x.copy()
    x.flags.writeable = False
    check_grad(Square(), x)
    np.testing.assert_array_equal(x, before)


def leaf(array):
    return Tensor(array, requires_grad=True)


def test_a_whole_function_is_checked(rng):
    x, w = leaf(rng.normal(size=(3, 4))), leaf(rng.normal(size=(4, 5)))
    check_function(lambda: F.tanh(x @ w) + (x * x).sum(), [x, w])


def test_a_function_that_cuts_an_edge_is_refused(rng):
    x = leaf(rng.normal(size=(3, 4)))
    with pytest.raises(GradientError):
        check_function(lambda: x * x.detach(), [x])


def test_a_function_that_forgets_a_leaf_is_refused(rng):
    x, w = leaf(rng.normal(size=(3, 4))), leaf(rng.normal(size=4))
    with pytest.raises(GradientError, match="input 1.*no gradient"):
        check_function(lambda: x * w.detach(), [x, w])
