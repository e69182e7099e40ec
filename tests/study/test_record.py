"""What record keeps apart is what one finds by cutting the other ways."""

import numpy as np
import pytest

import minicnn
from minicnn import functions, layers, study, zoo
from minicnn.model import Model
from minicnn.tensor import Tensor
from tests.checks import assert_close

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(autouse=True)
def double():
    minicnn.set_floatx("float64")


def conv(x, name, filters=4, **options):
    return layers.Conv2D(filters, 3, padding="same", activation="tanh", name=name, **options)(x)


def top(inputs, x):
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(3, activation="softmax", name="predictions")(x), name="toy")


def toy(merge):
    """5 x 4 x 2 images, a stem, a block made by merge(x), a layer behind it, a dense layer."""
    inputs = layers.Input((5, 4, 2))
    return top(inputs, conv(merge(conv(inputs, "stem")), "behind"))


def projection(x):
    skip = layers.BatchNormalization(name="skip_bn")(layers.Conv2D(6, 1, name="skip_conv")(x))
    branch = conv(layers.ReLU(name="branch_relu")(conv(x, "branch1", 6)), "branch2", 6)
    return layers.Add(name="merge")([branch, skip])


def inception(x):
    pooled = layers.MaxPooling2D(3, 1, "same", name="pool")(x)
    return layers.Concatenate(name="merge")([conv(x, "b1"), conv(conv(x, "b2"), "b3"), conv(pooled, "b4")])


def inception_resnet(x):
    mixed = layers.Concatenate(name="mixed")([conv(x, "b1"), conv(conv(x, "b2"), "b3")])
    return layers.ScaledAdd(0.3, name="merge")([x, conv(mixed, "up")])


def gate(x):
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    return layers.Multiply(name="merge")([x, layers.Dense(4, activation="sigmoid", name="excite")(squeezed)])


def dense_block(x):
    return layers.Concatenate(name="merge")([x, conv(x, "b1")])


def three(x):
    return layers.Add(name="merge")([x, conv(x, "b1"), conv(conv(x, "b2"), "b3")])


def option_a(x):
    return layers.Add(name="merge")([layers.PadShortcut(6, 2, name="pad")(x), conv(x, "b1", 6, strides=2)])


FORMS = {
    "Add": lambda x: layers.Add(name="merge")([x, conv(x, "b1")]),
    "ScaledAdd": lambda x: layers.ScaledAdd(0.2, name="merge")([x, conv(x, "b1")]),
    "Lambda": lambda x: layers.Lambda(lambda xs: xs[0] + 0.3 * xs[1], name="merge")([x, conv(x, "b1")]),
    "Lambda, branch first": lambda x: layers.Lambda(lambda xs: 0.3 * xs[0] + xs[1], name="merge")([conv(x, "b1"), x]),
    "projection": projection,
    "option A": option_a,
    "three ways": three,
    "gate": gate,
    "inception": inception,
    "inception-resnet": inception_resnet,
    "dense block": dense_block,
}
SKIPS = {"projection": "skip_bn", "option A": "pad", "inception": None}


def data(rng, model, count=3):
    shape = (count, *model.input_shape[1:])
    return rng.normal(size=shape), rng.integers(0, model.output.shape[-1], count)


def cut(model, x, y, fork: str, reader: str, position: int = 0):
    """The gradient that one reader alone returns to the output of layer `fork`: the others get it detached."""
    values = {id(model.inputs[0]): Tensor(x)}
    start = None
    for node in model.steps:
        given = []
        for i, parent in enumerate(node.parents):
            value = values[id(parent)]
            if value is start and (node.layer.name, i) != (reader, position):
                value = value.detach()
            given.append(value)
        value = node.layer(node.arrange(given), training=True)
        if node.layer.name == fork:
            start = value = Tensor(value.data, requires_grad=True)
        values[id(node.outputs[0])] = value
    loss = minicnn.training.losses.get(LOSS)(y, values[id(model.outputs[0])])
    loss.backward()
    return start.grad


def place(block, one) -> int:
    """Which input of its layer a reader has the fork at; sums of several inputs are several ops."""
    return next(i for i, way in enumerate(block.ways) if way.edge == one.edge) if one.layer == block.name else 0


@pytest.mark.parametrize("form", FORMS)
def test_each_contribution_is_what_one_way_alone_returns(form, rng):
    model = toy(FORMS[form])
    x, y = data(rng, model)
    record = study.record(model, x, y, loss=LOSS)
    block = record.block("merge")
    assert block.fork_name == "stem" and len(block.contributions) > 1
    for one in block.contributions:
        assert_close(one.gradient, cut(model, x, y, "stem", one.layer, place(block, one)), 1e-12)
    assert_close(sum(c.gradient for c in block.contributions), block.fork_gradient, 1e-12)
    skip = None if block.skip is None else block.ways[block.skip].layer
    assert skip == SKIPS.get(form, "identity")
    if block.skip is not None:
        assert_close(block.skip_gradient + block.branch_gradient, block.fork_gradient, 1e-12)


@pytest.mark.parametrize("name", ["resnet20", "vgg16_inception_resnet"])
def test_contributions_of_a_network_of_the_zoo(name, rng):
    size = 8 if name == "resnet20" else 32
    model = zoo.build(name, input_shape=(size, size, 1), classes=5)
    x, y = data(rng, model, 2)
    record = study.record(model, x, y, loss=LOSS)
    checked = record.blocks if name == "resnet20" else record.blocks[-1:]
    for block in checked:
        for one in block.contributions:
            position = place(block, one) if block.residual else 0
            assert_close(one.gradient, cut(model, x, y, block.fork_name, one.layer, position), 1e-12)


def test_the_gradient_that_arrives_at_an_identity_skip_is_returned_whole(rng):
    model = toy(FORMS["Add"])
    block = study.record(model, *data(rng, model), loss=LOSS).block("merge")
    np.testing.assert_array_equal(block.gradient, block.skip_gradient)


def test_the_scale_multiplies_what_the_branch_returns(rng):
    """The same weights under three scales: with the first loss's direction fixed, the branch's gradient is linear."""
    branches = []
    for scale in (0.1, 0.2):
        minicnn.set_random_seed(1)
        inputs = layers.Input((5, 4, 2))
        x = conv(inputs, "stem")
        model = Model(inputs, layers.ScaledAdd(scale, name="merge")([x, conv(x, "b1")]))
        direction = np.random.default_rng(3).normal(size=(2, 5, 4, 4))
        record = study.record(model, rng.normal(size=(2, 5, 4, 2)) * 0 + 1, direction, loss=lambda t, p: (p * t).sum())
        branches.append(record.block("merge").branch_gradient)
    assert_close(2 * branches[0], branches[1], 1e-12)


# Where blocks are found ----------------------------------------------------------------------------------------------


def test_arithmetic_on_symbols_is_a_merge(rng):
    model = toy(lambda x: x + 0.3 * conv(x, "b1"))
    record = study.record(model, *data(rng, model), loss=LOSS)
    (block,) = record.blocks
    assert block.residual and [c.role for c in block.contributions] == ["branch", "skip"]
    assert block.ways[block.skip].layer == "identity"


class Residual(layers.Layer):
    """A block of one's own: no layer inside of it is in model.layers."""

    def __init__(self, **common):
        super().__init__(**common)
        self.inner = layers.Conv2D(4, 3, padding="same", name="inner")

    def call(self, x):
        """x + F(x)"""
        return x + functions.relu(self.inner(x))


def test_a_layer_of_ones_own_is_looked_into(rng):
    model = toy(lambda x: Residual(name="mine")(x))
    record = study.record(model, *data(rng, model), loss=LOSS)
    (block,) = record.blocks
    assert (block.name, block.fork_name) == ("mine", "stem")
    assert {c.layer: c.role for c in block.contributions} == {"mine/inner": "branch", "mine": "skip"}


def test_a_model_that_is_called_twice_has_two_blocks(rng):
    inputs = layers.Input((5, 4, 4))
    inner = Model(inputs, layers.Add(name="sum")([inputs, conv(inputs, "b1")]), name="inner")
    model = toy(lambda x: inner(inner(x)))
    x, y = data(rng, model)
    record = study.record(model, x, y, loss=LOSS)
    assert [b.name for b in record.blocks] == ["inner/sum", "inner/sum (2)"]
    first, second = record.blocks
    assert second.fork is first.merge
    assert_close(first.gradient, second.fork_gradient)


class Subclassed(Model):
    """Without a graph."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.a, self.b = layers.Dense(5, name="a"), layers.Dense(5, name="b")
        self.out = layers.Dense(3, activation="softmax", name="out")

    def call(self, x, training=False):
        """A skip over b."""
        x = self.a(x)
        return self.out(x + self.b(x))


def test_a_model_without_a_graph(rng):
    model = Subclassed()
    record = study.record(model, rng.normal(size=(4, 6)), np.arange(4) % 3, loss=LOSS)
    (block,) = record.blocks
    assert (block.fork_name, block.kind) == ("a", "add")
    assert block.ways[block.skip].layer == "identity"


def test_several_inputs_have_no_fork_before_them(rng):
    a, b = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    x = layers.Add(name="both")([layers.Dense(4)(a), layers.Dense(4)(b)])
    x = layers.Add(name="merge")([x, layers.Dense(4)(x)])
    model = Model([a, b], layers.Dense(2, activation="softmax")(x))
    left, right = rng.normal(size=(2, 3, 4))
    record = study.record(model, {"left": left, "right": right}, np.array([0, 1, 1]), loss=LOSS)
    assert [block.name for block in record.blocks] == ["merge"]
    assert [g.shape for g in record.input_gradients] == [(3, 4), (3, 4)]
    with pytest.raises(ValueError, match="the inputs are 'left', 'right', got 'left'"):
        study.record(model, {"left": left}, np.array([0, 1, 1]), loss=LOSS)


def test_an_auxiliary_head_is_a_reader_of_its_fork(rng):
    inputs = layers.Input((5, 4, 2))
    x = conv(inputs, "stem")
    side = layers.Dense(3, activation="softmax", name="side")(layers.GlobalAveragePooling2D(name="side_pool")(x))
    x = layers.Add(name="merge")([x, conv(x, "b1")])
    main = layers.Dense(3, activation="softmax", name="main")(layers.GlobalAveragePooling2D()(x))
    model = Model(inputs, [main, side])
    model.compile("sgd", [LOSS, LOSS], loss_weights=[1, 0.3])
    x, y = rng.normal(size=(3, 5, 4, 2)), np.arange(3)
    block = study.record(model, x, [y, y]).block("merge")
    assert {c.layer: c.role for c in block.contributions} == {"b1": "branch", "merge": "skip", "side_pool": "other"}
    assert_close(sum(c.gradient for c in block.contributions), block.fork_gradient, 1e-12)
    np.testing.assert_array_equal(block.contributions[0].gradient, block.branch_gradient)


def test_ways_that_share_a_layer_are_swept_one_by_one(rng):
    """Two ways begin in the same layer, a third goes by: the skip is named, the shares still add up."""

    def form(x):
        a = conv(x, "shared")
        return layers.Add(name="merge")([a, conv(a, "b1"), conv(x, "b2")])

    model = toy(form)
    x, y = data(rng, model)
    record = study.record(model, x, y, loss=LOSS, skip={"merge": "shared"})
    block = record.block("merge")
    assert {c.layer: c.role for c in block.contributions} == {"shared": "both", "b2": "branch"}
    assert_close(block.skip_gradient + block.branch_gradient, block.fork_gradient, 1e-12)
    alone = study.record(model, x, y, loss=LOSS, skip={"merge": 2}).block("merge")
    assert_close(alone.skip_gradient, cut(model, x, y, "stem", "b2"), 1e-12)


def test_the_skip_can_be_named(rng):
    model = toy(projection)
    x, y = data(rng, model)
    named = study.record(model, x, y, loss=LOSS, skip={"merge": "branch2"}).block("merge")
    found = study.record(model, x, y, loss=LOSS).block("merge")
    np.testing.assert_array_equal(named.skip_gradient, found.branch_gradient)
    assert study.record(model, x, y, loss=LOSS, skip={"merge": 0}).block("merge").skip == 0


def test_two_ways_alike_have_no_skip(rng):
    model = toy(lambda x: layers.Add(name="merge")([conv(x, "b1"), conv(x, "b2")]))
    block = study.record(model, *data(rng, model), loss=LOSS).block("merge")
    assert block.skip is None and not block.residual and len(block.branches) == 2


def test_a_function_that_uses_its_input_twice_is_no_block(rng):
    model = toy(lambda x: layers.Lambda(lambda t: t * functions.sigmoid(t), name="swish")(x))
    assert study.record(model, *data(rng, model), loss=LOSS).blocks == []


# What record leaves alone --------------------------------------------------------------------------------------------


def noisy():
    """Batch norm and dropout, which a pass in training moves."""

    def form(x):
        y = layers.Dropout(0.5, name="drop")(layers.BatchNormalization(name="bn")(conv(x, "b1")))
        return layers.Add(name="merge")([x, y])

    model = toy(form)
    model.compile("sgd", LOSS)
    return model


def test_a_record_sees_the_gradients_of_a_training_step(rng):
    model = noisy()
    x, y = data(rng, model)
    record = study.record(model, x, y)
    loss, _ = model.compiled.loss([y], [model(model.to_tensor(x), training=True, plan=False)])
    loss.backward()
    assert record.loss == loss.item()
    for weight in model.trainable_weights:
        np.testing.assert_array_equal(record.weight_gradients[weight.name], weight.grad)


def test_a_record_leaves_no_trace(rng):
    models = []
    for looked_at in (False, True):
        minicnn.set_random_seed(5)
        model = noisy()
        x, y = data(np.random.default_rng(1), model)
        model.train_on_batch(x, y)
        if looked_at:
            before = model.get_weights()
            study.record(model, x, y, precise=True)
            study.record(model, x, y)
            for a, b in zip(before, model.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)
            assert all(weight.grad is None for weight in model.weights)
        model.train_on_batch(x, y)
        models.append(model)
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_precise_record_of_a_float32_network(rng):
    minicnn.set_floatx("float32")
    model = toy(FORMS["Add"])
    x, y = data(rng, model)
    rough, exact = (study.record(model, x, y, loss=LOSS, precise=p) for p in (False, True))
    assert rough.input_gradients[0].dtype == "float32" and exact.input_gradients[0].dtype == "float64"
    assert_close(rough.input_gradients[0], exact.input_gradients[0].astype("float32"), 1e-4)
    assert all(weight.dtype == "float32" for weight in model.weights)


def test_inference_takes_the_moving_statistics(rng):
    model = noisy()
    x, y = data(rng, model)
    assert study.record(model, x, y, training=False).loss == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-9)


# Gradients by name ---------------------------------------------------------------------------------------------------


def test_gradients_by_layer_and_by_weight(rng):
    model = toy(FORMS["Add"])
    x, y = data(rng, model)
    by_layer = study.gradients(model, x, y, loss=LOSS)
    record = study.record(model, x, y, loss=LOSS)
    np.testing.assert_array_equal(by_layer["stem"], record.block("merge").fork_gradient)
    np.testing.assert_array_equal(by_layer["merge"], record.block("merge").gradient)
    assert list(by_layer)[:3] == ["stem", "b1", "merge"]
    by_weight = study.gradients(model, x, y, "weights", loss=LOSS)
    assert list(by_weight) == [w.name for w in model.trainable_weights]
    with pytest.raises(ValueError, match="unknown value of wrt 'weight': did you mean 'weights'"):
        study.gradients(model, x, y, "weight", loss=LOSS)


# Errors --------------------------------------------------------------------------------------------------------------


def test_where_there_is_no_merge(rng):
    model = toy(lambda x: x)
    record = study.record(model, *data(rng, model), loss=LOSS)
    with pytest.raises(ValueError, match="toy: there is no merge: nowhere do two ways .* such as resnet20"):
        record.need()


def test_where_no_sum_has_a_skip(rng):
    model = toy(inception)
    record = study.record(model, *data(rng, model), loss=LOSS)
    with pytest.raises(ValueError, match="toy: there is no sum with a skip: its merges are concatenate"):
        record.need(residual=True)


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        ({"merg": "b1"}, "unknown merge 'merg': did you mean 'merge'"),
        ({"merge": "b11"}, "merge: unknown skip 'b11': did you mean 'b1'"),
        ({"merge": 7}, r"merge has 2 ways in \(identity, b1\), got the index 7"),
    ],
)
def test_a_skip_that_is_not_there(skip, message, rng):
    model = toy(FORMS["Add"])
    with pytest.raises(ValueError, match=message):
        study.record(model, *data(rng, model), loss=LOSS, skip=skip)


def test_without_a_loss(rng):
    model = toy(FORMS["Add"])
    with pytest.raises(ValueError, match="toy: there is no loss to sweep back from: compile the model"):
        study.record(model, *data(rng, model))
    with pytest.raises(ValueError, match="the loss must be one number, got the shape"):
        x, _ = data(rng, model)
        study.record(model, x, np.eye(3), loss=minicnn.training.losses.MeanSquaredError(reduction=None))


# The zoo -------------------------------------------------------------------------------------------------------------

STAGES = {"18": 8, "34": 16, "50": 16, "101": 33, "152": 50}
MERGES = (
    {f"resnet{depth}": count for depth, count in STAGES.items()}
    | {f"resnet{depth}v2": STAGES[depth] for depth in ("50", "101", "152")}
    | {f"resnext{depth}": STAGES[depth] for depth in ("50", "101")}
    | {f"resnet{6 * n + 2}": 3 * n for n in (3, 5, 7, 9, 18)}
    | {"preact110": 54, "preact164": 54, "vgg16_inception_resnet": 12}
    | {"inception_v1": 9, "inception_v2": 10, "inception_v3": 15, "inception_v4": 3 + 4 + 1 + 7 + 1 + 3}
    | {"inception_resnet_v1": 5 + 10 + 5 + 20 + 2, "inception_resnet_v2": 2 * 40 + 3}
)
QUICK = ("resnet20", "resnet18", "inception_v1", "resnet50v2")


def smallest(name):
    from minicnn.study.subjects import smallest_shape

    return smallest_shape(name, None, (8, 8, 3))


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in sorted(MERGES)])
def test_every_network_with_merges(name, rng):
    minicnn.set_floatx("float32")
    model = zoo.build(name, input_shape=smallest(name), classes=4)
    x, y = data(rng, model, 2)
    record = study.record(model, x, y, loss=LOSS, precise=True)
    assert len(record.blocks) == MERGES[name]
    for block in record.blocks:
        assert_close(sum(c.gradient for c in block.contributions), block.fork_gradient, 1e-12)
        if block.residual:
            assert_close(block.skip_gradient + block.branch_gradient, block.fork_gradient, 1e-12)


def test_the_zoo_has_no_other_networks_with_merges():
    without = {name for name in zoo.names() if name.startswith(("plain", "vgg", "alexnet", "lenet"))}
    assert set(MERGES) == set(zoo.names()) - without | {"vgg16_inception_resnet"}


def test_nodes_are_named_by_their_call(rng):
    """A layer that is called twice in one model: its second call is #2."""
    inputs = layers.Input((6,))
    shared = layers.Dense(6, name="shared")
    x = layers.Add(name="first")([inputs, shared(inputs)])
    x = layers.Add(name="second")([x, shared(x)])
    model = Model(inputs, layers.Dense(2, activation="softmax")(x))
    record = study.record(model, rng.normal(size=(2, 6)), np.array([0, 1]), loss=LOSS)
    assert [c.layer for c in record.block("second").contributions] == ["shared#2", "second"]


def test_what_is_no_model_and_an_empty_batch(rng):
    with pytest.raises(TypeError, match="record takes a minicnn model, got int"):
        study.record(3, np.zeros((1, 6)), np.zeros(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"subclassed: the batch is empty, got \(0, 6\)"):
        study.record(Subclassed(), np.zeros((0, 6)), np.zeros(0, int), loss=LOSS)


def test_a_record_and_its_blocks_in_short(rng):
    model = toy(FORMS["Add"])
    record = study.record(model, *data(rng, model), loss=LOSS)
    assert repr(record).startswith(f"Record({model.name}, loss=") and record.blocks[0].name in repr(record)
    shown = repr(record.blocks)
    assert "role='skip'" in shown and "array" not in shown and len(shown) < 1000 * len(record.blocks)
    assert record.blocks.index(record.blocks[-1]) == len(record.blocks) - 1 and len({*record.blocks}) >= 1
    assert record.blocks[0] != study.record(model, *data(rng, model), loss=LOSS).blocks[0]
