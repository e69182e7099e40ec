"""Where arrays get their memory from."""

import platform
import subprocess
import sys

import pytest

from minicnn.backend.cpu import memory
from tests.processes import environment

PROGRAM = """
import resource
import numpy as np
from minicnn.backend.cpu import memory

def step():
    arrays = [memory.empty((6 << 20,), np.float32) for _ in range(10)]
    for a in arrays:
        a[::256] = 1

step()
found = []
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step()
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(found))
"""


def new_pages(**variables: str) -> int:
    """How many a step of PROGRAM meets. Of several steps the one with the fewest: a machine short of memory takes pages
    away from time to time."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment() | variables)
    return int(done.stdout)


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's allocator")


@glibc
def test_arrays_of_some_megabytes_get_their_pages_once():
    """Ten of 24 MB are 240, of which all but 64 would be given back after each step."""
    assert new_pages() < 100


@glibc
def test_what_the_user_says_of_the_heap_stands():
    assert new_pages(MALLOC_TRIM_THRESHOLD_=str(1 << 20), MALLOC_MMAP_THRESHOLD_=str(1 << 25)) > 1000


@glibc
def test_the_heap_is_given_back_when_asked():
    program = PROGRAM + "from benchmarks.worker import resident\nbefore = resident()\nmemory.pool.release()\n"
    command = [sys.executable, "-c", program + "print(before - resident())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    assert float(done.stdout.split()[1]) > 200


def test_what_could_not_be_allocated_is_not_in_use(monkeypatch):
    def fails(*_):
        raise MemoryError

    pool = memory.Pool()
    block = pool.take(1 << 20)
    monkeypatch.setattr(memory, "aligned", fails)
    with pytest.raises(MemoryError):
        pool.take(1 << 30)
    assert (pool.used, pool.most) == (block.size, block.size)


def test_memory_is_used_again_and_given_back():
    pool = memory.Pool()
    block = pool.take(1 << 20)
    pool.give_back(block)
    assert pool.unused == 1 << 20
    assert pool.take(1 << 20) is block
    pool.give_back(block)
    pool.take(1 << 19)  # what waits and what is in use stay within what was once in use
    assert pool.unused == 0
