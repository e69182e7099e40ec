"""Callbacks on our own fit: what they keep for a run that goes on, files, averages, and what is refused.

tests/parity/test_callbacks.py holds their decisions against Keras's.
"""

import struct
import sys

import numpy as np
import pytest

from minicnn.layers import Dense, Input
from minicnn.model import Sequential, load_model
from minicnn.training import SGD, Adam, callbacks, fit, schedules
from minicnn.training.metrics import MeanMetric
from tests.training.models import Linear, blobs

SPARSE = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
LOSSES = [1.0, 0.9, 0.95, 0.97, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9]


def trained(optimizer=None, **arguments):
    """A model of few lines after fit, and the History."""
    x, y = blobs()
    model = Linear().compile(optimizer=optimizer or SGD(0.5), **SPARSE)
    return model, fit(model, x, y, verbose=0, **arguments)


def network():
    """A model that can be saved."""
    model = Sequential([Input((4,)), Dense(3, activation="softmax")])
    model.compile(SGD(0.5), **SPARSE)
    return model


class Scripted(callbacks.Callback):
    """Puts numbers of its own into the logs, before the others look."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = LOSSES[epoch]


MONITORS = {
    "stop": lambda: callbacks.EarlyStopping(patience=3),
    "reduce": lambda: callbacks.ReduceLROnPlateau(patience=2, factor=0.5, cooldown=1),
    "rate": lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
}


@pytest.mark.parametrize("kind", MONITORS)
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_run_that_goes_on_decides_the_same(kind, stop):
    whole, history = trained(epochs=10, callbacks=[Scripted(), MONITORS[kind]()])
    first = MONITORS[kind]()
    half, _ = trained(epochs=stop, callbacks=[Scripted(), first])
    second = MONITORS[kind]()
    second.set_state(first.get_state())
    assert all(value is None or type(value) in (int, float, bool) for value in second.get_state().values())
    x, y = blobs()
    rest = fit(half, x, y, verbose=0, epochs=10, initial_epoch=stop, callbacks=[Scripted(), second])
    assert [*range(stop), *rest.epoch] == history.epoch
    assert half.weights[0].data.tobytes() == whole.weights[0].data.tobytes()
    assert half.compiled.optimizer.learning_rate == whole.compiled.optimizer.learning_rate


def test_a_scheduler_does_not_set_the_rate_twice_in_an_epoch():
    model, _ = trained(epochs=1)
    x, y = blobs()
    scheduler = MONITORS["rate"]()
    scheduler.set_state({"epoch": 3})
    fit(model, x, y, verbose=0, initial_epoch=3, initial_step=1, epochs=5, callbacks=scheduler)
    assert model.compiled.optimizer.learning_rate == 0.25  # once, for epoch 4


def test_a_second_training_begins_afresh():
    stopping = MONITORS["stop"]()
    for _ in range(2):
        _, history = trained(epochs=10, callbacks=[Scripted(), stopping])
        assert len(history.epoch) == 8  # the best is epoch 4, then three more


def test_the_best_weights_come_back():
    model = network()
    seen = []
    watch = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0].copy()))
    stopping = callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    model.fit(*blobs(), epochs=10, verbose=0, callbacks=[Scripted(), watch, stopping])
    np.testing.assert_array_equal(model.get_weights()[0], seen[4])
    assert stopping.best_epoch == 4
    state = stopping.get_state()
    other = callbacks.EarlyStopping()
    other.set_state(state)
    np.testing.assert_array_equal(other.best_weights[0], seen[4])


def test_auto_knows_losses_and_accuracies():
    good = callbacks.EarlyStopping("accuracy", patience=1)
    _, history = trained(epochs=30, callbacks=good)
    assert good.best == max(history.history["accuracy"])
    with pytest.raises(ValueError, match="whether 'strange' should become small or large is not known: give mode="):
        model = Linear().compile(loss=SPARSE["loss"], metrics=[MeanMetric("strange", lambda y, p: p.max(axis=-1))])
        fit(model, *blobs(), verbose=0, epochs=3, callbacks=callbacks.EarlyStopping("strange"))
    with pytest.warns(UserWarning, match="EarlyStopping watches 'val_loss', which the logs do not have: loss"):
        trained(epochs=1, callbacks=callbacks.EarlyStopping())


def test_files_of_models(tmp_path):
    pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")
    model = network()
    whole = callbacks.ModelCheckpoint(tmp_path / "a" / "{epoch:02d}-{loss:.2f}.keras")
    weights = callbacks.ModelCheckpoint(tmp_path / "last.safetensors", save_weights_only=True, save_freq=3)
    history = model.fit(*blobs(), batch_size=20, epochs=2, verbose=0, callbacks=[whole, weights])
    names = [f"{i + 1:02d}-{loss:.2f}.keras" for i, loss in enumerate(history.history["loss"])]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == names
    np.testing.assert_array_equal(load_model(tmp_path / "a" / names[1]).get_weights()[0], model.get_weights()[0])
    again = network()
    again.load_weights(tmp_path / "last.safetensors")
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_the_learning_rate_is_in_the_history_and_the_table(tmp_path):
    log = callbacks.CSVLogger(tmp_path / "log.csv")
    _, history = trained(epochs=2, callbacks=[callbacks.LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1)), log])
    assert history.history["learning_rate"] == [0.5, 0.25]
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,accuracy,learning_rate,loss,val_accuracy,val_learning_rate,val_loss"
    assert lines[2].startswith("1,") and lines[2].endswith(",0.25," + repr(history.history["loss"][1]) + ",NA,NA,NA")


@pytest.mark.parametrize("on_epoch", [False, True])
def test_averages_stand_in_for_validation(on_epoch):
    x, y = blobs()
    optimizer = SGD(0.5, use_ema=True, ema_momentum=0.75)
    model = Linear().compile(optimizer=optimizer, **SPARSE)
    seen = []

    class Look(callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            seen.append(model.weights[0].data.copy())

        def on_epoch_end(self, epoch, logs=None):
            seen.append(model.weights[0].data.copy())

    swap = callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
    fit(model, x, y, epochs=3, verbose=0, validation_data=(x, y), batch_size=30, callbacks=[swap, Look()])
    plain = Linear().compile(optimizer=SGD(0.5, use_ema=True, ema_momentum=0.75), **SPARSE)
    fit(plain, x, y, epochs=3, verbose=0, batch_size=30)
    np.testing.assert_array_equal(model.weights[0].data, plain.weights[0].data)  # the averages, by fit's own end
    np.testing.assert_array_equal(seen[-2], plain.weights[0].data)  # the last validation saw them
    assert (seen[-1] == seen[-2]).all() == on_epoch
    with pytest.raises(ValueError, match="keeps no moving averages: make it with use_ema=True"):
        trained(SGD(0.1), validation_data=(x, y), callbacks=callbacks.SwapEMAWeights())


def records(path):
    """The records of a file of events: each has its length, two checksums and the data."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        yield data[place + 12 : place + 12 + size]
        place += 16 + size


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.compat.proto.event_pb2 import Event

    x, y = blobs()
    board = callbacks.TensorBoard(tmp_path, update_freq=2)
    _, history = trained(epochs=2, batch_size=16, validation_data=(x, y), callbacks=board)
    found = {}
    for part in ("train", "validation"):
        (path,) = (tmp_path / part).iterdir()
        for record in records(path):
            event = Event.FromString(record)
            found |= {(part, v.tag, event.step): v.simple_value for v in event.summary.value}
    assert found["train", "epoch_loss", 1] == pytest.approx(history.history["loss"][1])
    assert found["validation", "epoch_accuracy", 0] == pytest.approx(history.history["val_accuracy"][0])
    assert found["train", "epoch_learning_rate", 0] == 0.5
    assert sorted(step for _, tag, step in found if tag == "batch_loss") == [2, 4, 6, 8]


def test_tensorboard_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(ImportError, match=r"needs the tensorboard package .* pip install 'minicnn\[tensorboard\]'"):
        callbacks.TensorBoard()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.EarlyStopping(mode="up"), "mode must be one of 'auto', 'min', 'max', got 'up'"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), "factor must lie between 0 and 1, got 1.0"),
        (lambda: callbacks.ModelCheckpoint("a.h5"), "the file must end in .keras, got 'a.h5'"),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_weights_only=True), "must end in .weights.h5 or .safete"),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_freq=0), "save_freq must be 'epoch' or a number of steps"),
        (lambda: callbacks.TensorBoard(update_freq="step"), "update_freq must be 'epoch', 'batch' or a number"),
        (
            lambda: trained(SGD(schedules.StepDecay(0.1, 5)), callbacks=callbacks.LearningRateScheduler(lambda e: 0.1)),
            "LearningRateScheduler sets the learning rate, but the optimizer has a schedule for it",
        ),
        (
            lambda: trained(Adam(schedules.StepDecay(0.1, 5)), callbacks=callbacks.ReduceLROnPlateau()),
            "ReduceLROnPlateau sets the learning rate, but the optimizer has a schedule",
        ),
        (
            lambda: trained(callbacks=callbacks.LearningRateScheduler(lambda epoch: "fast")),
            "the schedule must give a number, got 'fast' at epoch 0",
        ),
        (
            lambda: trained(callbacks=callbacks.ModelCheckpoint("{val_loss}.keras")),
            "'{val_loss}.keras' needs 'val_loss'; there are epoch, loss, accuracy",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
