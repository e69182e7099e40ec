"""What every augmentation keeps to, and what the ones of whole cells do."""

import numpy as np
import pytest

from minicnn.data.augment import Augmentation, Chain, HorizontalFlip, RandomCrop, Shift
from minicnn.data.colour import ColourJitter, PCALighting
from minicnn.data.views import CentreCrop, RandomResizedCrop, ResizeCrop

ALL = {
    "shift": Shift(2),
    "crop": RandomCrop(1, (5, 4), fill=7),
    "flip": HorizontalFlip(),
    "centre": CentreCrop((3, 4), 5),
    "scales": ResizeCrop((4, 3), (4, 9)),
    "resized": RandomResizedCrop((5, 6)),
    "jitter": ColourJitter(),
    "lighting": PCALighting([60.0, 10, 5], np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]),
}


@pytest.fixture(params=[np.uint8, np.float32, np.float64])
def images(request, rng):
    return rng.integers(0, 256, (9, 7, 6, 3)).astype(request.param)


@pytest.mark.parametrize("name", ALL)
def test_each_image_depends_on_its_own_row_alone(images, name):
    """The same bits whichever images stand beside it: so neither batches nor workers change a picture."""
    augmentation = ALL[name]
    drawn = augmentation.draw(np.random.default_rng(3), len(images))
    together = augmentation(images, drawn)
    some = [4, 1, 8]
    np.testing.assert_array_equal(augmentation(images[some], drawn[some]), together[some])
    for k in range(len(images)):
        np.testing.assert_array_equal(augmentation(images[k : k + 1], drawn[k : k + 1])[0], together[k])
    assert augmentation(images[:0], drawn[:0]).shape == (0, *together.shape[1:])


@pytest.mark.parametrize("name", ALL)
def test_a_row_does_not_depend_on_the_number_of_rows(name):
    few, many = (ALL[name].draw(np.random.default_rng(3), n) for n in (10, 1000))
    np.testing.assert_array_equal(few, many[:10])


@pytest.mark.parametrize("name", ALL)
def test_the_argument_and_its_type_stay(images, name):
    before = images.copy()
    found = ALL[name](images, ALL[name].draw(np.random.default_rng(3), len(images)))
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(found, images)
    floats = name in ("jitter", "lighting") and images.dtype == np.uint8
    assert found.dtype == (np.float32 if floats else images.dtype)


def test_a_chain_is_its_steps_one_after_the_other(images):
    steps = [RandomCrop(2), np.copy, HorizontalFlip()]
    chain = Chain(steps)
    tables = chain.tables(4, 50)
    assert tables[1] is None
    indices = np.array([30, 2, 49])
    by_hand = steps[2](steps[0](images[:3], tables[0][indices]), tables[2][indices])
    np.testing.assert_array_equal(chain(images[:3], indices, tables), by_hand)
    again, other = chain.tables(4, 50), chain.tables(5, 50)
    np.testing.assert_array_equal(again[0], tables[0])
    assert not np.array_equal(other[0], tables[0])


def test_two_of_a_kind_draw_differently():
    tables = Chain([RandomCrop(2), RandomCrop(2)]).tables(0, 20)
    assert not np.array_equal(*tables)


def test_one_s_own_augmentation():
    with pytest.raises(NotImplementedError):
        Augmentation().draw(np.random.default_rng(0), 3)


# Whole cells ---------------------------------------------------------------------------------------------------------


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


def test_every_place_of_a_crop_is_as_likely(rng):
    images = np.tile(np.arange(24).reshape(1, 4, 6, 1), (6000, 1, 1, 1))
    cut = RandomCrop(size=(3, 4))
    corners = cut(images, cut.draw(rng, 6000))[:, 0, 0, 0]
    values, counts = np.unique(corners, return_counts=True)
    assert values.tolist() == [0, 1, 2, 6, 7, 8]  # two rows, three columns
    assert counts.min() > 870 and counts.max() < 1130  # 1000 each, and four deviations


def test_the_largest_number_below_1_stays_inside():
    images = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    last = np.nextafter(np.float32(1), np.float32(0))
    found = RandomCrop(size=(2, 2))(images, np.array([[last, last]], np.float32))
    np.testing.assert_array_equal(found[0, :, :, 0], [[4, 5], [7, 8]])


def test_padding_has_its_value():
    images = np.ones((1, 2, 2, 1), np.uint8)
    found = RandomCrop(1, (4, 4), fill=9)(images, np.zeros((1, 2)))
    assert found[0, :, :, 0].tolist() == [[9, 9, 9, 9], [9, 1, 1, 9], [9, 1, 1, 9], [9, 9, 9, 9]]


def test_flip(rng):
    images = rng.integers(0, 256, (1000, 2, 3, 2), np.uint8)
    flip = HorizontalFlip(0.3)
    drawn = flip.draw(rng, 1000)
    assert 240 < drawn.sum() < 360
    found = flip(images, drawn)
    np.testing.assert_array_equal(found[drawn], images[drawn][:, :, ::-1])
    np.testing.assert_array_equal(found[~drawn], images[~drawn])
    assert not HorizontalFlip(0).draw(rng, 100).any() and HorizontalFlip(1).draw(rng, 100).all()


@pytest.mark.parametrize("make, message", [
    (lambda: RandomCrop(-1), "padding must be at least 0, got -1"),
    (lambda: RandomCrop(0, (2, 0)), "size must be"),
    (lambda: HorizontalFlip(1.5), "from 0 to 1, got 1.5"),
    (lambda: RandomCrop(1, (9, 3))(np.zeros((1, 6, 5, 1)), np.zeros((1, 2))), "cannot cut 9 x 3 out of 6 x 5 with"),
])  # fmt: skip
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
