"""Operations on the tape, against networks that were built so, and against sums written out by hand."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model, Sequential
from minicnn.study import scale
from minicnn.study.families import twin
from minicnn.study.surgery import Operation, Theatre, errors
from tests.checks import assert_close


@pytest.fixture
def x(rng):
    return rng.normal(size=(5, 8, 8, 1)).astype(np.float32)


def lively(model, rng):
    """The model with random statistics, scales and shifts of its batch norms: no two layers do the same."""
    for weight in model.weights:
        if weight.name.endswith(("gamma", "moving_variance")):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name.endswith(("beta", "moving_mean")):
            weight.assign(rng.normal(size=weight.shape) / 5)
    return model


def by_hand(model, x, without=()):
    """The output of a residual network of 8 layers, block by block, without the branches of some stages."""
    at = lambda name, x: model.get_layer(name)(x)  # noqa: E731
    x = at("conv1_relu", at("conv1_bn", at("conv1_conv", model.to_tensor(x))))
    for stage in (2, 3, 4):
        block = f"conv{stage}_block1"
        y = at(f"{block}_1_pad", x) if stage > 2 else x
        y = at(f"{block}_1_relu", at(f"{block}_1_bn", at(f"{block}_1_conv", y)))
        y = at(f"{block}_2_bn", at(f"{block}_2_conv", y))
        x = at(f"{block}_0_shortcut", x) if stage > 2 else x
        x = at(f"{block}_out", x if stage in without else x + y)
    return at("predictions", at("avg_pool", x)).numpy()


def test_without_an_operation_the_network_is_whole(rng, x):
    model = lively(twin("resnet", 8), rng)
    before = [w.copy() for w in model.get_weights()]
    theatre = Theatre(model, x)
    assert theatre.residual and [part.name for part in theatre.parts] == [f"conv{s}_block1_add" for s in (2, 3, 4)]
    assert_close(theatre.output(), model.predict(x, verbose=0))
    theatre.output(Operation(delete=(0,), scale={1: 3.0}))
    assert_close(theatre.output(), by_hand(model, x))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stages", [(2,), (3,), (4,), (2, 4)])
def test_deleting_is_a_network_without_the_branch(rng, x, stages):
    model = lively(twin("resnet", 8), rng)
    output = Theatre(model, x).output(Operation(delete=[s - 2 for s in stages]))
    assert_close(output, by_hand(model, x, without=stages))
    assert np.abs(output - by_hand(model, x)).max() > 1e-3


def test_scaling_is_a_network_with_scaled_sums(rng, x):
    model, scaled = lively(twin("resnet", 14), rng), scale.build(2, scale=0.3)
    scaled.set_weights(model.get_weights())
    theatre = Theatre(model, x)
    assert_close(theatre.output(Operation(scale=dict.fromkeys(range(6), 0.3))), scaled.predict(x, verbose=0))
    np.testing.assert_array_equal(theatre.output(Operation(scale={2: 1.0})), theatre.output())
    assert_close(theatre.output(Operation(scale={2: 0.0})), theatre.output(Operation(delete=(2,))), tol=1e-6)


def test_a_scaled_sum_is_scaled_once_more(rng, x):
    model, other = lively(scale.build(1, scale=0.5), rng), scale.build(1, scale=0.1)
    other.set_weights(model.get_weights())
    output = Theatre(model, x).output(Operation(scale=dict.fromkeys(range(3), 0.2)))
    assert_close(output, other.predict(x, verbose=0))


def test_exchanging_is_a_network_whose_blocks_have_each_others_weights(rng, x):
    model, other = lively(twin("resnet", 14), rng), twin("resnet", 14)
    swapped = {f"conv2_block{a}": f"conv2_block{b}" for a, b in ((1, 2), (2, 1))}
    weights = {w.name: w for w in model.weights}
    for weight in other.weights:
        block = weight.name[:12]
        weight.assign(weights[weight.name.replace(block, swapped.get(block, block))])
    theatre = Theatre(model, x)
    assert_close(theatre.output(Operation(order=[1, 0, 2, 3, 4, 5])), other.predict(x, verbose=0))
    assert np.abs(theatre.output() - other.predict(x, verbose=0)).max() > 1e-3


def test_a_sum_in_a_lambda_and_a_model_within_a_model(rng, x):
    inner_in = layers.Input((8, 8, 1))
    branch = layers.Conv2D(1, 3, padding="same", name="inner_conv")(inner_in)
    inner = Model(inner_in, layers.Lambda(lambda xs: xs[0] + xs[1], name="sum")([branch, inner_in]), name="inner")
    inputs = layers.Input((8, 8, 1))
    model = Model(inputs, layers.Dense(3)(layers.Flatten()(inner(inputs))))
    theatre = Theatre(model, x)
    assert [part.name for part in theatre.parts] == ["inner/sum"]
    dense = model.layers[-1]
    assert_close(theatre.output(Operation(delete=(0,))), dense(x.reshape(5, 64)).numpy())


@pytest.mark.parametrize(("depth", "first"), [(8, 1), (20, 7)])
def test_pairs_of_a_plain_network_are_those_with_a_skip_in_its_twin(depth, first):
    theatre = Theatre(twin("plain", depth), np.zeros((1, 8, 8, 1)))
    assert not theatre.residual and len(theatre.parts) == first
    assert theatre.parts[0].name == "conv2_block1_1_conv .. conv2_block1_2_conv"
    names = [part.name.split("_")[:2] for part in theatre.parts]
    assert all(block != "block1" or stage == "conv2" for stage, block in names)


def test_deleting_layers_of_a_chain(rng, x):
    stack = [layers.Conv2D(4, 3, padding="same", activation="relu", name=f"c{i}") for i in range(4)]
    top = [layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3, name="d")]
    model = Sequential([layers.Input((8, 8, 1)), *stack, *top])
    theatre = Theatre(model, x, layers=1)
    assert [part.name for part in theatre.parts] == ["c1", "c2", "c3"]
    rest = model.to_tensor(x)
    for layer in (stack[0], stack[1], stack[3], *top):
        rest = layer(rest)
    assert_close(theatre.output(Operation(delete=(1,))), rest.numpy())


def test_errors_count_images_in_any_batches(rng, x):
    model = lively(twin("resnet", 8), rng)
    y = np.argmax(model.predict(x, verbose=0), axis=1)
    y[0] = (y[0] + 1) % 10
    operations = [Operation(), Operation(delete=(1,))]
    whole, parts = errors(model, x, y, operations), errors(model, x, y, operations, batch_size=2)
    assert whole[0] == 0.2
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Operation(delete=(3,)), "there are 3 parts, numbered from 0, got 3"),
        (Operation(scale={-1: 2.0}), "got -1"),
        (Operation(order=[1, 0, 2]), "conv2_block1_add and conv3_block1_add cannot change places"),
    ],
)
def test_what_cannot_be_done(operation, message):
    theatre = Theatre(twin("resnet", 8), np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match=message):
        theatre.output(operation)


def test_layers_of_a_chain_have_no_scale():
    theatre = Theatre(twin("plain", 8), np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="is no branch: there is no skip beside it"):
        theatre.output(Operation(scale={0: 2.0}))


def test_a_network_of_which_nothing_can_be_taken():
    model = Sequential([layers.Input((8,)), layers.Dense(4), layers.Dense(3)])
    with pytest.raises(ValueError, match="nothing can be taken out: it has no sum with a skip, and no 2 layers"):
        Theatre(model, np.zeros((1, 8)))
