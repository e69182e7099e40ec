"""Layers that a user writes: with `call` alone, with weights, made of other layers, on an op of one's own."""

import numpy as np
import pytest

from minicnn import Input, Model, Op, Tensor, apply, config, functions, layers
from minicnn.gradcheck import check_function
from minicnn.layers import Layer
from tests.checks import assert_close


class Double(Layer):
    """With `call` alone: the shape is found by running it."""

    def call(self, x):
        return x * 2.0


class Affine(Layer):
    """With weights and an argument."""

    def __init__(self, start=1.0, **common):
        super().__init__(**common)
        self.start = start

    def build(self, shape):
        self.a = self.add_weight("a", (shape[-1],), layers.initializers.Constant(self.start))
        self.count = self.add_weight("count", (), "zeros", trainable=False)
        self.b = self.add_weight("b", (shape[-1],), "zeros")

    def call(self, x, training):
        if training:
            self.count.assign(self.count.data + 1)
        return x * self.a + self.b


class Block(Layer):
    """Made of layers, as attributes and in a list; its calls do not pass `training` on."""

    def __init__(self, filters, depth=2, **common):
        super().__init__(**common)
        self.filters, self.depth = filters, depth
        self.convs = [layers.Conv2D(filters, 3, padding="same", use_bias=False) for _ in range(depth)]
        self.norm = layers.BatchNormalization(momentum=0.5)
        self.drop = layers.Dropout(0.5)

    def build(self, shape):
        self.gate = self.add_weight("gate", (), "ones")

    def call(self, x):
        y = x
        for conv in self.convs:
            y = functions.relu(conv(y))
        return x + self.drop(self.norm(y)) * self.gate


class Cube(Op):
    """y = x^3"""

    def forward(self, x):
        self.x = x
        return x**3

    def backward(self, dy):
        return (dy * 3 * self.x**2,)


@pytest.fixture
def double():
    before, config.config.floatx = config.config.floatx, "float64"
    yield
    config.config.floatx = before


def test_call_alone(rng):
    x = Input((3, 2))
    y = Double()(x)
    assert y.shape == (None, 3, 2)
    a = rng.normal(size=(4, 3, 2))
    assert_close(Model(x, y)(a).data, (2 * a).astype("float32"))
    assert Double()(Input((None, None, 5))).shape == (None, None, None, 5)


def test_a_layer_without_call_says_so():
    class Nothing(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing has no call\(self, x, training\)"):
        Nothing()(np.ones((1, 2)))


def test_weights_statistics_and_order(double, rng):
    layer = Affine(name="affine")
    x = Tensor(rng.normal(size=(3, 4)))
    layer(x)
    assert [w.name for w in layer.weights] == ["affine/a", "affine/b", "affine/count"]
    assert [w.name for w in layer.trainable_weights] == ["affine/a", "affine/b"]
    assert layer.count_params() == 9
    layer(x, training=True)
    assert layer.count.item() == 1
    check_function(lambda: layer(x), layer.trainable_weights)


def test_layers_inside_of_a_layer(double, rng):
    block = Block(3, depth=2)
    x = rng.normal(size=(2, 5, 4, 3))
    block(x)
    assert [w.shape for w in block.weights] == [(), (3, 3, 3, 3), (3, 3, 3, 3), (3,), (3,), (3,), (3,)]
    assert len(block.trainable_weights) == 5
    model = Model(inputs := Input((5, 4, 3)), layers.Flatten()(block(inputs)))
    assert len(model.weights) == 7
    block.drop.rate = 0
    check_function(lambda: model(x), block.trainable_weights)
    block.trainable = False
    assert not model.trainable_weights and not block.convs[1].trainable


def test_frozen_before_its_layers_exist(rng):
    block = Block(3, trainable=False)
    block(rng.normal(size=(2, 5, 4, 3)))
    assert block.trainable_weights == [] and len(block.weights) == 7
    mean = block.norm.moving_mean.data.copy()
    block(rng.normal(size=(2, 5, 4, 3)), training=True)
    np.testing.assert_array_equal(block.norm.moving_mean.data, mean)


def test_training_reaches_the_layers_inside(rng):
    """As in Keras: a call inside of a call runs in its mode, unless it says another."""
    block, x = Block(3), rng.normal(size=(2, 5, 4, 3))
    model = Model(inputs := Input((5, 4, 3)), block(inputs))
    start = block.norm.moving_mean.data.copy()
    once, again = model(x).data, model(x).data
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(block.norm.moving_mean.data, start)
    model(x, training=True)
    assert np.abs(block.norm.moving_mean.data - start).max() > 0


def test_random_numbers_inside_depend_on_the_step_of_the_model(rng):
    class Two(Layer):
        def __init__(self, **common):
            super().__init__(**common)
            self.drops = [layers.Dropout(0.5), layers.Dropout(0.5)]

        def call(self, x):
            return functions.concatenate([drop(x) for drop in self.drops])

    x = np.ones((1, 200), "float32")
    runs = []
    for _ in range(2):
        model = Model(inputs := Input((200,)), Two()(inputs))
        first = model(x, training=True).data
        model.step = 5
        runs.append([first, model(x, training=True).data])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)
    first, later = runs[0]
    assert (first != later).any()
    assert (first[:, :200] != first[:, 200:]).any(), "two layers of one shape drew the same mask"


def test_eager_dropouts_draw_masks_of_their_own():
    x = np.ones((1, 200), "float32")
    one, two = layers.Dropout(0.5), layers.Dropout(0.5)
    masks = [drop(x, training=True).data for drop in (one, two, one)]
    assert (masks[0] != masks[1]).any() and (masks[0] != masks[2]).any()


def test_own_op(double, rng):
    x = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    check_function(lambda: apply(Cube(), x), [x])

    class Cubed(Layer):
        def call(self, x):
            return apply(Cube(), x)

    model = Model(inputs := Input((2,)), Cubed()(inputs))
    assert_close(model(x).data, x.data**3)
    assert Model(inputs, apply(Cube(), inputs) + 1.0)(x).shape == (3, 2)  # on symbols, too


def test_several_outputs(rng):
    class Split(Layer):
        def call(self, x):
            return [x[:, :2], x[:, 2:]]

    x = Input((5,))
    a, b = Split()(x)
    assert (a.shape, b.shape) == ((None, 2), (None, 3))
    data = rng.normal(size=(4, 5)).astype("float32")
    assert_close(Model(x, [b, a])(data)[0].data, data[:, 2:])
    assert_close(Model(x, b)(data).data, data[:, 2:])  # one of the two is enough


def test_config_of_an_own_layer():
    layer = Affine(3.0, name="x", trainable=False)
    assert layer.get_config() == {"name": "x", "trainable": False, "dtype": "float32", "start": 3.0}
    again = Affine.from_config(layer.get_config())
    assert (again.name, again.start, again.trainable) == ("x", 3.0, False)


def test_config_of_a_layer_that_takes_no_name():
    class Power(Layer):
        def __init__(self, exponent):
            super().__init__()
            self.exponent = exponent

        def call(self, x):
            return x**self.exponent

    assert Power(2).get_config() == {"exponent": 2}
    assert Power.from_config({"exponent": 2}).exponent == 2


def test_an_argument_that_is_no_attribute_says_so():
    class Forgetful(Layer):
        def __init__(self, size, **common):
            super().__init__(**common)

    with pytest.raises(ValueError, match="keep the argument 'size' as an attribute, or write Forgetful.get_config"):
        Forgetful(3).get_config()


def test_lambda_with_constants_and_arguments(double, rng):
    means = np.array([0.5, 0.25, 0.125])
    x = rng.normal(size=(2, 4, 3))
    layer = layers.Lambda(lambda x, by: (x - means) * by, arguments={"by": 3.0})
    model = Model(inputs := Input((4, 3)), layer(inputs))
    assert_close(model(x).data, (x - means) * 3)
    t = Tensor(x, requires_grad=True)
    check_function(lambda: model(t), [t])
    given = layers.Lambda(lambda x: x.reshape(x.shape[0], -1), output_shape=(12,))
    assert given(Input((4, 3))).shape == (None, 12)
    assert layers.Lambda(abs_sum, output_shape=lambda s: (s[0], 1))(Input((4, 3))).shape == (None, 1)


def abs_sum(x):
    return functions.abs(x).sum((1, 2), keepdims=True)[:, 0]


# Mistakes in them ----------------------------------------------------------------------------------------------------


class Forgetful(Layer):
    """Its __init__ does not call that of Layer."""

    def __init__(self, units):
        self.units = units

    def call(self, x):
        return x


class Returns(Layer):
    """Gives what a function of the data gives."""

    def __init__(self, function, **common):
        super().__init__(**common)
        self.function = function

    def call(self, x):
        return self.function(x.data)


@pytest.mark.parametrize("x", [Input((3,)), np.ones((2, 3))], ids=["symbol", "array"])
def test_a_layer_that_does_not_call_super(x):
    with pytest.raises(TypeError, match=r"Forgetful.__init__ must call super\(\).__init__\(\)"):
        Forgetful(2)(x)


@pytest.mark.parametrize("function, got", [(np.sqrt, "ndarray"), (lambda _: None, "NoneType"), (list, "ndarray")])
@pytest.mark.parametrize("x", [Input((3,)), np.ones((2, 3))], ids=["symbol", "array"])
def test_a_layer_that_gives_no_tensor(x, function, got):
    with pytest.raises(TypeError, match=f"odd: a layer's call must return a Tensor, or a list of them, got {got}"):
        Returns(function, name="odd")(x)


@pytest.mark.parametrize("make", [lambda: Input((4, 4, 3)), lambda: np.ones((2, 4, 4, 3))], ids=["symbol", "array"])
def test_a_second_input_is_no_training(make):
    """Layer(a, b) for Layer([a, b]): b would have switched training on."""
    with pytest.raises(TypeError, match="norm: training must be True or False, got .*; several inputs go in a list"):
        layers.BatchNormalization(name="norm")(make(), make())
