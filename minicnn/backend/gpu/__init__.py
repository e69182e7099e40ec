"""The kernels for CuPy arrays: the reference ones, until one of them has a faster twin here. Importing this imports
cupy."""

import cupy as cp

from minicnn.backend.errors import DeviceError
from minicnn.backend.reference import Backend

# cudaError_t, from NVIDIA's CUDA Runtime API reference
INSUFFICIENT_DRIVER, NO_DEVICE = 35, 100


class GpuBackend(Backend):
    """Runs on CuPy, on the CUDA device `index`: what it makes from elsewhere is put there."""

    def __init__(self, index: int = 0):
        count = device_count()
        if index >= count:
            raise DeviceError(f"device 'gpu:{index}' does not exist: this machine has {count} GPU(s), numbered from 0")
        super().__init__(cp)
        self.name = f"gpu:{index}" if index else "gpu"
        self.device = cp.cuda.Device(index)

    def asarray(self, array, dtype=None):
        """`array` as an array on this device."""
        with self.device:
            return cp.asarray(array, dtype=dtype)


def device_count() -> int:
    """How many GPUs CUDA sees. Raises DeviceError where there is no driver or no GPU."""
    try:
        return cp.cuda.runtime.getDeviceCount()
    except cp.cuda.runtime.CUDARuntimeError as error:
        if error.status == NO_DEVICE:
            raise DeviceError(
                "no GPU found: CUDA sees none on this machine; check nvidia-smi, or CUDA_VISIBLE_DEVICES"
            ) from None
        if error.status == INSUFFICIENT_DRIVER:
            raise DeviceError(
                "no usable NVIDIA driver: it is absent, or older than CuPy's CUDA; install or update it "
                "(nvidia-smi shows it)"
            ) from None
        raise DeviceError(f"the GPU cannot be used: {error}") from None
