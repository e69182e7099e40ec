"""How weights begin: the right distributions, the same bits for the same seed."""

import math

import numpy as np
import pytest

from minicnn import config, layers
from minicnn.layers import initializers

SHAPE = (5, 4, 30, 50)  # 30,000 numbers: a mean is known to 1 %, a deviation to half of that
FAN_IN, FAN_OUT = 5 * 4 * 30, 5 * 4 * 50


@pytest.fixture(autouse=True)
def seed_zero():
    config.set_random_seed(0)
    yield
    config.set_random_seed(0)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_normal", 2 / (FAN_IN + FAN_OUT)),
        ("he_uniform", 2 / FAN_IN),
        ("he_normal", 2 / FAN_IN),
        ("lecun_uniform", 1 / FAN_IN),
        ("lecun_normal", 1 / FAN_IN),
        ("random_normal", 0.05**2),
        ("random_uniform", 0.05**2 / 3),
        ("truncated_normal", (0.05 * 0.87962566) ** 2),
    ],
)
def test_distributions(name, variance):
    values = initializers.get(name)(SHAPE)
    deviation = math.sqrt(variance)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert abs(values.mean()) < 0.03 * deviation
    assert abs(values.std() / deviation - 1) < 0.02
    spread = np.abs(values).max() / deviation
    if "uniform" in name:
        assert 1.7 < spread <= math.sqrt(3) * (1 + 1e-6)
    elif name != "random_normal":
        assert 2.2 < spread <= 2 / 0.87962566 * (1 + 1e-6)  # cut at two deviations of what was drawn
    else:
        assert spread > 3


def test_the_limit_of_glorot_uniform():
    """Glorot & Bengio 2010, eq. 16: for LeNet's first kernel sqrt(6 / (25 + 150))."""
    values = initializers.GlorotUniform()((5, 5, 1, 6))
    assert 0.18 < np.abs(values).max() <= 0.18516402
    assert initializers.fans((3, 3, 8, 2)) == (72, 18)  # depthwise: 8 channels, multiplier 2
    assert initializers.fans((1024, 500)) == (1024, 500)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal"])
def test_variance_scaling(mode, distribution):
    values = initializers.VarianceScaling(3.0, mode, distribution)(SHAPE)
    n = {"fan_in": FAN_IN, "fan_out": FAN_OUT, "fan_avg": (FAN_IN + FAN_OUT) / 2}[mode]
    assert abs(values.std() / math.sqrt(3 / n) - 1) < 0.02


def test_variance_scaling_refuses_unknown_words():
    with pytest.raises(ValueError, match="mode must be 'fan_in', 'fan_out' or 'fan_avg', got 'fan'"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(ValueError, match="distribution must be .* got 'cauchy'"):
        initializers.VarianceScaling(distribution="cauchy")


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (3, 3, 4, 6), (2, 2, 2, 20)])
def test_orthogonal(shape):
    q = initializers.Orthogonal(gain=2.0)(shape, "float64").reshape(-1, shape[-1])
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)
    with pytest.raises(ValueError, match=r"needs at least two axes, got the shape \(3,\)"):
        initializers.Orthogonal()((3,))


def test_constants():
    for name, value in (("zeros", 0), ("ones", 1), (initializers.Constant(0.25), 0.25)):
        assert (initializers.get(name)((2, 3)) == value).all()


RANDOM = ["glorot_uniform", "he_normal", "random_normal", "random_uniform", "truncated_normal", "orthogonal"]


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_seed_gives_the_same_bits(name):
    drawn = []
    for seed in (3, 3, 4):
        config.set_random_seed(seed)
        made = initializers.get(name)
        drawn.append([made((4, 5)), made((4, 5))])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0][0] != drawn[2][0]).all()
    assert (drawn[0][0] != drawn[0][1]).all(), "two weights of a model began alike"


@pytest.mark.parametrize("name", RANDOM)
def test_a_seed_of_its_own_gives_the_same_at_each_call(name):
    made = type(initializers.get(name))(seed=7)
    np.testing.assert_array_equal(made((4, 5)), made((4, 5)))
    assert (made((4, 5)) != type(made)(seed=8)((4, 5))).any()


def test_the_same_seed_gives_the_same_model():
    weights = []
    for _ in range(2):
        config.set_random_seed(11)
        layer = layers.SeparableConv2D(4, 3)
        layer(layers.Input((6, 6, 2)))
        weights.append(layer.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_float64_and_float32_begin_alike():
    """Draws are made in float32, so a comparison of the two types begins at one point."""
    drawn = []
    for dtype in ("float32", "float64"):
        config.set_random_seed(0)
        drawn.append(initializers.get("he_normal")((4, 5), dtype))
    assert [d.dtype.name for d in drawn] == ["float32", "float64"]
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-6)


@pytest.mark.parametrize("cls", initializers.CLASSES)
def test_names_and_configs(cls):
    made = cls()
    again = initializers.get({"class_name": cls.__name__, "config": made.get_config()})
    assert type(again) is cls and vars(again) == vars(made)
    assert type(initializers.get(cls.__name__)) is cls and type(initializers.get(cls)) is cls


def test_what_is_no_initializer():
    with pytest.raises(ValueError, match=r"an initializer must be a name, an Initializer or a function .* got 3"):
        initializers.get(3)


def test_a_function_of_shape_and_type():
    layer = layers.Dense(2, kernel_initializer=lambda shape, dtype: np.full(shape, 5, dtype))
    layer(layers.Input((3,)))
    assert (layer.kernel.data == 5).all() and layer.kernel.dtype == np.float32
