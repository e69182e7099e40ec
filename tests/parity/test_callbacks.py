"""Callbacks against Keras's own on the same logs: when they stop, what rates they set, which files they write."""

import pytest

from minicnn.training import SGD, callbacks
from tests.training.models import Linear

SERIES = {
    "val_loss": [1.0, 0.8, 0.85, 0.79995, 0.9, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.5],
    "accuracy": [0.1, 0.3, 0.3, 0.2, 0.5, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6],
}


class Stand:
    """What callbacks of both libraries ask of a model; its weights are the number of the epoch."""

    def __init__(self, keras=None):
        self.stop_training, self.epoch, self.saved = False, -1, []
        self.optimizer = SGD(0.1) if keras is None else keras.optimizers.SGD(0.1)
        self.compiled = Linear().compile(optimizer=self.optimizer, loss="mse").compiled if keras is None else None

    def get_weights(self):
        return [[self.epoch] * 2]

    def set_weights(self, weights):
        self.epoch = int(weights[0][0])

    def save(self, path, overwrite=True):
        self.saved.append(str(path))

    save_weights = save


def run(model, callback, epochs=12, steps=3):
    """The learning rates and added logs of a run over SERIES."""
    callback.set_model(model)
    callback.set_params({"epochs": epochs, "steps": steps})
    callback.on_train_begin({})
    seen = []
    for epoch in range(epochs):
        model.epoch = epoch
        callback.on_epoch_begin(epoch, {})
        for step in range(steps):
            callback.on_train_batch_begin(step, {})
            callback.on_train_batch_end(step, {"loss": 1.0 / (1 + step)})
        logs = {name: values[epoch] for name, values in SERIES.items()}
        callback.on_epoch_end(epoch, logs)
        rate = model.optimizer.learning_rate
        seen.append((float(rate.numpy() if hasattr(rate, "numpy") else rate), logs.get("learning_rate", 0.0)))
        if model.stop_training:
            break
    callback.on_train_end(logs)
    if hasattr(callback, "close"):
        callback.close()
    return seen


def both(keras, name, **arguments):
    """The two models after a run of the callback, and what they saw."""
    mine, other = Stand(), Stand(keras)
    seen = [
        run(mine, getattr(callbacks, name)(**arguments)),
        run(other, getattr(keras.callbacks, name)(**arguments)),
    ]
    assert len(seen[0]) == len(seen[1]), "stopped after different epochs"
    for ours, theirs in zip(*seen, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)  # Keras keeps rates in float32
    assert mine.stop_training == other.stop_training
    assert (mine.epoch, mine.saved) == (other.epoch, other.saved)
    return mine, seen[0]


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # of TensorFlow, with NumPy 2


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ({}, 3),
        ({"patience": 3}, 9),
        ({"patience": 3, "min_delta": 0.001}, 5),
        ({"patience": 2, "min_delta": 0.001}, 4),
        ({"monitor": "accuracy", "mode": "max", "patience": 2}, 4),
        ({"patience": 3, "restore_best_weights": True}, 9),
        ({"patience": 2, "baseline": 0.75}, 3),
        ({"patience": 1, "start_from_epoch": 5}, 7),
        ({"patience": 1, "start_from_epoch": 5, "restore_best_weights": True}, 7),
        ({"patience": 100, "restore_best_weights": True}, 12),
    ],
)
def test_early_stopping(keras, arguments, epochs):
    _, seen = both(keras, "EarlyStopping", **arguments)
    assert len(seen) == epochs


@pytest.mark.parametrize(
    "arguments",
    [
        {"patience": 1},
        {"patience": 2, "factor": 0.5, "cooldown": 2},
        {"patience": 1, "factor": 0.5, "min_lr": 0.02},
        {"patience": 1, "min_delta": 0.2, "factor": 0.25},
        {"monitor": "accuracy", "mode": "max", "patience": 2},
    ],
)
def test_reduce_lr_on_plateau(keras, arguments):
    _, seen = both(keras, "ReduceLROnPlateau", **arguments)
    assert len({rate for rate, _ in seen}) > 1


@pytest.mark.parametrize("schedule", [lambda epoch, rate: rate * 0.5**epoch, lambda epoch: 0.1 / (epoch + 1)])
def test_learning_rate_scheduler(keras, schedule):
    _, seen = both(keras, "LearningRateScheduler", schedule=schedule)
    assert len({rate for rate, _ in seen}) == 12


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"filepath": "{epoch:02d}-{val_loss:.2f}.keras"}, 12),
        ({"filepath": "best.keras", "save_best_only": True}, 5),
        ({"filepath": "{accuracy:.1f}.keras", "save_best_only": True, "monitor": "accuracy", "mode": "max"}, 4),
        ({"filepath": "{epoch}.weights.h5", "save_weights_only": True}, 12),
        ({"filepath": "{epoch}-{batch}.keras", "save_freq": 5}, 7),
        ({"filepath": "b.keras", "save_best_only": True, "initial_value_threshold": 0.75}, 2),
    ],
)
def test_model_checkpoint(keras, arguments, count):
    mine, _ = both(keras, "ModelCheckpoint", **arguments)
    assert len(mine.saved) == count


@pytest.mark.parametrize("arguments", [{}, {"separator": ";"}, {"append": True}])
def test_csv_logger(keras, tmp_path, arguments):
    for runs in range(2):  # the second one appends, or begins anew
        for side, library in (("ours", callbacks), ("theirs", keras.callbacks)):
            run(Stand(), library.CSVLogger(str(tmp_path / side), **arguments), epochs=3 + runs)
    ours, theirs = ((tmp_path / side).read_bytes() for side in ("ours", "theirs"))
    assert ours == theirs
    assert len(ours.splitlines()) == (8 if "append" in arguments else 5)
