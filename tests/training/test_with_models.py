"""The loop on real models: several inputs, frozen layers, statistics, and what a step changes."""

import numpy as np
import pytest

from minicnn import layers, set_random_seed
from minicnn.model import Model, Sequential
from minicnn.training import SGD, Adam
from minicnn.training.callbacks import LambdaCallback


@pytest.fixture
def digits(rng):
    """x (40, 6, 7, 2) with a bright row for each of three classes, y (40,)."""
    y = np.arange(40) % 3
    x = 0.1 * rng.normal(size=(40, 6, 7, 2))
    x[np.arange(40), 2 * y] += 1
    return x.astype(np.float32), y


def network(dropout=0.0):
    """Convolution, batch norm, pooling, dense: a little of everything that trains."""
    return Sequential([
        layers.Conv2D(4, 3, padding="same", input_shape=(6, 7, 2), kernel_regularizer="l2"),
        layers.BatchNormalization(momentum=0.5),
        layers.ReLU(),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(dropout),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.02)])
def test_fit_evaluate_predict(digits, optimizer):
    x, y = digits
    model = network(dropout=0.2)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=8, epochs=6, verbose=0, validation_data=(x, y))
    assert history.history["val_accuracy"][-1] == 1
    loss, accuracy = model.evaluate(x, y, batch_size=8, verbose=0)
    assert (loss, accuracy) == (history.history["val_loss"][-1], 1)
    p = model.predict(x, batch_size=7, verbose=0)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert model.step == 30


def test_the_same_seed_trains_to_the_same_bits(digits):
    weights = []
    for _ in range(2):
        model = network(dropout=0.5)
        model.set_weights([np.full(w.shape, 0.05) for w in model.weights])
        model.compile("sgd", loss="sparse_categorical_crossentropy")
        model.fit(*digits, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_layers_stay_and_thawed_ones_go_on(digits):
    model = network()
    model.compile(SGD(0.1, momentum=0.9, weight_decay=0.1), loss="sparse_categorical_crossentropy")
    model.layers[0].trainable = model.layers[1].trainable = False
    before = model.get_weights()
    model.fit(*digits, verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 6 + [True] * 2
    model.layers[0].trainable = True
    model.fit(*digits, verbose=0)
    assert (model.get_weights()[0] != before[0]).any()


def test_two_inputs_and_two_outputs(rng):
    a, b = layers.Input((4,), name="a"), layers.Input((3,), name="b")
    both = layers.Concatenate()([a, b])
    left, right = layers.Dense(2, name="left"), layers.Dense(1, name="right", activation="sigmoid")
    model = Model([a, b], [left(both), right(both)])
    model.compile("adam", {"left": "mse", "right": "binary_crossentropy"}, metrics={"right": ["accuracy"]})
    xa, xb = rng.normal(size=(10, 4)), rng.normal(size=(10, 3))
    y = [rng.normal(size=(10, 2)), np.arange(10) % 2]
    logs = model.evaluate({"b": xb, "a": xa}, y, verbose=0, return_dict=True)
    assert list(logs) == ["loss", "left_loss", "right_loss", "right_accuracy"]
    assert logs == model.evaluate([xa, xb], {"right": y[1], "left": y[0]}, verbose=0, return_dict=True)
    history = model.fit([xa, xb], y, epochs=20, verbose=0)
    assert history.history["loss"][-1] < logs["loss"]
    assert [p.shape for p in model.predict([xa, xb], verbose=0)] == [(10, 2), (10, 1)]
    with pytest.raises(ValueError, match="x must have the inputs a, b, got a, c"):
        model.predict({"a": xa, "c": xb}, verbose=0)


def test_a_step_sees_what_the_step_number_says(digits):
    """Dropout depends on the step: the one-batch epochs below draw different masks, and a resumed run the same ones."""
    def losses(model, start=0):
        found = []
        model.compile(SGD(0.0), loss="sparse_categorical_crossentropy")
        model.step = start
        keep = LambdaCallback(on_train_batch_end=lambda batch, logs: found.append(logs["loss"]))
        model.fit(*digits, batch_size=40, shuffle=False, epochs=4, initial_epoch=start, verbose=0, callbacks=[keep])
        return found

    model = network(dropout=0.5)
    model.layers[1].trainable = False
    whole = losses(model)
    assert len(set(whole)) == 4
    assert losses(model, start=2) == whole[2:]


def test_errors_name_the_layer_or_the_output(digits):
    x, y = digits
    model = network()
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"expected an input of shape \(None, 6, 7, 2\), got \(32, 6, 7\)"):
        model.fit(x[..., 0], y, verbose=0)
    with pytest.raises(ValueError, match="labels must lie in 0 .. 2 for 3 classes, got 3"):
        model.fit(x, y + 1, verbose=0)


def test_gradients_left_on_the_weights_are_not_of_the_step():
    """Somebody's own backward(), or a gradient check, before fit."""
    twins = []
    for leave in (False, True):
        set_random_seed(0)
        inputs = layers.Input((3,))
        model = Model(inputs, layers.Dense(2)(inputs))
        model.compile("sgd", "mse")
        x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
        if leave:
            model(x).sum().backward()
        model.train_on_batch(x, y)
        twins.append(model.get_weights())
    for one, two in zip(*twins, strict=True):
        assert (one == two).all()
