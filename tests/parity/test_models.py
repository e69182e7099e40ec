"""Whole models against Keras's: the order of layers, outputs, every gradient, and steps of training."""

import numpy as np
import pytest

import minicnn.model
from minicnn import layers as our_layers
from minicnn import zoo
from minicnn.layers.naming import clear_session
from minicnn.training import optimizers
from tests.checks import assert_close
from tests.parity.doubles import assert_same_pass, kernel_scale, listed, our_pass, random_weights


class Ours:
    """Our side: the vocabulary under the names that the builders below use."""

    layers, Model, Sequential = our_layers, minicnn.model.Model, minicnn.model.Sequential


class Theirs:
    """Keras's side."""

    def __init__(self, keras):
        self.layers, self.Model, self.Sequential = keras.layers, keras.Model, keras.Sequential


# The same lines for both libraries: `m` is one of the two above -------------------------------------------------------


def residual(m):
    """Two blocks, the second with a stride and a projection; pre-activation at the end."""
    layers = m.layers

    def unit(x, filters, strides):
        y = layers.Conv2D(filters, 3, strides=strides, padding="same")(x)
        y = layers.BatchNormalization(momentum=0.875)(y)
        y = layers.ReLU()(y)
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization(momentum=0.875, epsilon=1.001e-5)(y)
        if strides > 1:
            x = layers.Conv2D(filters, 1, strides=strides, name=f"project_{filters}")(x)
            x = layers.BatchNormalization(momentum=0.875)(x)
        return layers.Activation("relu")(layers.Add()([x, y]))

    inputs = layers.Input((9, 8, 3))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.MaxPooling2D(3, strides=2)(layers.Conv2D(4, 3, activation="relu")(x))
    x = unit(unit(x, 4, 1), 6, 2)
    x = layers.GlobalAveragePooling2D()(x)
    return m.Model(inputs, layers.Dense(5, activation="softmax")(x))


def inception(m):
    """Inception-ResNet's modules in small: branches, concatenation, and sums scaled by a Lambda."""
    layers = m.layers

    def conv(x, filters, size, strides=1, padding="same"):
        x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(scale=False, momentum=0.875)(x))

    def scaled_add(xs, scale):
        return xs[0] + xs[1] * scale

    def module(x, scale):
        a = conv(x, 2, 1)
        b = conv(conv(x, 2, 1), 3, (1, 3))
        c = conv(conv(conv(x, 2, 1), 3, (1, 3)), 3, (3, 1))
        up = layers.Conv2D(6, 1)(layers.Concatenate()([a, b, c]))
        return layers.Lambda(scaled_add, arguments={"scale": scale}, output_shape=(4, 4, 6))([x, up])

    inputs = layers.Input((9, 9, 2))
    x = layers.concatenate([conv(inputs, 4, 3, 2, "valid"), layers.MaxPooling2D(3, strides=2)(inputs)])
    x = layers.Activation("relu")(module(x, 0.17))
    x = module(x, 0.25)
    pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = layers.Flatten()(layers.concatenate([x, pooled]))
    return m.Model(inputs, layers.Dense(4, activation="softmax")(layers.Dropout(0)(x)))


def separable(m):
    layers = m.layers
    return m.Sequential(
        [
            layers.Input((9, 8, 3)),
            layers.SeparableConv2D(5, 3, padding="same", activation="relu"),
            layers.BatchNormalization(momentum=0.875),
            layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, activation="tanh"),
            layers.SeparableConv2D(4, (2, 3), depth_multiplier=2, use_bias=False),
            layers.Flatten(),
            layers.Dense(4),
            layers.Softmax(),
        ]
    )


def shared(m):
    """A layer, a Sequential and a functional model, each called twice; weights are counted once."""
    layers = m.layers
    inner = layers.Input((8, 7, 3))
    tower = m.Model(
        inner, layers.BatchNormalization(momentum=0.875)(layers.Conv2D(3, 3, padding="same")(inner)), name="tower"
    )
    head = m.Sequential([layers.Flatten(), layers.Dense(6, activation="tanh")], name="head")
    conv = layers.Conv2D(3, (3, 2), padding="same", activation="relu", name="shared")
    a, b = layers.Input((8, 7, 3), name="a"), layers.Input((8, 7, 3), name="b")
    x, y = tower(conv(a)), conv(tower(b))
    z = layers.Multiply()([head(conv(x)), head(y)])
    return m.Model([a, b], layers.Dense(3, activation="softmax")(z))


def many(m):
    """Two inputs, three outputs, of which one lies on the way to another; arithmetic between symbols."""
    layers = m.layers
    image, extra = layers.Input((6, 7, 2), name="image"), layers.Input((5,), name="extra")
    x = layers.Conv2D(4, 3, activation="relu", name="stem")(image)
    early = layers.Dense(3, activation="softmax", name="early")(layers.GlobalAveragePooling2D()(x))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(5, 2, name="late")(x * 2.0 + 1.0))
    both = layers.concatenate([x, layers.Dense(4, activation="relu", name="side")(extra)])
    hidden = layers.Dense(3, name="hidden")(both)
    return m.Model([image, extra], [layers.Softmax(name="main")(hidden), early, layers.Dense(2, name="score")(hidden)])


def frozen(m):
    """A batch norm and a whole sub-model that are frozen, before layers that are not."""
    layers = m.layers
    base = m.Sequential(
        [layers.Input((7, 6, 2)), layers.Conv2D(3, 3), layers.BatchNormalization(momentum=0.875)], name="base"
    )
    base.trainable = False
    x = layers.Conv2D(4, 2)(base(base.inputs[0]))
    norm = layers.BatchNormalization(momentum=0.875)
    norm.trainable = False
    x = layers.BatchNormalization(momentum=0.875)(layers.ReLU()(norm(x)))
    return m.Model(base.inputs[0], layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


BUILDERS = [residual, inception, separable, shared, many, frozen]
# Weights with which no cell lies within rounding of a ReLU's kink, and no gradient is a sum that nearly cancels: there
# neither side has five right digits in float32. One draw in four is such a one.
DRAWS = {"residual": 5, "inception": 4, "shared": 6}


def both(keras, build, rng):
    """The two models with the same weights, and inputs and labels for them."""
    keras.backend.clear_session()
    clear_session()
    ours, theirs = build(Ours), build(Theirs(keras))
    theirs.set_weights(random_weights(np.random.default_rng(DRAWS.get(build.__name__, 1)), theirs))
    ours.set_weights(theirs.get_weights())
    xs = [rng.normal(size=(5, *s.shape[1:])).astype(keras.config.floatx()) for s in ours.inputs]
    return ours, theirs, xs


@pytest.mark.parametrize("build", BUILDERS, ids=lambda f: f.__name__)
def test_order_and_names_of_layers(keras, build, rng):
    ours, theirs, _ = both(keras, build, rng)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [w.shape for w in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    assert [w.shape for w in ours.trainable_weights] == [tuple(v.shape) for v in theirs.trainable_weights]
    assert ours.count_params() == theirs.count_params()
    if not isinstance(theirs, keras.Sequential):
        assert ours.output_names == theirs.output_names


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("build", BUILDERS, ids=lambda f: f.__name__)
def test_outputs_and_every_gradient(keras, dtype, build, rng, training):
    ours, theirs, xs = both(keras, build, rng)
    assert_same_pass(ours, theirs, xs, training)


def compile_both(keras, ours, theirs, rule, arguments, outputs):
    """The same optimizer and losses for both; several outputs get weights."""
    settings = {"loss": "sparse_categorical_crossentropy"}
    if outputs > 1:
        settings = {"loss": ["sparse_categorical_crossentropy"] * 2 + ["mse"], "loss_weights": [1.0, 0.3, 0.5]}
    ours.compile(getattr(optimizers, rule)(**arguments), **settings)
    # Eagerly: the same numbers, and no time for tracing a graph that runs twice.
    theirs.compile(getattr(keras.optimizers, rule)(**arguments), **settings, run_eagerly=True)


# momentum and the betas pass through float32 in Keras, also in float64, so they are numbers that float32 holds.
RULES = [
    ("SGD", {"learning_rate": 0.0625, "momentum": 0.875}),
    ("Adam", {"learning_rate": 0.0078125, "beta_1": 0.875, "beta_2": 0.9921875}),
]


@pytest.mark.parametrize(("rule", "arguments"), RULES)
@pytest.mark.parametrize("build", BUILDERS, ids=lambda f: f.__name__)
def test_a_step_of_training(keras, double, build, rng, rule, arguments):
    ours, theirs, xs = both(keras, build, rng)
    labels = [rng.integers(0, 3, 5), rng.integers(0, 3, 5), rng.normal(size=(5, 2))][: len(ours.outputs)]
    x, y = (v if len(v) > 1 else v[0] for v in (xs, labels))
    vanishing = set()
    if rule == "Adam":  # divides a gradient that vanishes analytically by itself: that is noise on both sides
        _, _, gradients = our_pass(ours, xs, [rng.normal(size=(5, *s.shape[1:])) for s in ours.outputs], True)
        vanishing = {
            w.name
            for w, g in zip(ours.trainable_weights, gradients, strict=True)
            if np.abs(g).max() < 1e-10 * kernel_scale(ours, gradients, w)
        }
        ours.set_weights(theirs.get_weights())  # the pass moved the statistics
    compile_both(keras, ours, theirs, rule, arguments, len(ours.outputs))
    for _ in range(2):
        mine, other = ours.train_on_batch(x, y), theirs.train_on_batch(x, y)
        np.testing.assert_allclose(listed(mine)[0], listed(other)[0], rtol=1e-6)  # Keras keeps its mean in float32
    assert len(vanishing) <= 3
    for w, expected in zip(ours.weights, theirs.get_weights(), strict=True):
        if w.name not in vanishing:
            assert_close(w.data, expected)


# Parts of models ------------------------------------------------------------------------------------------------------


def their_lenet(m):
    layers = m.layers
    x = inputs = layers.Input((32, 32, 1))
    for i, filters in enumerate((6, 16), 1):
        x = layers.Conv2D(filters, 5, padding="same", activation="relu", name=f"conv{i}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{i}")(x)
    x = layers.Dense(500, activation="relu", name="dense1")(layers.Flatten(name="flatten")(x))
    return m.Model(inputs, layers.Dense(10, activation="softmax", name="predictions")(x))


def test_lenet5(keras, dtype, rng):
    keras.utils.set_random_seed(0)
    ours, theirs = zoo.build("lenet5"), their_lenet(Theirs(keras))
    ours.set_weights(theirs.get_weights())
    assert [layer.name for layer in ours.layers][1:] == [layer.name for layer in theirs.layers][1:]
    x, y = rng.uniform(size=(4, 32, 32, 1)).astype(dtype), rng.integers(0, 10, 4)
    assert_same_pass(ours, theirs, [x])
    compile_both(keras, ours, theirs, "Adam", {**RULES[1][1], "learning_rate": 0.0009765625}, outputs=1)
    for _ in range(2):
        ours.train_on_batch(x, y)
        theirs.train_on_batch(x, y)
    for w, expected in zip(ours.weights, theirs.get_weights(), strict=True):
        # Adam divides by sqrt(v): in float32 the rounding of a tiny gradient moves its weight by a part of the step,
        # which is 1e-3; the largest weight is about 0.1.
        assert_close(w.data, expected, {"float64": 1e-10, "float32": 5e-4}[dtype])


@pytest.mark.parametrize("build", [residual, inception], ids=lambda f: f.__name__)
def test_sub_models_between_layers(keras, double, build, rng):
    ours, theirs, xs = both(keras, build, rng)
    names = [layer.name for layer in ours.layers]
    middle = next(name for name in names if name in ("activation", "concatenate_1"))
    front = [n.Model(m.inputs, m.get_layer(middle).output) for n, m in ((Ours, ours), (Theirs(keras), theirs))]
    assert [layer.name for layer in front[0].layers] == [layer.name for layer in front[1].layers]
    assert_same_pass(*front, xs)


def test_a_part_that_begins_inside_a_model(keras, double, rng):
    ours, theirs, xs = both(keras, residual, rng)
    back = [n.Model(m.get_layer("activation").output, m.output) for n, m in ((Ours, ours), (Theirs(keras), theirs))]
    own = [
        [layer.name for layer in model.layers][1:] for model in back
    ]  # the first is an input of its own on both sides
    assert own[0] == own[1]
    x = rng.normal(size=(5, *back[0].inputs[0].shape[1:]))
    assert_same_pass(*back, [x])
    assert {id(w) for w in back[0].weights} <= {id(w) for w in ours.weights}


def test_scaled_add_in_place_of_the_lambda(keras, double, rng):
    """The same network with our ScaledAdd: the same numbers as with Keras's Lambda."""

    class Named:
        """Our side, where the Lambda of a scaled sum goes by its name."""

        Model = Ours.Model

        class layers:
            def __getattr__(self, name):
                if name == "Lambda":
                    return lambda function, arguments, output_shape: our_layers.ScaledAdd(**arguments)
                return getattr(our_layers, name)

        layers = layers()

    ours, theirs = inception(Named), inception(Theirs(keras))
    theirs.set_weights(random_weights(rng, theirs))
    ours.set_weights(theirs.get_weights())
    assert sum(isinstance(layer, our_layers.ScaledAdd) for layer in ours.layers) == 2
    assert_same_pass(ours, theirs, [rng.normal(size=(3, 9, 9, 2))], training=True)


# Random graphs --------------------------------------------------------------------------------------------------------


def random_graph(m, seed):
    """Branches, merges, shared layers and models, operators, several inputs and outputs: all (N, 4, 3, 2)."""
    rng = np.random.default_rng(seed)
    layers = m.layers
    inner = layers.Input((4, 3, 2))
    nested = m.Model(inner, layers.Add()([layers.Conv2D(2, 1)(inner), inner]))
    pool = [
        layers.Conv2D(2, (3, 2), padding="same"),
        layers.BatchNormalization(),
        nested,
    ]  # to be called again and again
    inputs = [layers.Input((4, 3, 2)) for _ in range(rng.integers(1, 4))]
    symbols = list(inputs)

    def pick():
        return symbols[-int(rng.integers(1, min(len(symbols), 6) + 1))]

    def step(kind):
        if kind == "merge":
            made = layers.Add() if rng.random() < 0.5 else layers.Multiply()
            return made([pick() for _ in range(rng.integers(2, 4))])
        if kind == "concatenate":
            return layers.Conv2D(2, 1)(layers.Concatenate()([pick(), pick()]))
        if kind == "shared":
            return pool[rng.integers(len(pool))](pick())
        if kind == "operator":
            a, b = pick(), pick()
            return [lambda: a + b, lambda: a * 0.5, lambda: 1.0 - a, lambda: a * b][rng.integers(4)]()
        return [layers.Conv2D(2, 3, padding="same"), layers.ReLU(), layers.BatchNormalization()][rng.integers(3)](
            pick()
        )

    for _ in range(rng.integers(5, 18)):
        symbols.append(step(["plain", "plain", "merge", "concatenate", "shared", "operator"][rng.integers(6)]))
    inside = symbols[len(inputs) :]
    outputs = [symbols[-1]] + [inside[rng.integers(len(inside))] for _ in range(rng.integers(0, 3))]
    outputs = list({id(s): s for s in outputs}.values())
    return m.Model(inputs if len(inputs) > 1 else inputs[0], outputs)


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(keras, double, seed):
    keras.backend.clear_session()
    clear_session()
    ours, theirs = random_graph(Ours, seed), random_graph(Theirs(keras), seed)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    rng = np.random.default_rng(seed)
    theirs.set_weights(random_weights(rng, theirs))
    ours.set_weights(theirs.get_weights())
    xs = [rng.uniform(0.5, 1.5, size=(2, 4, 3, 2)) for _ in ours.inputs]
    x = xs if len(xs) > 1 else xs[0]
    for a, b in zip(listed(ours(x)), listed(theirs(x, training=False)), strict=True):
        assert_close(a.data, b.numpy())
