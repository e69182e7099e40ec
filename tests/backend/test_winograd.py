"""Winograd's convolutions against the reference in float64: shapes with ragged edges, any padding, both gradients."""

import numpy as np
import pytest

from minicnn.backend import CPU, Window
from minicnn.backend.cpu import choice, products, winograd, winograd_few, winograd_kernel
from minicnn.backend.cpu.winograd_points import POINTS, cook_toom, points
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
    ((70, 4, 5, 2), 3, Window(pads="same")),  # several images a block
    ((1, 61, 59, 8), 9, Window(pads="same")),  # several blocks an image
    ((2, 7, 9, 32), 40, Window(pads="same", groups=8)),  # two blocks of groups
    ((2, 7, 9, 5), 5, Window(pads="same", groups=5)),
    ((2, 7, 9, 34), 6, Window(groups=2)),
    ((1, 9, 6, 130), 128, Window(pads="same")),  # kernels in two panels of columns
    ((2, 9, 3, 4), 5, Window(pads=((0, 9), (4, 5)))),  # tiles and rows of tiles beside x
]
TOLERANCE = {2: 2e-6, 4: 4e-6}


@pytest.fixture(params=[1 << 10, winograd.BLOCK_BYTES])
def block_bytes(request, monkeypatch):
    """Blocks of a few tiles, and of as many as usual."""
    if request.param < winograd.BLOCK_BYTES:
        monkeypatch.setattr(winograd, "BLOCK_BYTES", request.param)
        monkeypatch.setattr(winograd, "FEWEST", 3)
        monkeypatch.setattr(winograd, "SHARED_BYTES", 1 << 14)
        monkeypatch.setattr(winograd, "SUMMED", 0)
        monkeypatch.setattr(winograd, "COLUMNS", 4)
        monkeypatch.setattr(winograd_kernel, "COLUMNS", 4)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize(("shape", "f", "window"), SHAPES)
def test_convolution(block_bytes, monkeypatch, rng, shape, f, window, m):
    monkeypatch.setattr(config, "conv", f"winograd{m}")
    x = rng.normal(size=shape).astype("float32")
    w = rng.normal(size=(3, 3, shape[3] // window.groups, f)).astype("float32")
    expected = REFERENCE.conv2d(x.astype("float64"), w.astype("float64"), window)
    dy = rng.normal(size=expected.shape).astype("float32")
    got = CPU.conv2d(x, w, window), CPU.conv2d_input_grad(dy, w, x.shape, window)
    assert got[0].dtype == got[1].dtype == np.float32
    assert_close(got[0], expected, TOLERANCE[m])
    x, w, dy = (a.astype("float64") for a in (x, w, dy))
    assert_close(got[1], REFERENCE.conv2d_input_grad(dy, w, x.shape, window), TOLERANCE[m])
    dw = CPU.conv2d_weight_grad(x.astype("float32"), dy.astype("float32"), w.shape, window)
    assert dw.dtype == np.float32
    assert_close(dw, REFERENCE.conv2d_weight_grad(x, dy, w.shape, window), TOLERANCE[m])


@pytest.mark.parametrize("m", [2, 4])
def test_epilogue_and_prepared_kernel(block_bytes, monkeypatch, rng, m):
    monkeypatch.setattr(config, "conv", f"winograd{m}")
    check_epilogue_and_prepared_kernel(rng, (3, 3, 5, 4))


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize(
    "part",
    [
        lambda a: a[::-1, ::2, 1:],
        lambda a: a[..., 3:8],
        lambda a: a[..., ::2],
        lambda a: np.broadcast_to(a[:, :1, :1], a.shape),
        lambda a: a.transpose(0, 2, 1, 3),
        lambda a: (9 * a).astype("int8"),
    ],
)
def test_arrays_that_do_not_lie_together(monkeypatch, rng, part, m):
    """Parts of others, also such as BLAS cannot read, and other types than that of the kernel."""
    monkeypatch.setattr(config, "conv", f"winograd{m}")
    x = part(rng.normal(size=(2, 12, 11, 10)).astype("float32"))
    dy = part(rng.normal(size=(2, 12, 11, 10)).astype("float32"))
    w, window = rng.normal(size=(3, 3, x.shape[3], x.shape[3])).astype("float32"), Window(pads="same")
    for kernel, arrays in (("conv2d", (x, w)), ("conv2d_input_grad", (dy, w, x.shape))):
        expected = getattr(REFERENCE, kernel)(*(a.astype("float64") for a in arrays[:2]), *arrays[2:], window)
        assert_close(getattr(CPU, kernel)(*arrays, window), expected, TOLERANCE[m])
    if x.dtype == np.float32:
        expected = REFERENCE.conv2d_weight_grad(x.astype("float64"), dy.astype("float64"), w.shape, window)
        assert_close(CPU.conv2d_weight_grad(x, dy, w.shape, window), expected, TOLERANCE[m])


@pytest.mark.parametrize(
    ("rows", "depth", "panels", "columns"), [(61, 5, 2, 32), (98, 64, 1, 64), (131, 256, 3, 64), (40, 1000, 2, 64)]
)
def test_products_of_panels(rng, rows, depth, panels, columns):
    """With and without a rest, and too deep for small products."""
    a, b = rng.normal(size=(3, 2, rows, depth)), rng.normal(size=(3, 2, panels, depth, columns))
    out = np.empty((rows, 3, 2, panels * columns)).transpose(1, 2, 0, 3)
    products.product_of_panels(a, b, out)
    whole = b.transpose(0, 1, 3, 2, 4).reshape(3, 2, depth, -1)
    assert_close(out, a @ whole, 1e-13)


def test_heights_of_pieces():
    """Without a rest where that goes, no taller than a product may be, 0 for those that are too short."""
    assert [products.height(m, 100) for m in (1, 56, 98, 196, 61, 97)] == [1, 56, 49, 49, 31, 49]
    assert [products.height(m, 30) for m in (98, 128, 7)] == [14, 16, 7]
    assert [products.height(m, 15) for m in (98, 15)] == [0, 15]


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("f", [32, 130])
def test_few_tiles_and_a_large_kernel(monkeypatch, rng, f, m):
    """All three kernels, some channels and filters at a time; the bits are the same for any number of workers."""
    monkeypatch.setattr(choice, "LARGE", 1)
    monkeypatch.setattr(winograd_few, "CHANNELS", 24)
    monkeypatch.setattr(winograd_few, "PIECE_BYTES", 1 << 14)
    monkeypatch.setattr(winograd_kernel, "COLUMNS", 256)
    monkeypatch.setattr(config, "conv", f"winograd{m}")
    x, w = rng.normal(size=(5, 7, 6, 70)).astype("float32"), rng.normal(size=(3, 3, 70, f)).astype("float32")
    window, bias = Window(pads=((1, 0), (1, 2))), rng.normal(size=f).astype("float32")
    dy = rng.normal(size=(5, 6, 7, f)).astype("float32")

    def kernels(backend, x, w, dy, bias):
        return (
            backend.conv2d(x, w, window, bias=bias, relu=True),
            backend.conv2d_input_grad(dy, w, x.shape, window),
            backend.conv2d_weight_grad(x, dy, w.shape, window),
        )

    expected = kernels(REFERENCE, *(a.astype("float64") for a in (x, w, dy, bias)))
    results = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(config, "threads", threads)
        results.append(kernels(CPU, x, w, dy, bias))
    for got, exact, *others in zip(results[0], expected, *results[1:], strict=True):
        assert got.dtype == np.float32
        assert_close(got, exact, TOLERANCE[m])
        assert all(got.tobytes() == other.tobytes() for other in others)


@pytest.mark.parametrize(("n", "limit"), [(1, "LARGE"), (5, "HUGE")])
@pytest.mark.parametrize("f", [32, 130, 256])
def test_few_tiles_and_a_kernel_that_is_prepared(monkeypatch, rng, f, n, limit):
    """Shared out by its filters: the same bits as by images, and for any number of workers."""
    x, w = rng.normal(size=(n, 7, 6, 40)).astype("float32"), rng.normal(size=(3, 3, 40, f)).astype("float32")
    window, bias = Window(pads=((1, 0), (1, 2))), rng.normal(size=f).astype("float32")
    monkeypatch.setattr(config, "conv", "winograd4")
    prepared, parts = CPU.prepare_kernel(w, window, x.shape), []
    by_filters = winograd_few.by_filters
    monkeypatch.setattr(winograd_few, "by_filters", lambda *a: parts.append(len(a[2])) or by_filters(*a))

    def convolved():
        return CPU.conv2d(x, w, window, bias=bias, relu=True, prepared=prepared)

    by_images = convolved()
    assert not parts
    monkeypatch.setattr(choice, limit, 1)
    for threads in (1, 2, 4):
        monkeypatch.setattr(config, "threads", threads)
        assert convolved().tobytes() == by_images.tobytes()
    assert parts == 3 * [{32: 1, 130: 2, 256: 4}[f]]


@pytest.mark.parametrize(("m", "stated"), [(2, 3.5e-7), (4, 1.6e-6)])
def test_the_error_that_the_docstring_states(monkeypatch, rng, m, stated):
    x, w = rng.normal(size=(4, 24, 24, 64)), rng.normal(size=(3, 3, 64, 16))
    window = Window(pads="same")
    monkeypatch.setattr(config, "conv", f"winograd{m}")
    exact = REFERENCE.conv2d(x.astype("float32").astype("float64"), w.astype("float32").astype("float64"), window)
    assert_close(CPU.conv2d(x.astype("float32"), w.astype("float32"), window), exact, stated)


@pytest.mark.parametrize("m", [2, 4])
def test_points(rng, m):
    a, g, b = cook_toom(POINTS[m], m)
    x, w = rng.normal(size=m + 2), rng.normal(size=3)
    assert_close(a @ ((g @ w) * (b @ x)), np.correlate(x, w), 1e-13)
    p = points(m)
    x, w = rng.normal(size=(m + 2, m + 2)), rng.normal(size=(3, 3))
    plain = p.output @ ((p.kernel @ w.ravel()).reshape(m + 2, m + 2) * (p.input @ x @ p.input.T)) @ p.output.T
    expected = REFERENCE.conv2d(x[None, ..., None], w[..., None, None], Window())
    assert_close(plain, expected[0, ..., 0], 1e-5)


def test_choice(monkeypatch):
    """By shape, the same at every call; direct for what Winograd cannot or should not compute."""

    def m(x_shape, f, kernel=(3, 3), window=Window(pads="same"), dtype="float32"):  # noqa: B008
        w_shape = (*kernel, x_shape[3] // window.groups, f)
        out = window.output_size(x_shape[1:3], kernel)
        return choice.TILES.get(choice.algorithm(x_shape, w_shape, window, out, np.dtype(dtype)), 0)

    large = (8, 56, 56, 256)
    assert m(large, 256) == 4
    assert m((1, 7, 7, 512), 512) == 0  # a transform of the kernel would cost more than it saves
    assert m((8, 224, 224, 3), 64) == 0
    assert m(large, 256, dtype="float64") == 0
    assert m(large, 256, kernel=(5, 5)) == m(large, 256, kernel=(1, 3)) == 0
    assert m((8, 56, 56, 128), 128, window=Window(pads="same", groups=32)) == 4  # ResNeXt
    assert m((8, 56, 56, 128), 128, window=Window(pads="same", groups=128)) == 0
    for window in (Window((2, 2)), Window(dilation=(2, 2)), Window((1, 2))):
        assert m(large, 256, window=window) == 0
    monkeypatch.setattr(config, "conv", "winograd2")
    assert (m(large, 256), m((1, 7, 7, 2), 2), m(large, 256, (5, 5))) == (2, 2, 0)
    monkeypatch.setattr(config, "precision", "highest")
    assert m(large, 256) == 0
    monkeypatch.setattr(config, "precision", "default")
    monkeypatch.setattr(config, "conv", "direct")
    assert m(large, 256) == 0
