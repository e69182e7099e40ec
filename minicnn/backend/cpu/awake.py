"""Cores that stay awake while a step is computed.

Our threads sleep often and for a moment: until a piece of work comes, or until another one lets go of the interpreter's
lock. A core without anything to do sleeps as well, and needs some 40 us to wake up, more on a virtual machine, where it
may be lent out meanwhile: a tenth of a training step of ResNet-18. So a thread on each core spins during a step and a
little longer, under Linux's policy SCHED_IDLE: whatever else wants the core, of any process, takes it from that thread
at once. OpenMP's and OpenBLAS's threads spin for the same reason, but at ordinary priority.

It spins in a lock of libc's, outside the interpreter, so that it holds nothing that anyone waits for. Cores sleep as
they like where there is no such lock or policy, where the workers are fewer than the cores, where a container's time
on the processor is counted, and with MINICNN_KEEP_AWAKE=0.
"""

import ctypes
import os
import queue
import threading
import time
from functools import cache

from minicnn.config import config

LINGER = 0.05  # seconds after a step, for the next one
QUOTAS = {"/sys/fs/cgroup/cpu.max": "max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}  # what each says without one


class cores_awake:
    """`with cores_awake(workers):` the cores stay awake as long as anyone is inside, if the workers are as many."""

    def __init__(self, workers: int):
        few = workers < 2 or not possible() or workers < len(os.sched_getaffinity(0))
        self.spinners = _spinners if config.keep_awake and not few else None  # a child made inside has others

    def __enter__(self):
        if self.spinners is not None:
            self.spinners.enter()

    def __exit__(self, *_):
        if self.spinners is not None:
            self.spinners.leave()


@cache
def possible() -> bool:
    """Whether this system has what it takes, and lets us spin without a limit."""
    if not hasattr(os, "SCHED_IDLE") or not hasattr(_libc(), "pthread_spin_lock"):
        return False
    return all(_first_word(path) in (None, unlimited) for path, unlimited in QUOTAS.items())


def _libc(library: type = ctypes.CDLL) -> ctypes.CDLL:
    """The C library that Python runs on; a CDLL's functions run without the interpreter's lock, a PyDLL's with it."""
    return library(None)


def _first_word(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()[0]
    except (OSError, IndexError):
        return None


class _Spinners:
    """A thread for each core, made at the first `enter`; each waits for a lock to spin in, until that is unlocked.

    A lock is used once: a thread of such low priority might not come to hand it back for a long time.
    """

    def __init__(self):
        self.guard = threading.Lock()
        self.inside, self.left = 0, 0.0  # how many, and when the last one left
        self.waiting: list[queue.SimpleQueue] = []  # one for each core
        self.locks: list[ctypes.c_int] = []  # that they spin in
        self.begun: queue.SimpleQueue = queue.SimpleQueue()

    def enter(self) -> None:
        """Sets the threads spinning, if they are not."""
        with self.guard:
            self.inside += 1
            if self.locks:
                return
            if not self.waiting:
                self.make()
            for spinner in self.waiting:
                lock = ctypes.c_int()
                self.libc.pthread_spin_init(ctypes.byref(lock), 0)
                self.libc.pthread_spin_lock(ctypes.byref(lock))
                self.locks.append(lock)
                spinner.put(lock)
            self.begun.put(None)

    def leave(self) -> None:
        """The last one to leave lets them sleep a little later, if nobody comes again."""
        with self.guard:
            self.inside -= 1
            self.left = time.monotonic()

    def make(self) -> None:
        """Makes the threads."""
        self.libc = _libc(ctypes.PyDLL)
        for core in sorted(os.sched_getaffinity(0)):
            self.waiting.append(queue.SimpleQueue())
            arguments = core, self.waiting[-1]
            threading.Thread(target=spin, args=arguments, name=f"minicnn-awake-{core}", daemon=True).start()
        threading.Thread(target=self.watch, name="minicnn-awake", daemon=True).start()

    def watch(self) -> None:
        """The life of the thread that unlocks what the others spin in."""
        while True:
            self.begun.get()
            while self.locks:
                time.sleep(LINGER)
                with self.guard:
                    if not self.inside and time.monotonic() - self.left >= LINGER:
                        for lock in self.locks:
                            self.libc.pthread_spin_unlock(ctypes.byref(lock))
                        self.locks = []


def spin(core: int, locks: queue.SimpleQueue) -> None:
    """The life of a thread: sleeps until there is a lock, then spins on its core until that is unlocked."""
    libc = _libc()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.sched_setaffinity(0, {core})
    while True:
        libc.pthread_spin_lock(ctypes.byref(locks.get()))


def _after_fork() -> None:
    global _spinners
    _spinners = _Spinners()  # threads stay behind in the parent


_spinners = _Spinners()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
