"""The CPU's fast kernels against the reference, over shapes with ragged edges; and the same bits on any number of
threads."""

import threading

import numpy as np
import pytest

from minicnn import config, functions
from minicnn.backend import CPU, Window
from minicnn.backend.cpu import conv, grouped, parallel, phases, pieces, pool, rows
from minicnn.backend.reference import Backend
from tests.checks import assert_close

REFERENCE = Backend(np)
SHAPES = [  # x, (KH, KW, F), window
    ((2, 7, 9, 3), (3, 3, 5), Window()),
    ((3, 8, 7, 20), (3, 3, 18), Window(pads="same")),
    ((2, 9, 11, 17), (3, 2, 6), Window((2, 3), "same")),
    ((2, 9, 8, 1), (5, 5, 6), Window(pads="same")),
    ((2, 15, 14, 3), (7, 7, 8), Window((2, 2), ((3, 3), (3, 3)))),
    ((2, 15, 14, 3), (3, 3, 8), Window((2, 2), ((1, 0), (2, 3)))),  # stride 2 in blocks: odd sizes and pads
    ((2, 8, 9, 5), (2, 3, 4), Window((2, 2), "same")),
    ((2, 9, 8, 17), (3, 3, 5), Window((2, 2), ((1, 0), (2, 3)))),  # and in windows, its phases as large products
    ((3, 7, 25, 64), (3, 3, 6), Window((2, 2), "same")),  # as small ones, in panels
    ((2, 4, 26, 66), (3, 3, 5), Window((2, 2), ((3, 2), (1, 4)))),
    ((2, 3, 254, 17), (3, 3, 4), Window((2, 2), ((0, 1), (5, 0)))),  # a row is more than one of them
    ((2, 1, 9, 18), (3, 3, 4), Window((2, 2), "same")),
    ((2, 11, 12, 17), (5, 3, 4), Window((2, 3), ((0, 6), (4, 0)))),  # padding beyond the kernel
    ((2, 6, 5, 96), (3, 3, 4), Window((4, 4), ((0, 0), (0, 1)))),  # cells that taps would read, but no window does
    ((3, 10, 8, 4), (3, 1, 6), Window((2, 2))),
    ((2, 6, 5, 19), (1, 1, 7), Window()),
    ((2, 7, 6, 18), (1, 1, 7), Window((2, 2))),
    ((2, 7, 6, 300), (1, 1, 260), Window((2, 2))),  # a kernel too large for small products
    ((2, 8, 52, 66), (1, 1, 5), Window((3, 2), ((1, 2), (3, 0)))),
    ((2, 1, 5, 3), (1, 1, 4), Window((2, 2), ((1, 0), (0, 0)))),  # which reads padding alone
    ((2, 5, 6, 270), (1, 1, 255), Window()),  # and whose gradient is made in parts
    ((2, 5, 6, 255), (1, 1, 270), Window()),
    ((2, 5, 6, 40), (1, 1, 192), Window()),  # in panels of 64
    ((2, 5, 6, 160), (1, 1, 50), Window()),  # whose input gradient is in panels of 32
    ((2, 9, 8, 16), (1, 7, 5), Window(pads="same")),
    ((2, 10, 9, 16), (2, 3, 4), Window((1, 2), ((0, 1), (2, 0)), (2, 1))),
    ((2, 7, 8, 4), (2, 2, 3), Window((3, 3))),  # a stride beyond the kernel
    ((2, 40, 37, 32), (3, 3, 33), Window((2, 1), "same")),  # several tiles an image
    ((70, 6, 5, 2), (3, 3, 4), Window(pads="same")),  # several images a tile
    ((2, 7, 6, 8), (3, 3, 12), Window(pads="same", groups=4)),
    ((2, 7, 6, 8), (3, 3, 16), Window((2, 1), "same", groups=8)),
    ((3, 7, 6, 32), (3, 2, 40), Window((1, 2), "same", groups=8)),  # several blocks of groups
    ((2, 9, 8, 6), (3, 3, 4), Window(pads="same", dilation=(2, 1), groups=2)),
    ((3, 9, 8, 7), (3, 2, 7), Window((2, 1), "same", groups=7)),  # depthwise
    ((2, 9, 8, 5), (3, 3, 5), Window((1, 3), ((2, 1), (0, 3)), (2, 2), groups=5)),
    ((2, 9, 8, 1), (3, 3, 1), Window()),
]  # fmt: skip


@pytest.fixture
def small_pieces(monkeypatch):
    """Cuts even these shapes into many pieces."""
    monkeypatch.setattr(conv, "TILE_BYTES", 1 << 12)
    monkeypatch.setattr(conv, "FEWEST", 1)
    monkeypatch.setattr(conv, "CHANNELS", 6)
    monkeypatch.setattr(conv, "PIXELS", 64)
    monkeypatch.setattr(phases, "PIECE_BYTES", 1 << 12)
    monkeypatch.setattr(phases, "FEWEST", 1)
    monkeypatch.setattr(grouped, "BAND", 1 << 6)
    monkeypatch.setattr(rows, "PIECE", 1 << 7)
    monkeypatch.setattr(rows, "WIDE", 24)
    monkeypatch.setattr(rows, "SUMMED", 12)
    monkeypatch.setattr(pieces, "UPDATED", 1 << 6)
    monkeypatch.setattr(pieces, "STEP", 1 << 4)
    monkeypatch.setattr(pieces, "PLACED", 1 << 10)
    monkeypatch.setattr(pool, "BAND", 1 << 6)
    monkeypatch.setattr(pool, "SUMMED", 1 << 6)
    monkeypatch.setattr("minicnn.backend.cpu.SMALL", 64)
    monkeypatch.setattr("minicnn.backend.cpu.products.BLOCK", 1 << 10)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6)])
@pytest.mark.parametrize(("shape", "kernel", "window"), SHAPES)
@pytest.mark.parametrize("large_kernel", [0, conv.LARGE_KERNEL])  # either way to sum up the gradient of the kernel
def test_convolution(small_pieces, monkeypatch, rng, shape, kernel, window, dtype, tolerance, large_kernel):
    monkeypatch.setattr(conv, "LARGE_KERNEL", large_kernel)
    kh, kw, f = kernel
    x = rng.normal(size=shape).astype(dtype)
    w = rng.normal(size=(kh, kw, shape[3] // window.groups, f)).astype(dtype)
    y = REFERENCE.conv2d(x, w, window)
    dy = rng.normal(size=y.shape).astype(dtype)
    assert_close(CPU.conv2d(x, w, window), y, tolerance)
    for kernel, arguments in (("input", (dy, w, x.shape)), ("weight", (x, dy, w.shape))):
        got, expected = (getattr(b, f"conv2d_{kernel}_grad")(*arguments, window) for b in (CPU, REFERENCE))
        assert_close(got, expected, tolerance)


@pytest.mark.parametrize("together", [1, 2, 4, 8])
@pytest.mark.parametrize("window", [Window(pads="same"), Window((2, 3), ((1, 2), (0, 1)))])
def test_neighbours_that_share_a_patch(small_pieces, monkeypatch, rng, window, together):
    monkeypatch.setattr(conv, "neighbours", lambda *shape: together)
    x, w = rng.normal(size=(3, 6, 8 * window.strides[1], 5)), rng.normal(size=(3, 4, 5, 6))
    y = REFERENCE.conv2d(x, w, window)
    dy = rng.normal(size=y.shape)
    assert y.shape[2] == 8
    assert_close(CPU.conv2d(x, w, window), y, 1e-12)
    assert_close(CPU.conv2d_weight_grad(x, dy, w.shape, window), REFERENCE.conv2d_weight_grad(x, dy, w.shape, window))


def test_epilogue(small_pieces, rng):
    x, w, window = rng.normal(size=(2, 7, 6, 5)), rng.normal(size=(3, 3, 5, 4)), Window(pads="same")
    bias, scale, shift, residual = (rng.normal(size=s) for s in (4, 4, 4, (2, 7, 6, 4)))
    whole = {"bias": bias, "scale": scale, "shift": shift, "residual": residual, "relu": True}
    plain = REFERENCE.conv2d(x, w, window)
    for part in ({"bias": bias}, {"scale": scale, "shift": shift}, {"residual": residual, "relu": True}, whole):
        assert_close(CPU.conv2d(x, w, window, **part), REFERENCE.epilogue(plain, **part), 1e-12)
        assert_close(REFERENCE.conv2d(x, w, window, **part), REFERENCE.epilogue(plain, **part), 1e-12)
    assert_close(REFERENCE.epilogue(plain, **whole), np.maximum((plain + bias) * scale + shift + residual, 0), 1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [(3, 2), (2, 2), (3, 3), (4, 2)])
@pytest.mark.parametrize(
    "window",
    [
        Window((2, 2)),
        Window((2, 1), "same"),
        Window((3, 3), ((1, 0), (0, 1))),
        Window(dilation=(2, 3)),
        Window(),
        Window((1, 2)),
        Window((4, 4), dilation=(2, 2)),
    ],
)
def test_pooling(small_pieces, rng, window, size, dtype):
    x = rng.integers(-4, 3, size=(5, 8, 7, 3)).astype(dtype)  # ties
    y, winners = REFERENCE.max_pool_winners(x, size, window)
    dy = rng.normal(size=y.shape).astype(dtype)
    for got, expected in (
        (CPU.max_pool(x, size, window), y),
        (CPU.max_pool_winners(x, size, window)[0], y),
        (CPU.max_pool_winners(x, size, window)[1], winners),
        (
            CPU.max_pool_grad(dy, winners, x.shape, size, window),
            REFERENCE.max_pool_grad(dy, winners, x.shape, size, window),
        ),
        (CPU.avg_pool(x, size, window), REFERENCE.avg_pool(x, size, window)),
        (CPU.avg_pool_grad(dy, x.shape, size, window), REFERENCE.avg_pool_grad(dy, x.shape, size, window)),
    ):
        assert got.dtype == expected.dtype
        assert_close(got, expected, 1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 2, 2, 4), (3, 1, 2, 2)])
@pytest.mark.parametrize("size, window", [((2, 2), Window(pads=((1, 1), (1, 1)))), ((4, 4), Window((4, 4), "same"))])
def test_pooling_of_images_smaller_than_their_pads(rng, shape, size, window):
    x = rng.normal(size=shape)
    y, winners = REFERENCE.max_pool_winners(x, size, window)
    dy = rng.normal(size=y.shape)
    for kernel, arguments in (
        ("max_pool", (x,)), ("max_pool_grad", (dy, winners, shape)), ("avg_pool", (x,)), ("avg_pool_grad", (dy, shape)),
    ):  # fmt: skip
        got, expected = (getattr(b, kernel)(*arguments, size, window) for b in (CPU, REFERENCE))
        assert_close(got, expected, 1e-14)


@pytest.mark.parametrize("window", [Window((2, 2)), Window((2, 3), "same"), Window(pads=((1, 2), (2, 1)))])
def test_pooling_of_what_is_no_number(small_pieces, rng, window):
    """A NaN wins no window that it is in, and -inf never loses to the padding."""
    x = rng.choice([0.0, 1.0, -np.inf, np.nan], p=[0.2, 0.1, 0.6, 0.1], size=(3, 8, 7, 4))
    for got, expected in zip(
        CPU.max_pool_winners(x, (3, 3), window), REFERENCE.max_pool_winners(x, (3, 3), window), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((3, 3), Window((2, 2), ((1, 1), (1, 1)))),
        ((2, 4), Window((3, 1), ((0, 1), (3, 2)))),
        ((2, 2), Window((1, 2), ((3, 2), (2, 3)))),  # windows of padding alone
        ((17, 16), Window((5, 4), "same")),  # more taps than a byte can number
    ],
)
@pytest.mark.parametrize("zeros", [False, True])
def test_pooling_beyond_the_edges(small_pieces, rng, size, window, zeros):
    """Padding that never wins, or zeros that win as any other cell; their gradient is nobody's."""
    x = rng.integers(-3, 2, size=(3, 19, 18, 3)).astype("float32")
    y, winners = REFERENCE.max_pool_winners(x, size, window, zeros)
    dy = rng.normal(size=y.shape).astype("float32")
    for got, expected in (
        (CPU.max_pool(x, size, window, zeros), y),
        *zip(CPU.max_pool_winners(x, size, window, zeros), (y, winners), strict=True),
        (b.max_pool_grad(dy, winners, x.shape, size, window) for b in (CPU, REFERENCE)),
    ):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-6)])
@pytest.mark.parametrize(
    ("size", "window", "zeros"),
    [
        ((3, 3), Window((2, 2), ((1, 1), (1, 1))), True),
        ((3, 3), Window((2, 2), "same"), False),
        ((2, 3), Window((3, 1)), False),  # rows that no window reads
        ((2, 2), Window(dilation=(2, 2)), False),
        ((2, 2), Window((1, 2), ((3, 2), (2, 3))), False),  # windows of padding alone
        ((3, 3), Window((1, 1), ((9, 1), (1, 1))), True),  # and bands
    ],
)
@pytest.mark.parametrize("about", [1 << 6, 1 << 9, 1 << 14], ids=["rows", "images", "whole"])
def test_batch_norm_before_pooling(small_pieces, monkeypatch, rng, size, window, zeros, dtype, tolerance, about):
    """In pieces of some rows, of some images, and of all: numbers that are exact, so that ties are ties."""
    monkeypatch.setattr(pool, "BAND", about)
    x = rng.integers(-4, 5, size=(5, 9, 8, 3)).astype(dtype)
    mean, variance = (np.array(v, dtype) for v in ([0.5, -0.5, 0.0], [1.0, 0.25, 4.0]))
    gamma, beta = (np.array(v, dtype) for v in ([1.0, -2.0, 0.0], [-1.0, 0.5, 0.25]))  # one channel is all ties
    for scale, shift in ((gamma, beta), (None, None)):
        pooling = mean, variance, scale, shift, 0.0, size, window, zeros
        (y, winners), expected = CPU.batch_norm_relu_pool(x, *pooling), REFERENCE.batch_norm_relu_pool(x, *pooling)
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_array_equal(winners, expected[1])
        np.testing.assert_array_equal((y == 0).any(), True)
        dy = rng.normal(size=y.shape).astype(dtype)
        arguments = dy, y, winners, x, mean, variance, scale, 0.0, size, window
        compare(CPU.batch_norm_relu_pool_grad(*arguments), REFERENCE.batch_norm_relu_pool_grad(*arguments), tolerance)


def test_the_order_of_bands_before_pooling(small_pieces, monkeypatch, rng):
    """Bands of padding alone have no sums, and hide none."""
    x, window = rng.normal(size=(2, 9, 8, 3)), Window((1, 1), ((9, 1), (1, 1)))
    moments, dy = CPU.channel_moments(x), rng.normal(size=(2, 17, 8, 3))
    y, winners = CPU.batch_norm_relu_pool(x, *moments, None, None, 1e-3, (3, 3), window, True)
    arguments = dy, y, winners, x, *moments, None, 1e-3, (3, 3), window
    expected = REFERENCE.batch_norm_relu_pool_grad(*arguments)
    monkeypatch.setattr(pool, "run", lambda work, some: [work(piece) for piece in list(some)[::-1]])
    compare(CPU.batch_norm_relu_pool_grad(*arguments), expected, 1e-12)


@pytest.mark.parametrize("shape", [(4, 96, 96, 8), (60_000, 1, 1, 2)])
def test_the_digits_of_a_batch_norm_before_pooling(rng, shape):
    """Sums of some thousand numbers in float32, of those in float64: also where means are large, and rows short."""
    x = (rng.normal(size=shape) + (100 if shape[1] > 1 else 0)).astype("float32")
    window = Window((2, 2), "same")
    moments = CPU.channel_moments(x)
    y, winners = CPU.batch_norm_relu_pool(x, *moments, None, None, 1e-3, (2, 2), window)
    dy = (rng.normal(size=y.shape) + 1).astype("float32")
    found = CPU.batch_norm_relu_pool_grad(dy, y, winners, x, *moments, None, 1e-3, (2, 2), window)
    wide = [a.astype("float64") for a in (dy, y, x, *moments)]
    exact = REFERENCE.batch_norm_relu_pool_grad(wide[0], wide[1], winners, *wide[2:], None, 1e-3, (2, 2), window)
    for got, expected, tolerance in zip(found, exact, (2e-6, 2e-6, 1e-6), strict=True):
        assert_close(got, expected, tolerance)


@pytest.mark.parametrize("odd", [np.nan, -np.nan, np.inf])
def test_what_is_no_number_before_pooling(small_pieces, rng, odd):
    """The gradient of beta is that of the reference: a window that holds no number passes nothing on."""
    x, window = rng.normal(size=(3, 8, 7, 4)), Window((2, 2), ((1, 1), (1, 1)))
    moments = CPU.channel_moments(x)
    x[0, 3, 3, 2] = odd
    with np.errstate(invalid="ignore"):
        y, winners = CPU.batch_norm_relu_pool(x, *moments, None, None, 1e-3, (3, 3), window, True)
        arguments = rng.normal(size=y.shape), y, winners, x, *moments, None, 1e-3, (3, 3), window
        found, expected = (b.batch_norm_relu_pool_grad(*arguments) for b in (CPU, REFERENCE))
    assert_close(found[2], expected[2], 1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-6)])
@pytest.mark.parametrize("scaled", [True, False])
def test_channels(small_pieces, rng, dtype, tolerance, scaled):
    x = (rng.normal(size=(3, 7, 5, 6)) * 2 + 3).astype(dtype)
    dy, gamma, beta = (rng.normal(size=s).astype(dtype) for s in (x.shape, 6, 6))
    gamma, beta = (gamma, beta) if scaled else (None, None)
    mean, variance = REFERENCE.channel_moments(x)
    for got, expected in zip(CPU.channel_moments(x), (mean, variance), strict=True):
        assert_close(got, expected, tolerance)
    assert_close(CPU.channel_sum(x), REFERENCE.channel_sum(x), tolerance)
    residual = rng.normal(size=x.shape).astype(dtype)
    for behind in ({}, {"relu": True}, {"residual": residual}, {"residual": residual, "relu": True}):
        got, expected = (b.batch_norm(x, mean, variance, gamma, beta, 1e-3, **behind) for b in (CPU, REFERENCE))
        assert_close(got, expected, tolerance)
    arguments = x, mean, variance, gamma, 1e-3
    compare(CPU.batch_norm_grad(dy, *arguments), REFERENCE.batch_norm_grad(dy, *arguments), tolerance)
    y = np.maximum(residual, 0)
    for added in (False, True):
        got, expected = (b.batch_norm_relu_grad(dy, y, *arguments, residual=added) for b in (CPU, REFERENCE))
        assert (got[3] is None) == (expected[3] is None) == (not added)
        compare(got[: 3 + added], expected[: 3 + added], tolerance)


def compare(several, others, tolerance):
    for got, expected in zip(several, others, strict=True):
        assert got.dtype == expected.dtype
        assert_close(got, expected, tolerance)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_moments_of_numbers_far_from_zero(rng, mean):
    x = (rng.normal(size=(8, 32, 31, 16)) + mean).astype("float32")
    got_mean, got_variance = CPU.channel_moments(x)
    assert_close(got_mean, x.mean(axis=(0, 1, 2), dtype="float64"), 1e-6)
    assert_close(got_variance, x.astype("float64").var(axis=(0, 1, 2)), 1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise(small_pieces, rng, dtype):
    a, b = rng.normal(size=(2, 5, 7, 3)).astype(dtype)[:, :, ::2], rng.normal(size=(2, 5, 4, 3)).astype(dtype)
    y = np.maximum(a, 0)
    for kernel, arguments in (("relu", (a,)), ("relu_grad", (b, y)), ("add", (a, b)), ("add", (a, b, True))):
        got, expected = (getattr(backend, kernel)(*arguments) for backend in (CPU, REFERENCE))
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


def test_a_sum_in_place(small_pieces, rng):
    """Where the first array may be written to at all, and holds what the sum does."""
    a, b = rng.normal(size=(2, 8, 9, 5))
    expected = a + b
    assert CPU.add(a, b, overwrite=True) is a
    np.testing.assert_array_equal(a, expected)
    single, turned, frozen = b.astype("float32"), np.asfortranarray(b), b.copy()
    frozen.flags.writeable = False
    for other in (single, turned, frozen):
        before = other.copy()
        assert_close(CPU.add(other, a, overwrite=True), before + a, 1e-12)
        np.testing.assert_array_equal(other, before)


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_padding(small_pieces, rng, value):
    x, pads = rng.normal(size=(3, 6, 5, 7)).astype("float32"), ((2, 0), (1, 3))
    y = CPU.pad_images(x, pads, value)
    np.testing.assert_array_equal(y, REFERENCE.pad_images(x, pads, value))
    np.testing.assert_array_equal(CPU.crop_images(y, pads), x)
    np.testing.assert_array_equal(REFERENCE.crop_images(y, pads), x)


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_joining(small_pieces, rng, axis):
    sizes = (3, 1, 5)
    xs = [rng.normal(size=(6, 6, 5, 7)).astype("float32").take(range(size), axis) for size in sizes]
    y = CPU.concatenate(xs, axis)
    np.testing.assert_array_equal(y, REFERENCE.concatenate(xs, axis))
    for part, view, x in zip(CPU.split(y, sizes, axis), REFERENCE.split(y, sizes, axis), xs, strict=True):
        np.testing.assert_array_equal(part, x)
        np.testing.assert_array_equal(view, x)


@pytest.mark.parametrize(
    "key", [np.s_[:, 1:7, 2:], np.s_[:, ::2, 1::3, :4], np.s_[0:9,], np.s_[::-1, 3:5], np.s_[2:4, :, 1:], ()]
)
def test_place(small_pieces, rng, key):
    whole = rng.normal(size=(9, 8, 7, 6)).astype("float32")
    y = CPU.place(whole[key], whole.shape, key)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, REFERENCE.place(whole[key], whole.shape, key))
    np.testing.assert_array_equal(y[key], whole[key])
    assert (y == 0).sum() == whole.size - whole[key].size


@pytest.mark.parametrize(
    ("m", "k", "n"), [(37, 5, 11), (3, 50, 40), (1, 4, 1), (64, 1, 64), (8, 700, 1500), (20, 40, 60), (40, 70, 1500)]
)
def test_matmul(small_pieces, rng, m, k, n):
    """Of matrices and of transposes, one at a time and all at once."""
    a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    sides = [(first, second) for first in (a, np.array(a.T).T) for second in (b, np.array(b.T).T)]
    sides += [(second.T, first.T) for first, second in sides]
    for (first, second), together in zip(sides, CPU.matmuls(*sides), strict=True):
        expected = np.einsum("ij,jk->ik", first, second)
        assert_close(CPU.matmul(first, second), expected, 1e-13)
        assert_close(together, expected, 1e-13)


@pytest.mark.parametrize("algorithm", ["direct", "winograd2", "winograd4", "winograd4x1"])
def test_same_bits_on_any_number_of_threads(rng, monkeypatch, algorithm):
    monkeypatch.setattr(config.config, "conv", algorithm)
    x = rng.normal(size=(4, 30, 29, 16)).astype("float32")
    w = rng.normal(size=(3, 3, 16, 24)).astype("float32")
    window = Window((1, 1), "same")

    def everything():
        y = CPU.conv2d(x, w, window)
        moments = CPU.channel_moments(y)
        z = CPU.batch_norm(y, *moments, None, None, 1e-3, residual=y, relu=True)
        dy, _, _, dz = CPU.batch_norm_relu_grad(y, z, y, *moments, None, 1e-3, residual=True)
        pooling = (3, 3), Window((2, 2), "same")
        pooled, winners = CPU.max_pool_winners(y, *pooling)
        normed = CPU.batch_norm_relu_pool(y, *moments, None, None, 1e-3, *pooling)
        return (
            y, *moments, z, dy, dz, CPU.batch_norm_grad(y, z, *moments, None, 1e-3)[0], CPU.relu(y),
            CPU.relu_grad(dy, z), CPU.add(y, z), CPU.channel_sum(y), CPU.conv2d_input_grad(dy, w, x.shape, window),
            CPU.conv2d_weight_grad(x, dy, w.shape, window), CPU.matmul(y.reshape(-1, 24).T, dy.reshape(-1, 24)),
            CPU.conv2d_input_grad(y[:, ::2, ::2], w, x.shape, Window((2, 2), "same")),
            pooled, winners, CPU.max_pool_grad(pooled, winners, y.shape, (3, 3), Window((2, 2), "same")),
            CPU.avg_pool(y, (3, 3), window), CPU.avg_pool_grad(y, y.shape, (3, 3), window), *normed,
            *CPU.batch_norm_relu_pool_grad(normed[0], *normed, y, *moments, None, 1e-3, *pooling),
        )  # fmt: skip

    results = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(config.config, "threads", threads)
        results.append(everything())
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("kernel", "slots", "arguments"),
    [
        ("decay", -1, (0.01,)),
        ("sgd", 0, (0.1, 0.0, False)),
        ("sgd", 1, (0.1, 0.9, False)),
        ("sgd", 1, (0.1, 0.9, True)),
        ("adam", 2, (0.1, 0.9, 0.99, 1e-7)),
        ("amsgrad", 3, (0.1, 0.9, 0.99, 1e-7)),
        ("rmsprop", 3, (0.1, 0.9, 0.5, 100.0)),  # an epsilon that keeps what stands under the root positive
        ("average", 0, (0.75,)),
    ],
)
def test_updates_of_weights(small_pieces, rng, kernel, slots, arguments, dtype):
    """In pieces, small ones together: to the bit."""
    shapes = (7, 9, 5), (3,), (200,), (2, 2), (9, 30)
    groups = [[np.abs(rng.normal(size=shape)).astype(dtype) for _ in range(2 + slots)] for shape in shapes]
    groups[-1] = [a.T for a in groups[-1]]  # whose numbers do not lie in a row
    others = [[a.copy() for a in arrays] for arrays in groups]
    without = (None,) if kernel == "sgd" and not slots else ()
    sizes = []

    def work(*arrays):
        sizes.append(arrays[0].size)
        getattr(CPU, kernel)(*arrays, *without, *arguments)

    CPU.number_by_number([(work, arrays) for arrays in groups])
    assert sorted(sizes)[:2] == [3, 4] and len(sizes) > 8 and 315 not in sizes and 270 in sizes
    for arrays, expected in zip(groups, others, strict=True):
        getattr(REFERENCE, kernel)(*expected, *without, *arguments)
        for got, one in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(got, one)


def test_windows_of_lists():
    x, w = np.ones((1, 6, 6, 2), "float32"), np.ones((3, 3, 2, 4), "float32")
    lists, tuples = Window([2, 2], [[1, 0], [0, 1]], [1, 1]), Window((2, 2), ((1, 0), (0, 1)), (1, 1))
    assert lists == tuples and hash(lists) == hash(tuples)
    np.testing.assert_array_equal(CPU.conv2d(x, w, lists), CPU.conv2d(x, w, tuples))
    assert functions.max_pool(x, [2, 2]).shape == (1, 3, 3, 2)


def test_sums_of_few_rows(rng, monkeypatch):
    """In float32, unless digits are asked for."""
    x = np.full((256, 100), 0.1, "float32")
    x[0] = 1e6
    exact = x.astype("float64").sum(axis=0)
    assert np.abs(CPU.channel_sum(x) - exact).max() < 1
    monkeypatch.setattr(config.config, "precision", "highest")
    assert np.abs(CPU.channel_sum(x) - exact).max() < 0.07


def test_an_error_in_a_piece_reaches_the_caller():
    def work(piece):
        if piece == 3:
            raise ValueError("piece 3")

    with pytest.raises(ValueError, match="piece 3"):
        parallel.run(work, range(8))
    parallel.run(lambda piece: None, range(8))  # and the pool goes on


def test_blas_is_held_at_one_thread_and_let_go():
    threads = [library.num_threads for library in parallel._blas.libraries()]
    seen = []
    with CPU.working():
        parallel.run(lambda _: seen.append([library.num_threads for library in parallel._blas.libraries()]), range(3))
    assert seen == [[1] * len(threads)] * 3
    assert [library.num_threads for library in parallel._blas.libraries()] == threads


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_piece_is_done_once_by_any_number_of_threads(threads):
    """Many jobs one after the other: helpers that come late to one must not touch the next."""
    config.set_threads(threads)
    for count in [0, 1, 2, 3, 7] * 50:
        done = []
        parallel.run(done.append, range(count))
        assert sorted(done) == list(range(count))


def test_an_error_on_a_helper_reaches_the_caller():
    """Both threads wait for each other, so that one of the two pieces is a helper's; that one fails."""
    config.set_threads(2)
    both, caller = threading.Barrier(2, timeout=60), threading.current_thread()

    def work(piece):
        both.wait()
        if threading.current_thread() is not caller:
            raise KeyError("on a helper")

    with pytest.raises(KeyError, match="on a helper"):
        parallel.run(work, range(2))
