"""Subnormal numbers count as zeros while a step is computed.

Below 1.2e-38 float32 has fewer and fewer digits, and a processor takes forty times as long for a number. That is where
momentum goes: a unit that no image reaches any more has gradient 0, its velocity shrinks by 0.9 a step, and after some
800 steps it is there. It stays: 0.9 of the smallest number is rounded to itself. In LeNet-5 8 % of all velocities end
so, and updates take four times as long. So two bits of each thread's control register say meanwhile that such
results, and such operands, are 0 (2.2e-308 in float64); TensorFlow computes so as well.
A thread that somebody starts during a step begins with the bits of the one that starts it, and keeps them.
Source: Intel 64 manual, volume 1, section 10.2.3.3 and 10.2.3.4 (MXCSR: flush to zero, denormals are zeros), which
fesetenv (C11, 7.6.4) writes.
"""

import ctypes
import platform
import sys
import threading
from functools import cache

import numpy as np

from minicnn.config import config

BITS = 1 << 15 | 1 << 6  # of results, of operands


class _Environment(ctypes.Structure):
    """glibc's fenv_t on x86-64."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


class _Local(threading.local):
    flushed = False
    before = 0  # the bits as they were


_local = _Local()


class flushed:
    """`with flushed():` subnormal numbers are zeros on this thread, and on those that help it (`parallel.py`)."""

    wanted = True

    def __enter__(self):
        self.before = _local.flushed
        flush(self.wanted and config.flush_subnormals)

    def __exit__(self, *_):
        flush(self.before)


class not_flushed(flushed):
    """`with not_flushed():` they are what they were before."""

    wanted = False


def flushing() -> bool:
    """Whether they are zeros on this thread."""
    return _local.flushed


def flush(on: bool) -> None:
    """From now on they are zeros on this thread, or again what they were before."""
    if on == _local.flushed or not possible():
        return
    environment = _Environment()
    _libc().fegetenv(ctypes.byref(environment))
    if on:
        _local.before = environment.mxcsr & BITS
    environment.mxcsr = environment.mxcsr & ~BITS | (BITS if on else _local.before)
    _libc().fesetenv(ctypes.byref(environment))
    _local.flushed = on


@cache
def possible() -> bool:
    """Whether this is a processor and a C library whose register we know."""
    for dtype in (np.float32, np.float64):
        np.finfo(dtype)  # an older NumPy, asked for the first time during a step, would warn
    known = sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc"
    return known and hasattr(_libc(), "fesetenv")


@cache
def _libc() -> ctypes.PyDLL:
    return ctypes.PyDLL(None)  # its functions return at once: nobody else needs the interpreter meanwhile
