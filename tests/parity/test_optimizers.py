"""Ten steps of every optimizer and option against Keras's, with gradients drawn at random."""

import numpy as np
import pytest

from minicnn.tensor import Weight
from minicnn.training import optimizers
from tests.checks import assert_close

SETTINGS = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "weight_decay": 0.01}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.1}),
    ("Adam", {"learning_rate": 0.05, "weight_decay": 0.02}),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.05, "weight_decay": 0.02, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.05, "rho": 0.8, "momentum": 0.9, "epsilon": 1.0}),
    ("RMSprop", {"learning_rate": 0.05, "centered": True}),
    ("RMSprop", {"learning_rate": 0.05, "centered": True, "momentum": 0.9, "weight_decay": 0.02}),
]
OPTIONS = [
    {"clipnorm": 1.5},
    {"clipvalue": 0.5},
    {"global_clipnorm": 2.0},
    {"global_clipnorm": 1e6},
    {"use_ema": True},
    {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 4, "global_clipnorm": 1.0, "weight_decay": 0.02},
    {"loss_scale_factor": 128.0},
]
RULES = [
    ("SGD", {"learning_rate": 0.1, "momentum": 0.875}),
    ("RMSprop", {"learning_rate": 0.05, "momentum": 0.875}),
    ("Adam", {"learning_rate": 0.05}),
]
# Keras passes momentum, beta and weight_decay through float32 even in float64 (tf.cast of a Python number), so the
# comparison to 1e-10 needs numbers that float32 holds exactly.
EXACT = {"momentum": 0.875, "weight_decay": 0.015625, "beta_1": 0.875, "beta_2": 0.9921875, "ema_momentum": 0.75}
TOLERANCE = 1e-12
SHAPES = [(3, 2, 4), (5,)]


def exact(name, settings):
    """The settings, with numbers that float32 holds where Keras would round them."""
    used = {"beta_1", "beta_2"} if "Adam" in name else set()
    used |= {"weight_decay"} if name == "AdamW" else set()
    used |= {"ema_momentum"} if "use_ema" in settings else set()
    return settings | {key: value for key, value in EXACT.items() if key in settings.keys() | used}


def both_ways(keras, rng, name, settings, dtype, steps=10):
    """The weights after each step, ours and theirs; with averages also those, after the last one."""
    start = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    weights = [Weight(a.copy(), f"w{i}") for i, a in enumerate(start)]
    variables = [keras.Variable(a, name=f"w{i}", dtype=dtype) for i, a in enumerate(start)]
    mine, other = getattr(optimizers, name)(**settings), getattr(keras.optimizers, name)(**settings)
    for _ in range(steps):
        gradients = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        mine.step(weights)
        other.apply_gradients(zip([keras.ops.convert_to_tensor(g) for g in gradients], variables, strict=True))
        yield [(w.data, v.numpy()) for w, v in zip(weights, variables, strict=True)]
    if settings.get("use_ema"):
        mine.finalize_variable_values(weights)
        other.finalize_variable_values(variables)
        yield [(w.data, v.numpy()) for w, v in zip(weights, variables, strict=True)]
    config = {key: value for key, value in other.get_config().items() if key != "name"}
    assert {key: value for key, value in mine.get_config().items() if key != "name"} == pytest.approx(config)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_in_float64(keras, double, rng, name, settings):
    for pairs in both_ways(keras, rng, name, exact(name, settings), "float64"):
        for a, b in pairs:
            assert_close(a, b, TOLERANCE)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o))
@pytest.mark.parametrize(("name", "settings"), RULES, ids=lambda r: r if isinstance(r, str) else "")
def test_options_in_float64(keras, double, rng, name, settings, options):
    settings = exact(name, settings | options)
    moved = 0
    for pairs in both_ways(keras, rng, name, settings, "float64", steps=10):
        for a, b in pairs:
            assert_close(a, b, TOLERANCE)
        moved += 1
    assert moved >= 10


def test_gradients_that_are_not_finite_under_a_global_norm(keras, double):
    """Keras makes all of them NaN, so that the loss shows it."""
    weights = [Weight(np.ones(2), "a"), Weight(np.ones(2), "b")]
    variables = [keras.Variable(np.ones(2), dtype="float64") for _ in weights]
    gradients = [np.array([1.0, np.inf]), np.ones(2)]
    with np.errstate(invalid="ignore"):
        optimizers.SGD(0.1, global_clipnorm=1.0).apply_gradients(zip(gradients, weights, strict=True))
    tensors = [keras.ops.convert_to_tensor(g) for g in gradients]
    keras.optimizers.SGD(0.1, global_clipnorm=1.0).apply_gradients(zip(tensors, variables, strict=True))
    for weight, variable in zip(weights, variables, strict=True):
        assert np.isnan(weight.data).all()
        assert np.isnan(variable.numpy()).all()


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_in_float32(keras, rng, name, settings):
    for pairs in both_ways(keras, rng, name, settings, "float32"):
        for a, b in pairs:
            assert a.dtype == np.float32
            assert_close(a, b)


def test_a_schedule_sees_the_steps_done(keras, double, rng):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    w, v = Weight(np.ones(3), "w"), keras.Variable(np.ones(3), dtype="float64")
    mine = optimizers.SGD(learning_rate=lambda step: 0.1 * 0.5**step)
    other = keras.optimizers.SGD(learning_rate=schedule)
    for _ in range(3):
        w.grad = np.ones(3)
        mine.step([w])
        other.apply_gradients([(keras.ops.ones(3), v)])
    assert_close(w.data, v.numpy(), tol=1e-7)  # Keras computes the schedule in float32


def test_what_is_excluded_from_weight_decay(keras, double):
    w, v = Weight(np.ones(3), "bias"), keras.Variable(np.ones(3), dtype="float64", name="bias")
    mine, other = optimizers.SGD(0.1, weight_decay=0.1), keras.optimizers.SGD(0.1, weight_decay=0.1)
    for optimizer in (mine, other):
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    w.grad = np.full(3, 0.5)
    mine.step([w])
    other.apply_gradients([(keras.ops.full((3,), 0.5), v)])
    assert_close(w.data, v.numpy())
