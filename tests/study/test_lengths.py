"""The gradient by path lengths: the recurrence against all 2^n paths."""

import itertools
import math

import numpy as np
import pytest

import minicnn
from minicnn import layers, study, zoo
from minicnn.model import Model
from minicnn.study.lengths import along, path_terms, sampled_norms
from minicnn.study.measures import norm
from minicnn.study.paths import path_lengths, shortest_range
from minicnn.tensor import Tensor
from tests.checks import assert_close

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(autouse=True)
def double():
    minicnn.set_floatx("float64")


def data(rng, model, count=3):
    return rng.normal(size=(count, *model.input_shape[1:])), rng.integers(0, model.output.shape[-1], count)


def linear(n, width=5):
    """x + W x, n times: nothing but matrices."""
    x = inputs = layers.Input((width,))
    for i in range(n):
        x = layers.Add(name=f"sum{i}")([x, layers.Dense(width, use_bias=False, name=f"w{i}")(x)])
    return Model(inputs, x)


def test_a_linear_network_by_hand(rng):
    """G_k is the sum, over all subsets of k matrices, of their products: 2^n of them, written out."""
    n, width = 5, 4
    model = linear(n, width)
    x, direction = rng.normal(size=(2, width)), rng.normal(size=(2, width))
    record = study.record(model, x, direction, loss=lambda t, p: (p * t).sum())
    matrices = [model.get_layer(f"w{i}").kernel.data for i in range(n)]
    by_hand = [np.zeros((2, width)) for _ in range(n + 1)]
    for through in itertools.product([False, True], repeat=n):
        g = direction
        for matrix, branch in zip(reversed(matrices), through, strict=True):
            g = g @ matrix.T if branch else g
        by_hand[sum(through)] += g
    for found, expected in zip(path_terms(record)[0], by_hand, strict=True):
        assert_close(found, expected, 1e-12)


def blocks_of(kind, x, i):
    """A block of a kind, with all that stands in real ones."""
    y = layers.BatchNormalization(name=f"bn{i}")(layers.Conv2D(4, 3, padding="same", name=f"c{i}")(x))
    y = layers.Conv2D(4, 3, padding="same", name=f"d{i}")(layers.ReLU(name=f"r{i}")(y))
    if kind == "projection":
        x = layers.Conv2D(4, 1, name=f"p{i}")(x)
    if kind == "scaled":
        return layers.ScaledAdd(0.3, name=f"sum{i}")([x, y])
    return layers.ReLU(name=f"out{i}")(layers.Add(name=f"sum{i}")([x, y]))


def network(*kinds):
    inputs = layers.Input((4, 4, 2))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    for i, kind in enumerate(kinds):
        x = blocks_of(kind, x, i)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(3, activation="softmax")(x))


def cut(model, x, y, through):
    """The gradient along one path: at every sum the other way is detached."""
    start = Tensor(x, requires_grad=True)
    values = {id(model.inputs[0]): start}
    sums = 0
    for node in model.steps:
        given = [values[id(p)] for p in node.parents]
        if len(given) == 2:
            other = 0 if sums in through else 1
            given[other] = given[other].detach()
            sums += 1
        values[id(node.outputs[0])] = node.layer(node.arrange(given), training=True)
    minicnn.training.losses.get(LOSS)(y, values[id(model.outputs[0])]).backward()
    return start.grad


def test_every_path_of_a_network_with_relu_and_batch_norm(rng):
    """One path is what is left when all others are cut; those of a length add up to its term."""
    model = network("plain", "projection", "scaled")
    x, y = data(rng, model)
    record = study.record(model, x, y, loss=LOSS)
    terms = path_terms(record)[0]
    sums = [np.zeros_like(x) for _ in terms]
    for k in range(4):
        for through in itertools.combinations(range(3), k):
            (one,) = along(record, record.need(), through)
            assert_close(one, cut(model, x, y, through), 1e-12)
            sums[k] += one
    for term, expected in zip(terms, sums, strict=True):
        assert_close(term, expected, 1e-12)


@pytest.mark.parametrize("variant", ["A", "B"])
def test_the_terms_of_resnet20_add_up_to_the_gradient(variant, rng):
    model = zoo.build("resnet20", variant, input_shape=(8, 8, 1))
    record = study.record(model, *data(rng, model, 4), loss=LOSS)
    terms = path_terms(record)[0]
    assert len(terms) == 10
    assert_close(sum(terms), record.input_gradients[0], 1e-10)


def test_an_inception_resnet_block_counts_once(rng):
    """The concatenation in its branch is no sum: a path through any of the small branches has length 1."""
    inputs = layers.Input((4, 4, 3))
    mixed = layers.Concatenate()([layers.Conv2D(2, 1)(inputs), layers.Conv2D(2, 3, padding="same")(inputs)])
    x = layers.ScaledAdd(0.2, name="merge")([inputs, layers.Conv2D(3, 1)(mixed)])
    model = Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    record = study.record(model, *data(rng, model), loss=LOSS)
    skip, branch = path_terms(record)[0]
    block = record.block("merge")
    assert_close(skip, block.skip_gradient, 1e-12)
    assert_close(branch, block.branch_gradient, 1e-12)


def test_some_of_the_blocks(rng):
    """With one block counted the terms are its two ways."""
    model = network("plain", "plain", "plain")
    record = study.record(model, *data(rng, model), loss=LOSS)
    terms = path_terms(record, [record.block("sum0")])[0]
    assert len(terms) == 2
    assert_close(sum(terms), record.input_gradients[0], 1e-10)


def test_the_figures_of_path_lengths(rng):
    model = network("plain", "plain", "scaled", "plain")
    record = study.record(model, *data(rng, model), loss=LOSS)
    found = path_lengths(record, samples=4)
    assert found["paths"] == [1, 4, 6, 4, 1]
    assert sum(found["share"]) == pytest.approx(1, abs=1e-12)
    assert found["error"] < 1e-12
    assert found["norm"] == pytest.approx([norm(term) for term in path_terms(record)[0]])
    # There is one path of length 0, and one of length n: no chance in the sample.
    for k in (0, 4):
        assert found["estimate"][k] == pytest.approx(found["norm"][k], rel=1e-12)


def test_samples_are_norms_of_paths_of_their_length(rng):
    model = network("plain", "plain", "plain")
    record = study.record(model, *data(rng, model), loss=LOSS)
    for k, norms in sampled_norms(record, 5, seed=1):
        possible = [norm(along(record, record.need(), t)[0]) for t in itertools.combinations(range(3), k)]
        assert len(norms) == 5 and all(any(math.isclose(n, p, rel_tol=1e-12) for p in possible) for n in norms)
    again = list(sampled_norms(record, 5, seed=1))
    assert again == list(sampled_norms(record, 5, seed=1)) != list(sampled_norms(record, 5, seed=2))


def test_the_shortest_range():
    assert shortest_range([0.1, 0.2, 0.5, 0.2, 0.0], 0.85) == (1, 3)
    assert shortest_range([0.0, 1.0], 0.95) == (1, 1)
    assert shortest_range([0.5, -0.2, 0.7], 0.95) == (0, 2)


def test_without_residual_blocks(rng):
    model = zoo.build("plain20", input_shape=(8, 8, 1))
    record = study.record(model, *data(rng, model, 2), loss=LOSS)
    with pytest.raises(ValueError, match="plain20: there is no merge"):
        path_terms(record)
