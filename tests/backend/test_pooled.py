"""Convolution, ReLU and max pooling at once against the reference, which does one after the other."""

import numpy as np
import pytest

from minicnn.backend import CPU, Window
from minicnn.backend.cpu import narrow, pooled
from minicnn.backend.reference import Backend
from minicnn.config import config
from tests.checks import assert_close

REFERENCE = Backend(np)
SHAPES = [  # x, (KH, KW, F), window, whether it is done at once
    ((2, 8, 12, 1), (5, 5, 6), Window(pads="same"), True),
    ((3, 12, 8, 6), (5, 5, 16), Window(), True),
    ((2, 8, 16, 3), (5, 3, 7), Window(pads=((2, 0), (2, 2))), True),
    ((2, 10, 8, 2), (2, 4, 3), Window(), True),  # a row and a column of the convolution are not pooled
    ((5, 6, 6, 4), (3, 3, 5), Window(), True),
    ((2, 8, 8, 1), (3, 3, 5), Window(pads="same"), False),  # odd pads
    ((2, 9, 8, 1), (5, 5, 3), Window(), False),
    ((2, 8, 8, 20), (5, 5, 3), Window(), False),
    ((2, 12, 12, 2), (3, 3, 3), Window((2, 2)), False),
    ((2, 12, 12, 4), (5, 5, 4), Window(groups=2), False),
]


@pytest.fixture(params=[1 << 9, pooled.PIECE_BYTES])
def piece_bytes(request, monkeypatch):
    """Pieces of an image, and of as many as usual."""
    monkeypatch.setattr(pooled, "PIECE_BYTES", request.param)
    monkeypatch.setattr(narrow, "PIECE_BYTES", request.param)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6)])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("shape", "kernel", "window", "at_once"), SHAPES)
def test_against_the_reference(piece_bytes, rng, shape, kernel, window, at_once, relu, dtype, tolerance):
    kh, kw, f = kernel
    x = rng.normal(size=shape).astype(dtype)
    w = rng.normal(size=(kh, kw, shape[3] // window.groups, f)).astype(dtype)
    bias = rng.normal(size=f).astype(dtype)
    assert pooled.fits(x.shape, w.shape, window) == at_once
    expected, z = REFERENCE.conv2d_pool(x, w, window, bias, relu)
    y, kept = CPU.conv2d_pool(x, w, window, bias, relu)
    assert_close(y, expected, tolerance)
    assert CPU.conv2d_pool(x, w, window, bias, relu, keep=False)[1] is None
    assert_close(
        CPU.conv2d_pool(x, w, window, None, relu)[0], REFERENCE.conv2d_pool(x, w, window, None, relu)[0], tolerance
    )
    dy = rng.normal(size=y.shape).astype(dtype)
    wanted = REFERENCE.conv2d_pool_grad(dy, expected, z, x, w, window, relu)
    for got, one in zip(CPU.conv2d_pool_grad(dy, y, kept, x, w, window, relu), wanted, strict=True):
        assert got.dtype == dtype
        assert_close(got, one, tolerance)
    assert CPU.conv2d_pool_grad(dy, y, kept, x, w, window, relu, (False, True, True))[0] is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_cells_share_nothing(value):
    """The first of them takes it all, as in `Backend.max_pool_grad`; below zero ReLU lets nothing through."""
    x, w = np.full((2, 8, 8, 1), value, "float32"), np.ones((5, 5, 1, 6), "float32")
    window = Window()
    arguments = x, w, window
    y, kept = CPU.conv2d_pool(*arguments)
    z = REFERENCE.conv2d_pool(*arguments)[1]
    dy = np.arange(y.size, dtype="float32").reshape(y.shape)
    wanted = REFERENCE.conv2d_pool_grad(dy, y, z, *arguments)
    for got, one in zip(CPU.conv2d_pool_grad(dy, y, kept, *arguments), wanted, strict=True):
        assert_close(got, one, 1e-6)


@pytest.mark.parametrize(("before", "after"), [("auto", "direct"), ("direct", "auto")])
def test_an_algorithm_forced_before_the_way_back(rng, monkeypatch, before, after):
    """What the forward pass kept says which way that is."""
    x, w = rng.normal(size=(16, 16, 16, 6)).astype("float32"), rng.normal(size=(5, 5, 6, 16)).astype("float32")
    window = Window(pads="same")
    monkeypatch.setattr(config, "conv", before)
    y, kept = CPU.conv2d_pool(x, w, window)
    assert isinstance(kept, pooled.InBlocks) == (before == "auto")
    monkeypatch.setattr(config, "conv", after)
    wanted = REFERENCE.conv2d_pool_grad(y, *REFERENCE.conv2d_pool(x, w, window), x, w, window)
    for got, one in zip(CPU.conv2d_pool_grad(y, y, kept, x, w, window), wanted, strict=True):
        assert_close(got, one, 2e-6)


@pytest.mark.parametrize("kind", ["auto", "winograd4x1", "winograd2"])
@pytest.mark.parametrize("images", [16, 2])
def test_blocks_by_every_algorithm(piece_bytes, monkeypatch, rng, kind, images):
    """With rows both gradients are made at once, unless images are so large that they are cut."""
    monkeypatch.setattr(config, "conv", kind)
    x, w = rng.normal(size=(images, 16, 16, 6)).astype("float32"), rng.normal(size=(5, 5, 6, 16)).astype("float32")
    window, dy = Window(pads="same"), rng.normal(size=(images, 8, 8, 16)).astype("float32")
    y, kept = CPU.conv2d_pool(x, w, window)
    assert isinstance(kept, pooled.InBlocks) == (kind != "auto" or images == 16)
    expected, z = REFERENCE.conv2d_pool(x.astype("float64"), w.astype("float64"), window)
    assert_close(y, expected, 2e-6)
    wanted = REFERENCE.conv2d_pool_grad(dy, expected, z, x.astype("float64"), w.astype("float64"), window)
    for got, one in zip(CPU.conv2d_pool_grad(dy, y, kept, x, w, window), wanted, strict=True):
        assert got.dtype == np.float32
        assert_close(got, one, 3e-6)


@pytest.mark.parametrize("types", [("float16", "float32"), ("float32", "float16")])
def test_images_and_kernels_of_two_types(monkeypatch, rng, types):
    monkeypatch.setattr(config, "conv", "winograd4x1")
    x, w = rng.normal(size=(16, 16, 16, 6)).astype(types[0]), rng.normal(size=(5, 5, 6, 16)).astype(types[1])
    window, dy = Window(pads="same"), rng.normal(size=(16, 8, 8, 16)).astype("float32")
    y, kept = CPU.conv2d_pool(x, w, window)
    doubled = x.astype("float64"), w.astype("float64"), window
    expected, z = REFERENCE.conv2d_pool(*doubled)
    assert_close(y, expected, 2e-3)
    wanted = REFERENCE.conv2d_pool_grad(dy, expected, z, *doubled)
    for got, one in zip(CPU.conv2d_pool_grad(dy, y, kept, x, w, window), wanted, strict=True):
        assert_close(got, one, 1e-2)


@pytest.mark.parametrize("channels", [1, 6])
def test_no_image(channels):
    x, w = np.ones((0, 16, 16, channels), "float32"), np.ones((5, 5, channels, 16), "float32")
    y, kept = CPU.conv2d_pool(x, w, Window(pads="same"))
    assert y.shape == (0, 8, 8, 16)
    dx, dw, db = CPU.conv2d_pool_grad(y, y, kept, x, w, Window(pads="same"))
    assert dx.shape == x.shape and not dw.any() and not db.any()


def test_nan_stays(rng):
    x, w = rng.normal(size=(2, 8, 8, 1)).astype("float32"), rng.normal(size=(5, 5, 1, 6)).astype("float32")
    x[1, 4, 4] = np.nan
    y = CPU.conv2d_pool(x, w, Window(pads="same"))[0]
    assert np.isnan(y[1, 2, 2]).all()
    assert np.isfinite(y[0]).all()


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_cells_that_come_row_by_row(rng, rows):
    """From a convolution of blocks, some rows of several images at a time."""
    cells, bias = rng.normal(size=(3, 4, 2, 4 * 5)), rng.normal(size=5)
    y, kept, finish = pooled.pooled_blocks(cells.shape[:3], 5, cells.dtype, bias, True, True)
    for start in range(0, 4, rows):
        part = slice(start, start + rows)
        finish(cells[1:, part], slice(1, 3), part)
    by_cell = cells.reshape(3, 4, 2, 4, 5)
    assert_close(y[1:], np.maximum(by_cell.max(axis=3) + bias, 0)[1:], 1e-14)
    won = np.arange(4)[:, None] == by_cell.argmax(axis=3)[..., None, :]
    np.testing.assert_array_equal(kept[1:], won.transpose(0, 3, 1, 2, 4)[1:])


@pytest.mark.parametrize("shape", [(3, 8, 12, 1), (4, 16, 16, 6), (2, 9, 8, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_prepared_kernel(rng, shape, bias):
    """In planes, as blocks, and one after the other; also for images that it was not prepared for."""
    x = rng.normal(size=shape).astype("float32")
    w = rng.normal(size=(5, 5, shape[3], 16)).astype("float32")
    bias = rng.normal(size=16).astype("float32") if bias else None
    window = Window(pads="same")
    prepared = CPU.prepare_pooled_kernel(w, bias, window, x.shape)
    for images in (x, np.concatenate([x] * 16)):
        expected = CPU.conv2d_pool(images, w, window, bias)[0]
        assert_close(CPU.conv2d_pool(images, w, window, bias, prepared=prepared)[0], expected, 2e-6)
