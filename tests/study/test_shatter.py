"""How alike gradients are: known values, and the paper's rates on small networks."""

import json

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.study import Settings, shatter
from minicnn.study.digits import seeded
from minicnn.study.output import as_data
from minicnn.study.probing import calibrated, in_float64, input_gradients, undisturbed
from minicnn.study.subjects import smallest_shape, subject, twin


def linear():
    start = layers.Input((5,))
    return Model(start, layers.Dense(3)(layers.Dense(7)(start)))


def test_the_gradient_of_a_linear_network_is_the_same_everywhere(rng):
    gradients = input_gradients(linear(), rng.normal(size=(20, 5)))
    assert gradients.shape == (20, 5)
    np.testing.assert_allclose(shatter.along_curve(gradients, (0, 1, 7)), 1, rtol=1e-5)
    assert shatter.across_batch(gradients) == pytest.approx(1, rel=1e-5)


def test_white_noise_has_nothing_in_common(rng):
    noise = rng.normal(size=(4000, 3))
    np.testing.assert_allclose(shatter.along_curve(noise, (0, 1, 9)), [1, 0, 0], atol=0.05)
    assert abs(shatter.across_batch(noise)) < 0.01


def test_the_measures_by_hand():
    g = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]])
    size = (1 + 4 + 25) / 3
    np.testing.assert_allclose(shatter.along_curve(g, (1, 2)), [(0 + 8) / 2 / size, 3 / size])
    assert shatter.across_batch(g) == pytest.approx((0 + 3 + 8) / 3 / size)


@pytest.mark.parametrize("lags", [(3,), (-1, 1)])
def test_lags_beyond_the_curve(lags):
    with pytest.raises(ValueError, match="a curve of 3 points has the lags 0 to 2"):
        shatter.along_curve(np.ones((3, 2)), lags)


def test_gradients_that_vanish_cannot_be_compared():
    with pytest.raises(ValueError, match="mean square 0.0: nothing to compare"):
        shatter.along_curve(np.zeros((3, 2)), (1,))
    with pytest.raises(ValueError, match="pairs need at least 2 examples, got 1"):
        shatter.across_batch(np.ones((1, 2)))


def test_the_paper_s_laws_between_two_inputs(rng):
    """Theorem 1: a half a layer; Theorem 3: far slower; a small beta: hardly at all."""
    x = rng.normal(size=(48, 100))

    def likeness(kind, depth):
        found = []
        for seed in range(5):
            with seeded(seed):
                found.append(shatter.across_batch(input_gradients(shatter.fully_connected(depth, kind, 100, 100), x)))
        return np.mean(found)

    assert likeness("plain, batch norm", 3) / likeness("plain, batch norm", 1) == pytest.approx(0.25, abs=0.06)
    assert likeness("residual, batch norm", 12) > 0.2 > 0.02 > likeness("plain, batch norm", 12)
    assert likeness("residual, batch norm, beta 0.1", 12) > 0.9


def test_exact_laws_are_found_and_the_better_one_is_named():
    pairs = {(k, d): (0.5**d if k == "plain" else d**-0.5, 0.0) for k in shatter.FAMILY for d in shatter.DEPTHS}
    found = shatter.rates(pairs)
    assert found["plain"]["factor a layer"] == pytest.approx(0.5)
    assert found["residual"]["power of depth"] == pytest.approx(-0.5)
    assert (found["plain"]["better"], found["residual"]["better"]) == ("exponential", "power")


def test_a_verdict_can_fail():
    same = {(kind, d): (0.5, 0.1) for kind in shatter.FAMILY for d in shatter.DEPTHS}
    assert shatter.verdict(same, shatter.rates(same)).startswith("does not hold")
    near = dict.fromkeys(same, (-2e-4, 0.001))
    assert "alike by 0.000 ± 0.001 <" in shatter.verdict(near, shatter.rates(near))


def test_the_study(monkeypatch):
    monkeypatch.setattr(shatter, "DEPTHS", (1, 4))
    monkeypatch.setattr(shatter, "WIDTH", 30)
    result = shatter.run(Settings())
    assert result.verdict.startswith("holds")
    assert json.dumps(as_data(result), allow_nan=False)
    assert len(result.tables[0].rows) == len(shatter.FAMILY)


def test_a_network_of_the_zoo_and_its_plain_twin():
    result = shatter.run(Settings(model="resnet20"))
    assert [row[0] for row in result.tables[0].rows] == ["resnet20", "plain20"]
    assert result.verdict.startswith("holds")


# What it stands on ----------------------------------------------------------------------------------------------------


def small():
    start = layers.Input((6,))
    x = layers.Dropout(0.5)(layers.ReLU()(layers.BatchNormalization()(layers.Dense(4)(start))))
    return Model(start, layers.Dense(2, activation="softmax")(x))


def test_a_model_is_as_it_was_before(rng):
    model, x = small(), rng.normal(size=(8, 6))
    before, passes = model.get_weights(), model._passes
    input_gradients(model, x)
    with undisturbed(model):
        model(x, training=True)
    with in_float64(model):
        assert model(x).dtype == "float64"
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model(x).dtype == "float32"
    assert model._passes == passes


def test_statistics_of_the_batch_itself(rng):
    model, x = small(), rng.normal(size=(8, 6)).astype("float32")
    with calibrated(model, x):
        inside = model.layers[1](x).numpy()
        np.testing.assert_allclose(model.get_layer(index=2).moving_mean.numpy(), inside.mean(axis=0), atol=1e-6)
    assert not model.get_layer(index=2).moving_mean.numpy().any()


def test_each_gradient_is_of_its_own_example(rng):
    """With the statistics held, the gradient of one example is that of the function, by differences."""
    model, x = small(), rng.normal(size=(8, 6))
    with in_float64(model):
        found = input_gradients(model, x, direction=np.array([1.0, -2.0]))
        with calibrated(model, x):
            shifted = x.copy()
            shifted[3, 1] += 1e-6
            scores = [model(v).logits.numpy() @ np.array([1.0, -2.0]) for v in (x, shifted)]
    assert (scores[1][3] - scores[0][3]) / 1e-6 == pytest.approx(found[3, 1], rel=1e-4)


def test_statistics_that_do_not_exist(rng):
    with pytest.raises(ValueError, match="statistics must be 'batch' or 'moving', got 'mine'"):
        input_gradients(small(), rng.normal(size=(8, 6)), statistics="mine")


def test_the_size_of_the_images_and_the_twin():
    assert smallest_shape("resnet20", None, (8, 8, 1)) == (8, 8, 1)
    assert smallest_shape("inception_v1", None, (8, 8, 1)) == (32, 32, 1)
    assert smallest_shape("inception_v1", None, (8, 8, 1), aux=True) == (65, 65, 1)
    assert (twin("resnet56"), twin("resnet50"), twin("vgg16")) == ("plain56", None, None)


def test_variant_and_weights_are_those_of_the_named_network_alone(tmp_path):
    settings = Settings(model="resnet20", variant="B", weights=str(tmp_path / "r.safetensors"))
    with pytest.raises(FileNotFoundError):
        subject(settings)
    model, _ = subject(Settings(model="resnet20", variant="B"))
    model.save_weights(tmp_path / "r.safetensors")
    again, images = subject(Settings(model="resnet20", variant="B", weights=settings.weights, seed=5))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    other, _ = subject(settings, "plain20")
    assert other.name == "plain20"
    assert images.x_train.shape == (1437, 8, 8, 1)
