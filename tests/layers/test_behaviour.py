"""What layers do by themselves: configs that make them again, gradients of what Keras lacks, freezing, dropout."""

import json

import numpy as np
import pytest

from minicnn import Input, Model, Tensor, config, layers
from minicnn.gradcheck import check_function
from tests.checks import assert_close, away_from_zero

IMAGES = (3, 5, 6, 4)
MADE = [
    layers.Activation("tanh"), layers.Add(name="sum"), layers.AveragePooling2D((2, 1), 1, "same"),
    layers.BatchNormalization(momentum=0.5, epsilon=1e-5, scale=False, beta_regularizer="l1"), layers.Concatenate(2),
    layers.Conv2D(6, (3, 2), 2, "same", dilation_rate=1, groups=2, activation="relu", use_bias=False,
                  kernel_initializer="he_normal", kernel_regularizer=layers.regularizers.L2(0.5)),
    layers.Cropping2D(((1, 0), (2, 1))), layers.Dense(7, "softmax", bias_initializer=layers.initializers.Constant(2.0)),
    layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer=layers.initializers.RandomNormal(seed=3)),
    layers.Dropout(0.25, seed=4), layers.Flatten(), layers.GlobalAveragePooling2D(keepdims=True),
    layers.GlobalMaxPooling2D(), layers.LocalResponseNormalization(2, 2.0, 1e-4, 0.75), layers.Multiply(),
    layers.MaxPooling2D(3, 2, "same"), layers.PadShortcut(9, (2, 1)), layers.ReLU(6.0, 0.1), layers.Reshape((-1, 2)),
    layers.Scale("ones"), layers.ScaledAdd(0.2),
    layers.SeparableConv2D(5, 2, depth_multiplier=2, pointwise_regularizer="l1"),
    layers.Softmax(1), layers.Subsampling2D((2, 3), (1, 2), "tanh", name="s2"), layers.ZeroPadding2D((1, 2)),
    layers.Conv2D(3, 1, trainable=False, dtype="float64"),
]  # fmt: skip


@pytest.mark.parametrize("layer", MADE, ids=lambda layer: type(layer).__name__)
def test_a_config_makes_the_layer_again(layer, rng):
    settings = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(settings)))
    assert json.dumps(again.get_config()) == json.dumps(settings)
    shapes = (
        [IMAGES, IMAGES]
        if isinstance(layer, layers.Add | layers.Multiply | layers.Concatenate | layers.ScaledAdd)
        else [IMAGES]
    )
    xs = [rng.normal(size=s).astype(layer.dtype) for s in shapes]
    results = []
    for one in (layer, again):
        y = one(xs if len(xs) > 1 else xs[0])
        if one is layer:
            weights = [rng.uniform(0.5, 1.5, size=w.shape) for w in layer.weights]
        one.set_weights(weights)
        y = one(xs if len(xs) > 1 else xs[0])
        results.append(y.data)
        symbols = [Input(s[1:], dtype=layer.dtype) for s in shapes]
        assert one(symbols if len(xs) > 1 else symbols[0]).shape == (None, *y.shape[1:])
    np.testing.assert_array_equal(*results)


def test_every_layer_has_its_place_in_the_list_above():
    abstract = {"Layer", "InputLayer", "Lambda"}
    known = {c.__name__ for c in vars(layers).values() if isinstance(c, type) and issubclass(c, layers.Layer)}
    assert known - abstract == {type(layer).__name__ for layer in MADE}


def test_the_config_of_an_input():
    layer = Input((4, None, 3), batch_size=2, name="image").node.layer
    again = layers.InputLayer.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.output.shape == (2, 4, None, 3) and again.name == "image"


@pytest.mark.parametrize(
    "layer",
    [layers.Subsampling2D((2, 3), dtype="float64"), layers.Subsampling2D(3, 2, "tanh", dtype="float64"),
     layers.PadShortcut(7, (2, 3), dtype="float64"), layers.PadShortcut(4, dtype="float64"),
     layers.Scale(dtype="float64"), layers.LocalResponseNormalization(2, dtype="float64")],
    ids=lambda layer: layer.name,
)  # fmt: skip
def test_gradients_of_layers_that_keras_lacks(layer, rng):
    x = Tensor(away_from_zero(rng, *IMAGES), requires_grad=True)
    layer(x)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    check_function(lambda: layer(x), [x, *layer.weights], rng)


def test_gradient_of_a_scaled_sum(rng):
    xs = [Tensor(rng.normal(size=IMAGES), requires_grad=True) for _ in range(2)]
    check_function(lambda: layers.ScaledAdd(0.17)(xs), xs, rng)
    assert_close(layers.ScaledAdd(0.17)(xs).data, xs[0].data + 0.17 * xs[1].data)


def test_subsampling_begins_as_the_average(rng):
    x = rng.normal(size=(2, 6, 4, 3))
    y = layers.Subsampling2D(2, activation=None, dtype="float64")(x)
    assert_close(y.data, x.reshape(2, 3, 2, 2, 2, 3).mean((2, 4)))


def test_the_shortcut_of_option_a(rng):
    x = rng.normal(size=(2, 5, 6, 3))
    y = layers.PadShortcut(5, dtype="float64")(x).data
    assert_close(y[..., :3], x[:, ::2, ::2])
    assert y.shape == (2, 3, 3, 5) and not y[..., 3:].any()


def test_a_residual_branch_with_a_scale_of_zero_begins_as_the_identity(rng):
    x = Input((4,))
    model = Model(x, layers.Add()([x, layers.Scale()(layers.Dense(4)(x))]))
    a = rng.normal(size=(3, 4)).astype("float32")
    np.testing.assert_array_equal(model(a).data, a)


def test_freezing_and_thawing():
    layer = layers.BatchNormalization()
    layer(Input((3,)))
    assert [w.name.rpartition("/")[2] for w in layer.trainable_weights] == ["gamma", "beta"]
    layer.trainable = False
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 4
    layer.trainable = True
    assert len(layer.trainable_weights) == 2, "statistics do not begin to train"
    early = layers.Dense(3, trainable=False)
    early(Input((2,)))
    assert early.trainable_weights == [] and not early.kernel.requires_grad


def test_a_frozen_layer_computes_no_gradient_for_its_weights_but_for_its_input(rng):
    layer = layers.Dense(3, trainable=False)
    x = Tensor(rng.normal(size=(2, 4)).astype("float32"), requires_grad=True)
    layer(x).sum().backward()
    assert layer.kernel.grad is None and x.grad.shape == (2, 4)


def test_dropout_with_a_seed_is_the_same_in_each_model():
    x = np.ones((1, 300), "float32")
    drops = [layers.Dropout(0.5, seed=s) for s in (1, 1, 2)]
    models = [Model(i := Input((300,)), d(i)) for d in drops]
    a, b, c = (m(x, training=True).data for m in models)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    np.testing.assert_array_equal(models[0](x).data, x)


def test_a_layer_that_does_nothing_has_an_edge_of_its_own():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    seen = []
    layers.Dropout(0.5, name="drop")(x).sum().backward(probe=lambda edge, g: seen.append(edge.layer))
    assert "drop" in seen


def test_a_type_of_its_own():
    layer = layers.Dense(3, dtype="float64")
    assert layer(np.ones((1, 2), "float32")).dtype == np.float64
    assert layer.kernel.dtype == np.float64 and config.floatx() == "float32"
    assert layers.Dense(2)(np.ones((1, 2), "uint8")).dtype == np.float32


def test_softmax_remembers_its_logits(rng):
    x = rng.normal(size=(2, 3)).astype("float32")
    for layer in (layers.Softmax(), layers.Activation("softmax"), layers.Dense(3, activation="softmax")):
        assert layer(x).logits is not None
    assert layers.Dropout(0.5)(layers.Softmax()(x)).logits is not None
    assert layers.Reshape((3, 1))(layers.Softmax()(x)).logits is None
