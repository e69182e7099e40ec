import numpy as np

from minicnn import config
from minicnn.data.augment import Augmentation
from minicnn.data.loader import Loader


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


def test_the_same_seed_brings_the_same_batches(monkeypatch):
    class Noisy(Augmentation):
        def draw(self, random, n):
            return random.normal(size=(n, 1))

        def __call__(self, x, drawn):
            return x + drawn

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
