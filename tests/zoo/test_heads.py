"""Auxiliary heads: one array of labels trains them all, and they are dropped for use."""

import numpy as np
import pytest

from minicnn import zoo
from minicnn.training import SGD
from minicnn.zoo.heads import head_names, loss_weights, without_heads


@pytest.fixture(scope="module")
def trained():
    """A small Inception v1 with heads after two steps, its data, and what the steps said."""
    rng = np.random.default_rng(3)
    model = zoo.build("inception_v1", "notebook", input_shape=(65, 81, 3), classes=4, aux=True)
    weights = loss_weights(model)
    model.compile(SGD(0.01), "sparse_categorical_crossentropy", loss_weights=weights)
    x, y = rng.normal(size=(2, 65, 81, 3)).astype("float32"), np.array([1, 3])
    start = model.get_weights()
    logs = model.fit(x, y, epochs=1, batch_size=1, shuffle=False, verbose=0).history
    return model, x, y, weights, start, logs


def test_labels_are_given_once(trained):
    model, x, y, weights, start, logs = trained
    once = model.get_weights()
    model.set_weights(start)
    model.step = 0  # dropout depends on it
    again = model.fit(x, [y, y, y], epochs=1, batch_size=1, shuffle=False, verbose=0).history
    assert again == logs
    for a, b in zip(once, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(weights.values()) == [1.0, 0.3, 0.3]
    parts = [logs[f"{name}_loss"][0] for name in model.output_names]
    assert logs["loss"][0] == pytest.approx(parts[0] + 0.3 * parts[1] + 0.3 * parts[2], rel=1e-6)


def test_without_heads(trained):
    model, x, *_ = trained
    plain = without_heads(model)
    assert plain.outputs == model.outputs[:1]
    assert plain.weights[0] is model.weights[0]
    assert plain.count_params() < model.count_params()
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0)[0], rtol=1e-5)
    assert without_heads(plain) is plain


def test_names(trained):
    model, *_ = trained
    assert head_names(model) == ["main", "aux1", "aux2"]
    assert head_names(without_heads(model)) == ["main"]
    assert head_names(zoo.build("inception_v3", input_shape=(107, 107, 3), aux=True)) == ["main", "aux"]
