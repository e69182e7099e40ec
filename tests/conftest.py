"""What every test may ask for: an array library of each device there is, and numbers drawn with a seed."""

import functools
import warnings

import numpy
import pytest

from minicnn.config import config


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
