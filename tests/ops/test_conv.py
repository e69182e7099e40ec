"""Convolution against seven nested loops; every axis has a size of its own."""

from itertools import product

import numpy as np
import pytest

from minicnn.gradcheck import check_grad
from minicnn.ops import Conv2D, Window
from tests import loops
from tests.checks import assert_close

PADS = ["valid", "same", ((1, 2), (0, 1)), ((3, 0), (2, 3))]
STRIDES = [(1, 1), (2, 1), (3, 2)]  # 7 rows and 6 columns: most of these leave a remainder


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("kernel", [(4, 3), (3, 2), (1, 1)], ids=str)
def test_conv2d(xp, rng, kernel, strides, pads):
    x = xp.asarray(rng.normal(size=(2, 7, 6, 3)))
    w = xp.asarray(rng.normal(size=(*kernel, 3, 4)))
    op = Conv2D(Window(strides, pads))
    assert_close(op(x, w), loops.conv2d(x, w, strides, pads))
    check_grad(op, x, w)


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("dilation, strides", [((2, 1), (1, 1)), ((1, 3), (1, 1)), ((2, 2), (1, 1)), ((3, 2), (2, 3))])
def test_dilated(xp, rng, dilation, strides, pads):
    x = xp.asarray(rng.normal(size=(2, 9, 7, 3)))
    w = xp.asarray(rng.normal(size=(3, 2, 3, 4)))
    op = Conv2D(Window(strides, pads, dilation))
    assert_close(op(x, w), loops.conv2d(x, w, strides, pads, dilation))
    check_grad(op, x, w)


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", STRIDES, ids=str)
@pytest.mark.parametrize("groups, filters", [(2, 4), (3, 6), (6, 6), (6, 12)], ids=str)
def test_groups_and_depthwise(xp, rng, groups, filters, strides, pads):
    """Six channels in six groups are a depthwise convolution, here with multipliers 1 and 2."""
    x = xp.asarray(rng.normal(size=(2, 7, 5, 6)))
    w = xp.asarray(rng.normal(size=(4, 3, 6 // groups, filters)))
    op = Conv2D(Window(strides, pads, groups=groups))
    assert_close(op(x, w), loops.conv2d(x, w, strides, pads, groups=groups))
    check_grad(op, x, w)


def test_groups_dilation_and_strides_together(xp, rng):
    x = xp.asarray(rng.normal(size=(2, 9, 8, 4)))
    w = xp.asarray(rng.normal(size=(3, 2, 2, 6)))
    op = Conv2D(Window((2, 3), "same", (2, 3), 2))
    assert_close(op(x, w), loops.conv2d(x, w, (2, 3), "same", (2, 3), 2))
    check_grad(op, x, w)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_bias(xp, rng, groups):
    x = xp.asarray(rng.normal(size=(2, 5, 6, 4)))
    w, b = xp.asarray(rng.normal(size=(3, 2, 4 // groups, 8))), xp.asarray(rng.normal(size=8))
    op = Conv2D(Window((2, 1), "same", groups=groups))
    assert_close(op(x, w, b), loops.conv2d(x, w, (2, 1), "same", groups=groups, b=b))
    check_grad(op, x, w, b)


@pytest.mark.parametrize("strides, pads, dilation, groups", [
    ((1, 1), "same", (1, 1), 1),
    ((2, 2), "same", (1, 1), 1),
    ((3, 2), ((1, 2), (0, 1)), (1, 1), 2),
    ((1, 1), "valid", (2, 1), 4),
])  # fmt: skip
def test_float32_gradients(xp, rng, strides, pads, dilation, groups):
    """What trains is float32; finite differences are too coarse there, so loops say what is right."""
    x, w, b = (rng.normal(size=s).astype("f4") for s in [(2, 7, 6, 4), (3, 2, 4 // groups, 8), (8,)])
    op = Conv2D(Window(strides, pads, dilation, groups))
    y = op(xp.asarray(x), xp.asarray(w), xp.asarray(b))
    assert_close(y, loops.conv2d(x, w, strides, pads, dilation, groups, b))
    dy = rng.normal(size=y.shape).astype("f4")
    expected = loops.conv2d_grad(x, w, dy, strides, pads, dilation, groups)
    for gradient, oracle in zip(op.backward(xp.asarray(dy)), expected, strict=True):
        assert_close(gradient, oracle)


def test_stride_larger_than_kernel_leaves_cells_out(xp):
    x, w = xp.arange(1.0, 7.0).reshape(1, 6, 1, 1), xp.ones((2, 1, 1, 1))
    op = Conv2D(Window((3, 1), "same"))
    assert_close(op(x, w).ravel(), [3.0, 9.0])
    assert_close(op.backward(xp.ones((1, 2, 1, 1)))[0].ravel(), [1, 1, 0, 1, 1, 0])


def test_same_is_lopsided_under_stride_two(xp):
    x, w = xp.arange(1.0, 7.0).reshape(1, 6, 1, 1), xp.ones((3, 1, 1, 1))
    assert_close(Conv2D(Window((2, 1), "same"))(x, w).ravel(), [6.0, 12.0, 11.0])


@pytest.mark.parametrize("n, k, s, d", list(product((1, 5, 8, 224), (1, 2, 3, 7), (1, 2, 3), (1, 2))))
def test_same_pads(n, k, s, d):
    """The window alone: output size and pads, as the definition says."""
    window = Window((s, 1), "same", (d, 1))
    assert window.explicit_pads((n, 1), (k, 1)) == (loops.same_pads(n, k, s, d), (0, 0))
    assert window.output_size((n, 1), (k, 1)) == (-(-n // s), 1)


def test_inputs_that_are_views(xp, rng):
    """Transposed, reversed and strided views are read as they stand."""
    x = xp.asarray(rng.normal(size=(3, 6, 14, 2))).transpose(3, 2, 1, 0)[:, ::2, ::-1]
    w = xp.asarray(rng.normal(size=(4, 3, 2, 3))).transpose(2, 1, 3, 0)
    op = Conv2D(Window((2, 1), "same"))
    assert_close(op(x, w), loops.conv2d(x, w, (2, 1), "same"))
    dy = xp.asarray(rng.normal(size=(4, 6, 4, 2))).transpose(3, 2, 1, 0)
    dx, dw, _ = loops.conv2d_grad(x, w, dy, (2, 1), "same")
    assert_close(op.backward(dy)[0], dx)
    assert_close(op.backward(dy)[1], dw)


@pytest.mark.parametrize("x, w, window, received", [
    ((7, 6, 5), (3, 3, 5, 8), Window(), r"\(7, 6, 5\)"),
    ((2, 7, 6, 5), (3, 5, 8), Window(), r"\(3, 5, 8\)"),
    ((2, 7, 6, 5), (3, 3, 4, 8), Window(), r"5.*4|4.*5"),
    ((2, 7, 6, 5), (9, 3, 5, 8), Window(), r"9"),
    ((2, 7, 6, 5), (4, 3, 5, 8), Window(dilation=(3, 1)), r"4|10"),
    ((2, 7, 6, 5), (10, 3, 5, 8), Window(pads=((1, 1), (0, 0))), r"10"),
    ((2, 7, 6, 5), (3, 3, 2, 8), Window(groups=2), r"2"),
    ((2, 7, 6, 6), (3, 3, 3, 7), Window(groups=2), r"7"),
], ids=["rank of x", "rank of w", "channels", "kernel too large", "dilated kernel too large", "padded, still too large",
        "groups do not divide channels", "groups do not divide filters"])  # fmt: skip
def test_errors_show_what_was_received(xp, x, w, window, received):
    with pytest.raises(ValueError, match=received):
        Conv2D(window)(xp.ones(x), xp.ones(w))


def test_bias_of_the_wrong_length(xp):
    with pytest.raises(ValueError, match=r"bias of shape \(8,\), one for each filter, got \(7,\)"):
        Conv2D(Window())(xp.ones((2, 7, 6, 5)), xp.ones((3, 3, 5, 8)), xp.ones(7))


@pytest.mark.parametrize("pads", ["full", "SAME ", ((-1, 0), (0, 0)), 3], ids=str)
def test_pads_that_mean_nothing(pads):
    with pytest.raises(ValueError, match="(?i)pad.*" + str(pads).replace("(", r"\(").replace(")", r"\)")):
        Conv2D(Window((1, 1), pads))(np.ones((2, 7, 6, 5)), np.ones((3, 3, 5, 8)))


@pytest.mark.parametrize("strides", [(0, 1), (1, -2)], ids=str)
def test_strides_that_mean_nothing(strides):
    with pytest.raises(ValueError, match="(?i)stride"):
        Conv2D(Window(strides))(np.ones((2, 7, 6, 5)), np.ones((3, 3, 5, 8)))
