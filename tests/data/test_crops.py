"""Several crops of each image, for evaluation."""

import numpy as np
import pytest

from minicnn.data.crops import average_crops, grid_crops, inception_crops, ten_crop
from minicnn.data.views import resample


def test_ten_crop_by_hand():
    images = np.arange(2 * 5 * 4).reshape(2, 5, 4, 1)
    crops = ten_crop(images, (3, 2))
    assert crops.shape == (2, 10, 3, 2, 1)
    corners = [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]
    for k, (row, column) in enumerate(corners):
        expected = images[:, row : row + 3, column : column + 2]
        np.testing.assert_array_equal(crops[:, k], expected)
        np.testing.assert_array_equal(crops[:, 5 + k], expected[:, :, ::-1])


def test_grid_crops(rng):
    images = rng.integers(0, 256, (2, 8, 12, 3), np.uint8)
    crops = grid_crops(images, (4, 4), scales=(8, 6), grid=3)
    assert crops.shape == (2, 36, 4, 4, 3) and crops.dtype == np.uint8
    places = [(r, c) for r in (0, 2, 4) for c in (0, 4, 8)]  # at scale 8 nothing is resized
    for k, (row, column) in enumerate(places):
        np.testing.assert_array_equal(crops[:, k], images[:, row : row + 4, column : column + 4])
    smaller = resample(images, np.tile([0.0, 0, 8, 12], (2, 1)), (6, 9))
    np.testing.assert_array_equal(crops[:, 9], smaller[:, :4, :4])
    np.testing.assert_array_equal(crops[:, 17], smaller[:, 2:, 5:])
    np.testing.assert_array_equal(crops[:, 18:], crops[:, :18, :, ::-1])
    assert grid_crops(images, (5, 5), (6, 7, 8)).shape[1] == 150


@pytest.mark.parametrize("shape", [(8, 12), (12, 8)])
def test_inception_crops(rng, shape):
    images = rng.integers(0, 256, (2, *shape, 3), np.uint8)
    crops = inception_crops(images, (5, 5), scales=(8,))
    assert crops.shape == (2, 36, 5, 5, 3)
    for k, start in enumerate((0, 2, 4)):  # three squares of 8 x 8
        square = images[:, :, start : start + 8] if shape == (8, 12) else images[:, start : start + 8]
        np.testing.assert_array_equal(crops[:, 6 * k : 6 * k + 5], ten_crop(square, (5, 5))[:, :5])
        resized = resample(square, np.tile([0.0, 0, 8, 8], (2, 1)), (5, 5))
        np.testing.assert_array_equal(crops[:, 6 * k + 5], resized)
    np.testing.assert_array_equal(crops[:, 18:], crops[:, :18, :, ::-1])
    assert inception_crops(images, (6, 6), (8, 9, 10, 11)).shape[1] == 144


def test_average_crops(rng):
    crops = rng.normal(size=(3, 4, 2, 2, 1))
    found = average_crops(lambda x: np.stack([x.sum((1, 2, 3)), x[:, 0, 0, 0]], 1), crops)
    np.testing.assert_allclose(found, np.stack([crops.sum((2, 3, 4)).mean(1), crops[:, :, 0, 0, 0].mean(1)], 1))
    with pytest.raises(ValueError, match=r"\(N, crops, H, W, C\), got \(3, 2, 2, 1\)"):
        average_crops(lambda x: x, crops[:, 0])


def test_too_large_a_crop():
    with pytest.raises(ValueError, match="cannot cut 5 x 6 out of 5 x 5"):
        ten_crop(np.zeros((1, 5, 5, 1)), (5, 6))
    with pytest.raises(ValueError, match="cannot cut 6 x 6 out of 5 x 5"):
        grid_crops(np.zeros((1, 9, 9, 1)), (6, 6), (5,))
