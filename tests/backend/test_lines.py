"""Kernels of one row or column, and larger ones, by F(m, K) on whole lines, against the reference in float64."""

import numpy as np
import pytest

from minicnn import config
from minicnn.backend import CPU, Window
from minicnn.backend.cpu import choice, lines
from minicnn.backend.cpu.winograd_points import ROW_POINTS, cook_toom
from minicnn.backend.reference import Backend
from tests.backend.epilogues import check_epilogue_and_prepared_kernel
from tests.checks import assert_close

REFERENCE = Backend(np)
TOLERANCE = {3: 2e-6, 5: 8e-6, 7: 2.5e-5}
SHAPES = [  # x, F, window or the pads along the kernel
    ((2, 7, 9, 3), 5, Window(pads="same")),
    ((3, 17, 17, 4), 7, Window(pads="same")),
    ((2, 13, 14, 5), 3, Window()),
    ((2, 9, 8, 5), 6, ((2, 3), (4, 0))),
    ((2, 7, 7, 3), 4, Window()),  # one number of y a line, for K = 7
    ((1, 61, 59, 8), 9, Window(pads="same")),  # several segments
    ((9, 8, 9, 2), 3, ((8, 9), (9, 8))),  # more padding than the kernel reaches
]


@pytest.fixture(params=[1 << 12, lines.PIECE_BYTES])
def piece_bytes(request, monkeypatch):
    """Pieces of a few lines, and of as many as usual."""
    monkeypatch.setattr(config.config, "conv", "winograd4x1")
    if request.param < lines.PIECE_BYTES:
        monkeypatch.setattr(lines, "PIECE_BYTES", request.param)
        monkeypatch.setattr(lines, "SHARED_BYTES", 1 << 14)


KERNELS = [(1, 3), (1, 5), (1, 7), (3, 1), (5, 1), (7, 1), (5, 5), (2, 5), (3, 7)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("shape", "f", "window"), SHAPES)
def test_convolution(piece_bytes, rng, shape, f, window, kernel):
    if isinstance(window, tuple):
        window = Window(pads=tuple((0, 0) if k == 1 else pads for k, pads in zip(kernel, window, strict=True)))
    x = rng.normal(size=shape).astype("float32")
    w = rng.normal(size=(*kernel, shape[3], f)).astype("float32")
    expected = REFERENCE.conv2d(x.astype("float64"), w.astype("float64"), window)
    dy = rng.normal(size=expected.shape).astype("float32")
    assert choice.algorithm(x.shape, w.shape, window, expected.shape[1:3], x.dtype) == "lines"
    got = (
        CPU.conv2d(x, w, window),
        CPU.conv2d_input_grad(dy, w, x.shape, window),
        CPU.conv2d_weight_grad(x, dy, w.shape, window),
    )
    x, w, dy = (a.astype("float64") for a in (x, w, dy))
    tolerance = TOLERANCE[kernel[1] if kernel[1] > 1 else kernel[0]]
    assert_close(got[0], expected, tolerance)
    assert_close(got[1], REFERENCE.conv2d_input_grad(dy, w, x.shape, window), tolerance)
    assert_close(got[2], REFERENCE.conv2d_weight_grad(x, dy, w.shape, window), tolerance)
    assert all(y.dtype == np.float32 for y in got)


@pytest.mark.parametrize("kernel", [(1, 7), (5, 5)])
def test_epilogue_and_prepared_kernel(piece_bytes, rng, kernel):
    check_epilogue_and_prepared_kernel(rng, (*kernel, 5, 4))


@pytest.mark.parametrize(("kernel", "stated"), [((1, 3), 1.5e-6), ((1, 7), 9e-6), ((5, 5), 8e-6)])
def test_the_error_that_the_docstring_states(monkeypatch, rng, kernel, stated):
    monkeypatch.setattr(config.config, "conv", "winograd4x1")
    x, w = rng.normal(size=(4, 24, 24, 64)).astype("float32"), rng.normal(size=(*kernel, 64, 16)).astype("float32")
    window = Window(pads="same")
    exact = REFERENCE.conv2d(x.astype("float64"), w.astype("float64"), window)
    assert_close(CPU.conv2d(x, w, window), exact, stated)


@pytest.mark.parametrize(("k", "m"), [(k, m) for k, sets in ROW_POINTS.items() for m in sets])
def test_points(rng, k, m):
    a, g, b = cook_toom(ROW_POINTS[k][m], m, k)
    x, w = rng.normal(size=k + m - 1), rng.normal(size=k)
    assert_close(a @ ((g @ w) * (b @ x)), np.correlate(x, w), 1e-12)


@pytest.mark.parametrize("kernel", [(7, 1), (5, 5)])
def test_the_same_bits_on_any_number_of_threads(monkeypatch, rng, kernel):
    monkeypatch.setattr(config.config, "conv", "winograd4x1")
    x, w = rng.normal(size=(8, 17, 35, 24)).astype("float32"), rng.normal(size=(*kernel, 24, 40)).astype("float32")
    window = Window(pads="same")
    results = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(config.config, "threads", threads)
        y = CPU.conv2d(x, w, window)
        grads = CPU.conv2d_input_grad(y, w, x.shape, window), CPU.conv2d_weight_grad(x, y, w.shape, window)
        results.append([a.tobytes() for a in (y, *grads)])
    assert results[0] == results[1] == results[2]


def test_choice(monkeypatch):
    def kind(kernel, window=Window(pads="same"), dtype="float32", side=17):  # noqa: B008
        shape = (8, side, side, 192)
        return choice.algorithm(shape, (*kernel, 192, 192), window, (side, side), np.dtype(dtype))

    assert kind((1, 7)) == kind((7, 1)) == kind((1, 3), side=8) == "lines"
    assert kind((5, 5)) == kind((5, 5), Window()) == "lines"
    assert kind((5, 5), Window((2, 1), "same")) == kind((5, 3)) == kind((9, 9)) == "direct"
    assert kind((1, 7), dtype="float64") == kind((1, 7), Window((1, 2), "same")) == kind((1, 9)) == "direct"
    assert kind((1, 7), Window(pads=((1, 0), (3, 3)))) == "direct"  # a line of zeros
    assert kind((1, 7), Window(pads="same", dilation=(1, 2))) == kind((1, 1)) == "direct"
    monkeypatch.setattr(config.config, "precision", "highest")
    assert kind((1, 7)) == "direct"
