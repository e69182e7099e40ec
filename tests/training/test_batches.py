"""Cutting data into batches."""

import numpy as np
import pytest

from minicnn.training.batches import Arrays, Stream, batches


def test_the_last_batch_may_be_smaller_and_nothing_is_lost(rng):
    x, y = rng.integers(0, 255, (7, 2, 3), dtype=np.uint8), np.arange(7)
    data = Arrays(x, y, batch_size=3)
    parts = list(data.epoch())
    assert (data.samples, data.steps) == (7, 3)
    assert [len(part) for part, _ in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([a for a, _ in parts]), x)
    np.testing.assert_array_equal(np.concatenate([b for _, b in parts]), y)
    assert all(part.dtype == np.uint8 for part, _ in parts)
    assert np.shares_memory(parts[0][0], x)


def test_an_order_is_followed():
    x = np.arange(5)
    assert [list(a) for a, _ in Arrays(x, None, 2).epoch(np.array([4, 0, 3, 1, 2]))] == [[4, 0], [3, 1], [2]]


def test_several_inputs_and_outputs():
    a, b = np.arange(4), np.arange(8).reshape(4, 2)
    (x, y), *_ = Arrays([a, b], {"one": a, "two": None}, 3).epoch()
    assert [len(part) for part in x] == [3, 3]
    assert list(y["one"]) == [0, 1, 2]
    assert y["two"] is None


def test_plain_lists_are_one_array():
    (x, y), *_ = Arrays([[1, 2], [3, 4], [5, 6]], [0, 1, 0]).epoch()
    assert x.shape == (3, 2)
    assert y.shape == (3,)


def test_an_iterable_brings_its_own_batches():
    pairs = [(np.zeros((2, 3)), np.zeros(2)), (np.ones((1, 3)), np.ones(1))]
    data = batches(pairs.__iter__())
    assert isinstance(data, Stream)
    assert data.steps is None
    assert [len(x) for x, _ in data.epoch()] == [2, 1]
    with pytest.raises(ValueError, match="gave no batch; a generator lasts for one epoch only"):
        list(data.epoch())
    with pytest.raises(ValueError, match=r"a batch must be a pair \(x, y\), got ndarray at step 0"):
        list(batches(iter([np.zeros(3)])).epoch())


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
def test_what_is_refused(x, y, batch_size, message):
    with pytest.raises(ValueError, match=message):
        batches(x, y, batch_size)
