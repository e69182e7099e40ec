"""How weights begin. The same seed gives the same weights, whatever was drawn elsewhere."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.config import config, generator
from minicnn.names import snake_case, unknown


class _State(threading.local):
    placeholders = False
    stand_ins = False


_state = _State()


@contextmanager
def placeholders() -> Iterator[None]:
    """Within the block nothing random is drawn: weights are zeros, whose memory the system gives when they are written.

    For counting the parameters of a network, or where a file's weights take their place.
    """
    before, _state.placeholders = _state.placeholders, True
    try:
        yield
    finally:
        _state.placeholders = before


@contextmanager
def stand_ins() -> Iterator[None]:
    """Within the block weights have a shape and no memory, and cannot be written: another array must take their place.

    For models that a file describes. It may ask for more than there is, until its weights are seen.
    """
    before, _state.stand_ins = _state.stand_ins, True
    try:
        yield
    finally:
        _state.stand_ins = before


def first_value(initializer: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """What a new weight holds: the initializer's numbers, or within `stand_ins()` one zero that stands for all."""
    made = get(initializer)
    if _state.stand_ins:
        return np.broadcast_to(np.zeros((), dtype), shape)
    return np.asarray(made(shape, dtype), dtype)


class Initializer:
    """Gives the first value of a weight: `initializer(shape, dtype)` -> NumPy array.

    With `seed=None` the values depend on the seed of the process and on how many weights came before; with a number
    they are the same at each call.
    """

    seed: int | None = None

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
        """The first value, of `shape`, in `dtype` (floatx unless given)."""
        if _state.placeholders:
            return np.zeros(shape, dtype or config.floatx)
        if self.seed is None:
            rng = generator("initial weight", config.draws)
            config.draws += 1
        else:
            rng = np.random.Generator(np.random.Philox(self.seed))
        return self.draw(tuple(shape), rng).astype(dtype or config.floatx, copy=False)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The values, from `rng`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this initializer again."""
        return dict(vars(self))


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape, dtype=None):
        return np.zeros(shape, dtype or config.floatx)


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape, dtype=None):
        return np.ones(shape, dtype or config.floatx)


class Constant(Initializer):
    """All `value`."""

    def __init__(self, value: float = 0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        return np.full(shape, self.value, dtype or config.floatx)


class RandomUniform(Initializer):
    """Uniform between minval and maxval."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None):
        self.minval, self.maxval, self.seed = minval, maxval, seed

    def draw(self, shape, rng):
        return uniform(rng, shape, self.minval, self.maxval)


class RandomNormal(Initializer):
    """Normal with the given mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None):
        self.mean, self.stddev, self.seed = mean, stddev, seed

    def draw(self, shape, rng):
        return self.mean + self.stddev * rng.standard_normal(shape, dtype=np.float32)


class TruncatedNormal(RandomNormal):
    """Normal, with what lies beyond two standard deviations drawn again."""

    def draw(self, shape, rng):
        return self.mean + self.stddev * _cut_normal(rng, shape)


class VarianceScaling(Initializer):
    """Zero mean, variance scale / n, with n the number of inputs, of outputs, or their mean (Keras's formulas)."""

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed: int | None = None
    ):
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode must be 'fan_in', 'fan_out' or 'fan_avg', got {mode!r}")
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                f"distribution must be 'uniform', 'truncated_normal' or 'untruncated_normal', got {distribution!r}"
            )
        self.scale, self.mode, self.distribution, self.seed = scale, mode, distribution, seed

    def draw(self, shape, rng):
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(n, 1.0)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return uniform(rng, shape, -limit, limit)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * rng.standard_normal(shape, dtype=np.float32)
        # Cutting the tails at two deviations leaves 0.8796 of the deviation.
        return math.sqrt(variance) / 0.87962566103423978 * _cut_normal(rng, shape)


class _Scaled(VarianceScaling):
    arguments: tuple[float, str, str]  # scale, mode, distribution

    def __init__(self, seed: int | None = None):
        super().__init__(*self.arguments, seed)

    def get_config(self):
        return {"seed": self.seed}


class GlorotUniform(_Scaled):
    """U(-L, L) with L = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16)."""

    arguments = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal of variance 2 / (fan_in + fan_out)."""

    arguments = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """U(-L, L) with L = sqrt(6 / fan_in)."""

    arguments = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance 2 / fan_in (He et al. 2015, arXiv:1502.01852, eq. 10)."""

    arguments = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """U(-L, L) with L = sqrt(3 / fan_in)."""

    arguments = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance 1 / fan_in (LeCun et al. 1998, Efficient BackProp, eq. 16)."""

    arguments = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A matrix with orthonormal rows or columns (Saxe et al. 2014), all axes but the last taken together."""

    def __init__(self, gain: float = 1.0, seed: int | None = None):
        self.gain, self.seed = gain, seed

    def draw(self, shape, rng):
        if len(shape) < 2:
            raise ValueError(f"an orthogonal initializer needs at least two axes, got the shape {shape}")
        rows, cols = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, cols), min(rows, cols))))
        q *= np.sign(np.diag(r))  # makes the draw uniform over all such matrices
        return self.gain * (q if rows >= cols else q.T).reshape(shape)


def uniform(rng: np.random.Generator, shape, low: float, high: float) -> np.ndarray:
    """Float32 numbers between low and high."""
    values = rng.random(shape, dtype=np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


def _cut_normal(rng: np.random.Generator, shape) -> np.ndarray:
    """Standard normal float32 numbers within two deviations; the others are drawn again."""
    values = rng.standard_normal(shape, dtype=np.float32)
    flat = values.reshape(-1)
    while (outside := np.flatnonzero(np.abs(flat) > 2)).size:
        flat[outside] = rng.standard_normal(outside.size, dtype=np.float32)
    return values


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """How many inputs and outputs a cell of a kernel of this shape has: (KH, KW, C, F), or (C, F)."""
    if len(shape) < 2:
        n = float(shape[0]) if shape else 1.0
        return n, n
    area = math.prod(shape[:-2])
    return float(area * shape[-2]), float(area * shape[-1])


CLASSES = (
    Zeros, Ones, Constant, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling, GlorotUniform, GlorotNormal,
    HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
)  # fmt: skip
BY_NAME = {cls.__name__: cls for cls in CLASSES} | {snake_case(cls.__name__): cls for cls in CLASSES}


def get(identifier: Any) -> Any:
    """An initializer by name ("he_normal", "HeNormal"), by Keras's config, or itself. Raises ValueError for others."""
    if isinstance(identifier, str):
        if identifier not in BY_NAME:
            names = (snake_case(cls.__name__) for cls in CLASSES)
            raise ValueError(unknown("initializer", identifier, names))
        return BY_NAME[identifier]()
    if isinstance(identifier, dict):
        return type(get(identifier["class_name"]))(**identifier.get("config", {}))
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return identifier
    raise ValueError(
        f"an initializer must be a name, an Initializer or a function of (shape, dtype), got {identifier!r}"
    )


zeros, ones, constant = Zeros, Ones, Constant
random_uniform, random_normal, truncated_normal = RandomUniform, RandomNormal, TruncatedNormal
glorot_uniform, glorot_normal, he_uniform, he_normal = GlorotUniform, GlorotNormal, HeUniform, HeNormal
lecun_uniform, lecun_normal, orthogonal, variance_scaling = LecunUniform, LecunNormal, Orthogonal, VarianceScaling
