"""The harness itself: equal models pass, and each way of being different is found."""

import pytest

from minicnn import layers as our_layers
from minicnn.model import Model
from tests.parity.harness import compare


def network(layers, model, inputs=(8, 7, 3), momentum=0.99, epsilon=1e-3, use_bias=True, padding="valid", softmax=True):
    """A convolution in front of a batch norm, and two outputs."""
    x = first = layers.Input(inputs)
    x = layers.Conv2D(4, 3, padding=padding, use_bias=use_bias)(x)
    x = layers.BatchNormalization(momentum=momentum, epsilon=epsilon)(x)
    x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.5)(x)
    return model(first, [layers.Dense(5, activation="softmax" if softmax else None)(x), layers.Dense(2)(x)])


@pytest.mark.parametrize("softmax", [True, False])
def test_equal(keras, double, rng, softmax):
    ours, theirs = network(our_layers, Model, softmax=softmax), network(keras.layers, keras.Model, softmax=softmax)
    errors = compare(ours, theirs, rng.normal(size=(2, 8, 7, 3)), rng, tolerance=1e-12, loss_weights=(1.0, 0.3))
    assert errors.parameters == 4 * 28 + 4 * 4 + 5 * 5 + 2 * 5
    assert 0 < errors.gradient < 1e-12 and errors.worst_step


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("inference", {"epsilon": 1.001e-3}),
        ("inference", {"padding": "same"}),
        ("step", {"momentum": 0.9}),
    ],
)
def test_difference(keras, double, rng, kind, changes):
    ours, theirs = network(our_layers, Model, **changes), network(keras.layers, keras.Model)
    with pytest.raises(AssertionError, match=f"{kind} .*off by"):
        compare(ours, theirs, rng.normal(size=(2, 8, 7, 3)), rng)


def test_wrong_gradient(keras, double, rng, monkeypatch):
    from minicnn.ops import BatchNorm

    right = BatchNorm.backward

    def wrong(op, dy):
        dx, dgamma, dbeta = right(op, dy)
        return dx, 1.001 * dgamma, dbeta

    monkeypatch.setattr(BatchNorm, "backward", wrong)
    ours, theirs = network(our_layers, Model), network(keras.layers, keras.Model)
    with pytest.raises(AssertionError, match="gradient batch_normalization.*/gamma: off by 1.00e-03"):
        compare(ours, theirs, rng.normal(size=(2, 8, 7, 3)), rng)


def test_other_order_of_weights(keras, double, rng):
    ours, theirs = network(our_layers, Model), network(keras.layers, keras.Model, use_bias=False)
    with pytest.raises(ValueError, match="set_weights takes 10 arrays, got 9"):
        compare(ours, theirs, rng.normal(size=(2, 8, 7, 3)), rng)
