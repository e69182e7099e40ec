"""Scales of the branch: what they do at the start, dead networks, and a small run."""

import math

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model
from minicnn.study import scale
from minicnn.study.digits import Trained, seeded
from minicnn.study.families import twin
from minicnn.study.instruments import Settings
from minicnn.study.surgery import Operation, Theatre
from tests.checks import assert_close
from tests.study.results import check


@pytest.fixture
def x(rng):
    return rng.normal(size=(6, 8, 8, 1)).astype(np.float32)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("word", ["skipinit", "zero_gamma"])
def test_blocks_that_begin_as_the_identity(x, word, norm):
    model = scale.build(2, word, norm)
    theatre = Theatre(model, x)
    assert_close(theatre.output(), theatre.output(Operation(delete=range(6))))
    output = model(x, training=True)
    output[:, 0].sum().backward()
    branches = [w for w in model.trainable_weights if "block" in w.name]
    moved = {w.name.rpartition("/")[2] for w in branches if np.any(w.grad)}
    expected = {"skipinit": {"alpha"}, "zero_gamma": {"gamma", "beta"} if norm else {"kernel", "bias"}}[word]
    assert moved == expected  # nothing behind a factor of 0 has a gradient yet


def test_zeros_at_the_start_are_only_the_last_ones():
    with_norm, without = scale.build(1, "zero_gamma"), scale.build(1, "zero_gamma", norm=False)
    zero = {layer.name for layer in with_norm.layers if isinstance(layer, layers.BatchNormalization)
            and not layer.gamma.numpy().any()}  # fmt: skip
    assert zero == {f"conv{s}_block1_2_bn" for s in (2, 3, 4)}
    zero = {w.name for w in without.weights if w.name.endswith("kernel") and not w.numpy().any()}
    assert zero == {f"conv{s}_block1_2_conv/kernel" for s in (2, 3, 4)}


def test_scales_of_a_number_and_by_the_root_of_the_blocks():
    for given, expected in ((0.17, 0.17), ("sqrt", 1 / math.sqrt(6))):
        sums = [layer for layer in scale.build(2, given).layers if isinstance(layer, layers.ScaledAdd)]
        assert [s.scale for s in sums] == pytest.approx([expected] * 6)


def test_without_batch_norm_there_are_biases():
    model, normed = scale.build(1, 0.5, norm=False), scale.build(1, 0.5)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in model.layers)
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert len(convolutions) == 7 and all(layer.use_bias for layer in convolutions)
    outputs = sum(layer.filters for layer in convolutions)
    assert normed.count_params() - model.count_params() == 3 * outputs  # 4 of a batch norm against a bias
    assert scale.build(2, "skipinit").count_params() == scale.build(2, 1.0).count_params() + 6


def test_scale_one_is_the_zoo_s_network(x):
    with seeded(1):
        ours = scale.build(2)
    with seeded(1):
        theirs = twin("resnet", 14)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


@pytest.mark.parametrize("wrong", ["half", None, "1"])
def test_unknown_scales(wrong):
    with pytest.raises(ValueError, match="unknown scale .*or a number"):
        scale.build(1, wrong)


def test_dead_networks_are_found(x):
    model = scale.build(1, 0.5, norm=False)
    assert scale.state(model, x) == "alive"
    model.get_layer("conv4_block1_2_conv").bias.assign(np.full(64, -1e6))
    assert scale.state(model, x) == "dead"
    model.get_layer("conv1_conv").bias.assign(np.full(16, np.nan))
    assert scale.state(model, x) == "not finite"


def test_what_reaches_the_last_pooling(x):
    model = twin("resnet", 8)
    assert scale.last_images(model).node.layer.name == "conv4_block1_out"
    assert_close(scale.before_pooling(model, x), Model(model.input, scale.last_images(model)).predict(x, verbose=0))
    before = model.get_weights()
    in_training = scale.before_pooling(model, x, training=True)
    assert np.abs(in_training - scale.before_pooling(model, x)).max() > 0.1  # the statistics are those of the batch
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    inputs = layers.Input((8, 8, 1))
    assert_close(scale.before_pooling(Model(inputs, layers.Flatten()(inputs)), x), x)
    with pytest.raises(ValueError, match="no layer reads images"):
        numbers = layers.Input((3,))
        scale.last_images(Model(numbers, layers.Dense(2)(numbers), name="dense"))


@pytest.mark.parametrize(
    ("loss", "bias", "expected"),
    [([1.0, 0.5], 0.0, "trains"), ([2.3, 2.29], 0.0, "stuck"), ([1.0], 0.0, "diverged"), ([1.0, 0.5], -1e9, "dead"),
     ([1.0, math.nan], 0.0, "diverged"), ([1.0, 0.5], math.nan, "diverged")],
)  # fmt: skip
def test_outcomes(x, loss, bias, expected):
    model = scale.build(1, 0.5, norm=False)
    model.get_layer("conv4_block1_2_conv").bias.assign(np.full(64, bias))
    kept = Trained(model, {"loss": loss, "val_accuracy": [0.5]}, 0.0, epochs=2, seed=0)
    assert scale.outcome(kept, x) == expected


@pytest.mark.parametrize(("one", "small", "holds"), [("diverged", 0.97, True), ("trains", 0.97, False),
                                                    ("diverged", 0.5, False)])  # fmt: skip
def test_the_verdict_follows_the_figures(one, small, holds):
    found = {
        "a": {"scale": 1.0, "batch norm": False, "outcome": one, "test accuracy": 0.95},
        "b": {"scale": 0.3, "batch norm": False, "outcome": "trains", "test accuracy": small},
        "c": {"scale": 1.0, "batch norm": True, "outcome": "stuck", "test accuracy": 0.1},
    }
    assert scale.verdict(found).startswith("holds: " if holds else "does not hold: ")


def test_a_run(monkeypatch, capsys, tmp_path, few_images):
    monkeypatch.setattr(scale, "DEPTH", 8)
    monkeypatch.setattr(scale, "CASES", ((1.0, False), ("skipinit", False), (1.0, True)))
    result = scale.run(Settings(epochs=1, cache=tmp_path))
    assert list(result.figures["networks"]) == ["1, no norm", "SkipInit, no norm", "1, batch norm"]
    assert {path.name.partition("-")[0] for path in tmp_path.glob("*.json")} == {
        "scale8_1_no_bn", "scale8_skipinit_no_bn", "resnet8",
    }  # fmt: skip
    check(result, capsys)
