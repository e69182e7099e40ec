"""The loop on a model of a few lines: what is trained, measured, called and refused."""

import numpy as np
import pytest

from minicnn import config
from minicnn.layers import Dense, Input
from minicnn.model import Sequential
from minicnn.tensor import Tensor
from minicnn.training import SGD, Callback, evaluate, fit, predict, steps, train_on_batch
from minicnn.training.callbacks import LambdaCallback, TerminateOnNaN
from tests.training.models import Linear, blobs

SPARSE = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


def compiled(rate=1.0, **arguments):
    """A model that is ready to train, and its data."""
    return (Linear(**arguments).compile(optimizer=SGD(rate), **SPARSE), *blobs())


def test_fit_learns_and_keeps_a_history():
    model, x, y = compiled()
    history = fit(model, x, y, batch_size=16, epochs=3, verbose=0, validation_data=(x, y))
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1, 2]
    assert history.history["loss"][0] > history.history["loss"][-1]
    assert history.history["val_accuracy"][-1] == 1
    assert model.step == model.compiled.optimizer.iterations == 12


def test_the_logs_are_means_over_samples():
    """Steps of rate 0 leave the weights alone: the mean is that of the whole set, a smaller last batch or not."""
    model, x, y = compiled(rate=0.0)
    model.weights[0].assign(np.random.default_rng(1).normal(size=(4, 3)))
    whole = evaluate(model, x, y, batch_size=60, verbose=0)
    logs = fit(model, x, y, batch_size=7, verbose=0).history
    np.testing.assert_allclose([logs["loss"][0], logs["accuracy"][0]], whole, rtol=1e-12)
    np.testing.assert_allclose(evaluate(model, x, y, batch_size=7, verbose=0), whole, rtol=1e-12)


def test_one_step_is_that_of_gradient_descent():
    model, x, y = compiled(rate=0.5)
    fit(model, x, y, batch_size=60, shuffle=False, verbose=0)
    gradient = x.T @ (1 / 3 - np.eye(3)[y]) / 60
    np.testing.assert_allclose(model.weights[0].data, -0.5 * gradient, atol=1e-12)


def test_regularization_is_part_of_the_loss():
    model, x, y = compiled(penalty=0.1)
    model.weights[0].assign(np.ones((4, 3)))
    assert evaluate(model, x, y, verbose=0)[0] == pytest.approx(np.log(3) + 0.1 * 12)


def orders(**arguments):
    """The order in which the samples of two epochs arrive."""
    model = Linear().compile(**SPARSE)
    x = np.arange(20.0)[:, None] * np.ones(4)
    fit(model, x, np.zeros(20), batch_size=6, verbose=0, **arguments)
    return np.concatenate([part[:, 0] for part, _ in model.seen])


def test_the_order_depends_on_seed_and_epoch_alone(monkeypatch):
    two = orders(epochs=2)
    assert sorted(two[:20]) == sorted(two[20:]) == list(range(20))
    assert list(two[:20]) != list(two[20:]) != list(range(20))
    np.testing.assert_array_equal(orders(epochs=2), two)
    np.testing.assert_array_equal(orders(epochs=2, initial_epoch=1), two[20:])
    np.testing.assert_array_equal(orders(shuffle=False), np.arange(20))
    monkeypatch.setattr(config.config, "seed", 1)
    assert list(orders(epochs=2)) != list(two)


def test_images_of_uint8_become_floats_in_the_batch():
    model = Linear(dtype=np.float32).compile(**SPARSE)
    x = np.arange(240, dtype=np.uint8).reshape(60, 4)
    fit(model, x, np.zeros(60, np.uint8), verbose=0, shuffle=False)
    assert model.seen[0][0].dtype == np.float32
    np.testing.assert_array_equal(model.seen[0][0], x[:32])
    assert model.weights[0].dtype == np.float32


def test_training_is_said_to_the_model():
    model, x, y = compiled()
    fit(model, x, y, batch_size=60, verbose=0, validation_data=(x, y))
    predict(model, x, verbose=0)
    assert [training for _, training in model.seen] == [True, False, False, False]


@pytest.mark.parametrize("batch_size", [1, 7, 60, 100])
def test_predict_gives_every_sample_once(batch_size):
    model, x, _ = compiled()
    model.weights[0].assign(np.random.default_rng(1).normal(size=(4, 3)))
    out = predict(model, x, batch_size=batch_size, verbose=0)
    assert type(out) is np.ndarray
    np.testing.assert_allclose(out, model(Tensor(x)).data, atol=1e-12)


def test_predict_records_no_tape():
    outputs = []

    class Spy(Linear):
        def __call__(self, x, training=False, plan=False):
            outputs.append(super().__call__(x, training))
            return outputs[-1]

    predict(Spy(), blobs()[0], verbose=0)
    assert [out.requires_grad for out in outputs] == [False, False]


def test_forms_of_evaluate():
    model, x, y = compiled()
    loss, accuracy = pytest.approx(np.log(3)), pytest.approx(1 / 3)
    assert evaluate(model, x, y, verbose=0) == [loss, accuracy]
    assert evaluate(model, x, y, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    model.compile(loss="sparse_categorical_crossentropy")
    assert evaluate(model, x, y, verbose=0) == pytest.approx(np.log(3))


def test_one_batch_alone():
    model, x, y = compiled()
    before = steps.test_on_batch(model, x, y)
    assert train_on_batch(model, x, y) == before  # measured before the step
    after = steps.test_on_batch(model, x, y, return_dict=True)
    assert after["loss"] < before[0]
    assert model.step == 1


def test_several_outputs():
    x, y = blobs()
    model = Linear(names=("main", "aux")).compile(
        loss=SPARSE["loss"], metrics={"main": "accuracy"}, loss_weights={"main": 1.0, "aux": 0.3}, optimizer=SGD(0.1)
    )
    history = fit(model, x, {"aux": y, "main": y}, epochs=2, verbose=0, validation_data=(x, [y, y])).history
    names = ["loss", "main_loss", "aux_loss", "main_accuracy"]
    assert list(history) == names + [f"val_{name}" for name in names]
    values = evaluate(model, x, [y, y], verbose=0)
    assert values[0] == pytest.approx(values[1] + 0.3 * values[2])
    assert [a.shape for a in predict(model, x, verbose=0)] == [(60, 3), (60, 3)]


def test_batches_of_a_loader():
    class Loader:
        def __init__(self, x, y):
            self.x, self.y = x, y

        def __len__(self):
            return 3

        def __iter__(self):
            for i in range(3):
                yield self.x[i::3], self.y[i::3]

    model, x, y = compiled()
    loader = Loader(x, y)
    history = fit(model, loader, epochs=2, verbose=0, validation_data=loader)
    assert history.history["val_accuracy"][-1] == 1
    assert model.step == 6
    assert evaluate(model, loader, verbose=0)[1] == 1
    assert predict(model, loader, verbose=0).shape == (60, 3)


class Recorder(Callback):
    """Writes down every hook."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name.startswith("on_") or name == "close":
            return lambda *arguments: self.calls.append((name, *arguments))
        return super().__getattribute__(name)


def test_hooks_in_order():
    model, x, y = compiled()
    recorder = Recorder()
    fit(model, x, y, batch_size=30, epochs=1, verbose=0, callbacks=[recorder], validation_data=(x, y))
    step = ["on_train_batch_begin", "on_train_batch_end"]
    tests = ["on_test_begin", *["on_test_batch_begin", "on_test_batch_end"] * 2, "on_test_end"]
    expected = ["on_train_begin", "on_epoch_begin", *step * 2, *tests, "on_epoch_end", "on_train_end", "close"]
    assert [name for name, *_ in recorder.calls] == expected
    assert recorder.model is model
    assert recorder.params == {"verbose": 0, "epochs": 1, "steps": 2, "batch_size": 30, "samples": 60}
    logs = recorder.calls[3][2]
    assert (recorder.calls[3][1], sorted(logs)) == (0, ["accuracy", "loss"])
    assert set(recorder.calls[-3][2]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    recorder.calls.clear()
    predict(model, x, verbose=0, callbacks=recorder)
    batch = ["on_predict_batch_begin", "on_predict_batch_end"]
    assert [name for name, *_ in recorder.calls] == ["on_predict_begin", *batch * 2, "on_predict_end", "close"]


def test_a_callback_stops_the_training():
    model, x, y = compiled()
    stop = LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", batch == 1))
    history = fit(model, x, y, batch_size=10, epochs=5, verbose=0, callbacks=[stop])
    assert (model.step, history.epoch) == (2, [0])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_passes_and_callbacks_are_closed(error):
    model, x, y = compiled()
    recorder = Recorder()

    def fail(batch, logs):
        raise error

    with pytest.raises(error):
        fit(model, x, y, verbose=0, callbacks=[recorder, LambdaCallback(on_train_batch_end=fail)])
    assert recorder.calls[-1][0] == "close"
    assert "on_train_end" not in [name for name, *_ in recorder.calls]
    assert model.step == 1


def test_a_loss_that_is_not_finite():
    model, x, y = compiled()
    x[3] = np.inf
    with np.errstate(invalid="ignore"):
        history = fit(model, x, y, batch_size=60, epochs=2, verbose=0)
        assert len(history.epoch) == 2
        assert np.isnan(history.history["loss"][0])
        history = fit(model, x, y, batch_size=20, epochs=2, verbose=0, callbacks=TerminateOnNaN())
        assert history.epoch == [0]
        with pytest.raises(RuntimeError, match="the loss is nan after step 0 of this epoch"):
            fit(model, x, y, batch_size=60, verbose=0, callbacks=[TerminateOnNaN(raise_error=True)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, y: fit(m, x, y[:-1], verbose=0), r"same number of samples, got x \(60, 4\) and y \(59,\)"),
        (lambda m, x, y: fit(m, x, y, verbose=3), "verbose must be 'auto', 0, 1 or 2, got 3"),
        (lambda m, x, y: fit(m, x, y + 1, verbose=0), "of output 'output', in this batch: labels must lie in 0"),
        (lambda m, x, y: fit(m, x, y * np.nan, verbose=0), "labels must not be NaN"),
        (lambda m, x, y: fit(m, x, y, validation_data=(x,)), r"validation_data must be \(x, y\) or .*, got 1 entries"),
        (
            lambda m, x, y: fit(m, iter([(x, y)]), epochs=2, steps_per_epoch=1),
            r"give steps_per_epoch \* epochs of them",
        ),
        (
            lambda m, x, y: fit(m, x, y, epochs=2, validation_data=iter([(x, y)]), validation_steps=1),
            r"list_iterator has no more batches; a generator must give validation_steps \* validations of them",
        ),
        (lambda m, x, y: fit(m, x, y, epochs=2, validation_data=iter([(x, y)])), "unless validation_steps is given"),
        (
            lambda m, x, y: fit(m, x, y, validation_data=iter([(x, y)]), validation_steps=0),
            "validation_steps must be a",
        ),
        (lambda m, x, y: fit(m, x, y, validation_freq=0), "validation_freq must be a whole number from 1 up.*got 0"),
        (lambda m, x, y: fit(m, x, y, class_weight=[1, 2]), r"class_weight must be a dict .*, got \[1, 2\]"),
        (lambda m, x, y: fit(m, x, y, class_weight={0: 2}, sample_weight=y), "cannot both be given"),
        (lambda m, x, y: fit(m, x, {"output": y}, class_weight={0: 2}), "class_weight is for one array of labels"),
        (lambda m, x, y: fit(m, x, y, sample_weight=y[:5]), r"same number of samples.* and sample_weight \(5,\)"),
        (lambda m, x, y: fit(m, x, y, sample_weight=y[:, None, None], verbose=0), "sample weights must have the shape"),
        (lambda m, x, y: fit(m, x, y, sample_weight=y * np.nan, verbose=0), "sample weights must not be NaN"),
        (lambda m, x, y: fit(m, x, verbose=0), "y has no labels for output 'output'"),
        (lambda m, x, y: evaluate(m, x[:0], y[:0], verbose=0), "there is no sample"),
        (lambda m, x, y: predict(m, x[:0], verbose=0), "there is no sample"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(*compiled())


@pytest.mark.parametrize("what", [fit, evaluate, train_on_batch, steps.test_on_batch])
def test_a_model_that_is_not_compiled(what):
    with pytest.raises(ValueError, match=r"the model is not compiled: call compile\(.*before "):
        what(Linear(), *blobs())


def test_what_is_no_callback():
    with pytest.raises(TypeError, match="callbacks must be Callback objects, got <class"):
        fit(*compiled(), verbose=0, callbacks=[TerminateOnNaN])
    with pytest.raises(TypeError, match="unknown hook 'on_batch'"):
        LambdaCallback(on_batch=print)


def test_names_of_what_evaluate_returns():
    """As scripts zip them; Keras 3 has "compile_metrics" for all metrics there."""
    model = Sequential([Input((3,)), Dense(1)])
    assert model.metrics_names == []
    model.compile("sgd", "mse", metrics=["mae"])
    found = model.evaluate(np.ones((4, 3), np.float32), np.ones((4, 1), np.float32), verbose=0)
    assert model.metrics_names == ["loss", "mae"] and len(found) == 2
