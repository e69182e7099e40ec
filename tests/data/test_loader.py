"""The loader: every sample once, the same batches for any number of workers and after resuming."""

import threading
import time

import numpy as np
import pytest

from minicnn import config
from minicnn.data.augment import Augmentation, Chain, HorizontalFlip, RandomCrop
from minicnn.data.colour import ColourJitter, Normalise, PCALighting
from minicnn.data.loader import Loader
from minicnn.data.views import RandomResizedCrop


def samples(n=10):
    return np.arange(n)[:, None], np.arange(n)


def test_an_epoch_brings_every_sample_once_in_another_order():
    loader = Loader(*samples(), batch_size=4)
    first, second = list(loader), list(loader)
    assert [len(x) for x, _ in first] == [4, 4, 2] and len(loader) == 3 and loader.samples == 10
    orders = [np.concatenate([y for _, y in epoch]) for epoch in (first, second)]
    for order in orders:
        assert sorted(order) == list(range(10))
    assert list(orders[0]) != list(orders[1])
    for x, y in first:
        np.testing.assert_array_equal(x[:, 0], y)


class Noisy(Augmentation):
    def draw(self, random, n):
        return random.normal(size=(n, 1))

    def __call__(self, x, drawn):
        return x + drawn


def test_the_same_seed_brings_the_same_batches(monkeypatch):
    def epochs():
        loader = Loader(*samples(), batch_size=4, augment=Noisy())
        return [x.copy() for _ in range(2) for x, _ in loader]

    one, two = epochs(), epochs()
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.setattr(config.config, "seed", 1)
    assert not all(np.array_equal(a, b) for a, b in zip(one, epochs(), strict=True))


def test_limit_is_in_batches():
    loader = Loader(*samples(), batch_size=4, limit=2)
    assert [len(x) for x, _ in loader] == [4, 4] and len(loader) == 2 and loader.samples == 8
    assert len(Loader(*samples(), batch_size=4, limit=9)) == 3


def test_without_shuffling():
    assert [y.tolist() for _, y in Loader(*samples(5), batch_size=2, shuffle=False)] == [[0, 1], [2, 3], [4]]


def test_numbers_keep_their_type_until_a_step_changes_it():
    x = np.zeros((4, 2, 2, 3), np.uint8)
    assert next(iter(Loader(x, x[:, 0, 0, 0])))[0].dtype == np.uint8
    assert next(iter(Loader(x, x[:, 0, 0, 0], augment=Normalise(np.zeros(3)))))[0].dtype == np.float32


# The same pictures, however they are made ----------------------------------------------------------------------------

CHAIN = [RandomResizedCrop((6, 5)), RandomCrop(1), HorizontalFlip(), ColourJitter(), PCALighting([9, 5, 1], np.eye(3))]


def pictures(n=23):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (n, 9, 8, 3), np.uint8), np.arange(n)


def by_label(loader, epochs=2):
    """{(epoch, label): picture} of the next epochs"""
    first = loader.epoch
    return {(first + e, int(k)): image for e in range(epochs) for x, y in loader for image, k in zip(x, y, strict=True)}


def same(one, two):
    assert sorted(one) == sorted(two)
    for key, image in one.items():
        np.testing.assert_array_equal(image, two[key])


@pytest.mark.parametrize("workers", [1, 2, 3, 40])
def test_any_number_of_workers(workers):
    alone = list(Loader(*pictures(), batch_size=5, augment=CHAIN))
    for epoch_of_threads, prefetch in ((0, 1), (0, 2), (0, 9)):
        loader = Loader(*pictures(), batch_size=5, augment=CHAIN, workers=workers, prefetch=prefetch)
        found = list(loader)
        assert loader.epoch == epoch_of_threads + 1
        for (x, y), (x_alone, y_alone) in zip(found, alone, strict=True):
            np.testing.assert_array_equal(x, x_alone)
            np.testing.assert_array_equal(y, y_alone)


def test_any_size_of_batch_and_order():
    one = by_label(Loader(*pictures(), batch_size=5, augment=CHAIN))
    same(one, by_label(Loader(*pictures(), batch_size=23, augment=CHAIN)))
    same(one, by_label(Loader(*pictures(), batch_size=1, augment=CHAIN, shuffle=False)))
    assert not all(np.array_equal(one[0, k], one[1, k]) for k in range(23))  # another epoch, other pictures


def test_more_samples_change_none_of_the_others():
    one = by_label(Loader(*pictures(40), batch_size=5, augment=CHAIN))
    two = by_label(Loader(one_x := pictures(40)[0][:23], np.arange(len(one_x)), batch_size=5, augment=CHAIN))
    same({key: image for key, image in one.items() if key[1] < 23}, two)


def test_a_plain_function_in_the_chain_changes_no_draw():
    one = by_label(Loader(*pictures(), augment=[RandomCrop(2), HorizontalFlip()]), 1)
    two = by_label(Loader(*pictures(), augment=[np.copy, RandomCrop(2), np.copy, HorizontalFlip()]), 1)
    same(one, two)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("epoch, step", [(0, 0), (0, 3), (2, 0), (2, 1), (1, 4), (1, 5)])
def test_resuming(workers, epoch, step):
    whole = Loader(*pictures(), batch_size=5, augment=CHAIN)
    batches = [list(whole) for _ in range(4)]
    loader = Loader(*pictures(), batch_size=5, augment=CHAIN, workers=workers)
    loader.resume(epoch, step)
    assert loader.epoch == epoch
    for k, expected in ((epoch, batches[epoch][step:]), (epoch + 1, batches[epoch + 1])):
        found = list(loader)
        assert loader.epoch == k + 1 and len(found) == len(expected)
        for (x, y), (x_whole, y_whole) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(x, x_whole)
            np.testing.assert_array_equal(y, y_whole)


def test_resuming_does_not_make_the_batches_before():
    made = []
    loader = Loader(*samples(10), batch_size=2, augment=lambda x: made.append(1) or x)
    loader.resume(0, 4)
    assert len(list(loader)) == 1 and len(made) == 1


# Threads -------------------------------------------------------------------------------------------------------------


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("minicnn-loader")]


def test_prefetching_is_bounded_and_ends_with_the_loop():
    begun = []
    loader = Loader(*samples(100), batch_size=2, augment=lambda x: begun.append(1) or x, workers=1, prefetch=3)
    batches = iter(loader)
    next(batches)
    last = time.monotonic() + 60
    while len(begun) < 4 and time.monotonic() < last:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(begun) == 4 and threads()  # the one that we have, and three ahead
    batches.close()
    assert not threads() and len(begun) <= 4
    for _ in loader:  # a loop that breaks off closes it too
        break
    assert not threads() and loader.epoch == 2


def test_an_error_in_a_thread_arrives():
    def fails(x):
        if 7 in x:
            raise ValueError("seven")
        return x

    loader = Loader(*samples(10), batch_size=2, augment=fails, workers=2, shuffle=False)
    found = []
    with pytest.raises(ValueError, match="seven"):
        for _, y in loader:
            found.append(y.tolist())
    assert found == [[0, 1], [2, 3], [4, 5]]  # in order up to it
    assert not threads()


@pytest.mark.parametrize("change, message", [
    ({"batch_size": 0}, "batch_size must be a whole number from 1 up, got 0"),
    ({"batch_size": 2.5}, "got 2.5"),
    ({"workers": -1}, "workers must be a whole number from 0 up, got -1"),
    ({"prefetch": 0}, "prefetch must be"),
    ({"y": np.arange(3)}, "same number of samples, at least 1, got 10 and 3"),
    ({"x": np.zeros((0, 1)), "y": np.zeros(0)}, "got 0 and 0"),
])  # fmt: skip
def test_bad_arguments(change, message):
    x, y = samples()
    with pytest.raises(ValueError, match=message):
        Loader(**{"x": x, "y": y} | change)


def test_bad_places_to_resume_at():
    loader = Loader(*samples(10), batch_size=4)
    for epoch, step in ((-1, 0), (0, -1), (0, 4)):
        with pytest.raises(ValueError, match=f"cannot resume at epoch {epoch}, step {step}: .* steps 0 to 3"):
            loader.resume(epoch, step)


def test_bad_chains():
    with pytest.raises(TypeError, match="a chain is made of .* got 3"):
        Loader(*samples(), augment=[3])
    chain = Chain([np.copy])
    assert Chain.of(chain) is chain and Chain.of(None).steps == () and Chain.of(np.copy).steps == (np.copy,)
