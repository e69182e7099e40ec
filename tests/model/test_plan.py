"""With the plan and without it: the same numbers, whatever the graph; less memory; the same bits on any threads.

Outputs, gradients and statistics are compared in float64, where rounding is far below what a wrong term does.
"""

import copy
import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from minicnn import config, functions, layers, zoo
from minicnn.layers import (
    Activation,
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Lambda,
    ReLU,
    ScaledAdd,
)
from minicnn.model import Model, Sequential, plan
from minicnn.tensor import no_grad
from minicnn.training.optimizers import SGD
from tests.checks import assert_close


@pytest.fixture
def float64():
    before = config.floatx()
    config.set_floatx("float64")
    yield
    config.set_floatx(before)


@pytest.fixture
def threads():
    """threads(n): n workers from now on, in our pool and in BLAS."""
    before, limits = config.config.threads, []

    def set_threads(count):
        config.config.threads = count
        limits.append(threadpool_limits(count, user_api="blas"))

    yield set_threads
    config.config.threads = before
    for limit in reversed(limits):
        limit.restore_original_limits()


def stir(model, rng):
    """Statistics, scales and shifts that are not 0 and 1, so that none of them can be forgotten unnoticed."""
    for weight in model.weights:
        if weight.ndim == 1:
            weight.assign(weight.data + rng.uniform(0.05, 0.3, size=weight.shape))
    return model


def scores(y):
    """The outputs as a list; logits in the place of probabilities, which say little where they are 0 or 1."""
    return [one if one.logits is None else one.logits for one in (y if isinstance(y, list) else [y])]


def inferred(model, x, plan):
    with no_grad():
        return [y.data for y in scores(model(x, plan=plan))]


def trained(model, x, plan):
    """Outputs, gradients and statistics of a pass in training, with a random upstream gradient; the model as before."""
    before, rng = model.get_weights(), np.random.default_rng(3)
    model.step = 0
    ys = scores(model(x, training=True, plan=plan))
    total = None
    for y in ys:
        term = (y * rng.normal(size=y.shape)).sum()
        total = term if total is None else total + term
    total.backward()
    found = [y.data for y in ys], [w.grad for w in model.trainable_weights]
    statistics = [w.data.copy() for w in model.non_trainable_weights]
    for weight in model.weights:
        weight.grad = None
    model.set_weights(before)
    return *found, statistics


def assert_same(model, x, tol=1e-9):
    """Inference, a pass in training, and what it does to the statistics, with the plan and without it."""
    for planned, alone in zip(inferred(model, x, True), inferred(model, x, False), strict=True):
        assert_close(planned, alone, tol)
    if not model.trainable_weights:
        return
    (ys, gradients, statistics), (ys2, gradients2, statistics2) = trained(model, x, True), trained(model, x, False)
    for planned, alone in zip(ys + statistics, ys2 + statistics2, strict=True):
        assert_close(planned, alone, tol)
    assert_same_gradients(gradients, gradients2, tol)


def assert_same_gradients(planned, alone, tol):
    """Within tol of each tensor's largest; one that vanishes (a bias before a batch norm) of a thousandth of all's."""
    largest = max((np.abs(g).max() for g in alone if g is not None), default=0.0)
    for a, b in zip(planned, alone, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            assert np.abs(a - b).max(initial=0) <= tol * max(np.abs(b).max(initial=0), 1e-3 * largest)


def groups(model, training=False, folding=False):
    """The names of the layers of every step that has several."""
    steps = plan.grouped(model.steps, model.outputs, training, folding)
    assert sorted(n.layer.name for step in steps for n in step.nodes) == sorted(n.layer.name for n in model.steps)
    return [[node.layer.name for node in step.nodes] for step in steps if len(step.nodes) > 1]


# Every network -------------------------------------------------------------------------------------------------------

SIZES = {"alexnet": 67, "resnet_cifar": 16, "inception_resnet": 75, "inception_v3": 75, "inception_v4": 75}
QUICK = ["lenet5", "resnet20", "preact110", "resnet18", "resnet50", "resnet50v2", "inception_v1", "inception_v3"]
QUICK += ["vgg16", "vgg16_inception_resnet"]
ALL = [(name, variant) for name in zoo.names() for variant in zoo.entry(name).variants or (None,)]


def network(name, variant=None):
    size = 64 if variant == "notebook002" else SIZES.get(zoo.FAMILIES[name], 32)
    return zoo.build(name, variant, input_shape=(size, size, zoo.entry(name).input_shape[2]), classes=5)


@pytest.mark.parametrize("name", QUICK)
def test_networks(float64, rng, name):
    model = stir(network(name), rng)
    assert_same(model, rng.normal(size=(3, *model.input_shape[1:])))


@pytest.mark.slow
@pytest.mark.parametrize("name, variant", ALL)
def test_all_networks_and_variants(float64, rng, name, variant):
    model = stir(network(name, variant), rng)
    assert_same(model, rng.normal(size=(5, *model.input_shape[1:])))


def test_a_step_of_the_optimizer(float64, rng):
    """The weights after three steps, dropout and momentum included, and what evaluate says of them."""
    images = Input((8, 8, 3))
    y = ReLU()(BatchNormalization()(Conv2D(4, 3, bias_initializer="ones")(images)))
    model = Model(images, Dense(3, "softmax")(Dropout(0.3)(Flatten()(y))))
    x, labels = rng.normal(size=(20, 8, 8, 3)), rng.integers(0, 3, 20)
    before, found = model.get_weights(), []
    for planned in (True, False):
        model.set_weights(before)
        model.step = 0
        model.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", ["accuracy"])
        model.fit(x, labels, batch_size=8, epochs=1, verbose=0, plan=planned)
        evaluated = model.evaluate(x, labels, verbose=0, plan=planned)
        found.append([*model.get_weights(), np.array(evaluated), model.predict(x, verbose=0, plan=planned)])
    for with_plan, without in zip(*found, strict=True):
        assert_close(with_plan, without, 1e-9)


# Graphs --------------------------------------------------------------------------------------------------------------


def images(*shape):
    return Input(shape or (6, 7, 4))


def bn(x, name=None):
    return BatchNormalization(name=name)(x)


def conv(x, name=None, **kwargs):
    return Conv2D(4, 3, padding="same", name=name, **kwargs)(x)


def chain(x):
    return ReLU(name="r")(bn(conv(x, "c"), "b"))


def residual(x):
    return Activation("relu", name="r")(Add(name="a")([x, bn(conv(x, "c"), "b")]))


def inner_output(x):
    b = bn(conv(x, "c"), "b")
    return [ReLU(name="r")(b), b]


def inner_reader(x):
    b = bn(conv(x, "c"), "b")
    return Add()([ReLU(name="r")(b), conv(b)])


def conv_read_twice(x):
    c = conv(x, "c")
    return Add(name="a")([ReLU(name="r")(bn(c, "b")), c])


def three(x):
    return ReLU(name="r")(Add(name="a")([x, bn(x, "b"), bn(conv(x))]))


def twice(x):
    b = bn(conv(x), "b")
    return ReLU(name="r")(Add(name="a")([b, b]))


def both_branches(x):
    return ReLU(name="r")(Add(name="a")([bn(conv(x, "c"), "b"), bn(conv(x, "c2"), "b2")]))


def itself(x):
    c = conv(x, "c")
    return ReLU(name="r")(Add(name="a")([c, c]))


def capped(x):
    return ReLU(max_value=0.5, name="r")(bn(conv(x, "c"), "b"))


def leaky(x):
    return ReLU(negative_slope=0.1, name="r")(bn(conv(x, "c"), "b"))


def shared_norm(x):
    b = BatchNormalization(name="b")
    return Add()([ReLU()(b(x)), ReLU()(b(conv(x)))])


def shared_conv(x):
    c = Conv2D(4, 3, padding="same")
    return ReLU()(bn(c(ReLU()(bn(c(x))))))


def frozen(x):
    b = BatchNormalization(name="b")
    y = ReLU(name="r")(Add(name="a")([x, b(conv(x))]))
    b.trainable = False
    return y


def always_training(x):
    return ReLU(name="r")(BatchNormalization(name="b")(conv(x, "c"), training=True))


def never_training(x):
    return ReLU(name="r")(BatchNormalization(name="b")(conv(x, "c"), training=False))


def scaled_norm(x):
    return ReLU()(ScaledAdd(0.3)([x, bn(conv(x))]))


def scaled_conv(x):
    return ReLU()(ScaledAdd(0.3)([x, conv(x)]))


def scaled_first(x):
    return ReLU()(ScaledAdd(0.3)([bn(conv(x)), x]))


def scaled_without_gamma(x):
    return ReLU()(ScaledAdd(0.3)([x, BatchNormalization(center=False, scale=False)(conv(x, use_bias=False))]))


def scaled_inputs(x):
    return ReLU()(ScaledAdd(0.3)([x, layers.MaxPooling2D(1)(conv(x))]))


def stretched(x):
    gate = bn(conv(layers.GlobalAveragePooling2D(keepdims=True)(x)))
    return ReLU()(Add()([x, gate]))


def stretching(x):
    return ReLU()(Add()([layers.GlobalAveragePooling2D(keepdims=True)(x), bn(conv(x))]))


def arithmetic(x):
    return functions.relu(x + bn(conv(x)) * 1.0)


def arithmetic_scaled(x):
    return functions.relu(functions.scaled_add(x, bn(conv(x)), 0.2))


def constants(x):
    return functions.relu(bn(conv(x)) + np.linspace(-1, 1, 4))


def own_activation(x):
    return bn(conv(conv(x, activation="relu"), activation="tanh"))


def dense(x):
    y = Dense(6, "relu")(Flatten()(x))
    return Dense(3, "softmax")(ReLU()(Dense(5)(y)))


def dense_norm(x):
    return ReLU()(bn(Dense(5)(Flatten()(x))))


def grouped(x):
    return ReLU()(bn(Conv2D(8, 3, groups=2, dilation_rate=2)(x)))


def depthwise(x):
    return ReLU()(bn(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)))


def couples_images(x):
    return Lambda(lambda y: y - y.mean(axis=0, keepdims=True), output_shape=lambda s: s)(chain(x))


def nested(x):
    inside = Input((6, 7, 4))
    block = Model(inside, residual(inside))
    return GlobalAveragePooling2D()(block(ReLU()(bn(block(x)))))


def only_inputs(x):
    return [x, ReLU(name="r")(x), conv(x)]


def probabilities_of_pixels(x):
    return [layers.Softmax()(conv(x)), Dense(3, "softmax")(Flatten()(x))]


def even(x):
    return layers.Cropping2D(((0, 0), (0, 1)))(x)


def pooled(x):
    first = Conv2D(4, 5, padding="same", name="c", activation="relu")(even(x))
    return conv(layers.MaxPooling2D(2, name="p")(first))


def pooled_relu(x):
    return layers.MaxPooling2D(2, name="p")(ReLU(name="r")(Conv2D(4, 5, padding="same", name="c")(even(x))))


def pooled_linear(x):
    return layers.MaxPooling2D(2, name="p")(Conv2D(4, 5, padding="same", name="c", use_bias=False)(even(x)))


def pooled_odd(x):
    return layers.MaxPooling2D(2, name="p")(conv(x, "c", activation="relu"))


def pooled_otherwise(x):
    windows = [layers.MaxPooling2D(2, padding="same"), layers.MaxPooling2D(2, 1), layers.MaxPooling2D(3, 2)]
    read_twice = ReLU(name="r")(conv(x, "c"))
    others = [pool(conv(x, activation="relu")) for pool in windows]
    return [*others, read_twice, layers.MaxPooling2D()(read_twice), layers.MaxPooling2D()(conv(x, activation="tanh"))]


def padding(x, name="z", pads=((1, 2), (0, 3))):
    return layers.ZeroPadding2D(pads, name=name)(x)


def padded(x):
    y = ReLU(name="r")(bn(Conv2D(4, 3, 2, name="c")(padding(x)), "b"))
    return layers.MaxPooling2D(2, name="p")(Conv2D(4, 3, name="c2", activation="relu")(padding(y, "z2", 2)))


def padded_residual(x):
    inner = Conv2D(4, 3, name="c")(padding(x, pads=1))
    return ReLU(name="r")(layers.Add(name="a")([bn(inner, "b"), x]))


def padded_otherwise(x):
    """What two read, what is padded already, what is not linear; zeros before another layer."""
    z = padding(x)
    read_twice = [Conv2D(4, 3)(z), bn(z)]
    tanh = Conv2D(4, 3, activation="tanh")(padding(x, "t"))
    pools = [layers.AveragePooling2D(2)(padding(x, "m")), layers.MaxPooling2D(2, padding="same")(padding(x, "n"))]
    return [*read_twice, conv(padding(x, "s")), tanh, *pools]


def padded_pool(x):
    """Below zero the zeros win, at zero the first of equals does."""
    pool = layers.MaxPooling2D(3, 2, name="p")(padding(x))
    return [pool, layers.MaxPooling2D(2, name="q")(padding(ReLU(name="r")(conv(x, "c")), "z2", 1))]


def normed_pool(x):
    normed = ReLU(name="r")(bn(conv(x, "c"), "b"))
    return conv(layers.MaxPooling2D(3, 2, padding="same", name="p")(normed))


def normed_padded_pool(x):
    normed = ReLU(name="r")(bn(conv(x, "c"), "b"))
    return layers.MaxPooling2D(3, 2, name="p")(padding(normed, pads=1))


def normed_pool_otherwise(x):
    """What two read, another activation, another pooling, given moments, a batch norm that two call."""
    read_twice, shared = ReLU(name="r")(bn(x, "b")), BatchNormalization()
    frozen_norm = BatchNormalization()
    frozen_norm.trainable = False
    others = [Activation("tanh")(bn(x)), ReLU(6.0)(bn(x)), ReLU(name="r2")(frozen_norm(x))]
    others += [ReLU()(shared(x)), ReLU()(shared(conv(x)))]
    pools = [layers.MaxPooling2D(2)(y) for y in (read_twice, *others)]
    return [read_twice, *pools, layers.AveragePooling2D(2)(ReLU(name="r3")(bn(x, "b3")))]


GRAPHS = [
    chain, residual, inner_output, inner_reader, conv_read_twice, three, twice, both_branches, itself, capped, leaky,
    shared_norm, shared_conv, frozen, always_training, never_training, scaled_norm, scaled_conv, scaled_first,
    scaled_without_gamma, scaled_inputs, stretched, stretching, arithmetic, arithmetic_scaled, constants,
    own_activation, dense, dense_norm, grouped, depthwise, couples_images, nested, only_inputs, probabilities_of_pixels,
    pooled, pooled_relu, pooled_linear, pooled_odd, pooled_otherwise, padded, padded_residual, padded_otherwise,
    padded_pool, normed_pool, normed_padded_pool, normed_pool_otherwise,
]  # fmt: skip


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
def test_graphs(float64, rng, graph):
    """A batch of 75 is cut into parts, the last one smaller."""
    x = images()
    model = stir(Model(x, graph(x)), rng)
    assert_same(model, rng.normal(size=(75, 6, 7, 4)))


@pytest.mark.parametrize(
    "graph, together, folded",
    [
        (chain, [["b", "r"]], [["c", "b", "r"]]),
        (residual, [["b", "a", "r"]], [["c", "b", "a", "r"]]),
        (inner_output, [], [["c", "b"]]),
        (conv_read_twice, [["b", "r"]], [["b", "r"]]),
        (both_branches, [["b2", "a", "r"]], [["c", "b"], ["c2", "b2", "a", "r"]]),
        (itself, [["a", "r"]], [["a", "r"]]),
        (capped, [], [["c", "b"]]),
        (always_training, [["b", "r"]], [["b", "r"]]),
        (never_training, [["b", "r"]], [["c", "b", "r"]]),
        (only_inputs, [], []),
        (pooled, [["c", "p"]], [["c", "p"]]),
        (pooled_relu, [["c", "r", "p"]], [["c", "r", "p"]]),
        (pooled_linear, [["c", "p"]], [["c", "p"]]),
        (pooled_otherwise, [["c", "r"]], [["c", "r"]]),
        (padded, [["z", "c"], ["b", "r"], ["z2", "c2", "p"]], [["z", "c", "b", "r"], ["z2", "c2", "p"]]),
        (padded_residual, [["z", "c"], ["b", "a", "r"]], [["z", "c", "b", "a", "r"]]),
        (padded_otherwise, [], []),
        (normed_pool, [["b", "r", "p"]], [["c", "b", "r"]]),
        (normed_padded_pool, [["b", "r", "z", "p"]], [["c", "b", "r"], ["z", "p"]]),
        (padded_pool, [["c", "r"], ["z2", "q"], ["z", "p"]], [["c", "r"], ["z2", "q"], ["z", "p"]]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_runs_at_once(graph, together, folded):
    x = images()
    model = Model(x, graph(x))
    assert groups(model, training=True) == together
    assert groups(model, folding=True) == folded


@pytest.mark.parametrize(
    "graph, training, known",
    [
        (chain, True, ["c"]),
        (residual, True, ["c"]),
        (padded, True, ["c"]),
        (always_training, False, ["c"]),
        (chain, False, []),  # the moments are given
        (never_training, True, []),
        (conv_read_twice, True, []),
        (only_inputs, True, []),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_batch_norm_takes_away_the_bias(rng, graph, training, known):
    """So its gradient is 0, to the bit, and not what rounding leaves of a sum."""
    x = images()
    model = stir(Model(x, graph(x)), rng)
    steps = plan.grouped(model.steps, model.outputs, training, folding=False)
    assert [step.head.layer.name for step in steps if step.normed] == known
    ys = model(rng.normal(size=(5, 6, 7, 4)).astype("float32"), training=training, plan=True)
    total = 0.0
    for y in ys if isinstance(ys, list) else [ys]:
        total = total + (y * y * y).sum()
    total.backward()
    for node in model.steps:
        if node.layer.name in known:
            assert (node.layer.bias.grad == 0).all()


def test_a_shared_batch_norm_is_not_moved(float64, rng):
    """Its statistics depend on the order of its calls."""
    x = images()
    assert groups(Model(x, shared_norm(x)), training=True) == []


def test_an_unknown_size(float64, rng):
    x = Input((None, None, 3))
    y = ReLU()(Add()([conv(x), bn(conv(x))]))
    model = stir(Model(x, Dense(2)(GlobalAveragePooling2D()(y))), rng)
    assert_same(model, rng.normal(size=(9, 5, 6, 3)))
    assert_same(model, rng.normal(size=(5, 7, 4, 3)))


def test_several_inputs_of_unlike_batches(float64, rng):
    a, b = images(), images()
    model = Model([a, b], functions.relu(conv(a) + b))
    x = [rng.normal(size=(5, 6, 7, 4)), rng.normal(size=(1, 6, 7, 4))]
    assert_same(model, x)


def test_part_of_another_model(float64, rng):
    x = images()
    whole = stir(Model(x, bn(residual(x))), rng)
    b, r = whole.get_layer("b").output, whole.get_layer("r").output
    assert groups(Model(x, b), folding=True) == [["c", "b"]]
    behind = Model([b, x], r)
    assert groups(behind, training=True) == [["a", "r"]]
    images_of = [rng.normal(size=(3, 6, 7, 4)) for _ in range(2)]
    assert_same(Model(x, b), images_of[0])
    assert_same(behind, images_of)
    assert_same(Model(r, whole.output), images_of[0])


def test_a_sequential_that_is_not_built(float64, rng):
    x = rng.normal(size=(3, 6, 7, 4))
    model = Sequential([Conv2D(3, 3), BatchNormalization(), ReLU()])
    with no_grad():
        y = model(x, plan=True).data
    assert_close(y, model(x).data, 1e-9)


def test_another_type(rng):
    """Images in float64 through weights in float32 are computed in float64 either way."""
    x = images()
    model = Model(x, residual(x))
    from minicnn.tensor import Tensor

    values = Tensor(rng.normal(size=(3, 6, 7, 4)))
    assert model(values, plan=True).dtype == model(values).dtype == np.float64
    with no_grad():
        assert model(values, plan=True).dtype == np.float64


def test_errors_name_the_layer(rng):
    x = Input((None, None, 3))
    model = Model(x, ReLU()(bn(Conv2D(2, 5, name="wide")(x))))
    with no_grad(), pytest.raises(ValueError, match="wide: a kernel of 5x5"):
        model(rng.normal(size=(2, 4, 4, 3)), plan=True)
    model = Model(x, layers.MaxPooling2D(5, 2, name="high")(ReLU()(bn(x))))
    with pytest.raises(ValueError, match="high: a kernel of 5x5"):
        model(rng.normal(size=(2, 4, 4, 3)), training=True, plan=True)


# Who sees what -------------------------------------------------------------------------------------------------------


def test_a_tap_sees_every_layer(float64, rng):
    x = images()
    model = stir(Model(x, residual(x)), rng)
    values, seen = rng.normal(size=(3, 6, 7, 4)), []
    y = model.run(values, tap=lambda node, y: seen.append(node.layer.name), plan=True)
    assert seen == ["c", "b", "a", "r"]
    np.testing.assert_array_equal(y.data, model(values).data)
    lesion = model.run(values, tap=lambda node, y: y * 0 if node.layer.name == "b" else None, plan=True)
    assert_close(lesion.data, np.maximum(values, 0))


def test_a_call_is_unplanned_unless_asked(rng):
    x = images()
    model = Model(x, residual(x))
    edges = []
    model(rng.normal(size=(2, 6, 7, 4))).sum().backward(probe=lambda edge, _: edges.append(edge.layer))
    assert {name.rpartition("/")[2] for name in edges} >= {"c", "b", "a", "r"}
    edges.clear()
    model.run(rng.normal(size=(2, 6, 7, 4)), plan=True).sum().backward(probe=lambda edge, _: edges.append(edge.layer))
    assert {name.rpartition("/")[2] for name in edges} == {"c", "r", ""}


# Weights -------------------------------------------------------------------------------------------------------------


def small(float_type="float32"):
    x = Input((8, 8, 16), dtype=float_type)
    y = residual_block(ReLU()(bn(Conv2D(16, 3, padding="same", dtype=float_type)(x))))
    return Model(x, Dense(3, "softmax", name="top")(GlobalAveragePooling2D()(y)))


def residual_block(x):
    return ReLU()(Add()([x, bn(Conv2D(16, 3, padding="same", use_bias=False)(x))]))


def by_an_optimizer(model, rng, tmp_path):
    model.train_on_batch(rng.normal(size=(4, 8, 8, 16)), rng.integers(0, 3, 4))


def by_an_unplanned_step(model, rng, tmp_path):
    model.train_on_batch(rng.normal(size=(4, 8, 8, 16)), rng.integers(0, 3, 4), plan=False)


def by_set_weights(model, rng, tmp_path):
    model.set_weights([w + rng.uniform(0.1, 0.2, size=w.shape) for w in model.get_weights()])


def by_set_weights_of_a_layer(model, rng, tmp_path):
    layer = model.layers[1]
    layer.set_weights([w + rng.uniform(0.1, 0.2, size=w.shape) for w in layer.get_weights()])


def by_a_file(model, rng, tmp_path):
    model.save_weights(tmp_path / "a.safetensors")
    other = small()
    by_set_weights(other, rng, tmp_path)
    other.save_weights(tmp_path / "b.safetensors")
    names = iter(layer.name for layer in model.layers)
    for layer in other.layers:
        layer.name = next(names)
    model.load_weights(tmp_path / "b.safetensors")


def by_assign(model, rng, tmp_path):
    for weight in model.weights:
        weight.assign(weight.data * rng.uniform(1.1, 1.3))


def by_the_kernel_alone(model, rng, tmp_path):
    model.layers[1].kernel.assign(model.layers[1].kernel.data * 1.2)


def by_the_statistics(model, rng, tmp_path):
    model(rng.normal(size=(4, 8, 8, 16)) * 3 + 1, training=True)


def by_planned_statistics(model, rng, tmp_path):
    with no_grad():
        model(rng.normal(size=(4, 8, 8, 16)) * 3 + 1, training=True, plan=True)


def by_moving(model, rng, tmp_path):
    by_set_weights(model, rng, tmp_path)
    model.to("cpu")


def by_new_arrays(model, rng, tmp_path):
    """As gradcheck does it."""
    for weight in model.weights:
        weight.data = weight.data * np.float32(1.2)


DOORS = [
    by_an_optimizer, by_an_unplanned_step, by_set_weights, by_set_weights_of_a_layer, by_a_file, by_assign,
    by_the_kernel_alone, by_the_statistics, by_planned_statistics, by_moving, by_new_arrays,
]  # fmt: skip


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_every_door_through_which_weights_are_written(rng, tmp_path, door):
    """What was folded and transformed before must not be used behind it."""
    model = small()
    model.compile(SGD(0.5, momentum=0.9), "sparse_categorical_crossentropy")
    x = rng.normal(size=(4, 8, 8, 16)).astype("float32")
    before = model.predict_on_batch(x)
    assert_close(before, model.predict_on_batch(x, plan=False), 1e-5)
    door(model, rng, tmp_path)
    after = model.predict_on_batch(x)
    assert_close(after, model.predict_on_batch(x, plan=False), 1e-5)
    assert np.abs(after - before).max() > 1e-4


def test_what_is_derived_is_made_once(rng, monkeypatch):
    from minicnn.model import derived

    made = []
    fold = derived.fold
    monkeypatch.setattr(derived, "fold", lambda *args: made.append(1) or fold(*args))
    model, x = small(), rng.normal(size=(4, 8, 8, 16)).astype("float32")
    for _ in range(3):
        model.predict_on_batch(x)
    assert len(made) == 2
    model.layers[2].moving_mean.assign(model.layers[2].moving_mean.data + 1)
    model.predict_on_batch(x)
    assert len(made) == 3


def test_training_lets_go_of_what_inference_made(rng):
    model, x = small(), rng.normal(size=(4, 8, 8, 16)).astype("float32")
    model.predict_on_batch(x)
    assert model.derived.kept
    model(x, training=True, plan=True)
    assert not model.derived.kept


def test_copies_have_a_cache_of_their_own(rng):
    model, x = small(), rng.normal(size=(4, 8, 8, 16)).astype("float32")
    model.predict_on_batch(x)
    other = copy.deepcopy(model)
    by_assign(other, rng, None)
    assert_close(other.predict_on_batch(x), other.predict_on_batch(x, plan=False), 1e-5)


# Threads and memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [small, lambda: network("resnet20")], ids=["small", "resnet20"])
def test_same_bits_on_any_number_of_threads(rng, threads, build):
    model = build()
    x = rng.normal(size=(75, *model.input_shape[1:])).astype("float32")
    labels, before, found = rng.integers(0, 3, 75), model.get_weights(), []
    for count in (1, 2, 4):
        threads(count)
        model.set_weights(before)
        model.step = 0
        predicted = model.predict(x, batch_size=20, verbose=0)
        model.compile(SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
        model.train_on_batch(x, labels)
        found.append([predicted, model.evaluate(x, labels, verbose=0), *model.get_weights()])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def peak(work):
    """The most bytes that were in use during work(), beyond those before.

    The least of several: a thread that has its first piece of some kind of work makes room for it, once and for all.
    Before as well: on a busy machine a thread may come late to work that is done, and holds its arrays until then.
    """
    work()
    gc.collect()
    before, most = [], []
    tracemalloc.start()
    try:
        for _ in range(4):
            before.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.reset_peak()
            work()
            most.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    return min(most) - min(before)


def test_memory(rng, threads):
    """A step needs at most three quarters of what it needs layer by layer, a prediction no more."""
    threads(2)
    images = Input((48, 48, 16))
    y = residual_block(residual_block(residual_block(images)))
    model = Model(images, Dense(3, "softmax")(GlobalAveragePooling2D()(y)))
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    x, labels = rng.normal(size=(16, 48, 48, 16)).astype("float32"), rng.integers(0, 3, 16)
    steps = [peak(lambda p=p: model.train_on_batch(x, labels, plan=p)) for p in (True, False)]
    assert steps[0] <= 0.75 * steps[1], steps
    predictions = [peak(lambda p=p: model.predict_on_batch(x, plan=p)) for p in (True, False)]
    assert predictions[0] <= 1.02 * predictions[1], predictions


def test_the_tape_is_freed(rng):
    """After the backward pass nothing holds what the fused ops kept."""
    x = images()
    model = Model(x, residual(chain_unnamed(x)))
    y = model(rng.normal(size=(3, 6, 7, 4)).astype("float32"), training=True, plan=True)
    kept, stack = [], [y]
    while stack:
        tensor = stack.pop()
        if tensor.op is not None and tensor.op not in [ref() for ref in kept]:
            kept.append(weakref.ref(tensor.op))
            stack.extend(p for p in tensor.parents if p is not None)
    assert len(kept) == 4
    y.sum().backward()
    del tensor, stack
    gc.collect()
    assert [ref() for ref in kept] == [None] * 4


def chain_unnamed(x):
    return ReLU()(bn(conv(x)))
