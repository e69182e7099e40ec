"""Schedules: the papers' figures, settings as plain data, what is refused. tests/parity holds the others to Keras."""

import json
import math

import pytest

from minicnn.training import SGD, schedules
from minicnn.training.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    MultiStepDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
    Warmup,
)

ALL = [
    ExponentialDecay(0.1, 10, 0.5, staircase=True),
    InverseTimeDecay(0.1, 10, 0.5),
    PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001]),
    PolynomialDecay(0.1, 30, power=0.5),
    CosineDecay(0.0, 20, 0.1, warmup_target=0.1, warmup_steps=5),
    CosineDecayRestarts(0.1, 10),
    StepDecay(0.1, 8, 0.96),
    MultiStepDecay(0.1, [32, 48]),
    Warmup(MultiStepDecay(0.1, [32, 48]), 5, 0.01),
]


def test_cosine_falls_from_the_rate_to_the_lowest():
    cosine = CosineDecay(0.1, 100, alpha=0.1)
    assert (cosine(0), cosine(50), cosine(100)) == pytest.approx((0.1, 0.055, 0.01))
    assert cosine(1000) == pytest.approx(0.01)  # past its end
    assert cosine(25) == pytest.approx(0.01 + 0.09 * (1 + math.cos(math.pi / 4)) / 2)


def test_step_and_milestones():
    assert [StepDecay(1.0, 8, 0.5)(step) for step in (0, 7, 8, 16)] == [1, 1, 0.5, 0.25]
    he = MultiStepDecay(0.1, [32000, 48000])
    assert [he(step) for step in (0, 31999, 32000, 47999, 48000)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_warmup():
    goyal = Warmup(0.4, 4)
    assert [goyal(step) for step in range(6)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4])
    he = Warmup(MultiStepDecay(0.1, [500]), 400, start=0.01, constant=True)
    assert [he(step) for step in (0, 399, 400, 500)] == pytest.approx([0.01, 0.01, 0.1, 0.01])
    cosine = Warmup(CosineDecay(0.1, 100), 10)
    assert cosine(5) == pytest.approx(CosineDecay(0.1, 100)(10) / 2)  # meets it where it ends
    assert cosine(50) == CosineDecay(0.1, 100)(50)


def test_restarts_are_exact():
    """Where a logarithm falls short of a whole number: log(243) / log(3) = 4.999..."""
    schedule = CosineDecayRestarts(1.0, 1, t_mul=3)
    assert [schedule(step) for step in (0, 1, 4, 13, 40, 121)] == [1] * 6


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_plain_data_make_it_again(schedule):
    data = json.loads(json.dumps(schedules.serialize(schedule)))
    again = schedules.get(data)
    assert type(again) is type(schedule)
    assert [again(step) for step in range(60)] == [schedule(step) for step in range(60)]
    optimizer = SGD.from_config(json.loads(json.dumps(SGD(schedule).get_config())))
    assert optimizer.learning_rate == schedule(0)
    assert "=" in repr(schedule)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CosineDecay(0.1, 0), "decay_steps must be a number of steps above 0, got 0"),
        (lambda: StepDecay(0.1, "ten"), "every must be a number of steps above 0, got 'ten'"),
        (lambda: PiecewiseConstantDecay([1], [0.1]), "one value more than boundaries, got 1 boundaries, 1 values"),
        (lambda: MultiStepDecay(0.1, [5, 5]), r"milestones must rise from each to the next, got \[5, 5\]"),
        (lambda: CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul must be at least 1, got 0.5"),
        (lambda: schedules.get({"class_name": "CosineDecoy"}), "unknown schedule 'CosineDecoy': did you mean"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
