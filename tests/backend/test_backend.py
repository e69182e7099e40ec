"""Which device an operation runs on: by the arrays' type, by name, and never on two at once."""

import numpy as np
import pytest

from minicnn.backend import Backend, backend_of, get, to_numpy
from minicnn.ops import Add, Conv2D
from tests.conftest import cupy_or_reason


@pytest.fixture
def device_array():
    """A CuPy array where there is a GPU, else something that says that it is one."""
    cupy, _ = cupy_or_reason()
    if cupy:
        return cupy.ones((2, 2))
    return type("ndarray", (), {"__module__": "cupy", "shape": (2, 2), "ndim": 2})()


def test_numpy_arrays_run_on_the_cpu():
    assert backend_of(np.ones(2), None, np.float32(1.0)) is get("cpu")
    assert isinstance(get("cpu"), Backend)
    assert get("cpu").xp is np


def test_arrays_run_on_their_own_device(xp):
    assert backend_of(xp.ones(2)).xp is xp


def test_asarray(xp):
    backend = backend_of(xp.ones(2))
    array = backend.asarray([[1, 2]], "float32")
    assert (type(array), array.dtype, array.shape) == (xp.ndarray, np.float32, (1, 2))


def test_to_numpy(xp):
    array = to_numpy(xp.asarray([1.0, 2.0]))
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, [1.0, 2.0])


@pytest.mark.parametrize("turned", [False, True])
def test_two_devices_in_one_op(device_array, turned):
    arrays = [np.ones((2, 2)), device_array]
    with pytest.raises(TypeError, match="device"):
        Add()(*reversed(arrays) if turned else arrays)
    with pytest.raises(TypeError, match="device"):
        Conv2D()(*reversed(arrays) if turned else arrays)


def test_what_is_no_array():
    with pytest.raises(TypeError, match="list"):
        backend_of([1.0, 2.0])


@pytest.mark.parametrize("name", ["cuda", "gpu:", "gpu:x", "CPU", ""])
def test_unknown_device(name):
    with pytest.raises(ValueError, match=repr(name)):
        get(name)


def test_a_gpu_that_is_not_there():
    cupy, _ = cupy_or_reason()
    if cupy:
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="(?i)gpu|driver|cupy"):
        get("gpu")
