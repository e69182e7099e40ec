"""Directions, slices and curvature: quadratic losses whose Hessian is known, and errors."""

import json

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.study import Settings, curvature, landscape
from minicnn.study.digits import digits, seeded
from minicnn.study.output import as_data
from minicnn.study.probing import in_float64


def half_square(y, prediction):
    return (((prediction - y) * (prediction - y)).sum(axis=1) * 0.5).mean()


def linear(inputs=6, outputs=1):
    with seeded(3):
        start = layers.Input((inputs,))
        return Model(start, layers.Dense(outputs, use_bias=False)(start))


def network():
    with seeded(3):
        start = layers.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, padding="same", name="conv")(start)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        return Model(start, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


# Curvature -----------------------------------------------------------------------------------------------------------


def test_the_extremes_of_a_quadratic_are_exact(rng):
    """The Hessian of the half mean square of x w - y is x'x / n, whatever w and y."""
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 1))
    expected = np.linalg.eigvalsh(x.T @ x / len(x))
    found = curvature.hessian_extremes(linear(), x, y, steps=6, loss=half_square)
    assert found["largest"] == pytest.approx(expected[-1], rel=1e-8)
    assert found["smallest"] == pytest.approx(expected[0], rel=1e-8)
    assert found["largest ±"] < 1e-6
    assert found["ratio"] == 0


def test_a_saddle_has_a_negative_eigenvalue(rng):
    """(w1^2 - 3 w2^2) / 2: eigenvalues 1 and -3."""
    def saddle(y, prediction):
        return (prediction[:, 0] * prediction[:, 0] - prediction[:, 1] * prediction[:, 1] * 3.0).mean() * 0.5

    found = curvature.hessian_extremes(linear(1, 2), np.ones((1, 1)), np.zeros((1, 2)), steps=2, loss=saddle)
    assert (found["largest"], found["smallest"]) == (pytest.approx(1, rel=1e-7), pytest.approx(-3, rel=1e-7))
    assert found["ratio"] == pytest.approx(3, rel=1e-7)


def test_products_equal_those_of_a_softmax_regression_s_known_hessian(rng):
    """H = mean of (diag p - p p') (x) x x' (a dense layer's weights: inputs x classes), far from quadratic."""
    with seeded(0):
        start = layers.Input((4,))
        model = Model(start, layers.Dense(3, activation="softmax", use_bias=False)(start))
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    with in_float64(model):
        p = model(x).numpy()
        hessian = np.zeros((12, 12))
        for row, q in zip(x, p, strict=True):
            hessian += np.kron(np.outer(row, row), np.diag(q) - np.outer(q, q)) / len(x)
        product = curvature.hessian_product(model, x, y)
        for _ in range(3):
            v = rng.normal(size=12)
            np.testing.assert_allclose(product(v), hessian @ v, rtol=0, atol=1e-9 * np.abs(hessian @ v).max())
    expected = np.linalg.eigvalsh(hessian)
    found = curvature.hessian_extremes(model, x, y, steps=12)
    assert found["largest"] == pytest.approx(expected[-1], rel=1e-7)


def test_with_kinks_frozen_the_step_does_not_matter(rng):
    """A tenth of the step, or ten times it: the product stays, within 1e-6."""
    model, images = network(), digits()
    x, y = images.x_train[:32].astype("float64"), images.y_train[:32]
    with in_float64(model):
        v = rng.normal(size=sum(w.size for w in model.trainable_weights))

        def products():
            return [curvature.hessian_product(model, x, y, step=curvature.STEP * f)(v) for f in (1, 0.1, 10)]

        with curvature.kinks_frozen(model, x):
            here, less, more = products()
    assert max(np.abs(here - less).max(), np.abs(here - more).max()) < 1e-6 * np.abs(here).max()


def test_frozen_kinks_change_neither_loss_nor_gradient(rng):
    """For all the ways to say ReLU: in a layer's activation, as a layer, as an Activation, called twice."""
    with seeded(1):
        start = layers.Input((6,))
        twice = layers.Dense(6, activation="relu")
        x = layers.ReLU()(layers.Dense(6)(twice(twice(start))))
        x = layers.Activation("relu")(layers.Dense(6)(x))
        model = Model(start, layers.Dense(3, activation="softmax")(x))
    x, y = rng.normal(size=(9, 6)), rng.integers(0, 3, 9)
    with in_float64(model):
        before = curvature.gradient(model, x, y)
        with curvature.kinks_frozen(model, x):
            for _ in range(2):
                np.testing.assert_array_equal(curvature.gradient(model, x, y), before)
            moved = model.layers[1].kernel
            moved.assign(-moved.data)
            assert not np.allclose(curvature.gradient(model, x, y), curvature.gradient(model, -x, y))
            moved.assign(-moved.data)
        np.testing.assert_array_equal(curvature.gradient(model, x, y), before)
    assert twice.activation is layers.activations.relu
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_unit_on_its_kink_does_not_blow_up_the_curvature():
    """(relu(w) - 1)^2 at w = 1e-12: a difference across the kink gives 2e6 and more, the loss itself 0 or 2."""
    with seeded(0):
        start = layers.Input((1,))
        model = Model(start, layers.Dense(1, use_bias=False, activation="relu")(start))
    model.set_weights([np.array([[1e-12]])])

    def square(_, y):
        return ((y - 1.0) * (y - 1.0)).sum()

    found = curvature.hessian_extremes(model, np.ones((1, 1)), None, steps=1, loss=square)
    assert found["largest"] == pytest.approx(2, rel=1e-6)
    with in_float64(model):
        across = curvature.hessian_product(model, np.ones((1, 1)), None, loss=square)(np.ones(1))
    assert abs(across[0]) > 1e5


def test_lanczos_settles_on_the_extremes_and_its_bounds_hold(rng):
    matrix = rng.normal(size=(60, 60))
    matrix = matrix + matrix.T
    exact = np.linalg.eigvalsh(matrix)
    values, bounds = curvature.lanczos(lambda v: matrix @ v, 60, steps=25)
    for value, bound in ((values[0], bounds[0]), (values[-1], bounds[-1])):
        assert np.abs(exact - value).min() <= bound + 1e-9
    np.testing.assert_allclose(values[[0, -1]], exact[[0, -1]], rtol=1e-2)
    np.testing.assert_allclose(curvature.lanczos(lambda v: matrix @ v, 60, steps=60)[0], exact, rtol=1e-8, atol=1e-8)


def test_lanczos_ends_where_the_space_does():
    values, bounds = curvature.lanczos(lambda v: 2.0 * v, 30, steps=10)
    np.testing.assert_allclose((values, bounds), ([2.0], [0.0]))


def test_products_need_float64(rng):
    with pytest.raises(TypeError, match=r"they need float64, see in_float64\(\)"):
        curvature.hessian_product(linear(), rng.normal(size=(2, 6)), rng.normal(size=(2, 1)))


# Directions and slices -----------------------------------------------------------------------------------------------


def test_every_filter_keeps_its_norm_and_biases_and_batch_norms_stay():
    model = network()
    found = landscape.direction(model, 0)
    for w, part in zip(model.trainable_weights, found, strict=True):
        if w.ndim > 1:
            flat = [a.reshape(-1, w.shape[-1]) for a in (w.numpy(), part)]
            np.testing.assert_allclose(*(np.linalg.norm(f, axis=0) for f in flat), rtol=1e-5)
        else:
            assert not part.any()


def test_directions_are_those_of_seed_and_key(tmp_path):
    model = network()
    first, again, other = (landscape.direction(model, k) for k in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    landscape.save_directions(tmp_path / "d.npz", model, [first, other])
    loaded = landscape.load_directions(tmp_path / "d.npz", model)
    assert all(np.array_equal(a, b) for a, b in zip(first + other, loaded[0] + loaded[1], strict=True))
    with pytest.raises(ValueError, match=r"direction 0 of .*kernel must have the shape \(6, 1\), got nothing"):
        landscape.load_directions(tmp_path / "d.npz", linear())
    with pytest.raises(ValueError, match="has an array for each of its 1 trainable weights, in their shapes"):
        landscape.slice_1d(linear(), np.zeros((2, 6)), np.zeros((2, 1)), first, [0.0], loss=half_square)


def test_a_slice_of_a_quadratic_is_its_parabola(rng):
    model = linear()
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(40, 1))
    d, steps = landscape.direction(model, 0), np.linspace(-1, 1, 9)
    w = model.get_weights()[0]
    expected = [0.5 * np.mean((x @ (w + t * d[0]) - y) ** 2) for t in steps]
    found = landscape.slice_1d(model, x, y, d, steps, loss=half_square)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.array_equal(model.get_weights()[0], w)
    assert landscape.convex_share(found) == 1
    plane = landscape.slice_2d(model, x, y, (d, landscape.direction(model, 1)), steps, [-0.5, 0.0], loss=half_square)
    assert plane.shape == (2, 9)
    np.testing.assert_allclose(plane[1], expected, rtol=1e-5)


def test_the_share_that_bends_upwards():
    x = np.linspace(-3, 3, 13)
    assert landscape.convex_share(x**2) == 1
    assert landscape.convex_share(-(x**2)) == 0
    assert np.isnan(landscape.convex_share(np.full(4, np.nan)))


# The study -----------------------------------------------------------------------------------------------------------


def test_the_study(monkeypatch):
    monkeypatch.setattr(landscape, "REACH", np.linspace(-1, 1, 3))
    monkeypatch.setattr(landscape, "PLANE", np.linspace(-0.5, 0.5, 3))
    monkeypatch.setattr(landscape, "CURVED", 4)
    monkeypatch.setattr(landscape, "SEEN", 8)
    monkeypatch.setattr(landscape, "LANCZOS", 2)
    monkeypatch.setattr(landscape, "train", lambda *_: {"val_accuracy": [0.5]})
    result = landscape.run(Settings(model="resnet20"))
    assert list(result.figures["networks"]) == ["resnet20", "plain20"]
    assert np.shape(result.figures["networks"]["plain20"]["plane"]) == (3, 3)
    assert json.dumps(as_data(result), allow_nan=False)
    assert "plain20 against resnet20" in result.verdict


def ends(rise, ratio):
    return {"rise": rise, "curvature": {"ratio": ratio}}


def test_each_verdict():
    pair = {"resnet56": ends(1.0, 0.1), "plain56": ends(4.0, 0.9)}
    assert landscape.verdict(pair).startswith("holds: plain56 against resnet56: loss 1e+04 against 10 a length")
    assert landscape.verdict({**pair, "plain56": ends(1.5, 0.9)}).startswith("does not hold")
    assert landscape.verdict({**pair, "plain56": ends(4.0, 0.05)}).startswith("holds for the height of the loss, not")
    assert "eigenvalue 0.0047 against" in landscape.verdict({**pair, "plain56": ends(4.0, 0.00472)})
    assert landscape.verdict({"lenet5": ends(1.0, 0.2)}).startswith("measured: |smallest / largest| eigenvalue 0.2;")
    shallow = landscape.verdict({"resnet20": ends(1.0, 0.2), "plain20": ends(4.0, 0.9)})
    assert shallow.endswith("The paper finds no difference at this depth.")


def test_the_loss_is_the_compiled_one_or_has_a_name(rng):
    x, y = rng.normal(size=(5, 6)), rng.normal(size=(5, 1))
    model = linear()
    expected = np.mean((x.astype("float32") @ model.get_weights()[0] - y) ** 2)
    assert curvature.loss_of(model, x, y, "mse").item() == pytest.approx(expected, rel=1e-5)
    model.compile("sgd", "mse")
    assert curvature.loss_of(model, x, y).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="unknown loss 'mes'"):
        landscape.slice_1d(model, x, y, landscape.direction(model, 0), [0.0], loss="mes")
