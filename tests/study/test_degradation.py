"""Plain against residual: the twins begin alike, gradients are those of a backward pass, and a small run."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.study import degradation
from minicnn.study.digits import digits, seeded
from minicnn.study.families import Member, twin
from minicnn.study.instruments import Settings
from minicnn.training import losses
from tests.study.results import check


def test_twins_begin_with_the_same_weights():
    with seeded(4):
        plain = twin("plain", 14)
    with seeded(4):
        residual = twin("resnet", 14)
    assert [w.name for w in plain.weights] == [w.name for w in residual.weights]
    for a, b in zip(plain.get_weights(), residual.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain.count_params() == residual.count_params()


def test_gradients_are_those_of_a_backward_pass():
    model, split = twin("plain", 8), digits()
    x, y = split.x_train[:16], split.y_train[:16]
    names, found = degradation.relative_gradients(model, x, y)
    losses.get("sparse_categorical_crossentropy")(y, model(x, training=True)).backward()
    kernels = [w for w in model.trainable_weights if w.name.endswith("kernel")]
    assert names == [w.name for w in kernels] and len(names) == 8
    expected = [np.linalg.norm(w.grad) / np.linalg.norm(w.data) for w in kernels]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_networks_of_one_s_own(few_images):
    def build():
        inputs = layers.Input((16, 16, 1))
        x = layers.Conv2D(2, 3, activation="relu")(inputs)
        return Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)), name="own")

    found = degradation.compare([Member("mine", "mine", build)], Settings(epochs=2))["mine"]
    assert found["parameters"] == 20 + 10 * (14 * 14 * 2 + 1) and len(found["gradient at the start"]) == 2
    assert found["gradient at the start"] != found["gradient after training"]
    assert len(found["loss by epoch"]) == len(found["test error by epoch"]) == 2


@pytest.mark.parametrize(("plain", "residual", "holds"), [(60, 1, True), (5, 1, False), (60, 20, False)])
def test_the_verdict_follows_the_figures(plain, residual, holds):
    error = {"plain20": 1, "resnet20": 1, "plain56": plain, "resnet56": residual}
    text = degradation.verdict((20, 56), {name: {"train error": e} for name, e in error.items()})
    assert text.startswith("holds: " if holds else "does not hold: ")


def test_the_verdict_on_one_depth():
    error = {"plain20": {"train error": 30.0}, "resnet20": {"train error": 25.0}}
    assert degradation.verdict((20,), error).startswith("does not hold: with 20 layers")


@pytest.mark.parametrize("depths", [(8, 14), (8,)])
def test_a_run(monkeypatch, capsys, depths, tmp_path, few_images):
    monkeypatch.setattr(degradation, "DEPTHS", depths)
    result = degradation.run(Settings(epochs=1, cache=tmp_path))
    found = result.figures["networks"]
    assert list(found) == [f"{kind}{d}" for d in depths for kind in ("resnet", "plain")]
    assert all(len(f["gradient at the start"]) == int(name[-2:].lstrip("tn")) for name, f in found.items())
    check(result, capsys)
