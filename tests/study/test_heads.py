"""Shares of heads: a toy computed by hand, the trunk of the Inception networks, and errors."""

import json

import numpy as np
import pytest

from minicnn import layers, zoo
from minicnn.layers.initializers import placeholders
from minicnn.model import Model
from minicnn.study import Settings, heads
from minicnn.study.digits import seeded
from minicnn.study.output import as_data
from minicnn.study.probing import in_float64


def total(_, output):
    return output.sum()


def toy():
    """y = 2 x (1x1 conv); the main head sums 3 y1 + 0 y2, the other one sums 0 y1 + 4 y2 and 1 y1."""
    start = layers.Input((1, 1, 1))
    trunk = layers.Conv2D(2, 1, use_bias=False, name="trunk")(start)
    after = layers.Conv2D(1, 1, use_bias=False, name="after")(trunk)
    main = layers.Flatten(name="main")(after)
    side = layers.Flatten(name="side")(layers.Conv2D(1, 1, use_bias=False, name="head")(trunk))
    model = Model(start, [main, side])
    values = {"trunk": [[2.0, 2.0]], "after": [[3.0], [0.0]], "head": [[1.0], [4.0]]}
    for name, value in values.items():
        model.get_layer(name).set_weights([np.array(value)[None, None]])
    return model


def test_two_heads_by_hand():
    found = heads.head_gradients(toy(), np.ones((1, 1, 1, 1)), None, weights=[1, 0.5], loss=total)
    main, side = np.array([3.0, 0.0]), 0.5 * np.array([1.0, 4.0])
    whole = main + side  # (3.5, 2)
    assert (found.nodes, found.heads) == (["trunk", "after"], ["main", "side"])
    np.testing.assert_allclose(found.norm[:, 0], [3, np.sqrt(0.25 + 4)])
    np.testing.assert_allclose(found.share[:, 0], [main @ whole / (whole @ whole), side @ whole / (whole @ whole)])
    assert found.cosine[1, 0] == pytest.approx(1.5 / (3 * np.sqrt(4.25)))
    np.testing.assert_allclose(found.share[:, 1], [1, 0])  # behind its fork a head brings nothing
    assert np.isnan(found.cosine[1, 1])


def test_a_loss_s_weight_scales_its_norm():
    x = np.ones((1, 1, 1, 1))
    once, twice = (heads.head_gradients(toy(), x, None, weights=[1, w], loss=total) for w in (0.3, 0.6))
    np.testing.assert_allclose(twice.norm[1], 2 * once.norm[1])
    np.testing.assert_allclose(once.share.sum(axis=0), 1)


@pytest.mark.parametrize(
    "name, size, begin, some",
    [("inception_v1", 65, "conv2d", "inception_4d"), ("inception_v3", 107, "activation", "mixed7")],
)
def test_the_trunk_of_the_inception_networks(name, size, begin, some):
    with placeholders():
        options = {"variant": "paper"} if name == "inception_v1" else {}
        model = zoo.build(name, input_shape=(size, size, 1), classes=10, aux=True, **options)
    names = [node.layer.name for node in heads.trunk(model)]
    assert names[0].startswith(begin)
    assert some in names
    assert not any("aux" in name for name in names)
    assert not any(isinstance(node.layer, layers.BatchNormalization) for node in heads.trunk(model))


def test_parallel_ways_are_no_trunk():
    start = layers.Input((4, 4, 1))
    stem = layers.Conv2D(2, 1, name="stem")(start)
    joined = layers.Add(name="joined")([layers.Conv2D(2, 1, name="left")(stem), layers.ReLU(name="right")(stem)])
    model = Model(start, layers.Flatten()(joined))
    assert [node.layer.name for node in heads.trunk(model)] == ["stem", "joined"]


def test_the_sum_of_the_heads_is_the_gradient_that_training_uses(rng):
    with seeded(0):
        model = zoo.build("inception_v1", input_shape=(65, 65, 1), classes=10, aux=True)
    x, y = rng.normal(size=(2, 65, 65, 1)), np.array([1, 2])
    with in_float64(model):
        found = heads.head_gradients(model, x, y, training=False)
        alone = heads.head_gradients(model, x, y, weights=[1, 0, 0], training=False)
    np.testing.assert_allclose(found.norm[0], alone.norm[0])
    np.testing.assert_allclose(alone.share[0], 1)
    np.testing.assert_allclose(found.share.sum(axis=0), 1)
    assert (found.norm[1:, 0] > 0).all()


def test_errors():
    start = layers.Input((4, 4, 1))
    flat = layers.Flatten()(start)
    one = Model(start, layers.Dense(2, name="only")(flat))
    with pytest.raises(ValueError, match=r"no auxiliary head, only the output 'only'. Build one .*aux=True"):
        heads.head_gradients(one, np.zeros((1, 4, 4, 1)), None)
    with pytest.raises(ValueError, match="2 outputs need as many weights, got 3"):
        heads.head_gradients(toy(), np.ones((1, 1, 1, 1)), None, weights=[1, 2, 3])
    two = Model(start, [layers.Dense(2, name="a")(flat), layers.Dense(2, name="b")(flat)])
    with pytest.raises(ValueError, match="no layer with images lies on every path to 'a'"):
        heads.head_gradients(two, np.zeros((1, 4, 4, 1)), None)
    with pytest.raises(ValueError, match="resnet20 has no auxiliary heads: take inception_v1"):
        heads.run(Settings(model="resnet20"))
    other = layers.Input((4, 4, 1))
    with pytest.raises(ValueError, match="the trunk begins at one input, got 2"):
        heads.trunk(Model([start, other], layers.Add()([start, other])))


def test_the_study_on_a_toy(monkeypatch):
    def build(settings, **_):
        with seeded(settings.seed):
            start = layers.Input((8, 8, 1))
            x = layers.Conv2D(4, 3, activation="relu", name="stem")(start)
            side = layers.Dense(10, activation="softmax", name="side")(layers.Flatten()(x))
            x = layers.Conv2D(4, 3, activation="relu", name="deep")(x)
            end = layers.Dense(10, activation="softmax", name="end")(layers.Flatten()(x))
            return Model(start, [end, side], name="toy"), heads.Split(*(a[:128] for a in digits()))

    from minicnn.study.digits import digits

    monkeypatch.setattr(heads, "subject", build)
    result = heads.run(Settings(model="toy", epochs=3))
    assert result.figures["steps"][0] == 0
    assert result.figures["steps"][-1] == 24  # 3 epochs of 128 images, 16 at a time
    assert np.shape(result.figures["share"][0]) == (2, 2)
    stem, deep = result.tables[0].rows  # the side head reads the stem, and nothing behind it
    assert stem[0] == "stem" and -1 <= stem[-1] <= 1 and deep[-2:] == [None, None]
    assert json.dumps(as_data(result), allow_nan=False)
    again = heads.run(Settings(model="toy", epochs=3))
    assert again.figures["share"] == result.figures["share"]


def figures(own, *shares):
    return {
        "nodes": ["n"], "heads": ["m", "a"], "steps": [0, 9], "own": {"redrawn": True, "share": [[1 - own], [own]]},
        "share": [[[1 - s], [s]] for s in shares],
        "after": {k: {"test loss": 1.0} for k in ("with heads", "without heads")},
    }  # fmt: skip


def test_each_verdict():
    assert heads.verdict(figures(0.6, 0.5, 0.2)).startswith("holds: at n the auxiliary heads bring 60%")
    assert "50% if the kernels are drawn as He" in heads.verdict(figures(0.6, 0.5, 0.2))
    assert heads.verdict(figures(0.5, 0.02, 0.3)).startswith("holds in part: ")
    assert heads.verdict(figures(0.05, 0.5, 0.5)).startswith("does not hold")


def test_only_kernels_without_batch_norm_are_drawn_anew():
    with seeded(0):
        start = layers.Input((8, 8, 1))
        plain = Model(start, layers.Flatten()(layers.Conv2D(3, 3, name="c")(start)))
        normed = Model(start, layers.BatchNormalization()(layers.Conv2D(3, 3)(start)))
    before = [m.get_weights()[0] for m in (plain, normed)]
    assert heads.begin_as_he(plain, Settings())
    assert not heads.begin_as_he(normed, Settings())
    assert not heads.begin_as_he(plain, Settings(weights="some"))
    assert not np.array_equal(plain.get_weights()[0], before[0])
    assert np.array_equal(normed.get_weights()[0], before[1])
