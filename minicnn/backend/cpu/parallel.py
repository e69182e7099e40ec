"""Work in pieces, on a fixed pool of threads.

NumPy lets go of the interpreter's lock in copies, ufuncs and matrix products, so threads are enough. Work is cut by its
shape and never by the number of workers: a seed gives the same bits on 1, 2 or 4 threads.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.config import config


class _Local(threading.local):
    def __init__(self):
        self.buffers: dict[Any, np.ndarray] = {}
        self.busy = False


_local = _Local()


def workers() -> int:
    """How many threads work: config.threads, or the cores that this process may use."""
    if config.threads is not None:
        return config.threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(work: Callable[[Any], Any], pieces: Iterable[Any]) -> None:
    """`work(piece)` for all pieces, shared out among the workers, BLAS at one thread meanwhile.

    Two threads of ours on top of two of BLAS are 40 times slower than either. A piece that calls `run` itself does its
    pieces alone. An error in a piece is raised here.
    """
    pieces = list(pieces)
    if _local.busy:
        for piece in pieces:
            work(piece)
        return
    waiting = iter(pieces)  # taking from a list's iterator is atomic

    def drain(_=None):
        _local.busy = True
        try:
            for piece in waiting:
                work(piece)
        finally:
            _local.busy = False

    count = min(workers(), len(pieces))
    with _blas().limit(limits=1, user_api="blas"):
        helpers = [_pool(workers()).submit(drain) for _ in range(count - 1)]
        try:
            drain()
        finally:
            errors = [helper.exception() for helper in helpers]
    for error in errors:
        if error is not None:
            raise error


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of this thread to write into, its contents undefined; the same memory at each call with this name."""
    size = int(np.prod(shape))
    key = (name, np.dtype(dtype))
    buffer = _local.buffers.get(key)
    if buffer is None or buffer.size < size:
        buffer = _local.buffers[key] = np.empty(size, dtype)
    return buffer[:size].reshape(shape)


def spans(length: int, step: int) -> list[slice]:
    """0 .. length in pieces of `step`; the last one may be shorter."""
    step = max(step, 1)
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


@lru_cache
def _blas():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="minicnn")
