"""What layers refuse, with one clear message each that names the layer and shows what was received."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.layers import Input
from minicnn.layers.naming import clear_session

IMAGES = (6, 7, 4)


@pytest.fixture(autouse=True)
def names_from_the_beginning():
    clear_session()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Conv2D(8, 3, padding="full"), r"^conv2d: padding must be 'valid' or 'same', got 'full'$"),
        (lambda: layers.Conv2D(0, 3), r"^conv2d: filters must be a whole number from 1 up, got 0$"),
        (lambda: layers.Conv2D(True, 3), r"filters must be a whole number from 1 up, got True"),
        (
            lambda: layers.Conv2D(8, (3, 3, 3)),
            r"kernel_size must be one or two whole numbers from 1 up, got \(3, 3, 3\)",
        ),
        (lambda: layers.Conv2D(8, 3, strides=0), r"strides must be one or two whole numbers from 1 up, got 0"),
        (lambda: layers.Conv2D(8, 3, dilation_rate=1.5), r"dilation_rate must be .* got 1.5"),
        (lambda: layers.Conv2D(8, 3, groups=3), r"filters=8 cannot be cut into groups=3"),
        (
            lambda: layers.Conv2D(8, 3, data_format="channels_first"),
            r"data_format must be 'channels_last' \(N, H, W, C\)",
        ),
        (lambda: layers.Conv2D(8, 3, activation="relo"), r"unknown activation 'relo': did you mean 'relu'"),
        (lambda: layers.Conv2D(8, 3, activation=3), r"an activation must be a name or a function, got 3"),
        (
            lambda: layers.Dense(8, kernel_initializer="he_norm"),
            r"unknown initializer 'he_norm': did you mean 'he_normal'",
        ),
        (lambda: layers.Dense(8, kernel_regularizer="l3"), r"unknown regularizer 'l3'"),
        (lambda: layers.Dense(-1), r"^dense: units must be a whole number from 1 up, got -1"),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), r"depth_multiplier must be"),
        (
            lambda: layers.MaxPooling2D(0),
            r"^max_pooling2d: pool_size must be one or two whole numbers from 1 up, got 0",
        ),
        (lambda: layers.AveragePooling2D(2, padding="half"), r"padding must be 'valid' or 'same', got 'half'"),
        (lambda: layers.ZeroPadding2D(-1), r"padding must be one or two whole numbers from 0 up, got -1"),
        (lambda: layers.Dropout(1.0), r"^dropout: rate must lie in \[0, 1\), got 1.0"),
        (lambda: layers.Dropout("half"), r"rate must lie in \[0, 1\), got 'half'"),
        (lambda: layers.Reshape((-1, -1)), r"target_shape must be sizes, with at most one -1"),
        (lambda: layers.Lambda("x * 2"), r"^lambda: function must be callable, got 'x \* 2'"),
        (lambda: layers.ScaledAdd("0.1"), r"scale must be a number, got '0.1'"),
        (lambda: layers.Flatten("channels_first"), r"data_format must be 'channels_last'"),
        (lambda: Input(32), r"shape must be the sizes of one example, \(H, W, C\), got 32"),
        (lambda: Input((32, 0)), r"shape must be the sizes of one example"),
        (lambda: layers.Dense(8, name="a/b"), r"^Dense: a name must be a string without '/', got 'a/b'"),
        (lambda: layers.Dense(8, name=7), r"a name must be a string"),
        (lambda: layers.Dense(8, dtype="int8"), r"dtype must be one of float16, float32, float64, got 'int8'"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match=r"^Conv2D: unknown argument 'stride': did you mean 'strides'"):
        layers.Conv2D(8, 3, stride=2)
    with pytest.raises(TypeError, match="Dropout: unknown argument 'noise_shape'"):
        layers.Dropout(0.5, noise_shape=(1,))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (lambda: layers.Conv2D(8, 3), (7,), r"^conv2d: expected images of shape \(None, H, W, C\), got \(None, 7\)"),
        (lambda: layers.Conv2D(8, 3, groups=2), (6, 7, 3), r"^conv2d: 3 input channels cannot be cut into groups=2"),
        (lambda: layers.Conv2D(8, 9), IMAGES, r"^conv2d: a kernel of 9x9 .* does not fit into an input of 6x7"),
        (lambda: layers.Conv2D(8, 3), (6, 7, None), r"the number of channels must be known"),
        (lambda: layers.SeparableConv2D(8, 3), (6, 7), r"^separable_conv2d: expected images of shape"),
        (lambda: layers.MaxPooling2D(2), (7,), r"^max_pooling2d: expected images of shape"),
        (lambda: layers.GlobalAveragePooling2D(), (7, 3), r"^global_average_pooling2d: expected images of shape"),
        (
            lambda: layers.BatchNormalization(axis=1),
            IMAGES,
            r"^batch_normalization: axis must be the last one, -1 or 3, got 1",
        ),
        (lambda: layers.Reshape((5, 5)), IMAGES, r"^reshape: cannot put an example of shape \(6, 7, 4\) into \(5, 5\)"),
        (lambda: layers.Cropping2D(3), IMAGES, r"^cropping2d: cropping .* leaves nothing of images of shape"),
        (lambda: layers.PadShortcut(2), IMAGES, r"^pad_shortcut: cannot pad 4 channels to filters=2"),
        (lambda: layers.Subsampling2D(), (7,), r"^subsampling2d: expected images of shape"),
        (lambda: layers.Add(), IMAGES, r"^add: expected a list of at least 2 inputs, got 1"),
        (lambda: layers.Concatenate(), IMAGES, r"^concatenate: expected a list of inputs"),
        (lambda: layers.ScaledAdd(0.1), IMAGES, r"^scaled_add: expected a list \[x, residual\], got 1 input"),
    ],
)
@pytest.mark.parametrize("eager", [False, True])
def test_shapes_that_do_not_fit(layer, shape, message, eager):
    if eager and None in shape:
        pytest.skip("an array knows its shape")
    with pytest.raises(ValueError, match=message.replace("None", r"\w+")):
        layer()(np.zeros((2, *shape), "float32") if eager else Input(shape))


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (lambda: layers.Add(), [IMAGES, (6, 7, 3)], r"^add: inputs have incompatible shapes"),
        (lambda: layers.Multiply(), [IMAGES, (7, 4)], r"^multiply: inputs have incompatible shapes"),
        (
            lambda: layers.Concatenate(),
            [IMAGES, (6, 6, 4)],
            r"^concatenate: inputs must agree in every axis but -1, got",
        ),
        (lambda: layers.Concatenate(0), [IMAGES, IMAGES], r"^concatenate: axis 0 cannot be concatenated"),
        (lambda: layers.Concatenate(7), [IMAGES, IMAGES], r"^concatenate: axis 7 cannot be concatenated"),
        (lambda: layers.ScaledAdd(0.1), [IMAGES] * 3, r"^scaled_add: expected a list \[x, residual\], got 3"),
    ],
)
def test_merges_that_do_not_fit(layer, shapes, message, eager):
    with pytest.raises(ValueError, match=message):
        layer()([np.zeros((2, *s), "float32") if eager else Input(s) for s in shapes])


@pytest.mark.parametrize(
    "layer",
    [layers.Conv2D(8, 3), layers.DepthwiseConv2D(3), layers.SeparableConv2D(5, 3), layers.Dense(3),
     layers.BatchNormalization(), layers.Subsampling2D()],
    ids=lambda layer: layer.name,
)  # fmt: skip
def test_other_channels_in_the_second_call(layer):
    """Refused when the graph is made, and when numbers arrive."""
    layer(Input((6, 6, 4)))
    for x in (Input((6, 6, 3)), np.zeros((2, 6, 6, 3), "float32")):
        with pytest.raises(ValueError, match=rf"^{layer.name}: expected .*, 4\), got \(\w+, 6, 6, 3\)"):
            layer(x)


def test_symbols_and_arrays_in_one_call():
    with pytest.raises(TypeError, match="add: symbols and ndarray in one call; put constants into a Lambda"):
        layers.Add()([Input((3,)), np.ones((1, 3))])


def test_what_is_no_number():
    with pytest.raises(TypeError, match="dense: expected numbers, got an array of"):
        layers.Dense(3)(np.array([["a", "b"]]))


def test_symbols_hold_no_numbers():
    x = Input((3,))
    for use in (np.asarray, len, list):
        with pytest.raises(TypeError, match="no"):
            use(x)


def test_merging_with_an_unknown_size_keeps_it_unknown():
    image, gate = Input((None, None, 4)), Input((1, 1, 4))
    assert layers.Multiply()([image, gate]).shape == layers.Multiply()([gate, image]).shape == (None, None, None, 4)
    known = Input((6, 7, 4))
    assert layers.Add()([image, known]).shape == layers.Add()([known, image]).shape == (None, 6, 7, 4)
    assert layers.Concatenate()([image, known]).shape == (None, 6, 7, 8)
    assert layers.Conv2D(5, 3, strides=2)(image).shape == (None, None, None, 5)
    assert layers.GlobalAveragePooling2D()(image).shape == (None, 4)


def test_set_weights_of_another_shape_writes_nothing():
    layer = layers.Dense(3, name="d")
    layer(np.zeros((1, 2)))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=r"d: 1 of 2 shapes do not fit: d/bias \(3,\) from \(4,\)"):
        layer.set_weights([np.ones((2, 3)), np.ones(4)])
    with pytest.raises(ValueError, match="d: set_weights takes 2 arrays, got 1"):
        layer.set_weights([np.ones((2, 3))])
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_count_by_class_and_given_ones_do_not():
    made = [
        layers.Conv2D(1, 1),
        layers.Conv2D(1, 1, name="stem"),
        layers.Conv2D(1, 1),
        layers.ReLU(),
        layers.MaxPool2D(),
    ]
    assert [layer.name for layer in made] == ["conv2d", "stem", "conv2d_1", "re_lu", "max_pooling2d"]
    clear_session()
    assert layers.Conv2D(1, 1).name == "conv2d"


def test_input_and_output_of_a_layer_are_clear_or_an_error():
    layer, x = layers.Dense(3, name="d"), Input((4,))
    with pytest.raises(AttributeError, match="d was called 0 times on symbols: `output` is not defined"):
        assert layer.output
    y = layer(x)
    assert layer.input is x and layer.output is y
    layer(Input((4,)))
    with pytest.raises(AttributeError, match="d was called 2 times"):
        assert layer.output


def test_numpy_integers_are_whole_numbers():
    layer = layers.Conv2D(np.int64(4), np.int64(3), strides=(np.int32(2), 1))
    assert (layer.filters, layer.kernel_size, layer.strides) == (4, (3, 3), (2, 1))
    assert all(type(n) is int for n in (layer.filters, *layer.kernel_size, *layer.strides))
    assert layers.Dense(np.int64(5)).units == 5
