"""Subnormal numbers are zeros during a step, on every thread that works, and what they were before it and after."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from minicnn import Weight
from minicnn.backend import CPU
from minicnn.backend.cpu import parallel, subnormals
from minicnn.config import config
from minicnn.training.optimizers import SGD
from tests.processes import PATIENCE, environment

TINY = {"float32": 1e-39, "float64": 1e-309}
here = pytest.mark.skipif(not subnormals.possible(), reason="no processor or C library whose register is known")


def halves(dtype="float32") -> np.ndarray:
    """Subnormal numbers times 0.5, zeros where they count as zeros: many, and one, in a vector's loop and by itself."""
    tiny = np.array(TINY[dtype], dtype)
    return np.array([(np.full(1000, tiny) * tiny.dtype.type(0.5)).max(), (tiny[None] * tiny.dtype.type(0.5))[0]])


@here
@pytest.mark.parametrize("dtype", TINY)
def test_zeros_during_a_step(dtype):
    assert halves(dtype).all()
    with CPU.working():
        assert not halves(dtype).any()
        with CPU.working():
            pass
        assert not halves(dtype).any()
    assert halves(dtype).all()


@here
def test_also_after_an_error_they_are_numbers():
    with pytest.raises(ValueError, match="step"), CPU.working():
        raise ValueError("step")
    assert halves().all()


@here
def test_the_operands_are_zeros_too():
    with CPU.working():
        assert not (np.full(100, 1e-39, "float32") * np.float32(1e10)).any()


@here
@pytest.mark.parametrize("inside", [True, False])
def test_on_every_thread_as_on_the_one_that_asks(monkeypatch, inside):
    """Also on threads that were made during a step."""
    monkeypatch.setattr(config, "threads", 4)
    monkeypatch.setattr(parallel, "_helpers", parallel._Helpers())
    results = {}
    everyone = threading.Barrier(4)

    def work(_):
        everyone.wait(PATIENCE)
        results[threading.get_ident()] = halves().any()

    with CPU.working():
        parallel.run(work, range(4))
    assert len(results) == 4
    assert not any(results.values())
    if inside:
        with CPU.working():
            parallel.run(work, range(4))
        assert not any(results.values())
    else:
        parallel.run(work, range(4))
        assert all(results.values())


@here
def test_what_somebody_else_asked_for_stays():
    """As torch.set_flush_denormal(True) does."""
    subnormals.flush(True)
    before, subnormals._local.flushed = subnormals._local.flushed, False
    try:
        with CPU.working():
            assert not halves().any()
        assert not halves().any()
    finally:
        subnormals._local.flushed, subnormals._local.before = before, 0
        subnormals.flush(False)
    assert halves().all()


def test_not_where_one_does_not_want_it(monkeypatch):
    monkeypatch.setattr(config, "flush_subnormals", False)
    with CPU.working():
        assert halves().all()


def test_not_where_the_register_is_not_known(monkeypatch):
    monkeypatch.setattr(subnormals.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(subnormals, "possible", subnormals.possible.__wrapped__)
    assert not subnormals.possible()
    with CPU.working():
        assert halves().all()


@here
def test_the_momentum_of_a_dead_unit_ends_at_zero():
    """0.9 of the smallest number is rounded to itself: left alone, it would stay there for ever."""
    weight, optimizer = Weight(np.ones(64, "float32"), "w"), SGD(0.1, momentum=0.9)
    optimizer.build([weight])
    (velocity,) = optimizer.state_of(weight).values()
    for flushed in (False, True):
        config.flush_subnormals = flushed
        velocity[...] = 1e-36
        try:
            for _ in range(200):
                with CPU.working():
                    optimizer.apply_gradients([(np.zeros(64, "float32"), weight)])
        finally:
            config.flush_subnormals = True
        assert velocity.any() != flushed


def test_nobody_is_warned():
    """NumPy 2.0 does, where it first meets a type during a step and finds no subnormal numbers in it."""
    code = "import numpy as np; from minicnn.backend import CPU\nwith CPU.working(): np.finfo('f4'), np.finfo('f8')"
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE)
    assert not ran.returncode, ran.stderr
