"""Cutting data into batches."""

import numpy as np
import pytest

from minicnn.training.batches import Arrays, Stream, batches, split


def test_the_last_batch_may_be_smaller_and_nothing_is_lost(rng):
    x, y = rng.integers(0, 255, (7, 2, 3), dtype=np.uint8), np.arange(7)
    data = Arrays(x, y, batch_size=3)
    parts = list(data.epoch())
    assert (data.samples, data.steps) == (7, 3)
    assert [len(part) for part, *_ in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([a for a, *_ in parts]), x)
    np.testing.assert_array_equal(np.concatenate([b for _, b, _ in parts]), y)
    assert all(part.dtype == np.uint8 for part, *_ in parts)
    assert np.shares_memory(parts[0][0], x)


def values(batches):
    """The first column of the batches, as lists."""
    return [x.tolist() for x, *_ in batches]


def test_an_epoch_may_begin_later():
    x = np.arange(5)
    assert values(Arrays(x, None, 2).epoch(7, step=1)) == [[2, 3], [4]]
    shuffled = Arrays(x, None, 2, shuffle=True)
    assert values(shuffled.epoch(7, step=1)) == values(shuffled.epoch(7))[1:]
    assert values(shuffled.epoch(7)) != values(shuffled.epoch(8))


@pytest.mark.parametrize("make", [lambda x, steps: Arrays(x, None, 2, steps=steps),
                                  lambda x, steps: Stream(list(np.split(x, [2, 4])), steps)])  # fmt: skip
def test_epochs_of_so_many_steps_go_on_where_the_last_one_ended(make):
    x = np.arange(5)
    data = make(x, 2)
    assert data.steps == 2
    assert [values(data.epoch(n)) for n in range(3)] == [[[0, 1], [2, 3]], [[4], [0, 1]], [[2, 3], [4]]]
    assert values(make(x, 4).epoch()) == [[0, 1], [2, 3], [4], [0, 1]]
    again = make(x, 2)
    again.resume(1, 1)
    assert values(again.epoch(1, 1)) == [[0, 1]]
    again.begin()
    assert values(again.epoch(0)) == [[0, 1], [2, 3]]


def test_a_generator_that_ends_too_soon():
    data = Stream(iter([np.zeros(1)] * 3), steps=2)
    assert len(list(data.epoch())) == 2
    with pytest.raises(ValueError, match="list_iterator has no more batches; a generator must give steps of them"):
        list(data.epoch(1))


def test_resume_is_told_to_what_can_be_told():
    told = []

    class Loader:
        def __len__(self):
            return 3

        def __iter__(self):
            return iter([np.zeros(1)] * 3)

        def resume(self, epoch, step):
            told.append((epoch, step))

    Stream(Loader()).resume(4, 2)
    Stream(Loader(), steps=5).resume(4, 2)  # 22 batches are done: seven times three, and one
    assert told == [(4, 2), (7, 1)]


def test_the_last_part_is_for_validation(rng):
    x, y, w = rng.normal(size=(10, 3)), np.arange(10), np.ones(10)
    (first, labels, _), held = split([x, x], {"a": y}, w, 0.25)
    assert [a.shape for a in first] == [(7, 3), (7, 3)]
    np.testing.assert_array_equal(labels["a"], y[:7])
    np.testing.assert_array_equal(held[1]["a"], y[7:])
    assert split(x, y, None, 0.25)[1][2] is None


def test_several_inputs_and_outputs():
    a, b = np.arange(4), np.arange(8).reshape(4, 2)
    (x, y, _), *_ = Arrays([a, b], {"one": a, "two": None}, 3).epoch()
    assert [len(part) for part in x] == [3, 3]
    assert list(y["one"]) == [0, 1, 2]
    assert y["two"] is None


def test_plain_lists_are_one_array():
    (x, y, _), *_ = Arrays([[1, 2], [3, 4], [5, 6]], [0, 1, 0]).epoch()
    assert x.shape == (3, 2)
    assert y.shape == (3,)


def test_an_iterable_brings_its_own_batches():
    pairs = [(np.zeros((2, 3)), np.zeros(2)), (np.ones((1, 3)), np.ones(1))]
    data = batches(pairs.__iter__())
    assert isinstance(data, Stream)
    assert data.steps is None
    assert [len(x) for x, *_ in data.epoch()] == [2, 1]
    with pytest.raises(ValueError, match="gave no batch; a generator lasts for one epoch only"):
        list(data.epoch())
    with pytest.raises(ValueError, match=r"a batch must be \(x, y\) or \(x, y, sample_weight\), got 4 entries"):
        list(batches(iter([(np.zeros(3),) * 4])).epoch())
    with pytest.raises(ValueError, match=r"x is an iterable \(list_iterator\), whose batches"):
        batches(iter(pairs), np.zeros(2))


def test_forms_of_a_batch():
    x, y, w = np.zeros(3), np.ones(3), np.full(3, 2)
    parts = list(Stream([x, (x,), (x, y), [x, y, w]]).epoch())
    assert [[None if a is None else a[0] for a in part] for part in parts] == [
        [0, None, None], [0, None, None], [0, 1, None], [0, 1, 2]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("x", "y", "batch_size", "message"),
    [
        (np.zeros((3, 2)), np.zeros(4), 2, r"same number of samples, got x \(3, 2\) and y \(4,\)"),
        (np.zeros((0, 2)), np.zeros(0), 2, r"there is no sample: got x of shape \(0, 2\)"),
        (np.zeros((3, 2)), np.zeros(3), 0, "batch_size must be a whole number from 1 up, got 0"),
        (np.zeros((3, 2)), np.zeros(3), 2.5, "batch_size must be a whole number from 1 up, got 2.5"),
        (["a", "b"], np.zeros(2), 2, "data must be arrays of numbers, got an array of type <U1"),
        (np.float64(3), None, 2, r"data must have a first axis, the samples; got the single number 3\.0"),
    ],
)
def test_data_that_are_refused(x, y, batch_size, message):
    with pytest.raises(ValueError, match=message):
        batches(x, y, batch_size)


@pytest.mark.parametrize(
    ("x", "share", "message"),
    [
        (np.zeros((3, 2)), 1.5, "validation_split must lie between 0 and 1, got 1.5"),
        (np.zeros((1, 2)), 0.2, "validation_split=0.2 of 1 samples leaves a part empty"),
        (iter([np.zeros(3)]), 0.5, "validation_split needs arrays; with an iterable of batches give validation_data"),
    ],
)
def test_splits_that_are_refused(x, share, message):
    with pytest.raises(ValueError, match=message):
        split(x, None, None, share)
