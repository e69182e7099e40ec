"""F(4, 3) along the height, patches along the width, against the reference in float64; and small products in stacks."""

import numpy as np
import pytest

from minicnn.backend import CPU, Window
from minicnn.backend.cpu import choice, narrow, products
from minicnn.backend.reference import Backend
from minicnn.config import config
from tests.backend.epilogues import check_epilogue_and_prepared_kernel
from tests.checks import assert_close

REFERENCE = Backend(np)
SHAPES = [  # x, F, window
    ((2, 7, 9, 3), 5, Window()),
    ((3, 8, 8, 4), 7, Window(pads="same")),
    ((2, 13, 14, 5), 3, Window(pads=((2, 1), (0, 2)))),
    ((1, 3, 3, 2), 4, Window()),  # one cell of y
    ((2, 5, 6, 3), 2, Window(pads=((3, 4), (3, 3)))),  # more padding than the kernel reaches: the gradient is cut
    ((70, 4, 5, 2), 3, Window(pads="same")),
    ((1, 21, 18, 8), 9, Window(pads="same")),  # several pieces an image
    ((5, 12, 16, 16), 16, Window(pads="same")),
]


@pytest.fixture(params=[1 << 9, narrow.PIECE_BYTES])
def piece_bytes(request, monkeypatch):
    """Pieces of a few tiles, and of as many as usual."""
    monkeypatch.setattr(narrow, "PIECE_BYTES", request.param)
    monkeypatch.setattr(config, "conv", "winograd4x1")


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize(("shape", "f", "window"), SHAPES)
def test_convolution(piece_bytes, monkeypatch, rng, shape, f, window, together):
    monkeypatch.setattr(narrow, "neighbours_of_rows", lambda *shape: together)
    x = rng.normal(size=shape).astype("float32")
    w = rng.normal(size=(3, 3, shape[3], f)).astype("float32")
    doubled = x.astype("float64"), w.astype("float64")
    expected = REFERENCE.conv2d(*doubled, window)
    dy = rng.normal(size=expected.shape)
    upstream = dy.astype("float32")
    got = CPU.conv2d(x, w, window)
    dx, dw = CPU.conv2d_input_grad(upstream, w, x.shape, window), CPU.conv2d_weight_grad(x, upstream, w.shape, window)
    assert got.dtype == dx.dtype == dw.dtype == np.float32
    assert_close(got, expected, 2e-6)
    assert_close(dx, REFERENCE.conv2d_input_grad(upstream.astype("float64"), doubled[1], x.shape, window), 2e-6)
    assert_close(dw, REFERENCE.conv2d_weight_grad(doubled[0], upstream.astype("float64"), w.shape, window), 2e-6)


@pytest.mark.parametrize(("odd", "pads"), [
    (lambda x: np.ascontiguousarray(x[..., 0])[..., None], ((1, 1), (1, 1))),  # the last axis has a stride of 0
    (lambda x: np.ascontiguousarray(x[:, :1])[:, ::-1], ((3, 3), (1, 0))),  # that of the height one below 0
    (lambda x: x, [[1, 0], [1, 1]]),
], ids=["one channel", "one row", "pads in lists"])  # fmt: skip
def test_axes_of_length_1_have_any_strides(piece_bytes, rng, odd, pads):
    x, window = odd(rng.normal(size=(3, 12, 12, 2)).astype("float32")), Window(pads=pads)
    w = rng.normal(size=(3, 3, x.shape[3], 8)).astype("float32")
    y, plain = CPU.conv2d(x, w, window), np.array(x, order="C").astype("float64")
    assert_close(y, REFERENCE.conv2d(plain, w.astype("float64"), window), 2e-6)
    expected = REFERENCE.conv2d_weight_grad(plain, y.astype("float64"), w.shape, window)
    assert_close(CPU.conv2d_weight_grad(x, y, w.shape, window), expected, 2e-6)


def test_epilogue_and_prepared_kernel(piece_bytes, rng):
    check_epilogue_and_prepared_kernel(rng, (3, 3, 5, 4))


def test_what_earlier_calls_left_in_the_memory(monkeypatch, rng):
    """Lines have ends of zeros that are written once: no other shape and no NaN spoils them."""
    monkeypatch.setattr(config, "conv", "winograd4x1")
    shapes = [
        ((5, 9, 11, 4), Window(pads="same")),
        ((5, 9, 11, 4), Window()),
        ((3, 12, 7, 4), Window(pads=((2, 1), (0, 2)))),
    ]

    def compute(x, w, window):
        y = CPU.conv2d(x, w, window)
        return y, CPU.conv2d_input_grad(y, w, x.shape, window), CPU.conv2d_weight_grad(x, y, w.shape, window)

    cases = [(rng.normal(size=s).astype("float32"), rng.normal(size=(3, 3, 4, 8)).astype("float32"), window)
             for s, window in shapes]  # fmt: skip
    first = [compute(*case) for case in cases]
    for case, expected in [*zip(cases, first, strict=True), *zip(cases, first, strict=True)]:
        compute(np.full_like(case[0], np.nan), *case[1:])
        for got, before in zip(compute(*case), expected, strict=True):
            np.testing.assert_array_equal(got, before)


def test_the_error_that_the_docstring_states(monkeypatch, rng):
    x, w = rng.normal(size=(4, 24, 24, 64)), rng.normal(size=(3, 3, 64, 16))
    x, w, window = x.astype("float32"), w.astype("float32"), Window(pads="same")
    monkeypatch.setattr(config, "conv", "winograd4x1")
    assert_close(CPU.conv2d(x, w, window), REFERENCE.conv2d(x.astype("float64"), w.astype("float64"), window), 1.2e-6)


def test_choice(monkeypatch):
    """Few channels, stride 1, float32; never where it is not asked to round."""

    def chosen(side, channels, window=Window(pads="same"), dtype="float32"):  # noqa: B008
        x, w = (64, side, side, channels), (3, 3, channels // window.groups, channels)
        return choice.algorithm(x, w, window, window.output_size((side, side), (3, 3)), np.dtype(dtype))

    assert chosen(32, 16) == chosen(16, 32) == "winograd4x1"  # CIFAR's ResNets
    assert chosen(28, 128) == "winograd4"
    assert chosen(32, 16, dtype="float64") == chosen(32, 16, Window((2, 2), "same")) == "direct"
    monkeypatch.setattr(config, "conv", "winograd4x1")
    assert chosen(28, 128) == "winograd4x1"
    assert chosen(28, 128, Window(pads="same", groups=2)) == "direct"
    monkeypatch.setattr(config, "precision", "highest")
    assert chosen(28, 128) == "direct"


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 64, 127, 129, 1000])
@pytest.mark.parametrize(("depth", "columns"), [(3, 5), (25, 16), (64, 32), (144, 64), (400, 8), (9, 100)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_in_stacks(monkeypatch, rng, rows, depth, columns, dtype):
    monkeypatch.setattr(products, "SMALL", 40 * depth * columns)
    monkeypatch.setattr(products, "SUMMED", (16, 48))
    a, b, dy = (rng.normal(size=s).astype(dtype) for s in ((2, rows, depth), (2, depth, columns), (2, rows, columns)))
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    out = np.full((2, rows, columns), np.nan, dtype)
    assert products.product(a, b, out) is out
    assert_close(out, a.astype("float64") @ b.astype("float64"), tolerance)
    out = np.full((2, depth, columns), np.nan, dtype)
    assert products.sum_of_products(a, dy, out) is out
    assert_close(out, np.swapaxes(a, 1, 2).astype("float64") @ dy.astype("float64"), tolerance)
