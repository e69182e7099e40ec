import numpy as np

from minicnn.data.augment import Shift


def test_shift_moves_each_image_whole_and_fills_with_zeros(rng):
    images = np.zeros((200, 7, 6, 2), np.uint8)
    images[:, 3, 2] = (5, 9)  # one bright cell, two cells or more from each border
    moved = Shift(2)(images, Shift(2).draw(rng, 200))
    assert moved.shape == images.shape and moved.dtype == images.dtype
    n, row, column = np.nonzero(moved[..., 0])
    np.testing.assert_array_equal(n, np.arange(200))  # each has its cell, and it only
    np.testing.assert_array_equal(moved[n, row, column], np.tile([5, 9], (200, 1)))
    assert set(row) == {1, 2, 3, 4, 5} and set(column) == {0, 1, 2, 3, 4}
    assert len(set(zip(row, column, strict=True))) == 25  # the axes are independent


def test_shift_by_zero_changes_nothing(rng):
    images = rng.normal(size=(3, 5, 4, 1)).astype(np.float32)
    np.testing.assert_array_equal(Shift(0)(images, Shift(0).draw(rng, 3)), images)
