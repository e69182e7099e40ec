"""What every op promises, whatever it computes: nothing that it was given changes, types stay, `needs` is heard."""

import copy

import numpy as np
import pytest

from minicnn import ops
from minicnn.ops import Window
from tests.checks import to_numpy

IMAGES = (2, 5, 4, 6)


def normal(*shapes):
    return lambda rng: [rng.normal(size=shape) for shape in shapes]


def positive(*shapes):
    return lambda rng: [rng.uniform(0.5, 2.0, size=shape) for shape in shapes]


def inference(xp, dtype):
    return ops.BatchNormInference(xp.full(6, 0.3, dtype), xp.full(6, 1.7, dtype), 1e-3)


def normed_pool(xp, dtype):
    return ops.BatchNormPool(1e-3, (3, 2), Window((2, 1), ((1, 0), (0, 1))), zeros=True)


def with_moments(xp, dtype):
    return ops.BatchNormAct(1e-3, scale=0.5, moments=(xp.full(6, 0.3, dtype), xp.full(6, 1.7, dtype)))


PAIR = normal((3, 4), (3, 4))
CONV = normal(IMAGES, (3, 2, 6, 3), (3,), (2, 3, 4, 3))
NORM = normal(IMAGES, (6,), (6,), IMAGES)
# name: (how to make the op, how to make its inputs)
CASES = {
    "Add": (lambda xp, dtype: ops.Add(), PAIR),
    "Subtract": (lambda xp, dtype: ops.Subtract(), PAIR),
    "Multiply": (lambda xp, dtype: ops.Multiply(), PAIR),
    "Divide": (lambda xp, dtype: ops.Divide(), positive((3, 4), (3, 4))),
    "Maximum": (lambda xp, dtype: ops.Maximum(), PAIR),
    "Minimum": (lambda xp, dtype: ops.Minimum(), PAIR),
    "ScaledAdd": (lambda xp, dtype: ops.ScaledAdd(0.3), PAIR),
    "MatMul": (lambda xp, dtype: ops.MatMul(), normal((3, 4), (4, 5))),
    "Power": (lambda xp, dtype: ops.Power(2), normal((3, 4))),
    "Power, a fraction": (lambda xp, dtype: ops.Power(0.5), positive((3, 4))),
    "Negative": (lambda xp, dtype: ops.Negative(), normal((3, 4))),
    "Absolute": (lambda xp, dtype: ops.Absolute(), normal((3, 4))),
    "Exp": (lambda xp, dtype: ops.Exp(), normal((3, 4))),
    "Log": (lambda xp, dtype: ops.Log(), positive((3, 4))),
    "Sqrt": (lambda xp, dtype: ops.Sqrt(), positive((3, 4))),
    "Clip": (lambda xp, dtype: ops.Clip(-0.5, 0.5), normal((3, 4))),
    "Sum": (lambda xp, dtype: ops.Sum(0), normal((3, 4))),
    "Sum of all": (lambda xp, dtype: ops.Sum(), normal((3, 4))),
    "Mean": (lambda xp, dtype: ops.Mean((0, 1)), normal((3, 4, 2))),
    "Max": (lambda xp, dtype: ops.Max(1), normal((3, 4))),
    "Reshape": (lambda xp, dtype: ops.Reshape((2, 6)), normal((3, 4))),
    "Transpose": (lambda xp, dtype: ops.Transpose((1, 2, 0)), normal((3, 4, 2))),
    "Index": (lambda xp, dtype: ops.Index((slice(None), 1)), normal((3, 4))),
    "Index, taken twice": (lambda xp, dtype: ops.Index(xp.asarray([2, 0, 2])), normal((3, 4))),
    "Pad": (lambda xp, dtype: ops.Pad(((0, 1), (2, 0))), normal((3, 4))),
    "Concatenate": (lambda xp, dtype: ops.Concatenate(1), normal((3, 4), (3, 1), (3, 2))),
    "Identity": (lambda xp, dtype: ops.Identity(), normal((3, 4))),
    "ReLU": (lambda xp, dtype: ops.ReLU(), normal((3, 4))),
    "Sigmoid": (lambda xp, dtype: ops.Sigmoid(), normal((3, 4))),
    "Tanh": (lambda xp, dtype: ops.Tanh(), normal((3, 4))),
    "Softmax": (lambda xp, dtype: ops.Softmax(), normal((3, 4))),
    "LogSoftmax": (lambda xp, dtype: ops.LogSoftmax(), normal((3, 4))),
    "Conv2D": (lambda xp, dtype: ops.Conv2D(Window((2, 1), "same")), normal(IMAGES, (3, 2, 6, 3), (3,))),
    "Conv2D, 1x1": (lambda xp, dtype: ops.Conv2D(Window()), normal(IMAGES, (1, 1, 6, 3))),
    "Conv2D, depthwise": (lambda xp, dtype: ops.Conv2D(Window(groups=6)), normal(IMAGES, (3, 2, 1, 12), (12,))),
    "Conv2DAct": (lambda xp, dtype: ops.Conv2DAct(Window((2, 1), "same")), CONV),
    "Conv2DAct, no ReLU": (lambda xp, dtype: ops.Conv2DAct(Window((2, 1), "same"), relu=False), CONV),
    "Conv2DPool": (lambda xp, dtype: ops.Conv2DPool(Window(pads="same")), normal((2, 6, 4, 3), (5, 5, 3, 4), (4,))),
    "Conv2DPool, one by one": (lambda xp, dtype: ops.Conv2DPool(relu=False), normal((2, 7, 6, 3), (3, 2, 3, 4), (4,))),
    "DenseAct": (lambda xp, dtype: ops.DenseAct(), normal((3, 4), (4, 5), (5,))),
    "DenseAct, no ReLU": (lambda xp, dtype: ops.DenseAct(relu=False), normal((3, 4), (4, 5), (5,))),
    "AddReLU": (lambda xp, dtype: ops.AddReLU(), PAIR),
    "AddReLU, scaled": (lambda xp, dtype: ops.AddReLU(0.3), PAIR),
    "BatchNormAct": (lambda xp, dtype: ops.BatchNormAct(1e-3), NORM),
    "BatchNormAct, no ReLU": (lambda xp, dtype: ops.BatchNormAct(1e-3, relu=False), NORM),
    "BatchNormAct, scaled": (lambda xp, dtype: ops.BatchNormAct(1e-3, scale=0.5), NORM),
    "BatchNormAct, given moments": (with_moments, NORM),
    "BatchNormPool": (normed_pool, normal(IMAGES, (6,), (6,))),
    "MaxPool2D": (lambda xp, dtype: ops.MaxPool2D((3, 2), Window((2, 1), "same")), normal(IMAGES)),
    "AvgPool2D": (lambda xp, dtype: ops.AvgPool2D((3, 2), Window((2, 1), "same")), normal(IMAGES)),
    "BatchNorm": (lambda xp, dtype: ops.BatchNorm(1e-3), normal(IMAGES, (6,), (6,))),
    "BatchNormInference": (inference, normal(IMAGES, (6,), (6,))),
    "LocalResponseNorm": (lambda xp, dtype: ops.LocalResponseNorm(2), normal(IMAGES)),
    "Dropout": (lambda xp, dtype: ops.Dropout(0.4, np.random.default_rng(7)), normal(IMAGES)),
    "SoftmaxCrossEntropy": (lambda xp, dtype: ops.SoftmaxCrossEntropy(xp.asarray([1, 3, 0])), normal((3, 4))),
}
# Gradients that cost a product or more, and are not made for an input that has no use for them.
FRUGAL = ["Multiply", "Divide", "MatMul", "Concatenate", "Conv2D", "Conv2D, 1x1", "Conv2D, depthwise"]
FRUGAL += ["Conv2DAct", "DenseAct"]


@pytest.fixture(params=CASES)
def case(request, xp, rng):
    """(a function that makes the op and its inputs in a given type)"""
    make_op, make_arrays = CASES[request.param]
    arrays = make_arrays(rng)
    return lambda dtype="float64": (make_op(xp, dtype), [xp.asarray(a.astype(dtype)) for a in arrays])


def upstream(xp, rng, y):
    return xp.asarray(rng.normal(size=y.shape).astype(y.dtype.name))


def test_every_op_has_a_case():
    public = {name: getattr(ops, name) for name in ops.__all__}
    every = {name for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, ops.Op)}
    assert every - {"Op"} <= {name.partition(",")[0].partition(" ")[0] for name in CASES}


def test_inputs_and_upstream_are_not_changed(case, xp, rng):
    op, arrays = case()
    y = op(*arrays)
    dy = upstream(xp, rng, y)
    before = [a.copy() for a in [*arrays, dy, y]]
    op.backward(dy)
    for array, copied in zip([*arrays, dy, y], before, strict=True):
        np.testing.assert_array_equal(to_numpy(array), to_numpy(copied))


def test_read_only_inputs_will_do(case, rng):
    """Memory-mapped images and shared weights cannot be written at all."""
    op, arrays = case()
    if type(arrays[0]).__module__ != "numpy":
        pytest.skip("CuPy has no read-only arrays")
    for array in arrays:
        array.flags.writeable = False
    dy = upstream(np, rng, y := op(*arrays))
    dy = np.asarray(dy)
    dy.flags.writeable = False
    if isinstance(y, np.ndarray) and y.base is None:
        y.flags.writeable = False
    op.backward(dy)


def test_backward_can_be_asked_again(case, xp, rng):
    op, arrays = case()
    dy = upstream(xp, rng, op(*arrays))
    first = [None if g is None else g.copy() for g in op.backward(dy)]
    op.backward(upstream(xp, rng, dy))
    for a, b in zip(first, op.backward(dy), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_type_stays(case, xp, rng, dtype):
    """One float64 constant on the way would double the memory and halve the speed of all that follows."""
    op, arrays = case(dtype)
    y = op(*arrays)
    assert y.dtype == dtype
    for gradient, array in zip(op.backward(upstream(xp, rng, y)), arrays, strict=False):
        assert gradient.dtype == dtype, gradient.dtype
        assert gradient.shape == array.shape


def test_backend_of_the_batch_norm_moments(xp, rng):
    op = ops.BatchNorm(1e-3)
    op(xp.asarray(rng.normal(size=(4, 3)).astype("f4")), None, None)
    assert (op.mean.dtype, op.variance.dtype, type(op.mean)) == (np.float32, np.float32, xp.ndarray)


def test_one_wanted_gradient_at_a_time(case, xp, rng):
    """An input that is asked for alone gets what it gets among the others."""
    op, arrays = case()
    dy = upstream(xp, rng, op(*arrays))
    together = op.backward(dy)
    for wanted in range(len(arrays)):
        op, arrays = case()
        op.needs = tuple(i == wanted for i in range(len(arrays)))
        op(*arrays)
        np.testing.assert_array_equal(to_numpy(op.backward(dy)[wanted]), to_numpy(together[wanted]))


@pytest.mark.parametrize("name", FRUGAL)
def test_unwanted_gradients_are_not_made(xp, rng, name):
    make_op, make_arrays = CASES[name]
    arrays = [xp.asarray(a) for a in make_arrays(rng)]
    for unwanted in range(len(arrays)):
        op = make_op(xp, "float64")
        op.needs = tuple(i != unwanted for i in range(len(arrays)))
        assert op.backward(upstream(xp, rng, op(*arrays)))[unwanted] is None


def test_the_first_convolution_does_not_keep_its_kernel(xp, rng):
    """Nor a frozen one its images: what no gradient needs is free to go."""
    x, w = xp.asarray(rng.normal(size=(2, 5, 4, 3))), xp.asarray(rng.normal(size=(3, 3, 3, 4)))
    first, frozen = ops.Conv2D(Window()), ops.Conv2D(Window())
    first.needs, frozen.needs = (False, True), (True, False)
    first(x, w), frozen(x, w)
    assert not any(kept is w for kept in vars(first).values())
    assert not any(kept is x for kept in vars(frozen).values())


def test_an_op_is_copied_whole(case, xp, rng):
    """Checks run a fresh copy for every evaluation."""
    op, arrays = case()
    np.testing.assert_array_equal(to_numpy(copy.deepcopy(op)(*arrays)), to_numpy(op(*arrays)))


@pytest.mark.parametrize("shape, result", [
    ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((2, 3, 4), (2, 1, 1)), ((2, 3, 4), ()), ((3, 4), (3, 4)), ((1, 3), (1, 3)),
    ((2, 3), (1, 1)), ((2, 1, 4), (1, 4)), ((2, 3, 4), (1, 3, 1)),
], ids=str)  # fmt: skip
def test_unbroadcast(xp, rng, shape, result):
    """Against what NumPy broadcasts: the sum over every copy of a cell."""
    gradient = rng.normal(size=shape)
    cell = np.broadcast_to(np.arange(np.prod(result, dtype=int)).reshape(result), shape)
    expected = np.zeros(result)
    for index in np.ndindex(*shape):
        expected.reshape(-1)[cell[index]] += gradient[index]
    actual = ops.unbroadcast(xp.asarray(gradient), result)
    assert actual.shape == result
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=1e-12)
