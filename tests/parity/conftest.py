"""The oracle: Keras 3 on TensorFlow, where it is installed."""

import warnings
from contextlib import contextmanager

import pytest

from minicnn.config import config


@pytest.fixture(scope="session")
def keras():
    """The keras module, on TensorFlow and in float64 when `double` is asked for too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow imports warns of its own affairs
        pytest.importorskip("tensorflow", reason="parity is held against tensorflow-cpu, which is not installed")
        return pytest.importorskip("keras", reason="parity is held against Keras 3, which is not installed")


@pytest.fixture(autouse=True)
def highest_precision(monkeypatch):
    """Direct convolutions: float32 is held against Keras more narrowly than Winograd's error allows."""
    monkeypatch.setattr(config, "precision", "highest")


@contextmanager
def precision(keras, name):
    """Weights and layers of this type on both sides."""
    before = keras.config.floatx(), keras.config.dtype_policy(), config.floatx
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)  # what floatx was when it was first asked for, otherwise
    config.floatx = name
    try:
        yield name
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
        config.floatx = before[2]


@pytest.fixture
def double(keras):
    """float64 on both sides, for the length of a test."""
    with precision(keras, "float64"):
        yield


@pytest.fixture(params=["float64", "float32"])
def dtype(keras, request):
    """Once float64 and once float32 on both sides."""
    with precision(keras, request.param) as name:
        yield name
