"""Where a number stopped being finite, from Python."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Sequential
from minicnn.training.blame import first_not_finite


@pytest.fixture
def model():
    made = Sequential([layers.Input((4,)), layers.Dense(3, name="one"), layers.Dense(2, name="two")])
    made.compile("sgd", "mse")
    return made


def test_the_first_is_named(model):
    x, y = np.ones((5, 4), np.float32), np.zeros((5, 2), np.float32)
    assert first_not_finite(model, x, y) == ""
    assert first_not_finite(model, np.where(x > 0, np.nan, x), y) == " (first in the images)"
    assert first_not_finite(model, x, np.full_like(y, 1e30)) == " (first in the loss itself)"
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.full_like(kernel, 3e38), bias])
    model.layers[-2].set_weights([np.ones((4, 3), np.float32), np.zeros(3, np.float32)])
    assert first_not_finite(model, x) == " (first in the output of layer two)"
    model.layers[-1].set_weights([kernel, bias * np.nan])
    assert first_not_finite(model, x) == " (first in the weight two/bias of layer two)"
