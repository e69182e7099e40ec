"""Metrics against Keras's own over several batches, with and without weights."""

import numpy as np
import pytest

from minicnn.keras import utils
from minicnn.training import metrics

CASES = [
    ("Precision", {}),
    ("Recall", {}),
    ("Precision", {"thresholds": 0.25}),
    ("Recall", {"thresholds": 0.7, "class_id": 1}),
    ("Precision", {"top_k": 2}),
    ("Recall", {"top_k": 2, "class_id": 2}),
    ("Recall", {"top_k": 3, "thresholds": 0.2}),
    ("SparseCategoricalAccuracy", {}),
    ("CategoricalAccuracy", {}),
    ("BinaryAccuracy", {"threshold": 0.3}),
    ("SparseTopKCategoricalAccuracy", {"k": 2}),
    ("TopKCategoricalAccuracy", {"k": 3}),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_metric(keras, rng, name, settings, weighted):
    ours, theirs = getattr(metrics, name)(**settings), getattr(keras.metrics, name)(**settings)
    for count in (7, 4, 1):
        scores = rng.dirichlet(np.ones(4), count).astype("float32")
        y = rng.integers(0, 4, count) if name.startswith("Sparse") else (rng.random((count, 4)) > 0.6).astype("float32")
        weights = {"sample_weight": rng.random(count).astype("float32")} if weighted else {}
        ours.update_state(y, scores, **weights)
        theirs.update_state(y, scores, **weights)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)
    config = theirs.get_config()
    own = {key: value for key, value in ours.get_config().items() if key != "name"}  # Keras numbers its names
    assert {key: config[key] for key in own} == own
    again = type(ours)(**settings)
    again.set_state(ours.get_state())
    assert again.result() == ours.result()


def test_utils(keras, rng):
    labels = rng.integers(0, 4, (3, 2))
    for given in (labels, labels[..., None], labels[0].tolist()):
        np.testing.assert_array_equal(utils.to_categorical(given), keras.utils.to_categorical(given))
    np.testing.assert_array_equal(utils.to_categorical(labels, 6), keras.utils.to_categorical(labels, 6))
    x = rng.normal(size=(3, 4)) * [[1], [0], [2]]
    for settings in ({}, {"axis": 1}, {"order": 1}):  # axis=0 is mistaken for -1 in Keras
        np.testing.assert_allclose(utils.normalize(x, **settings), keras.utils.normalize(x, **settings), rtol=1e-6)
    with pytest.raises(ValueError, match=r"class numbers must lie in 0 .. 1, got 0 .. 3"):
        utils.to_categorical([0, 3], 2)


def test_thresholds_that_are_refused():
    with pytest.raises(ValueError, match=r"thresholds must be one number in 0 .. 1, got 2"):
        metrics.Recall(thresholds=2)
