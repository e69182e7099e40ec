"""Views: which box of a picture is shown, and how."""

import numpy as np
import pytest

from minicnn.data.views import CentreCrop, RandomResizedCrop, ResizeCrop, resample
from tests.checks import assert_close


def whole(images):
    return np.tile([0.0, 0.0, *images.shape[1:3]], (len(images), 1))


def loop_resample(image, box, size):
    """(OH, OW, C) of one image: the mean under triangles, cell by cell."""
    height, width, channels = image.shape
    out = np.zeros((*size, channels))
    for i in range(size[0]):
        for j in range(size[1]):
            weights = np.zeros((height, width))
            for r in range(height):
                for c in range(width):
                    weight = 1.0
                    for place, start, length, n, k in (
                        (r, box[0], box[2], size[0], i),
                        (c, box[1], box[3], size[1], j),
                    ):
                        scale = length / n
                        distance = abs(place + 0.5 - (start + (k + 0.5) * scale)) / max(scale, 1)
                        weight *= max(0.0, 1 - distance)
                    weights[r, c] = weight
            out[i, j] = (image * weights[..., None]).sum((0, 1)) / weights.sum()
    return out


@pytest.mark.parametrize("size", [(4, 3), (7, 6), (13, 2), (1, 11), (20, 20)])
def test_resample_is_the_loop(rng, size):
    images = rng.normal(size=(3, 7, 6, 2))
    boxes = np.array([[0, 0, 7, 6], [1.3, 0.2, 4.1, 5.5], [5.9, 3, 0.7, 2.25]])
    found = resample(images, boxes, size)
    expected = np.stack([loop_resample(image, box, size) for image, box in zip(images, boxes, strict=True)])
    assert found.dtype == np.float64
    assert_close(found, expected)


def test_resample_is_pillow(rng):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image = rng.integers(0, 256, (40, 31, 3), np.uint8)
    cases = [((9, 8), (0, 0, 40, 31)), ((60, 50), (0, 0, 40, 31)), ((16, 12), (3.5, 2.25, 30, 20.5))]
    for size, (top, left, height, width) in [*cases, ((5, 7), (10, 10, 4, 3))]:
        box = (left, top, left + width, top + height)
        pillow = image_module.fromarray(image).resize(size[::-1], image_module.Resampling.BILINEAR, box=box)
        ours = resample(image[None], np.array([[top, left, height, width]]), size)[0]
        assert ours.dtype == np.uint8
        # Pillow rounds to whole numbers between the two axes, and takes its weights as whole numbers
        assert np.abs(ours.astype(int) - np.asarray(pillow).astype(int)).max() <= 1


def test_resample_of_the_same_size_changes_nothing(rng):
    for images in (rng.integers(0, 256, (2, 5, 4, 3), np.uint8), rng.normal(size=(2, 5, 4, 1)).astype(np.float32)):
        found = resample(images, whole(images), (5, 4))
        np.testing.assert_array_equal(found, images)
        assert found is not images and found.dtype == images.dtype


def test_centre_crop():
    # the largest box of the shape 2 : 1 in the middle of 10 x 4, and in that of 3 x 12
    np.testing.assert_allclose(
        CentreCrop((4, 2)).boxes(np.array([10, 3]), np.array([4, 12]), np.full((2, 3), 0.5)),
        [[1, 0, 8, 4], [0, 5.25, 3, 1.5]],
    )
    # the shorter side, 100, becomes 50: the box of 40 x 30 takes 80 x 60 of the picture
    np.testing.assert_allclose(
        CentreCrop((40, 30), 50).boxes(np.array([100]), np.array([300]), np.full((1, 3), 0.5)), [[10, 120, 80, 60]]
    )
    images = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
    view = CentreCrop((2, 2), 6)
    np.testing.assert_array_equal(view(images, view.draw(None, 1))[0, :, :, 0], [[14, 15], [20, 21]])


def test_resize_crop_draws_every_scale_and_place(rng):
    view = ResizeCrop((3, 2), (4, 6))
    drawn = view.draw(rng, 5000)
    boxes = view.boxes(np.full(5000, 12), np.full(5000, 24), drawn)
    scale = 12 / boxes[:, 2] * 3  # what the shorter side became
    np.testing.assert_allclose(scale, np.round(scale))
    counts = np.unique(np.round(scale), return_counts=True)
    assert counts[0].tolist() == [4, 5, 6] and counts[1].min() > 1500
    np.testing.assert_allclose(boxes[:, 3] / boxes[:, 2], 2 / 3)
    for axis, length in ((0, 12), (1, 24)):
        room = length - boxes[:, 2 + axis]
        assert boxes[:, axis].min() >= 0 and (boxes[:, axis] <= room).all()
        place = boxes[:, axis] / room
        assert place.min() < 0.01 and place.max() > 0.99 and abs(place.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(boxes[:, 0], boxes[:, 1])[0, 1]) < 0.05


def test_random_resized_crop_is_within_its_bounds(rng):
    view = RandomResizedCrop((4, 4))
    heights, widths = rng.integers(1, 60, (2, 4000))
    boxes = view.boxes(heights, widths, view.draw(rng, 4000))
    top, left, high, wide = boxes.T
    tiny = 1e-6
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + high <= heights + tiny).all() and (left + wide <= widths + tiny).all()
    square = np.abs(np.log(widths / heights)) < 0.2  # where a box that does not fit is rare
    share = (high * wide / (heights * widths))[square]
    assert share.min() < 0.1 and share.max() > 0.9 and 0.08 <= share.min() and share.max() <= 1 + tiny
    ratio = wide / high
    assert 3 / 4 - tiny <= ratio.min() < 0.76 and 1.32 < ratio.max() <= 4 / 3 + tiny


def test_random_resized_crop_of_a_long_picture_takes_its_middle():
    view = RandomResizedCrop((4, 4), area=(1, 1))  # nothing but the whole, whose shape is not allowed
    drawn = view.draw(np.random.default_rng(0), 2)
    boxes = view.boxes(np.array([10, 100]), np.array([100, 10]), drawn)
    np.testing.assert_allclose(boxes, [[0, (100 - 40 / 3) / 2, 10, 40 / 3], [(100 - 40 / 3) / 2, 0, 40 / 3, 10]])


def test_random_resized_crop_draws_anew_what_does_not_fit():
    view = RandomResizedCrop((4, 4))
    drawn = np.zeros((1, 22), np.float32)
    drawn[0, 2:12], drawn[0, 12:] = 0.999, 1.3  # a large and wide one, which 20 x 20 cannot hold ...
    drawn[0, 5], drawn[0, 15] = 0.16, 1  # ... but the fourth is small and square
    box = view.boxes(np.array([20]), np.array([20]), drawn)[0]
    np.testing.assert_allclose(box, [0, 0, 8, 8], rtol=1e-6)


@pytest.mark.parametrize("make, message", [
    (lambda: CentreCrop((0, 3)), r"size must be \(height, width\).* got \(0, 3\)"),
    (lambda: CentreCrop((3,)), "size must be"),
    (lambda: CentreCrop((8, 8), 7), r"resize must be at least the size \(8, 8\).* got 7"),
    (lambda: ResizeCrop((8, 8), (9, 8)), "low <= high"),
    (lambda: RandomResizedCrop((8, 8), area=(0, 1)), r"area must be .* got \(0, 1\)"),
    (lambda: RandomResizedCrop((8, 8), area=(0.5, 1.1)), "area must be"),
    (lambda: RandomResizedCrop((8, 8), ratio=(2, 1)), "ratio must be"),
])  # fmt: skip
def test_bad_views(make, message):
    with pytest.raises(ValueError, match=message):
        make()
