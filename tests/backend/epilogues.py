"""What every fast convolution owes: the epilogue, and the use of what was prepared of its kernel."""

import numpy as np

from minicnn.backend import CPU, Window
from minicnn.backend.reference import Backend
from tests.checks import assert_close

REFERENCE = Backend(np)


def check_epilogue_and_prepared_kernel(rng, w_shape):
    """w_shape: (KH, KW, 5, 4), read in float32 by the algorithm that is set."""
    x, w, residual, bias = (rng.normal(size=s).astype("float32") for s in ((2, 7, 9, 5), w_shape, (2, 7, 9, 4), 4))
    window = Window(pads="same")
    prepared = CPU.prepare_kernel(w, window, x.shape)
    plain = CPU.conv2d(x, w, window)
    y = CPU.conv2d(x, w, window, bias=bias, scale=bias, shift=bias, residual=residual, relu=True, prepared=prepared)
    assert_close(y, REFERENCE.epilogue(plain, bias, bias, bias, residual, True), 1e-6)
    zeros = CPU.conv2d(x, np.zeros_like(w), window, prepared=prepared)
    assert (zeros == plain).all(), "what was prepared was not used"
