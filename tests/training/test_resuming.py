"""A run that goes on in the middle of an epoch: the same batches, the same sums, the same bits."""

import numpy as np
import pytest

from minicnn.training import SGD, evaluate, fit
from minicnn.training.callbacks import LambdaCallback
from minicnn.training.metrics import Metric
from tests.training.models import Linear, blobs


class Largest(Metric):
    """The largest score so far; its state is what the base class finds."""

    def __init__(self):
        super().__init__("largest")
        self.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value = max(self.value, float(y_pred.data.max()))
        self.counts = self.counts + np.bincount(y_true, minlength=3)

    def result(self):
        return self.value + self.counts.sum()

    def reset_state(self):
        self.value, self.counts = 0.0, np.zeros(3)


def fresh():
    """A model that is ready to train."""
    metrics = ["accuracy", Largest()]
    return Linear().compile(optimizer=SGD(0.5, momentum=0.9), loss="sparse_categorical_crossentropy", metrics=metrics)


class Batches:
    """An iterable of batches; with `told` it keeps what resume said."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        yield from ((self.x[i : i + 7], self.y[i : i + 7]) for i in range(0, 60, 7))


class Resumed(Batches):
    """One that can be told where to go on."""

    start = 0

    def resume(self, epoch, step):
        self.told, self.start = (epoch, step), step

    def __iter__(self):
        start, self.start = self.start, 0
        yield from list(super().__iter__())[start:]


def data(kind):
    """Arguments of fit for one kind of data."""
    x, y = blobs()
    return {"x": x, "y": y, "batch_size": 7} if kind is None else {"x": kind(x, y)}


@pytest.mark.parametrize("kind", [None, Batches, Resumed])
@pytest.mark.parametrize("step", [1, 5, 9])
def test_train_and_resume_give_the_same_bits(kind, step):
    whole = fresh()
    history = fit(whole, **data(kind), epochs=3, verbose=0).history

    first = fresh()
    taken = {}

    def stop(batch, logs):
        if first.step == 9 + step:
            state = first.compiled.get_state(), first.compiled.optimizer.get_state()
            taken.update(state=state, w=first.weights[0].data.copy())
            first.stop_training = True

    fit(first, **data(kind), epochs=3, verbose=0, callbacks=LambdaCallback(on_train_batch_end=stop))
    second = fresh()
    second.weights[0].assign(taken["w"])
    second.compiled.set_state(taken["state"][0])
    second.compiled.optimizer.set_state(taken["state"][1], second.weights)
    again = data(kind)
    rest = fit(second, **again, epochs=3, verbose=0, initial_epoch=1, initial_step=step)
    assert rest.epoch == [1, 2]
    assert {name: values[1:] for name, values in history.items()} == rest.history
    assert whole.weights[0].data.tobytes() == second.weights[0].data.tobytes()
    if kind is Resumed:
        assert again["x"].told == (1, step)


def test_hooks_count_from_the_first_step():
    seen = []
    note = lambda number, logs: seen.append(number)  # noqa: E731
    spy = LambdaCallback(on_epoch_begin=note, on_train_batch_end=note)
    fit(fresh(), *blobs(), batch_size=20, epochs=2, verbose=0, initial_step=1, callbacks=spy)
    assert seen == [0, 1, 2, 1, 0, 1, 2]


def test_the_state_of_a_new_epoch_is_empty():
    model = fresh()
    evaluate(model, *blobs(), verbose=0)
    state = model.compiled.get_state()
    assert state["loss/count"] == 60
    names = ("SparseCategoricalAccuracy/total", "Largest/value", "Largest/counts")
    assert {"loss/total", *(f"metric/0/{min(i, 1)}/{name}" for i, name in enumerate(names))} <= set(state)
    model.compiled.reset()
    assert all((a == 0).all() for a in model.compiled.get_state().values())


def test_a_state_before_the_first_batch():
    model, again = fresh(), fresh()
    evaluate(model, *blobs(), verbose=0)
    again.compiled.set_state(model.compiled.get_state())
    assert again.compiled.results() == model.compiled.results()
    assert str(again.compiled.get_state()) == str(model.compiled.get_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial_step": -1}, "initial_step must be a whole number from 0 up, got -1"),
        ({"initial_epoch": 1.5}, "initial_epoch must be a whole number from 0 up, got 1.5"),
        ({"initial_step": 4}, "initial_step must be at most 3, the steps of an epoch, got 4"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(fresh(), *blobs(), batch_size=20, verbose=0, **arguments)


def test_a_state_of_another_model():
    with pytest.raises(ValueError, match="the state has 'loss/5/total', which is no loss or metric of this model"):
        fresh().compiled.set_state({"loss/5/total": 1.0})
