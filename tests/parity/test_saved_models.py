"""Models that we save to .keras files: Keras 3 opens them and predicts the same; our own load_model keeps every bit."""

import numpy as np
import pytest

from minicnn import zoo
from minicnn.layers import Add, Conv2D, Dense, Flatten, Input, Lambda, LocalResponseNormalization
from minicnn.model import Model, Sequential, load_model
from minicnn.training import SGD, Adam, RMSprop, losses, metrics, schedules
from tests.parity.pairs import PAIRS

FAMILIES = {  # one of each family; the others have no other layers
    "lenet5": ("notebook", (32, 28, 1)),
    "resnet20": ("B", (8, 12, 1)),
    "inception_v1": ("notebook", (32, 64, 3)),
}
LARGE = ("inception_v3", "inception_v4", "inception_resnet_v2", "resnext50", "resnet50", "resnet18", "preact110")
SLOW = [pair for pair in PAIRS if pair.slow and pair.network.startswith(LARGE) and pair.variant != "A"]


def random_weights(model, rng):
    """Kernels as they are drawn; biases and statistics in which nothing is 0 or 1."""
    model.set_weights([w if w.ndim > 1 else rng.uniform(0.5, 1.0, size=w.shape) for w in model.get_weights()])


def check(keras, tmp_path, model, rng):
    """Saves, opens on both sides, compares."""
    random_weights(model, rng)
    path = tmp_path / "model.keras"
    model.save(path)
    x = rng.normal(size=(2, *model.input_shape[1:])).astype(model.weights[0].dtype)
    theirs, again = keras.models.load_model(path), load_model(path)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    outputs = expected if isinstance(expected, list) else [expected]
    found = theirs(x)
    for ours, other in zip(outputs, found if isinstance(found, list) else [found], strict=True):
        np.testing.assert_allclose(other.numpy(), ours, atol=1e-6 * np.abs(ours).max())
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in model.layers]
    return theirs, again


@pytest.mark.parametrize("name", FAMILIES)
def test_networks(keras, tmp_path, rng, name):
    variant, shape = FAMILIES[name]
    check(keras, tmp_path, zoo.build(name, variant, input_shape=shape, classes=10), rng)


@pytest.mark.slow
@pytest.mark.parametrize("pair", SLOW, ids=str)
def test_larger_networks(keras, double, tmp_path, rng, pair):
    """In float64: a hundred layers of float32 round by more than the bound."""
    check(keras, tmp_path, pair.ours(), rng)


@pytest.mark.parametrize(("name", "variant", "shape"), [("resnet20", "A", (8, 12, 1)), ("lenet5", "1998", (32, 36, 1))])
def test_layers_that_keras_lacks(keras, tmp_path, rng, name, variant, shape):
    model = zoo.build(name, variant, input_shape=shape, classes=10)
    model.save(tmp_path / "a.keras")
    with pytest.raises(TypeError, match="Make sure custom classes"):
        keras.models.load_model(tmp_path / "a.keras")
    again = load_model(tmp_path / "a.keras")
    x = rng.normal(size=(2, *shape)).astype("float32")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_registered_class(keras, tmp_path, rng):
    import tensorflow as tf

    @keras.saving.register_keras_serializable(package="minicnn", name="LocalResponseNormalization")
    class LocalResponseNormalization_(keras.layers.Layer):
        def __init__(self, depth_radius, bias, alpha, beta, **common):
            super().__init__(**common)
            self.settings = (depth_radius, bias, alpha, beta)

        def call(self, x):
            return tf.nn.local_response_normalization(x, *self.settings)

    inputs = Input((5, 6, 8))
    model = Model(inputs, Dense(3)(Flatten()(LocalResponseNormalization(2, 2.0, 1e-4, 0.75)(inputs))))
    check(keras, tmp_path, model, rng)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: SGD(0.125, momentum=0.875, nesterov=True),
        lambda: Adam(0.125, amsgrad=True),
        lambda: RMSprop(0.125, momentum=0.875, centered=True),
        lambda: SGD(schedules.CosineDecay(0.125, 10), momentum=0.875, use_ema=True, gradient_accumulation_steps=2),
    ],
)
def test_training_goes_on_in_keras(keras, tmp_path, rng, optimizer):
    """The optimizer with its state, the loss and the metrics are in the file."""
    model = Sequential([Input((4,)), Dense(5, activation="tanh"), Dense(3, activation="softmax")])
    smooth = losses.CategoricalCrossentropy(label_smoothing=0.125)
    model.compile(optimizer(), smooth, ["accuracy", metrics.TopKCategoricalAccuracy(k=2)])
    x, y = rng.normal(size=(12, 4)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 12)]
    for _ in range(3):
        model.train_on_batch(x, y)
    model.save(tmp_path / "a.keras")
    theirs = keras.models.load_model(tmp_path / "a.keras")
    ours, others = model.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(others, ours, rtol=1e-5)
    again = load_model(tmp_path / "a.keras")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.evaluate(x, y, verbose=0) == ours
    for _ in range(2):
        for one in (model, theirs, again):
            one.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_what_is_refused(tmp_path):
    inputs = Input((4, 4, 1))
    model = Model(inputs, Lambda(lambda x: x * 2, name="twice")(inputs))
    with pytest.raises(ValueError, match=r"twice \(Lambda\): its function is a program, which no .keras file holds"):
        model.save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="the operation .* on symbols has no config"):
        Model(inputs, Add()([inputs, inputs * 2.0])).save(tmp_path / "a.keras")
    plain = Model(inputs, Conv2D(2, 3)(inputs))
    for name, hint in (("a.h5", "weights alone"), ("a", "models are saved to .keras files, got"), ("a.onnx", "got")):
        with pytest.raises(ValueError, match=hint):
            plain.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
    plain.save(tmp_path / "b.keras")
    with pytest.raises(FileExistsError, match="b.keras is there already"):
        plain.save(tmp_path / "b.keras", overwrite=False)


@pytest.mark.parametrize(
    "arguments",
    [
        {"optimizer": "sgd", "loss": lambda y, p: ((p - y) ** 2).mean(axis=-1)},
        {"optimizer": SGD(lambda step: 0.1), "loss": "mse"},
        {"optimizer": SGD(schedules.StepDecay(0.1, 5)), "loss": "mse"},
        {"optimizer": "sgd", "loss": "mse", "metrics": [lambda y, p: p]},
    ],
)
def test_programs_are_left_out_with_a_warning(tmp_path, arguments):
    model = Sequential([Input((4,)), Dense(2)])
    model.compile(**arguments)
    with pytest.warns(UserWarning, match="saved without what compile\\(\\) said: "):
        model.save(tmp_path / "a.keras")
    assert load_model(tmp_path / "a.keras").compiled is None
