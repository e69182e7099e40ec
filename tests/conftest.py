"""What every test may ask for: an array library of each device there is, and numbers drawn with a seed."""

import functools
import os
import warnings

import numpy
import pytest
from hypothesis import HealthCheck, settings

from minicnn.config import config

# Keras, where it is the oracle: on TensorFlow, in small work on one thread, and not as somebody's keras.json has it.
os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"] = "tensorflow", os.devnull
os.environ |= dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples every time, however slow the machine is; `--hypothesis-profile=default` draws others.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@functools.cache
def cupy_or_reason():
    """(cupy, None) where a GPU answers, else (None, why not)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cupy warns on import where it finds no CUDA
        try:
            import cupy

            cupy.zeros(1).sum().get()  # a driver may be listed and still not compute
        except ImportError:
            return None, "cupy is not installed"
        except Exception as error:  # noqa: BLE001  (what a missing driver raises differs from machine to machine)
            return None, f"no GPU answers: {type(error).__name__}"
    return cupy, None


@pytest.fixture(params=["numpy", "cupy"])
def xp(request):
    """The array library of each device; a test that takes it runs on all of them."""
    if request.param == "numpy":
        return numpy
    cupy, reason = cupy_or_reason()
    return cupy or pytest.skip(reason)


@pytest.fixture(autouse=True)
def settings_of_its_own():
    """No test sees what another one set: a seed, a number format, threads, or how many weights were drawn."""
    before = dict(vars(config))
    yield
    vars(config).update(before)


@pytest.fixture
def rng():
    """Always the same numbers, whatever ran before."""
    return numpy.random.default_rng(20240229)
