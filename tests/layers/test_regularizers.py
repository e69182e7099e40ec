"""Penalties: their values, their gradients, and which weights they count. Against Keras: tests/parity."""

import numpy as np
import pytest

from minicnn import Input, Model, Tensor, layers
from minicnn.gradcheck import check_function
from minicnn.layers import regularizers
from tests.checks import assert_close, away_from_zero


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (regularizers.L1(0.5), lambda w: 0.5 * np.abs(w).sum()),
        (regularizers.L2(0.25), lambda w: 0.25 * (w**2).sum()),
        (regularizers.L1L2(0.5, 0.25), lambda w: 0.5 * np.abs(w).sum() + 0.25 * (w**2).sum()),
        (regularizers.L1L2(), lambda w: 0.0),
    ],
)
def test_values_and_gradients(rng, made, value):
    w = Tensor(away_from_zero(rng, 3, 4), requires_grad=True)
    assert_close(made(w).data, np.float64(value(w.data)))
    check_function(lambda: made(w), [w])


@pytest.mark.parametrize("name", ["l1", "l2", "l1_l2", "L1", "L2", "L1L2"])
def test_names_and_configs(name):
    made = regularizers.get(name)
    again = regularizers.get({"class_name": type(made).__name__, "config": made.get_config()})
    assert type(again) is type(made) and vars(again) == vars(made)
    assert regularizers.get(None) is None and regularizers.get(made) is made


def test_the_sum_over_a_model_counts_shared_layers_once_and_frozen_ones_not():
    shared = layers.Dense(3, kernel_regularizer="l2", name="shared")
    other = layers.Dense(3, kernel_regularizer="l1", bias_regularizer="l2", name="other")
    x = Input((3,))
    inner = Model(x, shared(x))
    model = Model(x, other(shared(inner(x))))
    expected = 0.01 * (shared.kernel.data**2).sum() + 0.01 * np.abs(other.kernel.data).sum()
    assert_close(model.regularization().data, expected, 1e-6)
    assert len(model.losses) == 3
    other.trainable = False
    assert_close(model.regularization().data, 0.01 * (shared.kernel.data**2).sum(), 1e-6)
    model.trainable = False
    assert model.regularization() is None and model.losses == []


def test_the_gradient_reaches_the_weights(rng):
    layer = layers.Dense(2, kernel_regularizer=regularizers.L2(0.5), dtype="float64")
    layer(Input((3,), dtype="float64"))
    layer.regularization().backward()
    assert_close(layer.kernel.grad, layer.kernel.data)
    assert layer.bias.grad is None


def test_a_function_of_ones_own():
    layer = layers.Dense(2, kernel_regularizer=lambda w: (w * w).sum() * 3.0)
    layer(Input((3,)))
    assert_close(layer.regularization().data, 3 * (layer.kernel.data**2).sum(), 1e-6)
