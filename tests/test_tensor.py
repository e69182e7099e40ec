"""Tensors by themselves: arithmetic, functions, what is recorded and what is not, weights."""

import numpy as np
import pytest

from minicnn import functions as F
from minicnn import ops
from minicnn.tensor import Tensor, Weight, apply, no_grad
from tests.checks import assert_close, leaf


@pytest.fixture
def x(xp):
    return leaf(xp, [1.0, 2.0, 3.0])


# ---------------------------------------------------------------------------------------------------------- arithmetic


ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


@pytest.mark.parametrize("turned", [False, True], ids=["tensor first", "tensor second"])
@pytest.mark.parametrize("other", [2, 2.5, "array", "0-d array", "row"])
@pytest.mark.parametrize("sign", ARITHMETIC)
def test_operators(xp, rng, sign, other, turned):
    """A tensor with a number, an array or a tensor, on either side, is what NumPy makes of the arrays."""
    function = ARITHMETIC[sign]
    a = rng.uniform(0.5, 2.0, size=(3, 4))
    b = {"array": rng.uniform(0.5, 2.0, size=(3, 4)), "0-d array": np.asarray(1.5), "row": rng.uniform(0.5, 2, size=4)}
    b = b.get(other, other)
    expected = function(b, a) if turned else function(a, b)
    t, other = leaf(xp, a), xp.asarray(b) if isinstance(b, np.ndarray) else b
    result = function(other, t) if turned else function(t, other)
    assert isinstance(result, Tensor)
    assert_close(result.data, expected)
    result.sum().backward()
    assert t.grad.shape == (3, 4)


def test_matrix_product_on_both_sides(xp, rng):
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 5))
    assert_close((leaf(xp, a) @ xp.asarray(b)).data, a @ b)
    assert_close((xp.asarray(a) @ leaf(xp, b)).data, a @ b)


@pytest.mark.parametrize("number", [2, 0.1, -1, np.float64(0.1)], ids=repr)
def test_numbers_take_the_type_of_the_tensor(xp, number):
    t = leaf(xp, [1.0, 2.0], "float32")
    for result in (t + number, number * t, t / number, number - t, t**2):
        assert result.dtype == np.float32


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_a_fraction_does_not_become_a_whole_number(xp, dtype):
    """Images arrive as uint8, and are divided by 255.0."""
    t = Tensor(xp.asarray([1, 2, 4], dtype=dtype))
    assert_close((t * 0.5).data, [0.5, 1.0, 2.0])
    assert_close((t / 2.5).data, [0.4, 0.8, 1.6])
    assert_close((t + 1).data, [2, 3, 5])


def test_methods_and_properties(xp, rng):
    a = rng.uniform(0.5, 2.0, size=(2, 3, 4))
    t = leaf(xp, a)
    pairs = [
        (t.sum(), a.sum()),
        (t.sum(axis=(0, 2)), a.sum(axis=(0, 2))),
        (t.mean(axis=1, keepdims=True), a.mean(axis=1, keepdims=True)),
        (t.max(axis=-1), a.max(axis=-1)),
        (t.reshape(6, 4), a.reshape(6, 4)),
        (t.reshape((4, -1)), a.reshape(4, -1)),
        (t.transpose(), a.transpose()),
        (t.transpose(1, 0, 2), a.transpose(1, 0, 2)),
        (t.transpose((1, 0, 2)), a.transpose(1, 0, 2)),
        (t.T, a.T),
        (t.exp(), np.exp(a)),
        (t.log(), np.log(a)),
        (-t, -a),
        (t**3, a**3),
        (t[1], a[1]),
        (t[:, 1:, ::2], a[:, 1:, ::2]),
    ]
    for actual, expected in pairs:
        assert_close(actual.data, expected)
    assert (t.shape, t.ndim, t.dtype, t.op, t.parents) == ((2, 3, 4), 3, np.float64, None, ())
    assert type(t.numpy()) is np.ndarray
    assert t.sum().item() == pytest.approx(a.sum())


@pytest.mark.parametrize("name, arguments", [
    ("relu", ()), ("sigmoid", ()), ("tanh", ()), ("softmax", ()), ("log_softmax", ()), ("exp", ()), ("log", ()),
    ("sqrt", ()), ("square", ()), ("abs", ()), ("clip", (0.6, 1.5)), ("maximum", (1.0,)), ("reshape", ((4, 3),)),
    ("transpose", ()), ("pad", (((0, 1), (2, 0)),)), ("sum", (0,)), ("mean", ()), ("max", (1,)),
])  # fmt: skip
def test_functions_take_tensors_and_arrays(xp, rng, name, arguments):
    a = rng.uniform(0.5, 2.0, size=(3, 4))
    t = leaf(xp, a)
    of_tensor, of_array = getattr(F, name)(t, *arguments), getattr(F, name)(xp.asarray(a), *arguments)
    assert_close(of_tensor.data, of_array.data)
    assert (of_tensor.requires_grad, of_array.requires_grad) == (True, False)
    of_tensor.sum().backward()
    assert t.grad.shape == (3, 4)


def test_concatenate_and_convolve(xp, rng):
    x, w = leaf(xp, rng.normal(size=(2, 5, 4, 3))), leaf(xp, rng.normal(size=(3, 2, 6, 7)))
    y = F.conv2d(F.concatenate([x, x]), w)
    y.sum().backward()
    assert (y.shape, x.grad.shape, w.grad.shape) == ((2, 3, 3, 7), (2, 5, 4, 3), (3, 2, 6, 7))


def test_softmax_remembers_its_logits(x):
    assert F.softmax(x).logits is x
    assert (F.softmax(x) * 1.0).logits is None


def test_two_devices_in_one_expression():
    other = type("ndarray", (), {"__module__": "cupy", "shape": (3,), "ndim": 1})()
    with pytest.raises(TypeError, match="device"):
        apply(ops.Add(), Tensor(np.ones(3)), other)


# --------------------------------------------------------------------------------------------- no_grad, detach, retain


def test_no_grad(x):
    with no_grad():
        y = x * x
        with no_grad():
            pass
        z = x * x
    assert not (y.requires_grad or z.requires_grad or y.parents)
    assert (x * x).requires_grad


def test_no_grad_ends_with_an_exception(x):
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * x).requires_grad


def test_detach(x):
    y = (x * x.detach()).sum()
    y.backward()
    assert_close(x.grad, [1.0, 2.0, 3.0])
    assert x.detach().data is x.data
    assert not x.detach().requires_grad


def test_grad_stays_at_leaves(x):
    y = x * x
    z = y.sum()
    z.backward()
    assert (y.grad, z.grad) == (None, None)


def test_retain_grad(x):
    y = x * x
    y.retain_grad()
    z = (y * 3.0 + y).sum()
    z.retain_grad()
    z.backward()
    assert_close(y.grad, [4.0, 4.0, 4.0])
    assert z.grad.item() == 1.0


def test_type_of_gradients(xp, rng):
    x = leaf(xp, rng.normal(size=(3, 4)), "float32")
    (F.tanh(x * 0.1).mean() * 3.0).backward()
    assert x.grad.dtype == np.float32


# ------------------------------------------------------------------------------------------------------------- weights


def test_weight(xp):
    w = Weight(xp.zeros((2, 3), "float32"), "conv2d/kernel")
    array, version = w.data, w.version
    w.assign(np.arange(6.0).reshape(2, 3))
    assert (w.name, w.trainable, w.requires_grad, w.dtype) == ("conv2d/kernel", True, True, np.float32)
    assert w.data is array  # written in place: whoever holds the array sees it
    assert w.version > version
    assert_close(w.data, np.arange(6.0).reshape(2, 3))


def test_touch_raises_the_version(xp):
    w = Weight(xp.zeros(3), "bias")
    version = w.version
    w.touch()
    assert w.version > version


def test_statistics_want_no_gradient(xp, x):
    mean = Weight(xp.zeros(3), "moving_mean", trainable=False)
    (x + mean).sum().backward()
    assert (mean.grad, mean.trainable, mean.requires_grad) == (None, False, False)


def test_assign_of_another_shape(xp):
    with pytest.raises(ValueError, match=r"conv2d/kernel.*\(2, 3\).*\(3, 2\)"):
        Weight(xp.zeros((2, 3)), "conv2d/kernel").assign(np.zeros((3, 2)))


def test_a_float64_constant_does_not_widen_a_float32_tensor():
    x = Tensor(np.ones((2, 3), "float32"), requires_grad=True)
    for y in (x * np.full(3, 0.5), np.full(3, 0.5) * x, x + np.float64(2), x - np.ones((2, 3))):
        assert y.dtype == np.float32
    assert (Tensor(np.ones(3)) * np.ones(3, "float32")).dtype == np.float64


def test_conversions_to_python_numbers():
    assert float(Tensor(2.5)) == 2.5 and bool(Tensor([1.0])) and not Tensor(0.0)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([0.0, 1.0]))
