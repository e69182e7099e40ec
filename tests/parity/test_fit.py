"""The arguments of fit against Keras's: weights, splits, generators and steps give the same history in float64."""

import numpy as np
import pytest

from minicnn.training import SGD, evaluate, fit, train_on_batch
from tests.parity.test_loop import LOSS, pair
from tests.training.models import blobs

X, Y = blobs(n=48)
WEIGHTS = np.linspace(0.25, 2.0, 48)
ACCURACY = {"loss": LOSS, "metrics": ["accuracy"], "weighted_metrics": ["accuracy", LOSS]}
PLAIN = {"loss": LOSS, "metrics": ["accuracy"]}


def forever(weighted=False):
    """A generator without an end, whose batches run through the samples in steps of 7."""
    start = 0
    while True:
        chosen = np.arange(start, start + 7) % 48
        yield (X[chosen], Y[chosen], WEIGHTS[chosen]) if weighted else (X[chosen], Y[chosen])
        start += 7


def held(mine, other, *data, **arguments):
    """Both histories, and the weights after them."""
    arguments = {"epochs": 3, "verbose": 0, "shuffle": False, "batch_size": 16} | arguments

    def fresh():  # a generator of its own for each side
        given = {key: value() if callable(value) else value for key, value in arguments.items()}
        return [part() if callable(part) else part for part in data], given

    (data_1, given_1), (data_2, given_2) = fresh(), fresh()
    ours, theirs = fit(mine, *data_1, **given_1).history, other.fit(*data_2, **given_2).history
    assert sorted(ours) == sorted(theirs)
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-9, err_msg=name)
    for weight, expected in zip(mine.weights, other.get_weights(), strict=True):
        np.testing.assert_allclose(weight.data, expected, rtol=1e-9, atol=1e-12)


CASES = {
    "sample_weight": (ACCURACY, (X, Y), {"sample_weight": WEIGHTS}),
    "sample_weight as a column": (PLAIN, (X, Y), {"sample_weight": WEIGHTS[:, None]}),
    "validation with weights": (ACCURACY, (X, Y), {"validation_data": (X[:20], Y[:20], WEIGHTS[:20])}),
    "class_weight": (ACCURACY, (X, Y), {"class_weight": {0: 2.0, 2: 0.5}, "validation_data": (X, Y)}),
    "class_weight of a column": (PLAIN, (X, Y[:, None]), {"class_weight": {1: 3.0}}),
    "class_weight of one-hot labels": (
        {"loss": "categorical_crossentropy"}, (X, np.eye(3)[Y]), {"class_weight": {0: 2.0, 2: 0.5}},
    ),
    "validation_split": (PLAIN, (X, Y), {"validation_split": 0.3}),
    "validation_split with weights": (ACCURACY, (X, Y), {"validation_split": 0.3, "sample_weight": WEIGHTS}),
    "validation_freq": (PLAIN, (X, Y), {"validation_split": 0.25, "validation_freq": 2, "epochs": 5}),
    "validation_freq as a list": (PLAIN, (X, Y), {"validation_split": 0.25, "validation_freq": [1, 4], "epochs": 4}),
    "validation_steps": (
        PLAIN, (X, Y), {"validation_data": (X, Y), "validation_steps": 2, "validation_batch_size": 10}
    ),
    "steps_per_epoch": (PLAIN, (X, Y), {"steps_per_epoch": 2, "batch_size": 8, "epochs": 6}),
    "a generator": (PLAIN, (forever,), {"steps_per_epoch": 5, "batch_size": None}),
    "a generator with weights": (ACCURACY, (lambda: forever(True),), {"steps_per_epoch": 5, "batch_size": None}),
    "validation by a generator": (
        PLAIN, (X, Y), {"validation_data": forever, "validation_steps": 3, "epochs": 1},
    ),
    "initial_epoch": (PLAIN, (X, Y), {"initial_epoch": 2, "epochs": 5}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_fit(keras, double, rng, case):
    compiled, data, arguments = CASES[case]
    mine, other = pair(keras, ("output",), rng, **compiled)
    held(mine, other, *data, **arguments)


def test_weights_for_each_output(keras, double, rng):
    arguments = {"loss": [LOSS, LOSS], "loss_weights": [1.0, 0.3], "weighted_metrics": [["accuracy"], ["accuracy"]]}
    mine, other = pair(keras, ("main", "aux"), rng, **arguments)
    held(mine, other, X, [Y, Y], sample_weight=[WEIGHTS, WEIGHTS[::-1].copy()])


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
def test_reductions(keras, double, rng, reduction):
    from minicnn.training.losses import SparseCategoricalCrossentropy

    mine, other = pair(keras, ("output",), rng, loss=LOSS)
    mine.compile(optimizer=SGD(0.01), loss=SparseCategoricalCrossentropy(reduction=reduction))
    other.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(reduction=reduction))
    held(mine, other, X, Y, sample_weight=WEIGHTS)


def test_one_batch_and_evaluate(keras, double, rng):
    mine, other = pair(keras, ("output",), rng, **ACCURACY)
    for more in ({}, {"steps": 2}):
        data = {"sample_weight": WEIGHTS, "batch_size": 16, "verbose": 0, "return_dict": True, **more}
        assert evaluate(mine, X, Y, **data) == pytest.approx(other.evaluate(X, Y, **data), rel=1e-9)
    for weights in ({"sample_weight": WEIGHTS}, {"class_weight": {1: 0.125}}):
        ours, theirs = train_on_batch(mine, X, Y, **weights), other.train_on_batch(X, Y, **weights)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9)


def test_averages_are_the_weights_at_the_end(keras, double, rng):
    mine, other = pair(keras, ("output",), rng, **PLAIN)
    mine.compile(optimizer=SGD(0.5, use_ema=True, ema_momentum=0.75), **PLAIN)
    other.compile(optimizer=keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.75), **PLAIN, run_eagerly=True)
    held(mine, other, X, Y)


def test_smoothed_class_numbers_are_smoothed_one_hot_labels(keras, double, rng):
    """Keras smooths one-hot labels alone."""
    from minicnn.training.losses import SparseCategoricalCrossentropy

    labels, logits = rng.integers(0, 5, size=(6, 2)), rng.normal(size=(6, 2, 5))
    ours = SparseCategoricalCrossentropy(from_logits=True, label_smoothing=0.1).per_sample(labels, logits)
    theirs = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(ours.data, theirs(np.eye(5)[labels], logits).numpy(), rtol=1e-12)


@pytest.mark.parametrize("on_epoch", [False, True])
def test_validation_with_averages(keras, double, rng, on_epoch):
    from minicnn.training.callbacks import SwapEMAWeights

    mine, other = pair(keras, ("output",), rng, **PLAIN)
    mine.compile(optimizer=SGD(0.5, use_ema=True, ema_momentum=0.75), **PLAIN)
    other.compile(optimizer=keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.75), **PLAIN, run_eagerly=True)
    data = {"epochs": 3, "verbose": 0, "shuffle": False, "batch_size": 16, "validation_data": (X, Y)}
    ours = fit(mine, X, Y, **data, callbacks=SwapEMAWeights(on_epoch)).history
    theirs = other.fit(X, Y, **data, callbacks=[keras.callbacks.SwapEMAWeights(on_epoch)]).history
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(mine.weights[0].data, other.get_weights()[0], rtol=1e-9)
