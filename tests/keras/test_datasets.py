"""keras.datasets: the shapes and types of Keras's own, whose loaders are fed the same arrays."""

import numpy as np
import pytest

from minicnn import data
from minicnn.keras import datasets


@pytest.mark.parametrize("name, channels, inner", [
    ("mnist", 1, (28, 28)), ("fashion_mnist", 1, (28, 28)), ("cifar10", 3, (32, 32, 3)),
])  # fmt: skip
def test_shapes_and_types(monkeypatch, rng, name, channels, inner):
    side = inner[0]
    x = rng.integers(0, 256, (7, side, side, channels), np.uint8)
    made = data.Dataset(name, x[:4], np.array([3, 9, 0, 1]), x[4:], np.array([2, 2, 8]), tuple("0123456789"))
    asked = []
    monkeypatch.setattr(data, "load", lambda name: asked.append(name) or made)
    (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
    assert asked == [name]
    assert x_train.shape == (4, *inner) and x_test.shape == (3, *inner)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert y_train.shape == ((4, 1) if name == "cifar10" else (4,)) and y_test.ravel().tolist() == [2, 2, 8]
    np.testing.assert_array_equal(x_train.ravel(), x[:4].ravel())
