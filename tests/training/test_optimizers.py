"""Optimizers: the figures of the reference, state, settings, and what is refused."""

import numpy as np
import pytest

from minicnn.tensor import Tensor, Weight
from minicnn.training import optimizers
from minicnn.training.optimizers import SGD, Adam, AdamW, RMSprop
from tests.checks import assert_close, to_numpy

GRADIENTS = (0.1, 0.2, -0.3)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (SGD(0.1, momentum=0.9), [0.99, 0.961, 0.9649]),
        (SGD(0.1, momentum=0.9, nesterov=True), [0.981, 0.9349, 0.96841]),
        (SGD(0.1, momentum=0.9, weight_decay=0.01), [0.989, 0.959011, 0.961952]),
        (Adam(), [0.99900001, 0.99803483, 0.99810141]),
        (Adam(epsilon=0.1), [0.99996936, 0.99990565, 0.99991268]),
    ],
)
def test_figures(xp, optimizer, expected):
    optimizer = type(optimizer).from_config(optimizer.get_config())  # a fresh one for each device
    w = Weight(xp.ones(1), "w")
    found = []
    for g in GRADIENTS:
        w.grad = xp.asarray([g])
        optimizer.step([w])
        found.append(w.item())
    np.testing.assert_allclose(found, expected, atol=6e-7 if isinstance(optimizer, SGD) else 1e-8)


def weight(xp=np, dtype=np.float32):
    """A weight with a gradient."""
    w = Weight(xp.asarray([1.0, -2.0], dtype=dtype), "w")
    w.grad = xp.asarray([0.5, 0.25], dtype=dtype)
    return w


@pytest.mark.parametrize("make", [SGD, lambda: SGD(momentum=0.9, nesterov=True, weight_decay=0.1), Adam])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_writes_in_place_and_says_so(xp, make, dtype):
    w = weight(xp, dtype)
    data, gradient, before = w.data, w.grad, w.data.copy()
    optimizer = make()
    optimizer.step([w])
    assert w.data is data
    assert w.dtype == dtype
    assert (to_numpy(data) != to_numpy(before)).all()
    assert_close(gradient, np.array([0.5, 0.25], dtype))
    assert (w.version, w.grad, optimizer.iterations) == (1, None, 1)
    assert all(a.dtype == dtype for a in optimizer.state_of(w).values())


def test_a_rule_of_somebody_else_sees_whole_weights(monkeypatch, rng):
    """It may take a norm, as LARS does; ours treat each number by itself, and are given pieces of large weights."""
    monkeypatch.setattr("minicnn.backend.cpu.pieces.UPDATED", 64)
    seen = []

    class Scaled(SGD):
        def update(self, w, g, rate, slots):
            seen.append(w.shape)
            super().update(w, g / np.linalg.norm(g), rate, slots)

    for make in (Scaled, SGD):
        w = Weight(np.ones((30, 40)), "w")
        w.grad = rng.normal(size=w.shape)
        expected = 1 - 0.5 * w.grad / (np.linalg.norm(w.grad) if make is Scaled else 1)
        make(0.5).step([w])
        assert_close(w.data, expected, 1e-14)
    assert seen == [(30, 40)]


def test_a_rule_of_somebody_else_keeps_its_state():
    """It may bind a slot anew, and add one."""

    class Counted(SGD):
        def update(self, w, g, rate, slots):
            slots["momentum"] = 0.9 * slots["momentum"] + g
            slots["steps"] = slots.get("steps", 0) + np.ones(1)
            w -= rate * slots["momentum"]

    w, optimizer = Weight(np.zeros(1), "w"), Counted(0.1, momentum=0.9)
    for _ in range(3):
        w.grad = np.ones(1)
        optimizer.step([w])
    assert w.item() == pytest.approx(-0.561)
    assert optimizer.state_of(w)["steps"] == 3


def test_a_weight_that_stands_twice_moves_twice(monkeypatch):
    monkeypatch.setattr("minicnn.backend.cpu.pieces.UPDATED", 64)
    w, g = Weight(np.zeros(1000), "w"), np.ones(1000)
    SGD(0.5, momentum=0.5).apply_gradients([(g, w)] * 3)
    assert_close(w.data, np.full(1000, -0.5 - 0.75 - 0.875))
    assert w.version == 3


def test_a_rule_that_fails_has_touched_what_it_moved():
    class Failing(SGD):
        def update(self, w, g, rate, slots):
            super().update(w, g, rate, slots)
            if len(w) == 3:
                raise RuntimeError("three")

    weights = [Weight(np.zeros(n), "w") for n in (2, 3)]
    for w in weights:
        w.grad = np.ones(w.shape)
    with pytest.raises(RuntimeError, match="three"):
        Failing(0.1).step(weights)
    assert weights[0].version == 1


def test_weights_without_a_gradient_stay(xp):
    w, still = weight(xp), weight(xp)
    still.grad = None
    SGD(weight_decay=0.5).step([w, still])
    assert_close(still.data, np.array([1, -2], np.float32))
    assert still.version == 0


def test_a_step_without_any_gradient_is_a_mistake():
    w = weight()
    w.grad = None
    with pytest.raises(ValueError, match=r"no weight has a gradient: call backward\(\)"):
        SGD().step([w])


def test_step_after_build_needs_no_list():
    w = weight()
    optimizer = SGD(1.0)
    optimizer.build([w])
    optimizer.step()
    assert_close(w.data, np.array([0.5, -2.25], np.float32))


def test_apply_gradients_as_in_keras():
    w, other = weight(), weight()
    SGD(1.0).apply_gradients([(Tensor(np.float32([1, 1])), w), (None, other)])
    assert_close(w.data, np.array([0, -3], np.float32))
    assert w.grad is not None  # only `step` takes gradients away
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\) for w of shape \(2,\)"):
        SGD().apply_gradients([(np.ones(3), w)])


STATES = [
    SGD,
    lambda: SGD(momentum=0.9),
    Adam,
    lambda: Adam(amsgrad=True, clipnorm=0.5),
    lambda: RMSprop(momentum=0.9, centered=True),
    lambda: AdamW(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
    lambda: SGD(momentum=0.9, gradient_accumulation_steps=3, use_ema=True),
    lambda: SGD(lambda step: 0.1 / (1 + step)),
]


@pytest.mark.parametrize("make", STATES)
def test_state_goes_on_where_it_stopped(xp, make):
    def steps(optimizer, w, count):
        for _ in range(count):
            w.grad = xp.asarray([0.5, 0.25], dtype=np.float32)
            optimizer.step([w])
        return optimizer, w

    _, whole = steps(make(), weight(xp), 5)
    first, half = steps(make(), weight(xp), 2)
    second = make()
    second.set_state(first.get_state(), [half])
    _, resumed = steps(second, half, 3)
    assert (to_numpy(whole.data) == to_numpy(resumed.data)).all()
    assert second.steps == 5


def test_a_learning_rate_that_was_set_is_state():
    optimizer, w = SGD(0.5), weight()
    optimizer.step([w])
    optimizer.learning_rate = 0.1
    other = SGD(0.5)
    other.set_state(optimizer.get_state(), [w])
    assert other.learning_rate == 0.1


def test_accumulation_makes_one_update_of_the_mean(xp):
    w = weight(xp, np.float64)
    optimizer = SGD(1.0, gradient_accumulation_steps=2)
    optimizer.step([w])
    assert_close(w.data, np.array([1.0, -2.0]))
    assert (w.version, w.grad, optimizer.iterations) == (0, None, 0)
    w.grad = xp.asarray([1.5, 0.75])
    optimizer.step([w])
    assert_close(w.data, np.array([0.0, -2.5]))
    assert optimizer.iterations == 1
    assert_close(optimizer.state_of(w)["accumulated"], np.zeros(2))


def test_averages_stand_in_for_a_while(xp):
    w = weight(xp, np.float64)
    optimizer = SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer.step([w])  # 0.5, -2.25: the averages begin there
    w.grad = xp.asarray([-1.0, 1.0])
    optimizer.step([w])  # 1.5, -3.25
    with pytest.raises(KeyError), optimizer.averaged():  # they are put back whatever happens
        assert_close(w.data, np.array([1.0, -2.75]))
        raise KeyError
    assert_close(w.data, np.array([1.5, -3.25]))
    assert_close(optimizer.state_of(w)["average"], np.array([1.0, -2.75]))
    optimizer.finalize_variable_values([w])
    assert_close(w.data, np.array([1.0, -2.75]))
    with pytest.raises(ValueError, match="sgd keeps no moving averages: make it with use_ema=True"):
        SGD().swap_averages()


@pytest.mark.parametrize("options", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}])
def test_clipping_leaves_the_gradients_themselves(xp, options):
    w = weight(xp, np.float64)
    gradient = w.grad = xp.asarray([3.0, 4.0])
    SGD(1.0, **options).step([w])
    assert_close(gradient, np.array([3.0, 4.0]))
    assert_close(w.data, np.array([0.0, -3.0]) if "clipvalue" in options else np.array([0.4, -2.8]))


def test_a_state_that_does_not_fit_changes_nothing():
    optimizer, w = Adam(), weight()
    optimizer.step([w])
    state = optimizer.get_state()
    with pytest.raises(ValueError, match=r"not that of this sgd optimizer \(2 differ\): 0/momentum: expected None"):
        SGD().set_state(state, [w])
    with pytest.raises(ValueError, match=r"0/momentum: expected \(3,\), got \(2,\)"):
        optimizer.set_state(state, [Weight(np.ones(3), "w")])
    assert optimizer.iterations == 1
    assert optimizer.weights == [w]


def test_a_layer_that_thaws_joins_in():
    first, second = weight(), weight()
    optimizer = SGD(momentum=0.9)
    optimizer.step([first])
    optimizer.step([second])
    assert optimizer.weights == [first, second]


def test_learning_rate_is_read_and_set():
    optimizer = SGD(0.5)
    assert optimizer.learning_rate == 0.5
    optimizer.learning_rate = np.float32(0.25)
    assert optimizer.learning_rate == 0.25
    assert type(optimizer.learning_rate) is float
    optimizer.learning_rate = lambda step: 1 / (1 + step)
    rates = []
    for _ in range(3):
        rates.append(optimizer.learning_rate)
        optimizer.step([weight()])
    assert rates == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("words", [{"var_list": True}, {"var_names": ["kernel"]}])
def test_exclude_from_weight_decay(words):
    w = Weight(np.ones(2), "dense/kernel")
    optimizer = SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(**({"var_list": [w]} if "var_list" in words else words))
    w.grad = np.zeros(2)
    optimizer.step([w])
    assert_close(w.data, np.ones(2))


def test_get():
    optimizer = Adam()
    assert optimizers.get(optimizer) is optimizer
    assert type(optimizers.get("Adam")) is type(optimizers.get("adam")) is type(optimizers.get(Adam)) is Adam
    copy = optimizers.get({"class_name": "SGD", "config": SGD(0.5, momentum=0.25, nesterov=True).get_config()})
    assert (copy.learning_rate, copy.momentum, copy.nesterov) == (0.5, 0.25, True)
    with pytest.raises(ValueError, match="unknown optimizer 'adamm': did you mean 'adam'"):
        optimizers.get("adamm")
    with pytest.raises(TypeError, match="an optimizer must be a name or an Optimizer, got 3"):
        optimizers.get(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(-0.1), "learning_rate must be at least 0 and below inf, got -0.1"),
        (lambda: SGD("fast"), "learning_rate must be a number, got 'fast'"),
        (lambda: SGD(float("nan")), "learning_rate must be .*got nan"),
        (lambda: SGD(momentum=1.5), "momentum must be at least 0 and at most 1, got 1.5"),
        (lambda: Adam(beta_1=1.0), "beta_1 must be at least 0 and below 1, got 1.0"),
        (lambda: Adam(weight_decay=-1), "weight_decay must be at least 0"),
        (lambda: RMSprop(rho=1.0), "rho must be at least 0 and below 1, got 1.0"),
        (lambda: SGD(clipnorm=-1.0), "clipnorm must be at least 0 and below inf, got -1.0"),
        (lambda: SGD(clipnorm=1.0, clipvalue=2.0), "only one of clipnorm, .*, got clipnorm=1.0, clipvalue=2.0"),
        (lambda: SGD(ema_momentum=1.5), "ema_momentum must be at least 0 and at most 1, got 1.5"),
        (lambda: SGD(ema_overwrite_frequency=0), "ema_overwrite_frequency must be a whole number from 1 up, got 0"),
        (lambda: SGD(gradient_accumulation_steps=1), "gradient_accumulation_steps .* from 2 up, got 1"),
        (lambda: AdamW(weight_decay=None), "AdamW: weight_decay must be a number, got None"),
    ],
)
def test_settings_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(lr=0.1), "SGD: unknown argument 'lr': did you mean 'learning_rate'"),
        (lambda: SGD(0.1, beta_1=0.5), "SGD: unknown argument 'beta_1': known are clipnorm, .*momentum"),
        (lambda: Adam(beta1=0.5), "Adam: unknown argument 'beta1': did you mean 'beta_1'"),
        (lambda: AdamW(wight_decay=0.5), "AdamW: unknown argument 'wight_decay': did you mean 'weight_decay'"),
        (lambda: RMSprop(alpha=0.5), "RMSprop: unknown argument 'alpha': did you mean 'rho'"),
        (lambda: SGD(decay=1e-4), "SGD has no argument 'decay': the rate falls by a schedule"),
    ],
)
def test_arguments_that_are_unknown(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_state_follows_a_weight_to_another_device(xp):
    w = weight()
    optimizer = SGD(momentum=0.9)
    optimizer.step([w])
    w.data, w.grad = xp.asarray(w.data), xp.asarray([0.5, 0.25], dtype=np.float32)
    optimizer.step([w])
    assert isinstance(optimizer.state_of(w)["momentum"], type(w.data))
