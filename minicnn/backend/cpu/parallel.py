"""Work in pieces, on a fixed pool of threads.

NumPy lets go of the interpreter's lock in copies, ufuncs and matrix products, so threads are enough. Work is cut by its
shape and never by the number of workers: a seed gives the same bits on 1, 2 or 4 threads.
"""

import itertools
import math
import os
import queue
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.subnormals import flush, flushing, not_flushed
from minicnn.config import config

PIECE = 1 << 17  # numbers of a piece of images that is copied


class _Local(threading.local):
    def __init__(self):
        self.buffers: dict[Any, np.ndarray] = {}
        self.lasting: dict[str, tuple[Any, Any]] = {}
        self.busy = False
        self.inside = 0  # of one_blas_thread(), how many times


@lru_cache(maxsize=1024)
def image_spans(images: int, each: int, about: int) -> tuple[slice, ...]:
    """Whole images in pieces of about `about` units, `each` an image, so that two workers have equally much to do."""
    fit = min(about / each, images / 2)
    return spans(images, even_step(images, max(round(0.7 * fit), 1), max(round(1.3 * fit), 1)))


def in_images(work: Callable[[slice], Any], x: np.ndarray) -> None:
    """`work(images)` for all images of x, shared out."""
    run(work, image_spans(len(x), max(math.prod(x.shape[1:]), 1), PIECE))


def image_pieces(images: int, rows: int, each: int, about: int) -> list[tuple[slice, slice]]:
    """Pieces of about `about` units, `each` a row, as (images, rows): several images whole, or bands of one."""
    if about >= rows * each:
        return [(some, slice(0, rows)) for some in image_spans(images, rows * each, about)]
    return image_bands(images, rows, -(-rows * each // about))


def image_bands(images: int, rows: int, count: int) -> list[tuple[slice, slice]]:
    """Each image by itself, its rows in so many bands, as (images, rows)."""
    return [(slice(i, i + 1), band) for i in range(images) for band in spans(rows, -(-rows // count))]


@lru_cache(maxsize=1024)
def even_step(length: int, least: int, most: int) -> int:
    """Of the steps from least to most the one by which two workers get the most equal shares of 0 .. length, if they
    take turns; the smallest of several."""
    return min(range(least, most + 1), key=lambda step: -(-length // step // 2) * step)


class _Blas:
    """As a context: BLAS on one thread as long as anyone is inside."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = 0  # how many threads hold it at one
        self.before: list[tuple[Any, int]] = []
        self.found: list[Any] | None = None

    def libraries(self) -> list[Any]:
        """NumPy's BLAS, and any other that was there when it was first asked for."""
        if self.found is None:
            from threadpoolctl import ThreadpoolController

            self.found = ThreadpoolController().select(user_api="blas").lib_controllers
        return self.found

    def __enter__(self):
        if not _local.inside:
            self.hold()
        _local.inside += 1

    def __exit__(self, *_):
        _local.inside -= 1
        if not _local.inside:
            self.let_go()

    def hold(self) -> None:
        """A thread more that needs BLAS on one thread."""
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.before = [(library, library.num_threads) for library in self.libraries()]
                for library, count in self.before:
                    if count != 1:
                        library.set_num_threads(1)

    def let_go(self) -> None:
        """A thread less."""
        with self.lock:
            self.inside -= 1
            if not self.inside:
                for library, count in self.before:
                    if count != 1:
                        library.set_num_threads(count)


_local = _Local()
_blas = _Blas()


def workers() -> int:
    """How many threads work: config.threads, or the cores that this process may use."""
    if config.threads is not None:
        return config.threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(work: Callable[[Any], Any], pieces: Iterable[Any]) -> None:
    """`work(piece)` for all pieces, shared out among the workers, BLAS at one thread meanwhile.

    Two threads of ours on top of two of BLAS are 40 times slower than either. A piece among several that calls `run`
    itself does its own ones alone. An error in a piece is raised here.
    """
    pieces = list(pieces)
    if _local.busy:
        for piece in pieces:
            work(piece)
        return
    with one_blas_thread():
        helpers = min(workers(), len(pieces)) - 1
        if helpers < 1:
            for piece in pieces:
                work(piece)
            return
        job = _Job(work, pieces)
        _helpers.ask(job, helpers)
        job.drain()
        job.wait()


def side_by_side(*jobs):
    """What the jobs give. As many workers as there are jobs take one each, and no piece of it waits for any other's."""
    found = [None] * len(jobs)

    def work(i):
        found[i] = jobs[i]()

    if workers() == len(jobs):
        run(work, range(len(jobs)))
    else:
        for i in range(len(jobs)):
            work(i)
    return found


class _Job:
    """Pieces of work that some threads share out among themselves.

    Nobody waits for a helper, only for pieces that one has taken: a short job is done before its helpers are awake.
    """

    def __init__(self, work: Callable[[Any], Any], pieces: list[Any]):
        self.work, self.total, self.flushing = work, len(pieces), flushing()
        self.waiting, self.count = iter(pieces), itertools.count(1)  # taking from either is atomic
        self.errors: list[BaseException] = []
        self.finished = threading.Lock()
        if pieces:
            self.finished.acquire()

    def drain(self) -> None:
        """Does pieces as long as there are any. After an error the rest is left undone."""
        _local.busy = True
        try:
            for piece in self.waiting:
                try:
                    if not self.errors:
                        self.work(piece)
                except BaseException as error:  # it belongs to the thread that waits
                    self.errors.append(error)
                if next(self.count) == self.total:
                    self.finished.release()
        finally:
            _local.busy = False

    def wait(self) -> None:
        """Returns when all pieces are done. Raises the first error of any."""
        self.finished.acquire()
        if self.errors:
            raise self.errors[0]


class _Helpers:
    """Threads that take part in jobs: made when they are first needed, and kept.

    A queue in place of an executor and its futures: asking for help costs 5 us instead of 50, which was a quarter of
    the small networks' time.
    """

    def __init__(self):
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self.made = 0
        self.lock = threading.Lock()

    def ask(self, job: _Job, helpers: int) -> None:
        """Asks so many of them to take part."""
        if self.made < helpers:
            self.make(helpers)
        for _ in range(helpers):
            self.jobs.put(job)

    def make(self, count: int) -> None:
        """Sees to it that there are so many."""
        with self.lock, not_flushed():  # a new thread begins as the one that makes it
            for number in range(self.made, count):
                threading.Thread(target=self.serve, name=f"minicnn-{number}", daemon=True).start()
            self.made = max(self.made, count)

    def serve(self) -> None:
        """The life of a helper."""
        while True:
            job = self.jobs.get()
            flush(job.flushing)  # the same bits on all threads
            job.drain()


def one_blas_thread() -> _Blas:
    """As a context: BLAS computes on the thread that calls it, as long as anyone is inside; then on as many as before.

    Around a whole training step it also keeps OpenBLAS's threads asleep, which spin for a while after each product and
    would take the cores from ours.
    """
    return _blas


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of this thread to write into, its contents undefined; the same memory at each call with this name."""
    size = math.prod(shape)
    key = name, dtype
    buffer = _local.buffers.get(key)
    if buffer is None or buffer.size < size:
        buffer = _local.buffers[key] = empty((size,), dtype)
    return buffer[:size].reshape(shape)


def lasting(name: str, form: Any, make: Callable[[], Any]) -> Any:
    """What make() gave on this thread, as long as it is asked for in this form: memory with its views, and with what
    nobody overwrites, if it is scratch memory of a name that nobody else uses."""
    found = _local.lasting.get(name)
    if found is None or found[0] != form:
        found = _local.lasting[name] = form, make()
    return found[1]


@lru_cache(maxsize=1024)
def spans(length: int, step: int) -> tuple[slice, ...]:
    """0 .. length in pieces of `step`; the last one may be shorter."""
    step = max(step, 1)
    return tuple(slice(start, min(start + step, length)) for start in range(0, length, step))


_helpers = _Helpers()
