"""Memory for arrays: where the processor likes it, and for large ones, memory that was used before.

NumPy's arrays begin 16 bytes behind a line of the cache, so that each vector of AVX-512 lies in two lines, and a sum of
two arrays in the cache takes twice the time; these begin with a line. And the system gives a large array page by page,
zeroed, when it is first written, and takes it back at once: a seventh of VGG's training step went there. So the memory
of a large array waits here for the next one of its size. What waits and what is in use together are never more than
what was once in use at a time: memory of other sizes goes first.
"""

import ctypes
import math
import os
import platform
import threading
from functools import cache
from typing import Any

import numpy as np

LINE = 64  # bytes of a line of the cache, and of a vector of AVX-512
SMALL = 1 << 12  # bytes below which a line more or less is nothing
LARGE = 1 << 25  # bytes from which memory waits here; what smaller arrays free, the allocator keeps by itself

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # parameters of mallopt(3)
KEPT = (1 << 31) - 1  # bytes, the most that it takes


@cache
def keep_heap() -> bool:
    """Has glibc take arrays up to LARGE from one heap, and keep what they free for the next ones; whether it does.

    By itself it gives back the end of the heap beyond 64 MB after each step: the next one then meets new pages, 7,000
    in ResNet-18 with batch 8, a twentieth of its time, 21,000 in ResNet-50. A heap of its own for each thread comes and
    goes in parts of 64 MB, and holds what other threads then have to take once more: Inception v3 predicts in 0.93 of
    the time with one for all. Where MALLOC_TRIM_THRESHOLD_ or another of glibc's variables says something, that stands.
    """
    asked = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if asked or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = (M_MMAP_THRESHOLD, LARGE), (M_TRIM_THRESHOLD, KEPT), (M_ARENA_MAX, 1)
    return all(libc.mallopt(parameter, value) for parameter, value in settings)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """As np.empty: an array whose contents are undefined."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    if size >= LARGE:
        return np.asarray(_Block(size)).view(dtype).reshape(shape)
    return aligned(size, shape, dtype)


def aligned(size: int, shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    """An array of so many bytes that begins with a line."""
    memory = np.empty(size + LINE, np.uint8)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % LINE  # type: ignore[arg-type]
    return np.ndarray(shape, dtype, memory, start)


class Pool:
    """Memory by its size. Arrays may be freed on any thread."""

    def __init__(self):
        self.lock = threading.RLock()  # the garbage collector may free an array while its thread is in here
        self.waiting: dict[int, list[np.ndarray]] = {}  # the size that was freed last is the last one
        self.used = self.unused = self.most = 0  # bytes: in use, waiting, and at most in use at a time

    def take(self, size: int) -> np.ndarray:
        """Memory of this size, of an array that was freed if there is one."""
        with self.lock:
            if found := self.waiting.get(size):
                self.unused -= size
                self.count(size)
                return found.pop()
            used = self.used + size
            self.shrink(max(self.most, used) - used)
        memory = aligned(size, (size,))  # where there is none, nothing was counted
        with self.lock:
            self.count(size)
        return memory

    def count(self, size: int) -> None:
        """So many bytes more are in use."""
        self.used += size
        self.most = max(self.most, self.used)

    def give_back(self, memory: np.ndarray) -> None:
        """Keeps it for the next array of its size."""
        size = memory.size
        with self.lock:
            self.used -= size
            self.unused += size
            self.waiting[size] = [*self.waiting.pop(size, ()), memory]

    def shrink(self, most: int) -> None:
        """Lets go of memory until at most so many bytes wait, first of sizes that were not freed lately."""
        for size in list(self.waiting):
            blocks = self.waiting[size]
            while blocks and self.unused > most:
                blocks.pop()
                self.unused -= size
            if not blocks:
                del self.waiting[size]

    def release(self) -> None:
        """Gives all that waits back to the system."""
        with self.lock:
            self.shrink(0)
            self.most = self.used
        if keep_heap():
            ctypes.CDLL(None).malloc_trim(0)


class _Block:
    """What a large array and its views hold on to: when the last of them is gone, the memory goes back to the pool."""

    def __init__(self, size: int):
        self.memory = pool.take(size)
        self.__array_interface__ = self.memory.__array_interface__

    def __del__(self):
        if hasattr(self, "memory"):  # else there was none to take
            pool.give_back(self.memory)


pool = Pool()
keep_heap()
