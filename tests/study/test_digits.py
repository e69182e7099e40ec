"""The setting of the studies that train, and the networks that they keep."""

import json

import numpy as np
import pytest

from minicnn import data, layers, zoo
from minicnn.config import config, generator
from minicnn.model import Model
from minicnn.study import digits


def tiny(scale=1.0):
    """10 classes from 64 numbers: trains in no time."""
    x = inputs = layers.Input((8, 8, 1))
    x = layers.Flatten()(x) * scale
    return Model(inputs, layers.Dense(10, activation="softmax")(x), name="tiny")


def test_the_digits_lie_between_minus_one_and_one():
    known, split = data.load("digits"), digits.digits()
    assert [len(part) for part in split] == [1437, 1437, 360, 360]
    np.testing.assert_array_equal(split.x_train, (known.x_train / 8 - 1).astype(np.float32))
    assert split.x_test.dtype == np.float32 and split.x_test.min() == -1 and split.x_test.max() == 1


def test_the_digits_in_another_shape():
    split = digits.digits((16, 16, 3))
    assert split.x_train.shape == (1437, 16, 16, 3)
    assert abs(split.x_test.mean() - digits.digits().x_test.mean()) < 0.01


def test_the_rate_falls_after_seventy_percent():
    model, split = tiny(), digits.digits()
    digits.train(model, split, epochs=10)
    steps = -(-len(split.x_train) // 64)
    rates = [model.optimizer._learning_rate(step) for step in (0, 7 * steps - 1, 7 * steps, 10 * steps)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005])


def test_training_learns_and_depends_on_the_seed_alone():
    histories = []
    for seed in (0, 0, 1):
        with digits.seeded(0):
            model = tiny()
        histories.append(digits.train(model, epochs=2, seed=seed))
    assert histories[0] == histories[1] != histories[2]
    assert histories[0]["val_accuracy"][-1] > 0.8
    assert not digits.diverged(histories[0], 2)


def test_a_training_that_diverges_ends():
    model = tiny(scale=1e25)
    history = digits.train(model, epochs=3)
    assert digits.diverged(history, 3) and len(history["loss"]) == 1


def test_a_seed_holds_within_its_block():
    config.seed, config.draws = 5, 7
    with digits.seeded(3):
        assert (config.seed, config.draws) == (3, 0)
        inside = generator("x").random()
    assert (config.seed, config.draws) == (5, 7)
    assert generator("x").random() != inside


def test_a_kept_network_is_not_trained_again(tmp_path, monkeypatch):
    first = digits.trained("tiny", tiny, epochs=1, cache=tmp_path)
    monkeypatch.setattr(digits, "train", None)  # calling it is an error from here on
    second = digits.trained("tiny", tiny, epochs=1, cache=tmp_path)
    assert second.history == first.history and second.seconds == first.seconds
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", ["not JSON", json.dumps({"history": {"loss": "much"}}), json.dumps([1])])
def test_a_damaged_file_is_trained_anew(tmp_path, damage):
    first = digits.trained("tiny", tiny, epochs=1, cache=tmp_path)
    next(tmp_path.glob("*.json")).write_text(damage)
    again = digits.trained("tiny", tiny, epochs=1, cache=tmp_path)
    assert again.history == first.history


def test_another_seed_is_another_file(tmp_path):
    digits.trained("tiny", tiny, epochs=1, cache=tmp_path)
    digits.trained("tiny", tiny, epochs=1, seed=1, cache=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_network_of_the_zoo_takes_the_shape_of_the_data(monkeypatch):
    monkeypatch.setattr(digits, "train", lambda model, split, epochs, seed, **_: {"loss": [1.0], "val_accuracy": [0.5]})
    kept = digits.of_zoo("resnet20", "B", epochs=1, seed=3)
    assert (
        kept.model.input_shape == (None, 8, 8, 1)
        and kept.model.count_params() == zoo.build("resnet20", "B", (8, 8, 1)).count_params()
    )
    assert (kept.test_accuracy, kept.train_loss, kept.diverged) == (0.5, 1.0, False)
