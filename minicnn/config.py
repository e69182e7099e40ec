"""What a whole process shares: number format, seed, threads, convolution algorithm. One small object, and the random
numbers keyed by its seed."""

import os
import zlib
from dataclasses import dataclass

import numpy as np

FLOAT_TYPES = ("float16", "float32", "float64")
ALGORITHMS = ("auto", "direct", "winograd2", "winograd4", "winograd4x1")
PRECISIONS = ("default", "highest")


@dataclass
class Config:
    """The settings of this process; `minicnn.config.config` is the only instance."""

    floatx: str = "float32"
    epsilon: float = 1e-7
    seed: int = 0
    threads: int | None = None  # None: as many as there are cores for this process
    keep_awake: bool = True  # cores, during a step: backend/cpu/awake.py
    flush_subnormals: bool = True  # to zero, during a step: backend/cpu/subnormals.py
    conv: str = "auto"
    precision: str = "default"
    draws: int = 0  # initial weights drawn since the seed was set: their place in the order of creation


config = Config()


def floatx() -> str:
    """The type that new weights get: "float32" unless set otherwise."""
    return config.floatx


def set_floatx(value: str) -> None:
    """Sets the type of new weights. Raises ValueError for anything but float16, float32, float64."""
    if value not in FLOAT_TYPES:
        raise ValueError(f"floatx must be one of {', '.join(FLOAT_TYPES)}, got {value!r}")
    config.floatx = value


def epsilon() -> float:
    """The fuzz factor of losses that clip probabilities (1e-7, as in Keras)."""
    return config.epsilon


def set_epsilon(value: float) -> None:
    """Sets the fuzz factor of losses that clip probabilities."""
    config.epsilon = float(value)


def set_conv(value: str) -> None:
    """Forces an algorithm on the convolutions that it can compute; the others are direct.

    "auto" chooses by shape, "direct" multiplies patches, "winograd2" and "winograd4" transform tiles of 2x2 and 4x4
    outputs of 3x3 kernels, "winograd4x1" four rows of these, or four numbers of a line for 1xK and Kx1 kernels with K =
    3, 5 or 7; all of stride 1 and in float32. Raises ValueError for any other word.
    """
    if value not in ALGORITHMS:
        raise ValueError(f"the convolution algorithm must be one of {', '.join(ALGORITHMS)}, got {value!r}")
    config.conv = value


def set_precision(value: str) -> None:
    """ "highest" keeps to direct convolutions; "default" allows those that round a little more, for speed.

    Raises ValueError for any other word.
    """
    if value not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {value!r}")
    config.precision = value


def image_data_format() -> str:
    """The only layout that there is: "channels_last", (N, H, W, C)."""
    return "channels_last"


def array_library() -> str:
    """What computes, in Keras's words for backends: "numpy" (with CuPy standing in for it on a GPU)."""
    return "numpy"


def set_random_seed(seed: int) -> None:
    """Sets the seed of everything random: initial weights, shuffling, dropout. The same seed gives the same bits."""
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"the seed must be a whole number from 0 up, got {seed!r}")
    config.seed, config.draws = seed, 0


def set_threads(count: int) -> None:
    """Lets `count` threads compute, for the rest of the process: our workers, or BLAS where they are not at work."""
    if count < 1:
        raise ValueError(f"threads must be at least 1, got {count}")
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=count, user_api="blas")
    config.threads = count


def generator(*key: int | str) -> np.random.Generator:
    """A generator that depends on the seed and on `key` alone, never on what was drawn before.

    So a run that resumes at step 1,000 needs no saved generator: it asks for ("dropout", layer, 1000) again.
    Philox (Salmon et al. 2011) with a SeedSequence: words are turned into numbers by their CRC.
    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in key]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([config.seed, *words])))


def _threads_from_environment() -> None:
    value = os.environ.get("MINICNN_NUM_THREADS")
    if value is None:
        return
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"MINICNN_NUM_THREADS must be a whole number from 1 up, got {value!r}")
    set_threads(int(value))


def _switch_from_environment(name: str) -> bool:
    value = os.environ.get(name, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{name} must be 0 or 1, got {value!r}")
    return value == "1"


_threads_from_environment()
config.keep_awake = _switch_from_environment("MINICNN_KEEP_AWAKE")
config.flush_subnormals = _switch_from_environment("MINICNN_FLUSH_SUBNORMALS")
