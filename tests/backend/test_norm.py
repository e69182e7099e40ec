"""Batch norm, sums over channels and the ReLU's mask, piece by piece: how rows are cut, and shapes that cut badly."""

import numpy as np
import pytest

from minicnn.backend import CPU
from minicnn.backend.cpu import pieces, rows
from minicnn.backend.reference import Backend
from tests.checks import assert_close

REFERENCE = Backend(np)


@pytest.mark.parametrize(
    ("pixels", "channels", "joined"),
    [
        (8 * 56 * 56, 64, 128),  # to the number
        (8 * 35 * 35, 48, 175),  # a few more
        (8 * 17 * 17, 192, 68),
        (8 * 7 * 7, 2048, 4),
        (8 * 7 * 7, 10000, 1),  # a row as it is
        (6, 16, 6),  # all there are
        (8191 * 2, 16, 2),  # a prime number of pixels, twice
    ],
)
def test_pixels_of_a_row(pixels, channels, joined):
    assert rows.joined_pixels(pixels, channels, rows.WIDE) == joined


def test_rows_that_are_summed_up_are_not_short():
    """Of 2 * 73 pixels joined, 73 are nearer to what is wanted than 2 are."""
    found = rows.Rows(8 * 73 * 73, 80)
    assert (found.joined, found.summed) == (146, 73)


@pytest.mark.parametrize(
    ("size", "count"), [(rows.PIECE // 4, 1), (rows.PIECE // 2, 2), (2 * rows.PIECE, 2), (5 * rows.PIECE, 4)]
)
def test_two_workers_have_equally_much_to_do(size, count):
    assert rows.number_of_pieces(size) == count


@pytest.mark.parametrize("shape", [(8, 35, 35, 48), (3, 17, 17, 7), (2, 127, 16), (9, 30, 30, 65), (1, 1, 9000)])
def test_pieces_hold_every_number_once(shape):
    found = rows.Rows(int(np.prod(shape[:-1])), shape[-1])
    x = np.zeros(shape)
    for spans, matrix in ((found.pieces, found.matrix(x)), (found.parts, found.short(x))):
        for span in spans:
            matrix[span] += 1
    assert (x == 2).all()
    assert len(found.pieces) == len(found.parts) <= max(rows.number_of_pieces(x.size), 1)


@pytest.mark.parametrize("shape", [(8, 35, 35, 48), (3, 127, 127, 7), (9, 30, 30, 65), (300, 1021)])
def test_shapes_that_cut_badly(rng, shape):
    x, dy, residual = (rng.normal(size=shape).astype("float32") for _ in range(3))
    gamma, beta = rng.normal(size=(2, shape[-1])).astype("float32")
    moments = REFERENCE.channel_moments(x)
    for got, expected in zip(CPU.channel_moments(x), moments, strict=True):
        assert_close(got, expected, 3e-6)
    assert_close(CPU.channel_sum(x), REFERENCE.channel_sum(x), 3e-6)
    arguments = x, *moments, gamma, beta, 1e-3, residual, True
    y = REFERENCE.batch_norm(*arguments)
    assert_close(CPU.batch_norm(*arguments), y, 3e-6)
    got, expected = (b.batch_norm_relu_grad(dy, y, x, *moments, gamma, 1e-3, True) for b in (CPU, REFERENCE))
    for one, other in zip(got, expected, strict=True):
        assert_close(one, other, 1e-5)


@pytest.mark.parametrize(
    ("dtype", "other"), [("float16",) * 2, ("float32",) * 2, ("float64",) * 2, ("float32", "float64")]
)
def test_mask_of_a_relu(rng, dtype, other):
    """Zeros of either sign let nothing through, the smallest numbers do, and an infinite gradient is held back too."""
    y = np.array([0.0, -0.0, np.finfo(other).smallest_subnormal, 2.0, np.inf, 0.0], other)
    dy, out = np.array([3.0, -3.0, 5.0, -7.0, 11.0, -13.0], dtype), np.empty(6, dtype)
    pieces.kept_where_positive(dy, y, out)
    np.testing.assert_array_equal(out, [0, 0, 5, -7, 11, 0])
    if dtype == other:
        pieces.kept_where_positive(np.full(6, np.inf, dtype), y, out)
        np.testing.assert_array_equal(out, [0, 0, np.inf, np.inf, np.inf, 0])
