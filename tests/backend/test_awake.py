"""The cores that stay awake during a step, and sleep after it."""

import multiprocessing
import os
import threading
import time

import pytest

from minicnn.backend import CPU
from minicnn.backend.cpu import awake
from minicnn.config import config

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
spinning = pytest.mark.skipif(
    CORES < 2 or not awake.possible(), reason="needs two cores, Linux's SCHED_IDLE, a libc with spin locks and no quota"
)


@pytest.fixture
def spinners(monkeypatch):
    """New ones, and as many workers as cores."""
    monkeypatch.setattr(awake, "_spinners", awake._Spinners())
    monkeypatch.setattr(config, "threads", CORES)
    monkeypatch.setattr(config, "keep_awake", True)
    return awake._spinners


def until(condition) -> None:
    """Waits for it, a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def processor_time(seconds: float) -> float:
    """What this process used while this thread slept."""
    before = time.process_time()
    time.sleep(seconds)
    return time.process_time() - before


@spinning
def test_cores_stay_awake_during_a_step_and_a_moment_longer(spinners):
    with CPU.working():
        with CPU.working():
            pass
        before = time.process_time()
        until(lambda: time.process_time() - before > 0.1)
        assert spinners.locks
    with CPU.working():
        assert len(spinners.waiting) == CORES  # the same threads
    until(lambda: not spinners.locks)
    until(lambda: processor_time(0.2) < 0.02)


@spinning
def test_they_give_way_to_any_other_thread(spinners):
    with CPU.working():
        threads = [t for t in threading.enumerate() if t.name.startswith("minicnn-awake-")][-CORES:]
        until(lambda: {os.sched_getscheduler(t.native_id) for t in threads} == {os.SCHED_IDLE})
        until(
            lambda: sorted(min(os.sched_getaffinity(t.native_id)) for t in threads) == sorted(os.sched_getaffinity(0))
        )


@spinning
def test_an_error_in_a_step_lets_them_sleep(spinners):
    with pytest.raises(ValueError, match="step"), CPU.working():
        raise ValueError("step")
    until(lambda: not spinners.locks)


@pytest.mark.parametrize("name, value", [("threads", 1), ("threads", CORES - 1), ("keep_awake", False)])
def test_cores_sleep_as_they_like(spinners, monkeypatch, name, value):
    """With one worker, with fewer than cores, and where one does not want them awake."""
    monkeypatch.setattr(config, name, max(value, 1) if name == "threads" else value)
    with CPU.working():
        assert not spinners.waiting


@pytest.mark.parametrize("said, expected", [("max 100000\n", True), ("150000 100000\n", False), ("-1", False)])
def test_no_core_is_kept_awake_where_processor_time_is_counted(tmp_path, monkeypatch, said, expected):
    (tmp_path / "cpu.max").write_text(said)
    monkeypatch.setattr(awake, "QUOTAS", {str(tmp_path / "cpu.max"): "max", str(tmp_path / "none"): "-1"})
    monkeypatch.setattr(awake.os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(awake, "_libc", lambda: type("Libc", (), {"pthread_spin_lock": None}))
    assert awake.possible.__wrapped__() is expected


def test_without_the_lock_or_the_policy_nothing_happens(spinners, monkeypatch):
    monkeypatch.setattr(awake, "possible", awake.possible.__wrapped__)
    monkeypatch.setattr(awake, "_libc", object)
    with CPU.working():
        assert not spinners.waiting
    monkeypatch.delattr(awake.os, "SCHED_IDLE", raising=False)
    assert not awake.possible()


@spinning
def test_a_child_has_spinners_of_its_own(spinners):
    with CPU.working():
        child = multiprocessing.get_context("fork").Process(target=step_of_a_child)
        child.start()
    child.join(60)
    assert child.exitcode == 0


def step_of_a_child() -> None:
    assert not awake._spinners.waiting
    with CPU.working():
        assert len(awake._spinners.waiting) == CORES


@spinning
def test_a_child_that_is_made_within_a_step_leaves_its_own_alone(spinners):
    child = multiprocessing.get_context("fork").Process(target=leave_in_a_child, args=(CPU.working(),))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def leave_in_a_child(step) -> None:
    with step:
        awake._after_fork()  # as in a child of this one
    assert awake._spinners.inside == 0
