"""A notebook that uses this vocabulary is ported by changing its imports: the same text runs on Keras and on ours."""

import numpy as np
import pytest

NOTEBOOK = """
import numpy as np
from PACKAGE.keras import backend as K
from PACKAGE.keras import initializers, layers, losses, metrics, optimizers, regularizers
from PACKAGE.keras.layers import Activation, BatchNormalization, Concatenate, Conv2D, Dense, Input, Lambda
from PACKAGE.keras.models import Model, Sequential, load_model
from PACKAGE.keras.utils import set_random_seed

set_random_seed(1)
K.clear_session()
bn_axis = 1 if K.image_data_format() == "channels_first" else 3

def conv_bn(x, filters, size, activation="relu", name=None):
    x = Conv2D(filters, size, padding="same", use_bias=False, name=name and name + "_conv",
               kernel_regularizer=regularizers.l2(1e-4), kernel_initializer=initializers.he_normal(seed=3))(x)
    x = BatchNormalization(axis=bn_axis, scale=False, name=name and name + "_bn")(x)
    return Activation(activation, name=name and name + "_act")(x) if activation else x

def block(x, scale):
    mixed = Concatenate(axis=3)([conv_bn(x, 3, 1), conv_bn(conv_bn(x, 2, 1), 4, [1, 3])])
    up = conv_bn(mixed, K.int_shape(x)[3], 1, activation=None)
    x = Lambda(lambda inputs, scale: inputs[0] + inputs[1] * scale, output_shape=K.int_shape(x)[1:],
               arguments={"scale": scale})([x, up])
    return layers.Activation("relu")(x)

inputs = Input(shape=(8, 8, 2))
assert K.is_keras_tensor(inputs)
x = conv_bn(inputs, 6, (3, 3), name="stem")
x = block(x, 0.1)
x = layers.add([x, layers.MaxPool2D(1)(x)])
x = layers.GlobalAvgPool2D()(x * 2.0)
model = Model(inputs, Dense(3, activation="softmax", name="predictions")(x), name="small")
model.compile(optimizer=optimizers.Adam(learning_rate=1e-3), loss=losses.sparse_categorical_crossentropy,
              metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(k=2)])
images = np.random.default_rng(0).normal(size=(10, 8, 8, 2)).astype(K.floatx())
labels = np.arange(10) % 3
history = model.fit(images, labels, batch_size=5, epochs=2, validation_data=(images, labels), verbose=0)
features = Model(model.input, model.get_layer("stem_act").output).predict(images, verbose=0)
chain = Sequential([Input((4,)), Dense(2, name="d")])
"""


def run(package):
    names = {}
    exec(NOTEBOOK.replace("PACKAGE", package), names)  # noqa: S102  (the text above)
    return names


def check(names):
    assert names["model"].count_params() == 288
    assert [layer.name for layer in names["model"].layers] == LAYERS
    assert set(names["history"].history) == {
        name + end for name in ("", "val_") for end in ("loss", "accuracy", "sparse_top_k_categorical_accuracy")
    }
    assert names["features"].shape == (10, 8, 8, 6)
    assert [w.shape for w in names["chain"].get_weights()] == [(4, 2), (2,)]
    assert np.isfinite(names["history"].history["loss"]).all()


LAYERS = [
    "input_layer", "stem_conv", "stem_bn", "stem_act", "conv2d_1", "batch_normalization_1", "activation_1", "conv2d",
    "conv2d_2", "batch_normalization", "batch_normalization_2", "activation", "activation_2", "concatenate", "conv2d_3",
    "batch_normalization_3", "lambda", "activation_3", "max_pooling2d", "add", "global_average_pooling2d",
    "predictions",
]  # fmt: skip


def test_notebook_on_ours():
    check(run("minicnn"))


def test_notebook_on_keras():
    pytest.importorskip("tensorflow", reason="TensorFlow, the oracle, is not installed")
    check(run("tensorflow"))


def test_facade_has_the_names_of_keras():
    """Keras's own package lacks some names that `from tensorflow import keras` has, and the other way round."""
    names = ("keras", "tensorflow.keras")
    homes = [pytest.importorskip(name, reason=f"{name}, the oracle, is not installed") for name in names]
    from minicnn import keras as ours

    own = {"LocalResponseNormalization", "Node", "PadShortcut", "Scale", "ScaledAdd", "Subsampling2D", "Symbol"}
    for module in ours.__all__:
        for name in getattr(getattr(ours, module), "__all__", []):
            known = any(hasattr(getattr(home, module), name) for home in homes)
            assert known or name in own, f"keras.{module} has no {name}"
