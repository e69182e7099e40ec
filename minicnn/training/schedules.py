"""Learning rates that change: functions of the number of steps done, given to an optimizer as learning_rate.

The first six have Keras's names, arguments and formulas (Keras 3.15, `learning_rate_schedule.py`); StepDecay,
MultiStepDecay and Warmup are what the papers of the networks used. A schedule counts steps, not epochs: an epoch is as
many steps as it has batches. What depends on the validation is a callback, ReduceLROnPlateau.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from minicnn.names import unknown


class LearningRateSchedule:
    """Base class: a subclass writes `__call__(self, step)`, the rate of the step after `step` others.

    The arguments of its constructor are kept as attributes of the same names: `get_config` gathers them.
    """

    arguments: tuple[str, ...] = ()

    def __call__(self, step: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} has no __call__(self, step)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again."""
        config = {name: getattr(self, name) for name in self.arguments}
        return {key: serialize(value) for key, value in config.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "LearningRateSchedule":
        """The schedule that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={getattr(self, k)!r}' for k in self.arguments)})"


class ExponentialDecay(LearningRateSchedule):
    """initial * decay_rate ^ (step / decay_steps); staircase: with whole numbers in the exponent."""

    arguments = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ):
        self.initial_learning_rate, self.decay_rate = initial_learning_rate, decay_rate
        self.decay_steps, self.staircase, self.name = _steps("decay_steps", decay_steps), staircase, name

    def __call__(self, step):
        share = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**share


class InverseTimeDecay(ExponentialDecay):
    """initial / (1 + decay_rate * step / decay_steps); staircase: with whole numbers of step / decay_steps."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step):
        share = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * share)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and including the step boundaries[0], then values[1] up to boundaries[1], and so on.

    Raises ValueError unless boundaries rise and there is one value more than boundaries.
    """

    arguments = ("boundaries", "values", "name")

    def __init__(self, boundaries: Sequence[int], values: Sequence[float], name: str = "PiecewiseConstant"):
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"there must be one value more than boundaries, got {len(boundaries)} boundaries, {len(values)} values"
            )
        self.boundaries, self.values, self.name = _rising("boundaries", boundaries), list(values), name

    def __call__(self, step):
        return self.values[bisect_left(self.boundaries, step)]


class PolynomialDecay(LearningRateSchedule):
    """(initial - end) * (1 - step / decay_steps) ^ power + end, and end from then on.

    cycle: decay_steps are stretched to the next multiple that reaches the step, so the rate jumps up each time.
    """

    arguments = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ):
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps, self.power, self.cycle, self.name = _steps("decay_steps", decay_steps), power, cycle, name

    def __call__(self, step):
        steps = self.decay_steps
        if self.cycle:
            steps *= max(math.ceil(step / steps), 1)
        first, last = self.initial_learning_rate, self.end_learning_rate
        return (first - last) * (1 - min(step, steps) / steps) ** self.power + last


class CosineDecay(LearningRateSchedule):
    """From the initial rate down to alpha * initial along half a cosine, over decay_steps.

    Loshchilov and Hutter 2017, arXiv:1608.03983, Eq. 5, without restarts. With warmup_target the rate first rises in a
    line from initial_learning_rate to that target over warmup_steps, and decays from there to alpha * target.
    """

    arguments = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ):
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.decay_steps = _steps("decay_steps", decay_steps)
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step):
        first = self.initial_learning_rate
        if self.warmup_target is None:
            return _cosine(first, step / self.decay_steps, self.alpha)
        if step < self.warmup_steps:
            return first + (self.warmup_target - first) * step / self.warmup_steps
        return _cosine(self.warmup_target, (step - self.warmup_steps) / self.decay_steps, self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosines one after the other, each t_mul as long and from m_mul as high as the one before it.

    Loshchilov and Hutter 2017, arXiv:1608.03983, section 3. The lowest rate is alpha * initial.
    """

    arguments = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name")

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ):
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.first_decay_steps = _steps("first_decay_steps", first_decay_steps)
        if t_mul < 1:
            raise ValueError(f"t_mul must be at least 1, got {t_mul!r}")
        self.t_mul, self.m_mul = t_mul, m_mul

    def __call__(self, step):
        length, restart = self.first_decay_steps, 0
        if self.t_mul == 1:
            restart, step = divmod(step, length)
        else:  # exact at the restarts, where a logarithm may fall short of them
            while step >= length:
                step, length, restart = step - length, length * self.t_mul, restart + 1
        cosine = 0.5 * self.m_mul**restart * (1 + math.cos(math.pi * step / length))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


class StepDecay(LearningRateSchedule):
    """initial * gamma ^ floor(step / every): multiplied by gamma each time that `every` steps are done.

    GoogLeNet: gamma 0.96 every 8 epochs (arXiv:1409.4842, section 6); Inception v3: 0.94 every 2 (1512.00567, 8).
    """

    arguments = ("initial_learning_rate", "every", "gamma")

    def __init__(self, initial_learning_rate: float, every: int, gamma: float = 0.1):
        self.initial_learning_rate, self.gamma, self.every = initial_learning_rate, gamma, _steps("every", every)

    def __call__(self, step):
        return self.initial_learning_rate * self.gamma ** (step // self.every)


class MultiStepDecay(LearningRateSchedule):
    """initial * gamma ^ (how many milestones are reached): from each milestone on, multiplied by gamma.

    ResNets on CIFAR-10: 0.1 after 32k and 48k steps (arXiv:1512.03385, section 4.2).
    Raises ValueError unless milestones rise.
    """

    arguments = ("initial_learning_rate", "milestones", "gamma")

    def __init__(self, initial_learning_rate: float, milestones: Sequence[int], gamma: float = 0.1):
        self.initial_learning_rate, self.gamma = initial_learning_rate, gamma
        self.milestones = _rising("milestones", milestones)

    def __call__(self, step):
        return self.initial_learning_rate * self.gamma ** bisect_right(self.milestones, step)


class Warmup(LearningRateSchedule):
    """In a line from `start` up to what `schedule` gives at step `steps`, then `schedule` itself, which counts from 0.

    Goyal et al. 2017, arXiv:1706.02677, section 2.2. constant: `start` itself for all these steps, as for ResNet-110 on
    CIFAR-10 (0.01 for some 400 steps, then 0.1: arXiv:1512.03385, section 4.2). schedule: a rate, or a schedule.
    """

    arguments = ("schedule", "steps", "start", "constant")

    def __init__(self, schedule: Any, steps: int, start: float = 0.0, constant: bool = False):
        self.schedule, self.steps, self.start, self.constant = get(schedule), _steps("steps", steps), start, constant

    def __call__(self, step):
        if step >= self.steps:
            return self.schedule(step) if callable(self.schedule) else self.schedule
        if self.constant:
            return self.start
        top = self.schedule(self.steps) if callable(self.schedule) else self.schedule
        return self.start + (top - self.start) * step / self.steps


SCHEDULES: dict[str, type[LearningRateSchedule]] = {
    cls.__name__: cls
    for cls in (
        ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay, CosineDecayRestarts,
        StepDecay, MultiStepDecay, Warmup,
    )
}  # fmt: skip
OURS = ("StepDecay", "MultiStepDecay", "Warmup")


def serialize(value: Any) -> Any:
    """A schedule as plain data, in Keras's form; anything else as it is."""
    if not isinstance(value, LearningRateSchedule):
        return value
    kind = type(value).__name__
    ours = SCHEDULES.get(kind) is not type(value) or kind in OURS
    module = type(value).__module__ if ours else "keras.optimizers.schedules"
    return {"module": module, "class_name": kind, "config": value.get_config(), "registered_name": None}


def get(identifier: Any) -> Any:
    """A schedule from the dict of `serialize`; a number or a function as it is.

    Raises ValueError for a class that is none of ours: no file makes us import anything.
    """
    if not isinstance(identifier, dict):
        return identifier
    kind = identifier.get("class_name")
    if kind not in SCHEDULES:
        raise ValueError(unknown("schedule", kind, SCHEDULES))
    return SCHEDULES[kind].from_config(dict(identifier.get("config") or {}))


deserialize: Callable[[dict[str, Any]], Any] = get  # Keras's name


def _cosine(rate: float, share: float, alpha: float) -> float:
    """rate at share 0 of the way, alpha * rate at 1 and after it."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return rate * ((1 - alpha) * cosine + alpha)


def _steps(name: str, value: Any) -> Any:
    """A number of steps. Raises ValueError for anything but a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name} must be a number of steps above 0, got {value!r}")
    return value


def _rising(name: str, values: Sequence[Any]) -> list[Any]:
    values = list(values)
    if any(b <= a for a, b in zip(values, values[1:], strict=False)):
        raise ValueError(f"{name} must rise from each to the next, got {values}")
    return values
