"""The settings of a process: what they refuse, and what they change."""

import subprocess
import sys

import numpy as np
import pytest

from minicnn import config
from minicnn.backend import CPU, Window
from minicnn.backend.cpu import parallel
from tests.processes import PATIENCE, environment


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    for name in ("conv", "precision", "threads", "floatx"):
        monkeypatch.setattr(config.config, name, getattr(config.config, name))


@pytest.mark.parametrize(
    ("setter", "value"),
    [
        ("set_conv", "fft"),
        ("set_precision", "high"),
        ("set_threads", 0),
        ("set_floatx", "int8"),
        ("set_random_seed", -1),
    ],
)
def test_what_is_refused(setter, value):
    with pytest.raises(ValueError, match=str(value)):
        getattr(config, setter)(value)


def test_algorithms_and_precision(rng):
    x, w = rng.normal(size=(2, 8, 8, 8)).astype("float32"), rng.normal(size=(3, 3, 8, 8)).astype("float32")
    found = {}
    for algorithm in config.ALGORITHMS:
        config.set_conv(algorithm)
        found[algorithm] = CPU.conv2d(x, w, Window())
    assert (found["direct"] != found["winograd2"]).any()
    assert (found["winograd2"] != found["winograd4"]).any()
    config.set_precision("highest")
    np.testing.assert_array_equal(CPU.conv2d(x, w, Window()), found["direct"])


def test_threads(monkeypatch):
    limits = []
    monkeypatch.setattr("threadpoolctl.threadpool_limits", lambda limits_=None, **given: limits.append(given))
    config.set_threads(3)
    assert parallel.workers() == 3
    assert limits == [{"limits": 3, "user_api": "blas"}]


@pytest.mark.parametrize("setting", ["keep_awake", "flush_subnormals"])
@pytest.mark.parametrize("value", ["0", "1", "no"])
def test_the_environment_switches(setting, value):
    code, variable = f"from minicnn.config import config; print(config.{setting})", f"MINICNN_{setting.upper()}"
    variables = environment(**{variable: value})
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, timeout=PATIENCE)
    if value == "no":
        assert f"{variable} must be 0 or 1, got 'no'" in ran.stderr
    else:
        assert ran.stdout.strip() == str(value == "1")
