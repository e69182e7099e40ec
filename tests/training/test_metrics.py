"""Metrics: values, ties, the choice behind 'accuracy', and means over batches of different sizes."""

import numpy as np
import pytest

from minicnn.tensor import Tensor
from minicnn.training import losses, metrics
from tests.checks import assert_close


def test_the_first_of_equal_scores_counts(xp):
    p = xp.asarray([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]])
    assert_close(metrics.sparse_categorical_accuracy(xp.asarray([1, 1]), p), np.array([False, True]))
    assert_close(metrics.categorical_accuracy(xp.asarray(np.eye(3)[[1, 1]]), p), np.array([False, True]))


def test_the_threshold_itself_counts_as_zero(xp):
    p = xp.asarray([[0.2], [0.5], [0.6]])
    assert_close(metrics.binary_accuracy(xp.asarray([0, 0, 0]), p), np.array([[True], [True], [False]]))
    metric = metrics.BinaryAccuracy(threshold=0.7)
    assert metric(np.array([0, 0, 0]), p) == 1


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k(xp, rng, k):
    p, y = rng.normal(size=(9, 6)), rng.integers(0, 6, 9)
    expected = np.mean([label in np.argsort(-row)[:k] for row, label in zip(p, y, strict=True)])
    assert metrics.SparseTopKCategoricalAccuracy(k)(y, xp.asarray(p)) == pytest.approx(expected)
    assert metrics.SparseTopKCategoricalAccuracy(k)(y[:, None], xp.asarray(p)) == pytest.approx(expected)
    assert metrics.TopKCategoricalAccuracy(k)(np.eye(6)[y], xp.asarray(p)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "predictions", "cls"),
    [
        ((8,), (8, 1), metrics.BinaryAccuracy),
        ((8, 1), (8, 1), metrics.BinaryAccuracy),
        ((8,), (8, 5), metrics.SparseCategoricalAccuracy),
        ((8, 1), (8, 5), metrics.SparseCategoricalAccuracy),
        ((8, 5), (8, 5), metrics.CategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_is_chosen_by_the_shapes(labels, predictions, cls, name):
    metric = metrics.get(name, np.zeros(labels), np.zeros(predictions))
    assert type(metric) is cls
    assert metric.name == name


def test_accuracy_without_shapes_says_so():
    with pytest.raises(ValueError, match="'accuracy' depends on the shapes"):
        metrics.get("accuracy")


def test_the_mean_is_over_samples_not_batches(xp):
    metric = metrics.SparseCategoricalAccuracy()
    metric.update_state(np.array([0, 0, 0]), xp.asarray(np.eye(3)))
    metric.update_state(np.array([2]), xp.asarray([[0.0, 0.0, 1.0]]))
    assert metric.result() == 2 / 4
    metric.reset_state()
    assert metric.result() == 0
    mean = metrics.Mean()
    mean.update_state(Tensor(xp.asarray(3.0)), 4)
    mean.update_state(xp.asarray([0.0, 0.0]))
    assert mean.result() == 2


@pytest.mark.parametrize("name", metrics.METRICS)
def test_names_and_classes(name):
    cls = metrics.METRICS[name]
    assert type(metrics.get(name)) is type(metrics.get(cls.__name__)) is type(metrics.get(cls)) is cls
    assert metrics.get(name).name == cls().name == name
    metric = cls()
    assert metrics.get(metric) is metric


@pytest.mark.parametrize("given", ["mse", losses.MeanSquaredError(name="mse"), losses.mean_squared_error])
def test_losses_are_metrics_too(given, rng):
    p, y = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    metric = metrics.get(given)
    assert metric(y, Tensor(p, requires_grad=True)) == pytest.approx(((p - y) ** 2).mean())
    assert metric.name in ("mse", "mean_squared_error")


def test_a_function_of_the_user():
    def off_by_one(y_true, y_pred):
        return abs(y_true - y_pred.argmax(axis=-1)) == 1

    metric = metrics.get(off_by_one)
    assert metric.name == "off_by_one"
    assert metric(np.array([0, 0, 0]), Tensor(np.eye(3))) == pytest.approx(1 / 3)


def test_what_is_no_metric():
    with pytest.raises(ValueError, match="unknown metric 'acuracy': did you mean 'accuracy'"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match="a metric must be a name, a Metric or a function of .*got 3"):
        metrics.get(3)


def test_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels must have shape \(4,\) for this metric, got \(4, 3\)"):
        metrics.SparseCategoricalAccuracy()(np.zeros((4, 3)), np.zeros((4, 3)))
