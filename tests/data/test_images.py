import numpy as np
import pytest

from minicnn.data.images import prepare, resize

# up, down, both at once, not at all, from and to a single cell
SIZES = [(32, 32), (7, 4), (3, 17), (8, 6), (1, 1), (5, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resize_is_that_of_tensorflow(rng, size, dtype):
    tf = pytest.importorskip("tensorflow")
    images = rng.integers(0, 256, (3, 8, 6, 2)).astype(dtype)
    ours = resize(images, size)
    assert ours.dtype == np.float32 and ours.shape == (3, *size, 2)
    np.testing.assert_allclose(ours, tf.image.resize(images, size).numpy(), rtol=1e-5, atol=1e-4)


def test_resize_of_one_cell_spreads_it():
    np.testing.assert_array_equal(resize(np.full((1, 1, 1, 1), 7, np.uint8), (3, 2)), np.full((1, 3, 2, 1), 7.0))


def test_resize_by_hand():
    row = np.array([0, 4], np.uint8).reshape(1, 1, 2, 1)
    # centres of the four new cells at -1/4, 1/4, 3/4, 5/4 of the old ones
    np.testing.assert_array_equal(resize(row, (1, 4)).ravel(), [0, 1, 3, 4])


def test_resize_leaves_its_argument_alone(rng):
    images = rng.normal(size=(2, 3, 4, 1)).astype(np.float32)
    before = images.copy()
    resize(images, (3, 4))[:] = 0
    np.testing.assert_array_equal(images, before)


def test_prepare_scales_and_repeats_grey(rng):
    images = rng.integers(0, 17, (2, 8, 6, 1)).astype(np.uint8)
    images[0, 0, 0] = 16
    x = prepare(images, (8, 6, 3), top=16)
    assert x.dtype == np.float32 and x.max() == 1 and x.min() >= 0
    for channel in range(3):
        np.testing.assert_array_equal(x[..., channel], images[..., 0] / 16)


@pytest.mark.parametrize("call, message", [
    (lambda: resize(np.zeros((8, 8, 1)), (4, 4)), r"\(N, H, W, C\), got \(8, 8, 1\)"),
    (lambda: resize(np.zeros((1, 8, 8, 1)), (4, 0)), r"each at least 1, got \(4, 0\)"),
    (lambda: resize(np.zeros((1, 8, 8, 1)), (4,)), r"got \(4,\)"),
    (lambda: prepare(np.zeros((1, 8, 8, 3)), (4, 4, 1), 255), "images have 3 channels, the network wants 1"),
])  # fmt: skip
def test_bad_images_and_sizes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
