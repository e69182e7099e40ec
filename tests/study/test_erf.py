"""Receptive fields: maps that are known exactly, the root of the depth, and errors."""

import json
import math

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.study import Settings, erf
from minicnn.study.digits import seeded
from minicnn.study.output import as_data


def linear(kernels):
    start = x = layers.Input((21, 21, 1))
    for i, kernel in enumerate(kernels):
        layer = layers.Conv2D(1, kernel.shape, padding="same", use_bias=False, name=f"conv{i}")
        x = layer(x)
        layer.set_weights([kernel[:, :, None, None]])
    return Model(start, x)


def full_convolution(a, b):
    out = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))
    for i, j in np.ndindex(*a.shape):
        out[i : i + b.shape[0], j : j + b.shape[1]] += a[i, j] * b
    return out


def test_a_linear_network_s_field_is_the_product_of_its_kernels(rng):
    kernels = [rng.normal(size=(3, 3)).astype("float32"), rng.normal(size=(5, 3)).astype("float32")]
    found = erf.effective_field(linear(kernels), np.zeros((1, 21, 21, 1)))
    expected = full_convolution(kernels[0], kernels[1]) ** 2  # 7 x 5, around the middle (10, 10)
    np.testing.assert_allclose(found.energy[7:14, 8:13], expected / expected.sum(), rtol=1e-4, atol=1e-8)
    assert found.energy.sum() == pytest.approx(found.energy[7:14, 8:13].sum())
    assert (found.layer, found.theoretical) == ("conv1", (7, 5))


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_equal_weights_give_the_binomial_width(depth):
    """One 3x3 of ones has variance 2/3; amplitudes convolve, so energy is narrower: computed by hand for one layer."""
    found = erf.effective_field(linear([np.ones((3, 3), "float32")] * depth), np.zeros((1, 21, 21, 1)))
    amplitude = np.sqrt(found.energy)
    assert erf.moments(amplitude) == pytest.approx(math.sqrt(2 * depth / 3), rel=1e-4)


def test_width_of_a_gaussian_by_both_ways():
    y, x = np.indices((41, 41)) - 20
    energy = np.exp(-(x**2 + y**2) / (2 * 3.0**2))
    assert erf.moments(energy) == pytest.approx(3, rel=1e-3)
    std, explained = erf.fit_gaussian(energy)
    assert (std, explained) == (pytest.approx(3, rel=1e-5), pytest.approx(1))


def test_the_fit_says_how_bad_it_is():
    energy = np.zeros((21, 21))
    energy[[2, 18], [2, 18]] = 1
    assert erf.fit_gaussian(energy)[1] < 0.3


def test_random_weights_give_the_root_of_the_depth():
    widths = {d: np.mean([erf.random_field(d, "plain", seed).std for seed in range(4)]) for d in (4, 16)}
    assert widths[4] == pytest.approx(math.sqrt(2 * 4 / 3), rel=0.12)
    assert widths[16] / widths[4] == pytest.approx(2, rel=0.15)


def test_skips_make_it_narrower():
    plain, residual = (np.mean([erf.random_field(20, k, s).std for s in range(3)]) for k in ("plain", "residual"))
    assert residual < 0.9 * plain


def test_strides_and_a_layer_by_name(rng):
    with seeded(0):
        start = layers.Input((16, 16, 2))
        x = layers.Conv2D(3, 3, strides=2, padding="same", name="a")(start)
        model = Model(start, layers.Flatten()(layers.Conv2D(4, 3, padding="same", name="b")(x)))
    found = erf.effective_field(model, rng.normal(size=(2, 16, 16, 2)), "b")
    assert found.theoretical == (7, 7)
    assert np.count_nonzero(found.energy) <= 49
    assert erf.last_image_layer(model) == "b"


def test_what_cannot_be_measured(rng):
    start = layers.Input((4, 4, 1))
    conv = layers.Conv2D(2, 3, padding="same", kernel_initializer="zeros", name="conv")
    model = Model(start, layers.Dense(3, name="end")(layers.Flatten()(conv(start))))
    with pytest.raises(ValueError, match=r"'end' gives \(None, 3\): only images"):
        erf.effective_field(model, rng.normal(size=(1, 4, 4, 1)), "end")
    with pytest.raises(ValueError, match="the middle of 'conv' does not depend on these images"):
        erf.effective_field(model, rng.normal(size=(1, 4, 4, 1)), "conv")
    vectors = layers.Input((3,))
    with pytest.raises(ValueError, match="no layer gives images"):
        erf.last_image_layer(Model(vectors, layers.Dense(2)(vectors)))


def figures(p=0.5, residual=1.0, after=2.0):
    widths = {"plain": 2.0, "residual": residual}
    return {
        "exponent": {"plain": p},
        "std": {k: {str(erf.DEPTHS[-1]): {"mean": v, "standard error": 0.1}} for k, v in widths.items()},
        "training": {k: {"before": 1.0, "after": after} for k in widths},
    }


def test_each_part_of_the_verdict_can_fail():
    assert erf.verdict(figures()).startswith("holds: ")
    for wrong in (figures(p=1.0), figures(residual=1.9), figures(after=0.9)):
        assert erf.verdict(wrong).startswith("holds in part")
        assert erf.verdict(wrong).count("NO") == 1


def test_the_study(monkeypatch):
    monkeypatch.setattr(erf, "DEPTHS", (2, 6))
    monkeypatch.setattr(erf, "train", lambda *_, **__: {"val_accuracy": [0.5]})
    result = erf.run(Settings())
    assert json.dumps(as_data(result), allow_nan=False)
    assert [row[1] for row in result.tables[0].rows] == [5, 13]


def test_a_network_of_the_zoo():
    result = erf.run(Settings(model="resnet20"))
    assert result.verdict.startswith("holds")
    assert result.tables[0].rows[-1][1] > result.tables[0].rows[0][1]


def test_a_layer_of_one_s_own_has_an_effective_field_and_no_theoretical_one(rng):
    start = layers.Input((9, 9, 2))
    x = layers.Conv2D(3, 3, padding="same", name="a")(start)
    x = layers.Lambda(lambda pair: pair[0] + pair[1], name="sum")([x, layers.Conv2D(3, 3, padding="same")(x)])
    model = Model(start, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    found = erf.effective_field(model, rng.normal(size=(2, 9, 9, 2)))
    assert (found.layer, found.theoretical) == ("sum", None) and 0 < found.std < 3
    assert math.isnan(erf.can_see(found))
    assert found.energy[:2].sum() == 0  # a 5 x 5 window around (4, 4)
    assert erf.effective_field(model, rng.normal(size=(2, 9, 9, 2)), "a").theoretical == (3, 3)


def test_a_model_without_a_graph_has_no_layer_to_look_at():
    class Mine(Model):
        def call(self, x, training=False):
            return x

    with pytest.raises(ValueError, match=r"^mine.*: it is not built yet: only Model\(inputs, outputs\) has a graph"):
        erf.effective_field(Mine(), np.zeros((1, 4, 4, 1)))
