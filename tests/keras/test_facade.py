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


TRAINING = """
import os
import tempfile
import numpy as np
from PACKAGE import keras
from PACKAGE.keras import callbacks, layers, losses, metrics, models, optimizers
from PACKAGE.keras.callbacks import CSVLogger, EarlyStopping, LearningRateScheduler, ModelCheckpoint, ReduceLROnPlateau
from PACKAGE.keras.optimizers.schedules import CosineDecay, PiecewiseConstantDecay
from PACKAGE.keras.utils import normalize, to_categorical

folder = tempfile.mkdtemp()
rng = np.random.default_rng(0)
numbers = np.arange(40) % 3
x = normalize(rng.normal(size=(40, 6)) + 3 * np.eye(3, 6)[numbers])
y = to_categorical(numbers, num_classes=3)

def network():
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(3, activation="softmax")(layers.Dense(8, activation="relu")(x)))

model = network()
model.compile(optimizer=optimizers.SGD(0.5, momentum=0.9, nesterov=True, clipnorm=1.0, use_ema=True, ema_momentum=0.5),
              loss=losses.CategoricalCrossentropy(label_smoothing=0.1),
              metrics=["accuracy", metrics.Precision(name="precision"), metrics.Recall(name="recall")])
history = model.fit(x, y, batch_size=8, epochs=6, verbose=0, validation_split=0.2,
                    class_weight={0: 1.0, 1: 2.0, 2: 1.0},
                    callbacks=[LearningRateScheduler(lambda epoch, rate: 0.5 if epoch < 3 else 0.05),
                               EarlyStopping(patience=10, restore_best_weights=True),
                               ModelCheckpoint(os.path.join(folder, "{epoch:02d}.keras"), save_best_only=True,
                                               monitor="accuracy", mode="max"),
                               CSVLogger(os.path.join(folder, "log.csv"))])
with open(os.path.join(folder, "log.csv")) as file:
    rows = file.read().splitlines()
files = sorted(name for name in os.listdir(folder) if name.endswith(".keras"))
again = models.load_model(os.path.join(folder, files[-1]))
for rule in (optimizers.RMSprop(0.01, momentum=0.9, centered=True),
             optimizers.AdamW(CosineDecay(0.01, 30), weight_decay=1e-4),
             optimizers.Adam(PiecewiseConstantDecay([5, 10], [0.01, 0.005, 0.001]), gradient_accumulation_steps=2)):
    other = network()
    other.compile(rule, "categorical_crossentropy", weighted_metrics=["accuracy"])
    last = other.fit(x, y, sample_weight=np.linspace(0, 1, 40), epochs=2, verbose=0, validation_freq=2,
                     validation_data=(x, y), steps_per_epoch=5, batch_size=8)
"""


def check_training(names):
    kinds = {"loss", "accuracy", "precision", "recall"}
    assert set(names["history"].history) == kinds | {f"val_{kind}" for kind in kinds} | {"learning_rate"}
    assert np.allclose(names["history"].history["learning_rate"], [0.5] * 3 + [0.05] * 3)
    assert names["rows"][0].startswith("epoch,accuracy,")
    assert len(names["rows"]) == 7
    assert names["files"][0] == "01.keras"
    assert names["again"].predict(names["x"], verbose=0).shape == (40, 3)
    assert set(names["last"].history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert len(names["last"].history["val_loss"]) == 1


def training(package):
    names = {}
    exec(TRAINING.replace("PACKAGE", package), names)  # noqa: S102  (the text above)
    return names


def test_training_on_ours():
    check_training(training("minicnn"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of TensorFlow, with NumPy 2
def test_training_on_keras():
    pytest.importorskip("tensorflow", reason="TensorFlow, the oracle, is not installed")
    check_training(training("tensorflow"))
