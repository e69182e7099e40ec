"""What a step of training takes of memory, and what batch would fit."""

import contextlib
import gc
import math
from pathlib import Path
from typing import Any

from minicnn.backend.cpu.memory import pool

MARGIN = 1.5  # for what kernels need beside outputs and gradients: patches, transforms


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is Python's MemoryError, NumPy's (a kind of it), or CuPy's, which is known by its name alone."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def bytes_per_image(model: Any) -> int:
    """Of a training step: every output of a layer, and its gradient."""
    numbers = sum(math.prod(n or 1 for n in symbol.shape[1:]) for node in model.nodes for symbol in node.outputs)
    return 2 * numbers * _itemsize(model)


def bytes_of_weights(model: Any) -> int:
    """The weights, their gradients and the optimizer's slots."""
    optimizer = model.optimizer
    copies = 2 + (0 if optimizer is None else len(optimizer.all_slots))
    return copies * sum(math.prod(w.shape) for w in model.weights) * _itemsize(model)


def available() -> int | None:
    """Bytes that this process may still take, by its own limit and by what the machine has; None where nobody says."""
    gc.collect()
    pool.release()  # memory that waits for the next array is free, too
    found = []
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            found.append(max(limit - taken, 0))
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]))
    return min(found, default=None)


def advice(model: Any, batch_size: int, free: int | None) -> str:
    """What to do, as a power of two that fits into `free` bytes beside the weights, below `batch_size`."""
    image = bytes_per_image(model)
    said = f"a step takes about {_size(image)} for each image, and {_size(bytes_of_weights(model))} for the weights"
    if free is None:
        return f"out of memory: {said}; try a smaller --batch-size than {batch_size}"
    fits = int(free / (MARGIN * image))
    if fits < 1 or batch_size == 1:
        return f"out of memory: {said}, and {_size(free)} are free: not even one image fits; try a smaller --img-size"
    best = min(2 ** (fits.bit_length() - 1), 2 ** ((batch_size - 1).bit_length() - 1))
    return f"out of memory: {said}, and {_size(free)} are free: --batch-size {best} would fit"


def _itemsize(model: Any) -> int:
    return max((w.dtype.itemsize for w in model.weights), default=4)


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
