"""Layer by layer against Keras 3: outputs, gradients of inputs and weights, moving statistics, arguments and names."""

import inspect
import itertools

import numpy as np
import pytest

from minicnn import layers
from minicnn.layers.naming import clear_session
from minicnn.tensor import Tensor
from tests.checks import assert_close
from tests.parity.doubles import assert_same_pass, double_of

IMAGES = (3, 9, 8, 4)  # every axis has a size of its own, and neither stride divides them


def grid(**choices):
    """Every combination of the choices as a dict of arguments."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


PADDINGS = ["valid", "same"]
CONV2D = [
    *({"filters": 5, **c} for c in grid(kernel_size=[1, (2, 3), (5, 4)], strides=[1, (2, 3), 3], padding=PADDINGS)),
    *({"filters": 5, "kernel_size": (3, 2), **c} for c in grid(dilation_rate=[2, (1, 3)], padding=PADDINGS)),
    {"filters": 6, "kernel_size": 3, "groups": 2, "padding": "same"},
    {"filters": 8, "kernel_size": (2, 3), "groups": 4, "strides": 2},
    {"filters": 4, "kernel_size": 2, "groups": 2, "dilation_rate": 2, "padding": "same"},
    *({"filters": 3, "kernel_size": 3, "use_bias": b, "activation": a} for a in ("relu", "sigmoid", "tanh", "softmax")
      for b in (True, False)),
]  # fmt: skip
# TensorFlow's depthwise convolution on a CPU knows equal strides only, and no strides beside a dilation.
DEPTHWISE = [
    *grid(kernel_size=[1, (2, 3), 4], strides=[1, 2, 3], padding=PADDINGS, depth_multiplier=[1, 3]),
    *grid(kernel_size=[(3, 2)], dilation_rate=[2, (1, 3)], padding=PADDINGS, depth_multiplier=[2]),
    {"kernel_size": 3, "use_bias": False, "activation": "tanh"},
]
SEPARABLE = [
    *grid(filters=[5], kernel_size=[(2, 3), 3], strides=[1, 2], padding=PADDINGS, depth_multiplier=[1, 2]),
    {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    {"filters": 3, "kernel_size": 3, "use_bias": False, "activation": "sigmoid"},
]
POOLING = [
    *grid(pool_size=[2, (3, 2), (1, 4)], strides=[None, 1, (2, 3)], padding=PADDINGS),
    {"pool_size": 2, "strides": 3, "padding": "same"},
]
MARGINS = [2, (1, 3), ((0, 2), (3, 1)), 0]

CASES = [
    *(("Conv2D", c, [IMAGES]) for c in CONV2D),
    *(("DepthwiseConv2D", c, [IMAGES]) for c in DEPTHWISE),
    *(("SeparableConv2D", c, [IMAGES]) for c in SEPARABLE),
    *((name, c, [IMAGES]) for name in ("MaxPooling2D", "AveragePooling2D") for c in POOLING),
    *(
        (name, {"keepdims": keep}, [IMAGES])
        for name in ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
        for keep in (False, True)
    ),
    *(
        ("Dense", {"units": 5, "activation": a, "use_bias": b}, [shape])
        for a, b in [(None, True), ("relu", True), ("softmax", False)]
        for shape in [(3, 7), (2, 5, 7), IMAGES]
    ),
    *(
        ("Activation", {"activation": a}, [IMAGES])
        for a in ("linear", "relu", "sigmoid", "tanh", "softmax", "log_softmax")
    ),
    *(("ReLU", c, [IMAGES]) for c in grid(max_value=[None, 0.75], negative_slope=[0.0, 0.25])),
    *(("Softmax", {"axis": axis}, [IMAGES]) for axis in (-1, 1, 2, 3)),
    *(("Dropout", {"rate": rate}, [IMAGES]) for rate in (0, 0.5)),  # without training: nothing happens
    *(("Flatten", {}, [shape]) for shape in [IMAGES, (3, 7), (2, 3, 4)]),
    *(("Reshape", {"target_shape": s}, [IMAGES]) for s in [(8, 9, 4), (-1,), (6, -1, 2), (288,)]),
    *(("ZeroPadding2D", {"padding": m}, [IMAGES]) for m in MARGINS),
    *(("Cropping2D", {"cropping": m}, [IMAGES]) for m in MARGINS),
    *((name, {}, [IMAGES] * n) for name in ("Add", "Multiply") for n in (2, 3)),
    *((name, {}, [IMAGES, (3, 1, 1, 4)]) for name in ("Add", "Multiply")),  # a gate for each channel
    ("Concatenate", {}, [IMAGES, (3, 9, 8, 2), (3, 9, 8, 5)]),
    ("Concatenate", {"axis": 1}, [IMAGES, (3, 2, 8, 4)]),
    ("Concatenate", {"axis": -2}, [IMAGES, (3, 9, 3, 4)]),
]


def label(case):
    name, arguments, shapes = case
    return "-".join([name, *(f"{k}={v}".replace(" ", "") for k, v in arguments.items()), *("x" * (len(shapes) > 1))])


@pytest.mark.parametrize("case", CASES, ids=label)
def test_layer(keras, dtype, rng, case):
    name, arguments, shapes = case
    ours, theirs = getattr(layers, name)(**arguments), getattr(keras.layers, name)(**arguments)
    xs, symbol = double_of(ours, theirs, rng, shapes, dtype)
    open_shapes = [(None, *s[1:]) for s in shapes]
    assert symbol.shape == tuple(theirs.compute_output_shape(open_shapes if len(shapes) > 1 else open_shapes[0]))
    assert_same_pass(ours, theirs, xs)


BATCH_NORM = [
    *({**c, "momentum": 0.875} for c in grid(center=[True, False], scale=[True, False])),
    {"epsilon": 1.001e-5},
    {"momentum": 0.5, "axis": 3},
    {"momentum": 0.5, "axis": [3]},
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("arguments", BATCH_NORM, ids=str)
def test_batch_normalization(keras, dtype, rng, arguments, training):
    theirs = keras.layers.BatchNormalization(**{**arguments, "axis": -1})
    ours = layers.BatchNormalization(**arguments)
    xs, _ = double_of(ours, theirs, rng, [IMAGES], dtype)
    xs = [3 * xs[0] + 1]
    for _ in range(3):  # the statistics move each time
        assert_same_pass(ours, theirs, xs, training)


@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 5)])
def test_batch_normalization_of_other_ranks(keras, dtype, rng, shape):
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    xs, _ = double_of(ours, theirs, rng, [shape], dtype)
    assert_same_pass(ours, theirs, xs, training=True)


def test_a_frozen_batch_normalization_infers(keras, dtype, rng):
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    xs, _ = double_of(ours, theirs, rng, [IMAGES], dtype)
    ours.trainable = theirs.trainable = False
    assert_same_pass(ours, theirs, xs, training=True)
    assert ours.trainable_weights == theirs.trainable_weights == []


def test_dropout_in_training_scales_what_it_keeps(rng):
    x = rng.uniform(1, 2, size=(50, 40))
    y = layers.Dropout(0.7, dtype="float64")(x, training=True).data
    kept = y != 0
    assert_close(y[kept], x[kept] / 0.3, 1e-6)
    assert abs(kept.mean() - 0.3) < 0.03


PAPER = {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}


@pytest.mark.parametrize("arguments", [{}, PAPER, {"depth_radius": 1, "alpha": 0.5}], ids=str)
def test_local_response_normalization(keras, rng, arguments):
    import tensorflow as tf

    x, dy = rng.normal(size=(2, 3, 4, 9)).astype("float32"), rng.normal(size=(2, 3, 4, 9)).astype("float32")
    v, mine = tf.Variable(x), Tensor(x, requires_grad=True)
    with tf.GradientTape() as tape:
        expected = tf.nn.lrn(v, **arguments)
    y = layers.LocalResponseNormalization(**arguments)(mine)
    y.backward(dy)
    assert_close(y.data, expected.numpy())
    assert_close(mine.grad, tape.gradient(expected, v, output_gradients=tf.constant(dy)).numpy())


@pytest.mark.parametrize("arguments", [{"scale": 0.17}, {"scale": -2.0}])
def test_scaled_add_is_the_lambda_layer(keras, dtype, rng, arguments):
    def merge(xs, scale):
        return xs[0] + xs[1] * scale

    theirs = keras.layers.Lambda(merge, arguments=arguments, output_shape=IMAGES[1:])
    for ours in (layers.ScaledAdd(**arguments), layers.Lambda(merge, arguments=arguments)):
        xs, symbol = double_of(ours, theirs, rng, [IMAGES, IMAGES], dtype)
        assert symbol.shape == (None, *IMAGES[1:])
        assert_same_pass(ours, theirs, xs)


# Names and arguments --------------------------------------------------------------------------------------------------

CLASSES = [
    "Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Cropping2D", "Dense",
    "DepthwiseConv2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Lambda", "MaxPooling2D",
    "Multiply", "ReLU", "Reshape", "SeparableConv2D", "Softmax", "ZeroPadding2D",
]  # fmt: skip
COMMON = {"self", "kwargs", "common", "name", "trainable", "dtype"}
# What we leave out: it has no part in classic CNNs, and is refused by name.
ABSENT = {
    "activity_regularizer", "kernel_constraint", "bias_constraint", "depthwise_constraint", "pointwise_constraint",
    "beta_constraint", "gamma_constraint", "synchronized", "lora_rank", "lora_alpha", "quantization_config",
    "renorm", "renorm_clipping", "renorm_momentum", "threshold", "noise_shape",
}  # fmt: skip


def arguments_of(cls):
    parameters = inspect.signature(cls.__init__).parameters.values()
    open_ended = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {p.name: p.default for p in parameters if p.name not in COMMON | ABSENT and p.kind not in open_ended}


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_in_order_with_their_defaults(keras, name):
    ours, theirs = arguments_of(getattr(layers, name)), arguments_of(getattr(keras.layers, name))
    assert list(ours.items()) == list(theirs.items())


def test_second_names_are_the_same_classes(keras):
    for name in ("Convolution2D", "MaxPool2D", "AvgPool2D", "GlobalAvgPool2D", "GlobalMaxPool2D"):
        assert getattr(layers, name).__name__ == getattr(keras.layers, name).__name__


def test_automatic_names(keras):
    keras.backend.clear_session()
    clear_session()
    required = {"Activation": ["relu"], "AveragePooling2D": [2], "Conv2D": [1, 1], "Dense": [1], "DepthwiseConv2D": [1],
                "Dropout": [0.1], "Lambda": [abs], "Reshape": [(1,)], "SeparableConv2D": [1, 1]}  # fmt: skip
    for name in CLASSES * 2 + ["MaxPool2D", "GlobalAvgPool2D"]:
        ours, theirs = (getattr(module, name)(*required.get(name, [])) for module in (layers, keras.layers))
        assert ours.name == theirs.name
    inputs = [[module.Input((3,)) for _ in range(2)] for module in (layers, keras.layers)]
    assert [x.node.layer.name for x in inputs[0]] == [x._keras_history.operation.name for x in inputs[1]]


def test_weights_have_keras_names(keras, rng):
    layers_with_weights = {
        "Conv2D": {"filters": 2, "kernel_size": 3},
        "Dense": {"units": 3},
        "BatchNormalization": {},
        "DepthwiseConv2D": {"kernel_size": 3},
        "SeparableConv2D": {"filters": 3, "kernel_size": 2},
    }
    for name, arguments in layers_with_weights.items():
        ours, theirs = (getattr(module, name)(name="a", **arguments) for module in (layers, keras.layers))
        double_of(ours, theirs, rng, [IMAGES], "float32")
        assert [w.name for w in ours.weights] == [v.path for v in theirs.weights]


def test_regularizers_penalise_as_keras_does(keras, double, rng):
    for identifier in ("l1", "l2", {"class_name": "L1L2", "config": {"l1": 0.3, "l2": 0.125}}):
        ours, theirs = (
            m.Dense(3, kernel_regularizer=identifier, bias_regularizer="l2") for m in (layers, keras.layers)
        )
        double_of(ours, theirs, rng, [(2, 4)], "float64")
        assert_close(np.array(ours.regularization().item()), np.array(float(sum(theirs.losses))), 1e-7)
        ours.trainable = theirs.trainable = False
        assert ours.regularization() is None and ours.losses == theirs.losses == []
