"""The oracle: Keras 3 on TensorFlow, where it is installed."""

import os
import warnings

import pytest

from minicnn.config import config


@pytest.fixture(scope="session")
def keras():
    """The keras module, on TensorFlow and in float64 when `double` is asked for too."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TensorFlow imports warns of its own affairs
        pytest.importorskip("tensorflow", reason="parity is held against tensorflow-cpu, which is not installed")
        return pytest.importorskip("keras", reason="parity is held against Keras 3, which is not installed")


@pytest.fixture
def double(keras):
    """float64 on both sides, for the length of a test."""
    before = keras.config.floatx(), config.floatx
    keras.config.set_floatx("float64")
    config.floatx = "float64"
    yield
    keras.config.set_floatx(before[0])
    config.floatx = before[1]
