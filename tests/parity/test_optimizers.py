"""Five steps of every optimizer against Keras's, with gradients drawn at random."""

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
]
# Keras passes momentum, beta and weight_decay through float32 even in float64 (tf.cast of a Python number), so the
# comparison to 1e-10 needs numbers that float32 holds exactly.
EXACT = {"momentum": 0.875, "weight_decay": 0.015625, "beta_1": 0.875, "beta_2": 0.9921875}
SHAPES = [(3, 2, 4), (5,)]


def both_ways(keras, rng, name, settings, dtype, steps=5):
    """The weights after each step, ours and theirs."""
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


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_in_float64(keras, double, rng, name, settings):
    needed = EXACT.keys() & (settings.keys() | ({"beta_1", "beta_2"} if name == "Adam" else set()))
    settings = settings | {key: EXACT[key] for key in needed}
    for pairs in both_ways(keras, rng, name, settings, "float64"):
        for a, b in pairs:
            assert_close(a, b)


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
