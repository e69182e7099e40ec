"""Losses and their gradients against Keras's, in float64."""

import numpy as np
import pytest

from minicnn import functions
from minicnn.tensor import Tensor
from minicnn.training import losses
from tests.checks import assert_close

N, C = 7, 5
ONE_HOT = np.eye(C)[np.arange(N) % C]
NAMES = [
    "SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy", "MeanSquaredError",
    "MeanAbsoluteError",
]  # fmt: skip


def labels_for(name, rng):
    """Labels that suit the loss."""
    return {
        "SparseCategoricalCrossentropy": rng.integers(0, C, N),
        "CategoricalCrossentropy": ONE_HOT,
        "BinaryCrossentropy": rng.integers(0, 2, (N, C)),
    }.get(name, rng.normal(size=(N, C)))


def theirs(keras, name, y_true, y_pred, **arguments):
    """(loss, gradient) by Keras, on TensorFlow's tape."""
    import tensorflow as tf

    x = tf.Variable(y_pred)
    with tf.GradientTape() as tape:
        loss = getattr(keras.losses, name)(**arguments)(y_true, tf.identity(x))
    return loss.numpy(), tape.gradient(loss, x).numpy()


def ours(name, y_true, y_pred, **arguments):
    """(loss, gradient) by minicnn."""
    x = Tensor(y_pred, requires_grad=True)
    loss = getattr(losses, name)(**arguments)(y_true, x)
    loss.backward()
    return loss.data, x.grad


def assert_same(keras, name, y_true, y_pred, **arguments):
    """The same loss and gradient on both sides."""
    mine, other = ours(name, y_true, y_pred, **arguments), theirs(keras, name, y_true, y_pred, **arguments)
    for a, b in zip(mine, other, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_of_probabilities(keras, double, rng, name):
    assert_same(keras, name, labels_for(name, rng), rng.dirichlet(np.ones(C), N))


@pytest.mark.parametrize("name", NAMES[:3])
def test_from_logits(keras, double, rng, name):
    assert_same(keras, name, labels_for(name, rng), 3 * rng.normal(size=(N, C)), from_logits=True)


@pytest.mark.parametrize("name", NAMES[:3])
def test_where_probabilities_are_clipped(keras, double, name):
    p = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1e-9, 0.5, 0.5 - 1e-9]])
    y = np.array([1, 1, 0]) if name.startswith("Sparse") else np.eye(3)[[1, 1, 0]]
    assert_same(keras, name, y, p)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("name", NAMES[1:3])
def test_label_smoothing(keras, double, rng, name, from_logits):
    p = rng.dirichlet(np.ones(C), N)
    assert_same(keras, name, labels_for(name, rng), p, label_smoothing=0.1, from_logits=from_logits)


@pytest.mark.parametrize("name", NAMES)
def test_every_pixel(keras, double, rng, name):
    y_true = rng.integers(0, 2, (2, 3, 4)) if name.startswith("Sparse") else np.eye(C)[rng.integers(0, C, (2, 3, 4))]
    assert_same(keras, name, y_true, rng.dirichlet(np.ones(C), (2, 3, 4)))


@pytest.mark.parametrize("name", NAMES[2:])
def test_a_column_more_or_less(keras, double, rng, name):
    y, p = rng.integers(0, 2, N), rng.uniform(size=N)
    assert_same(keras, name, y, p[:, None])


def test_labels_in_a_column(keras, double, rng):
    assert_same(keras, NAMES[0], rng.integers(0, C, (N, 1)), rng.dirichlet(np.ones(C), N))


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_reductions(keras, double, rng, name, reduction):
    y, p = labels_for(name, rng), rng.dirichlet(np.ones(C), N)
    expected = getattr(keras.losses, name)(reduction=reduction)(y, p).numpy()
    assert_close(getattr(losses, name)(reduction=reduction)(y, p).data, expected)


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_softmax_output_is_unclipped_in_a_model(keras, double, rng, name):
    """Keras takes the logits that a softmax layer remembers (`_keras_logits`); ours are in `Tensor.logits`."""
    z, y = 60 * rng.normal(size=(N, C)), labels_for(name, rng)
    inputs = keras.Input((C,))
    model = keras.Model(inputs, keras.layers.Activation("softmax")(inputs))
    model.compile(loss=getattr(keras.losses, name)())
    expected = model.evaluate(z, y, verbose=0)
    assert_close(getattr(losses, name)()(y, functions.softmax(Tensor(z))).data, np.float64(expected), tol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_in_float32(keras, rng, name):
    y, p = labels_for(name, rng), rng.dirichlet(np.ones(C), N).astype(np.float32)
    assert {a.dtype.name for a in ours(name, y, p)} == {"float32"}
    assert_same(keras, name, y, p)


@pytest.mark.parametrize("logit", [100.0, -100.0, 3.0])
def test_binary_cross_entropy_of_a_sigmoid_is_not_clipped(keras, logit):
    """Keras keeps the logits of a sigmoid as it does those of a softmax."""
    z = np.array([[logit]], "float32")  # in another type than floatx Keras would cast, and forget
    probabilities = keras.activations.sigmoid(keras.ops.convert_to_tensor(z))
    expected = keras.losses.BinaryCrossentropy()(np.zeros((1, 1)), probabilities)
    ours = losses.BinaryCrossentropy()(np.zeros((1, 1)), functions.sigmoid(Tensor(z)))
    assert_close(ours.data, np.asarray(expected), 1e-6)
