"""Files that Keras 3 writes now, read by us; and ours, read by Keras."""

import json

import numpy as np
import pytest

from minicnn import layers, zoo
from minicnn.layers.initializers import placeholders
from minicnn.model import Model, load_model
from minicnn.model.config import layer_config
from tests.checks import assert_close

pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")


def residual(lib, scaled):
    """A small Inception-ResNet with given and automatic names, a nested model, two outputs; lib: whose layers."""
    inputs = lib.Input((7, 6, 3))
    x = lib.BatchNormalization(scale=False)(lib.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(inputs))
    x = lib.Activation("relu")(x)
    for i in range(3):
        a = lib.Conv2D(4, 1, name=f"block{i}_a")(x)
        b = lib.Conv2D(4, 3, padding="same")(lib.Conv2D(4, 1)(x))
        r = lib.Conv2D(4, 1)(lib.Concatenate()([a, b]))
        x = scaled(0.1 * (i + 1), name=f"scale{i}")([x, r])
    x = lib.ZeroPadding2D(1)(lib.AveragePooling2D(2, padding="same")(x))
    y = lib.GlobalAveragePooling2D()(x)
    return inputs, [lib.Dense(5, activation="softmax")(y), lib.Dense(2)(lib.Flatten()(x))]


def theirs(keras):
    """The model in Keras, with random weights."""
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    inputs, outputs = residual(keras.layers, CustomScaleLayer)
    inner = keras.Model(inputs, outputs[0])
    frame = keras.layers.Input((7, 6, 3))
    model = keras.Model(frame, [inner(frame), keras.layers.Dense(2, name="last")(keras.layers.Flatten()(frame))])
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


def ours():
    """The same in our words."""
    inputs, outputs = residual(layers, layers.ScaledAdd)
    inner = Model(inputs, outputs[0])
    frame = layers.Input((7, 6, 3))
    return Model(frame, [inner(frame), layers.Dense(2, name="last")(layers.Flatten()(frame))])


def check_same(mine, other, rng):
    """The same outputs for the same images."""
    x = rng.normal(size=(2, 7, 6, 3)).astype(np.float32)
    for a, b in zip(mine.predict(x, verbose=0), other.predict(x, verbose=0), strict=True):
        assert_close(a, b)


def save(model, path):
    """Saves a model of Keras, whole or its weights."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras would rather not write .h5
        model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_of_keras(keras, rng, tmp_path, suffix):
    model = theirs(keras)
    save(model, tmp_path / f"a{suffix}")
    check_same(load_model(tmp_path / f"a{suffix}"), model, rng)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("before", [0, 2], ids=["fresh", "built before"])
def test_weights_of_keras(keras, rng, tmp_path, suffix, before):
    for _ in range(before):
        theirs(keras)
    model = theirs(keras)
    save(model, tmp_path / f"a{suffix}")
    mine = ours()
    mine.load_weights(tmp_path / f"a{suffix}")
    check_same(mine, model, rng)


def test_optimizer_state_is_left_aside(keras, rng, tmp_path):
    model = theirs(keras)
    model.compile("adam", ["mse", "mse"])
    model.fit(rng.normal(size=(2, 7, 6, 3)), [np.ones((2, 5)), np.ones((2, 2))], verbose=0)
    for suffix in (".keras", ".h5"):
        save(model, tmp_path / f"a{suffix}")
        check_same(load_model(tmp_path / f"a{suffix}"), model, rng)


def test_keras_reads_our_weights(keras, rng, tmp_path):
    mine, model = ours(), theirs(keras)
    mine.save_weights(tmp_path / "a.weights.h5")
    model.load_weights(tmp_path / "a.weights.h5")
    check_same(mine, model, rng)


def test_keras_reads_our_config(keras, rng):
    inputs = layers.Input((7, 6, 3))
    x = layers.DepthwiseConv2D(2, depthwise_regularizer="l2")(
        layers.Conv2D(4, 3, kernel_initializer="he_normal")(inputs)
    )
    x = layers.Add()([layers.SeparableConv2D(4, 1)(x), layers.Dropout(0.5, seed=1)(x)])
    x = layers.MaxPooling2D()(layers.ReLU(max_value=6.0)(layers.BatchNormalization()(x)))
    mine = Model(inputs, [layers.Dense(2, activation="tanh")(layers.Flatten()(x)), layers.GlobalMaxPooling2D()(x)])
    model = keras.models.model_from_json(json.dumps(layer_config(mine)))
    model.set_weights(mine.get_weights())
    assert [layer.name for layer in model.layers] == [layer.name for layer in mine.layers]
    check_same(mine, model, rng)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "application", "size"),
    [
        ("resnet50", "ResNet50", 64),
        ("inception_v3", "InceptionV3", 96),
        ("inception_resnet_v2", "InceptionResNetV2", 96),
    ],
)
def test_networks_of_keras(keras, rng, tmp_path, name, application, size):
    """Whole networks: weights into the zoo's, and models from their configs."""
    model = getattr(keras.applications, application)(weights=None, input_shape=(size, size, 3), classes=7)
    # every layer another, and the numbers stay small: kernels as they are, vectors (also variances) from 0.9 to 1
    model.set_weights([w if w.ndim > 1 else rng.uniform(0.9, 1, w.shape) for w in model.get_weights()])
    x = rng.normal(size=(1, size, size, 3)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    for suffix in (".weights.h5", ".h5", ".keras"):
        save(model, tmp_path / f"a{suffix}")
        with placeholders():
            mine = zoo.build(name, input_shape=(size, size, 3), classes=7)
        mine.load_weights(tmp_path / f"a{suffix}")
        assert_close(mine.predict(x, verbose=0), expected, 1e-4)
    assert_close(load_model(tmp_path / "a.keras").predict(x, verbose=0), expected, 1e-4)
