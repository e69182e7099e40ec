"""Schedules against Keras's, step by step over their ends, boundaries and restarts."""

import json

import numpy as np
import pytest

from minicnn.training import schedules

CASES = [
    ("ExponentialDecay", (0.125, 10, 0.9), {}),
    ("ExponentialDecay", (0.125, 7, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.125, 10, 0.5), {}),
    ("InverseTimeDecay", (0.125, 7, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([10, 25], [1.0, 0.5, 0.25]), {}),
    ("PolynomialDecay", (0.125, 30), {}),
    ("PolynomialDecay", (0.125, 30), {"end_learning_rate": 0.03125, "power": 2.0}),
    ("PolynomialDecay", (0.125, 8), {"power": 0.5, "cycle": True}),
    ("CosineDecay", (0.125, 30), {}),
    ("CosineDecay", (0.0, 30), {"alpha": 0.25, "warmup_target": 0.5, "warmup_steps": 8}),
    ("CosineDecay", (0.125, 30), {"alpha": 0.25, "warmup_target": 0.5}),
    ("CosineDecayRestarts", (0.125, 8), {}),
    ("CosineDecayRestarts", (0.125, 8), {"t_mul": 1.0, "m_mul": 0.5, "alpha": 0.25}),
    ("CosineDecayRestarts", (0.125, 8), {"t_mul": 1.5, "m_mul": 0.5}),
]


@pytest.mark.parametrize(("name", "values", "settings"), CASES)
def test_schedule(keras, double, name, values, settings):
    mine = getattr(schedules, name)(*values, **settings)
    other = getattr(keras.optimizers.schedules, name)(*values, **settings)
    steps = range(70)
    # Keras computes in the type of TensorFlow's constants, float32
    np.testing.assert_allclose([mine(s) for s in steps], [float(other(s)) for s in steps], rtol=2e-6, atol=1e-7)
    assert mine.get_config() == other.get_config()
    data = json.loads(json.dumps(schedules.serialize(mine)))
    theirs = keras.optimizers.schedules.deserialize(data)
    assert theirs.get_config() == other.get_config()
    assert schedules.get(keras.optimizers.schedules.serialize(other)).get_config() == mine.get_config()
