"""Models that run: taps, random numbers by step, deep graphs, memory, inputs that do not fit."""

import copy
import gc
import tracemalloc

import numpy as np
import pytest

from minicnn import Input, Model, Sequential, Tensor, config, functions, layers, no_grad
from minicnn.layers import activations
from minicnn.layers.naming import clear_session, names_kept
from minicnn.model import plans, running
from tests.checks import assert_close


def chain(*made, shape=(6,)):
    """A model of layers one after the other."""
    x = inputs = Input(shape)
    for layer in made:
        x = layer(x)
    return Model(inputs, x)


@pytest.fixture
def data(rng):
    return rng.normal(size=(4, 6)).astype("float32")


# Taps -----------------------------------------------------------------------------------------------------------------


def test_a_tap_sees_every_layer_in_order(data):
    shared = layers.Dense(6, name="shared")
    x = Input((6,))
    model = Model(x, layers.Add(name="sum")([shared(x), shared(layers.ReLU(name="relu")(x))]))
    seen = {}
    y = model.run(data, tap=lambda node, y: seen.__setitem__((node.layer.name, node.call), y))
    assert set(seen) == {("shared", 0), ("shared", 1), ("relu", 0), ("sum", 0)}
    assert list(seen)[-1] == ("sum", 0) and seen["sum", 0] is y
    assert_close(y.data, seen["shared", 0].data + seen["shared", 1].data)


def test_a_tap_replaces_what_it_returns(data):
    model = chain(layers.Dense(5, name="a"), layers.Dense(3, name="b"))
    lesion = model.run(data, tap=lambda node, y: y * 0.0 if node.layer.name == "a" else None)
    assert_close(lesion.data, np.broadcast_to(model.get_layer("b").bias.data, (4, 3)))
    assert_close(model.run(data).data, model(data).data)


def test_gradients_pass_through_a_tap(data):
    model = chain(layers.Dense(5, name="a"), layers.Dense(3, name="b"))
    a = model.get_layer("a")
    model.run(data, tap=lambda node, y: y * 2.0 if node.layer is a else None).sum().backward()
    doubled, a.kernel.grad = a.kernel.grad, None
    model(data).sum().backward()
    assert_close(doubled, 2 * a.kernel.grad)


def test_probes_name_layers_and_calls(data):
    shared = layers.Dense(6, name="shared")
    model = chain(shared, layers.ReLU(name="between"), shared)
    edges = []
    model(data).sum().backward(probe=lambda edge, g: edges.append((edge.layer, edge.call)))
    assert {call for name, call in edges if name.endswith("shared")} == {0, 1}
    assert any(name.endswith("/between") for name, _ in edges)


# Random numbers -------------------------------------------------------------------------------------------------------


def dropouts():
    config.set_random_seed(5)
    return chain(layers.Dropout(0.5, name="a"), layers.Dropout(0.5, name="b"), shape=(400,))


ONES = np.ones((2, 400), "float32")


def masks(model):
    found = []
    model.run(ONES, training=True, tap=lambda node, y: found.append(y.data != 0))
    return found


def test_masks_differ_by_layer_step_and_pass_and_repeat_with_the_seed():
    model = dropouts()
    first, second = masks(model), masks(model)
    model.step += 1
    third = masks(model)
    assert (first[0] != first[1])[first[0]].any()
    assert (first[0] != second[0]).any() and (first[0] != third[0]).any() and (second[0] != third[0]).any()
    again = dropouts()
    np.testing.assert_array_equal(masks(again)[1], first[1])
    config.set_random_seed(6)
    again.step = 0
    assert (masks(again)[0] != first[0]).any()


def test_a_run_resumes_by_its_step():
    model, seen = dropouts(), []
    for _ in range(4):
        seen.append(masks(model)[1])
        model.step += 1
    for step in (2, 0, 3):
        model.step = step  # in the same model and in a new one
        resumed = dropouts()
        resumed.step = step
        for one in (model, resumed):
            np.testing.assert_array_equal(masks(one)[1], seen[step])


def test_inference_draws_nothing():
    model = dropouts()
    np.testing.assert_array_equal(model(ONES).data, ONES)
    first = masks(model)[0]
    model.step = 0
    model(ONES)
    np.testing.assert_array_equal(masks(model)[0], first)


def test_training_resumes_to_the_same_bits(data, tmp_path):
    labels = np.arange(4) % 3

    def start():
        config.set_random_seed(1)
        model = chain(layers.Dense(8, name="a"), layers.Dropout(0.5), layers.Dense(3, activation="softmax", name="b"))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    whole = start()
    for _ in range(4):
        whole.train_on_batch(data, labels)
    half = start()
    for _ in range(2):
        half.train_on_batch(data, labels)
    half.save_weights(tmp_path / "half.safetensors")
    rest = start()
    rest.load_weights(tmp_path / "half.safetensors")
    rest.step = half.step
    for _ in range(2):
        rest.train_on_batch(data, labels)
    assert rest.step == whole.step == 4
    for a, b in zip(rest.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_called_with_a_mode_keeps_it():
    x = Input((400,))
    model = Model(x, layers.Dropout(0.5)(x, training=True))
    assert (model(ONES).data == 0).any()
    model = Model(x, layers.Dropout(0.5)(x, training=False))
    np.testing.assert_array_equal(model(ONES, training=True).data, ONES)


# Depth and memory -----------------------------------------------------------------------------------------------------


def test_three_thousand_layers(data):
    x = inputs = Input((6,))
    for i in range(1000):
        x = layers.Add(name=f"add{i}")([x, layers.ReLU(name=f"relu{i}")(layers.Activation("tanh", name=f"tanh{i}")(x))])
    model = Model(inputs, x)
    assert len(model.layers) == 3001
    t = Tensor(data * 1e-3, requires_grad=True)
    y = model(t)
    y.sum().backward()
    assert t.grad.shape == data.shape
    nested = Model(i := Input((6,)), model(i))
    assert_close(nested(t).data, y.data)
    del y, model, nested
    gc.collect()


@pytest.mark.parametrize("record", [False, True])
def test_inference_frees_what_it_no_longer_needs(record):
    """The peak does not grow with depth, unless a tape keeps the way back."""
    x = np.ones((8, 10_000), "float32")
    peaks = []
    for depth in (5, 50):
        model = chain(*(layers.Activation("tanh") for _ in range(depth)), shape=(10_000,))
        t = Tensor(x, requires_grad=True)
        gc.collect()
        tracemalloc.start()
        if record:
            y = model(t)
        else:
            with no_grad():
                y = model(t)
        peaks.append(tracemalloc.get_traced_memory()[1] / x.nbytes)
        tracemalloc.stop()
        del y
    assert peaks[0] < 8
    assert peaks[1] > 40 if record else peaks[1] < peaks[0] + 1


def test_a_skip_is_kept_until_it_is_used(data):
    x = inputs = Input((6,))
    for _ in range(5):
        x = layers.Activation("tanh")(x)
    model = Model(inputs, layers.Add()([inputs, x]))
    expected = data.astype("float64")
    for _ in range(5):
        expected = np.tanh(expected)
    assert_close(model(data).data, data + expected, 1e-5)


# Inputs ---------------------------------------------------------------------------------------------------------------


def test_inputs_that_do_not_fit_are_named():
    model = chain(layers.Conv2D(3, 3), shape=(8, 9, 2))
    named = rf"^{model.name}: expected an input of shape \(None, 8, 9, 2\), got \(4, 8, 9, 3\)$"
    with pytest.raises(ValueError, match=named):
        model(np.zeros((4, 8, 9, 3)))
    with pytest.raises(ValueError, match=r"got \(8, 9, 2\)$"):
        model.run(np.zeros((8, 9, 2)))
    with pytest.raises(ValueError, match=r"expected 1 input\(s\), got 2"):
        model([np.zeros((4, 8, 9, 2))] * 2)
    with pytest.raises(ValueError, match=r"expected an input of shape \(None, 8, 9, 2\), got \(None, 8, 9, 3\)"):
        model(Input((8, 9, 3)))
    with pytest.raises(ValueError, match=r"expected 1 input\(s\), got 2"):
        model([Input((8, 9, 2)), Input((8, 9, 2))])
    with pytest.raises(TypeError, match="expected numbers, got an array of"):
        model(np.array(["a"]))


def test_unknown_sizes_take_any():
    model = chain(layers.Conv2D(3, 3), layers.GlobalMaxPooling2D(), shape=(None, None, 2))
    assert model(np.zeros((1, 8, 9, 2))).shape == model(np.zeros((1, 5, 30, 2))).shape == (1, 3)
    with pytest.raises(ValueError, match=r"conv2d.*: a kernel of 3x3 .* does not fit into an input of 2x9"):
        model(np.zeros((1, 2, 9, 2)))


def test_several_inputs_as_list_or_by_name(rng):
    a, b = Input((3,), name="a"), Input((2,), name="b")
    model = Model([a, b], layers.concatenate([b, a]))
    x, y = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")
    expected = np.concatenate([y, x], 1)
    for given in ([x, y], {"b": y, "a": x}):
        np.testing.assert_array_equal(model(given).data, expected)
        np.testing.assert_array_equal(model.run(given).data, expected)
        np.testing.assert_array_equal(model.predict(given, verbose=0), expected)
    with pytest.raises(ValueError, match=r"the inputs are 'a', 'b', got 'a', 'c'"):
        model({"a": x, "c": y})


def test_integers_become_the_models_type():
    model = chain(layers.Dense(3), shape=(6,))
    assert model(np.ones((2, 6), "uint8")).dtype == np.float32
    double = chain(layers.Dense(3, dtype="float64"), shape=(6,))
    assert double(np.ones((2, 6), "float32")).dtype == np.float64


def test_to_the_cpu(data):
    model = chain(layers.Dense(3), layers.BatchNormalization())
    before, versions = model(data).data, [w.version for w in model.weights]
    assert model.to("cpu") is model and model.backend.name == "cpu"
    np.testing.assert_array_equal(model(data).data, before)
    assert all(w.version > v for w, v in zip(model.weights, versions, strict=True))


def test_functions_and_operators_on_symbols(rng):
    x = Input((4, 3))
    y = functions.softmax((1.0 - x * 2.0) @ np.eye(3, dtype="float32"))
    model = Model(x, [y, x[:, 0], x.mean(1)])
    a = rng.normal(size=(2, 4, 3)).astype("float32")
    probabilities, first, mean = model(a)
    assert probabilities.logits is not None
    assert_close(probabilities.data, np.exp(1 - 2 * a) / np.exp(1 - 2 * a).sum(-1, keepdims=True))
    assert_close(first.data, a[:, 0])
    assert_close(mean.data, a.mean(1))
    assert [s.shape for s in model.outputs] == [(None, 4, 3), (None, 3), (None, 3)]
    assert [layer.name for layer in model.layers] == [x.name]


def test_a_sequential_as_a_layer(rng):
    tower = Sequential([layers.Dense(4), layers.ReLU()])
    a, b = Input((3,)), Input((3,))
    model = Model([a, b], layers.Multiply()([tower(a), tower(b)]))
    assert len(model.weights) == 2 and model.count_params() == 16
    x = rng.normal(size=(2, 3)).astype("float32")
    assert_close(model([x, x]).data, tower(x).data ** 2)


class Written(Model):
    """A model that is a program: layers as attributes, and a `call`."""

    def __init__(self):
        super().__init__(name="written")
        self.first, self.norm, self.last = layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)

    def call(self, x, training):
        return self.last(self.norm(self.first(x), training=training) * 2.0)


def test_a_model_with_a_call_of_its_own(rng):
    model, x = Written(), rng.normal(size=(32, 3))
    model.compile("adam", "mse")
    losses = model.fit(x, x.sum(axis=1, keepdims=True), epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] and len(model.trainable_weights) == 6 and len(model.get_weights()) == 8
    assert model.predict(x, verbose=0).shape == (32, 1) and [layer.name for layer in model.layers][1] == model.norm.name
    with pytest.raises(ValueError, match=r"^written: it is not built yet: only Model\(inputs, outputs\) has a graph"):
        model.summary()


def test_an_empty_chain_says_its_name_once():
    with pytest.raises(ValueError, match="^empty: it is not built yet: give its first layer an input_shape"):
        Sequential(name="empty")(np.ones((2, 3)))


def test_a_class_of_models_gives_them_its_name():
    class TwoLayers(Model):
        """Of one's own."""

    class Chain(Sequential):
        """Of one's own."""

    with names_kept():
        clear_session()
        names = [TwoLayers().name, TwoLayers().name, Chain().name, TwoLayers(name="mine").name]
    assert names == ["two_layers", "two_layers_1", "chain", "mine"]


# Plans ----------------------------------------------------------------------------------------------------------------


def test_a_plan_is_kept_until_a_layer_is_changed(data, monkeypatch):
    made = []
    grouped = running.grouped
    monkeypatch.setattr(running, "grouped", lambda *args: made.append(1) or grouped(*args))
    model = chain(layers.Dense(5), layers.BatchNormalization(), layers.ReLU(), layers.Dense(3, "relu"))

    def same_as_alone():
        for training in (False, True):
            planned = model(data, training=training, plan=True)
            assert_close(planned.data, model(data, training=training).data, 1e-6)
        return made.clear() if made else "kept"

    assert same_as_alone() is None and same_as_alone() == "kept"
    model.layers[-1].activation = activations.tanh
    assert same_as_alone() is None and same_as_alone() == "kept"
    model.layers[2].trainable = False
    assert same_as_alone() is None and same_as_alone() == "kept"
    model.layers[3].negative_slope = 0.5
    assert same_as_alone() is None and same_as_alone() == "kept"
    model.layers[1].note = "one attribute more"
    assert same_as_alone() is None and same_as_alone() == "kept"
    del model.layers[1].note
    assert same_as_alone() is None
    copied = copy.deepcopy(model)
    assert_close(copied(data, plan=True).data, model(data).data, 1e-6)
    assert made


def test_a_model_without_a_step_predicts(data):
    inputs = Input((6,))
    np.testing.assert_array_equal(Model(inputs, inputs).predict(data, verbose=0), data)


@pytest.mark.parametrize("training", [None, False])
def test_an_activation_that_is_a_layer_runs_as_within_its_layer(data, training):
    """It takes its key and its mode from there."""
    inputs = Input((6,))
    model = Model(inputs, layers.Dense(8, activation=layers.Dropout(0.5))(inputs, training=training))
    alone, planned = (model.call(Tensor(data), True, ("a key",), plan=plan).data for plan in (False, True))
    np.testing.assert_array_equal(planned, alone)
    assert (alone == 0).any() == (training is None)


def test_a_tensor_takes_the_type_of_the_model(data):
    model = chain(layers.Dense(5))
    assert model.predict_on_batch(Tensor(data.astype("float64"))).dtype == np.float32


def test_a_step_changes_no_layer(monkeypatch):
    """Else each step would compare all attributes of all layers."""
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    made = layers.Conv2D(4, 3, kernel_regularizer="l2"), layers.BatchNormalization(), layers.Activation("relu")
    model = chain(*made, layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.5), layers.Dense(2), shape=(8, 8, 3))
    model.compile("adam", "mse", metrics=["mae"])

    def steps():
        model.train_on_batch(images, np.ones((4, 2)))
        model.predict(images, verbose=0)

    steps()
    compared = []
    monkeypatch.setattr(plans, "attributes", compared.append)
    steps()
    assert not compared


def test_weights_are_found_anew_once_a_layer_has_more():
    model = chain(layers.Dense(5), layers.Dense(3, kernel_regularizer="l2"))
    first, second = model.layers[1:]
    assert [w.name.split("/")[1] for w in model.weights] == ["kernel", "bias"] * 2 and len(model.penalties) == 1
    model.weights.clear()
    assert len(model.weights) == 4
    extra = first.add_weight("extra", (2,), regularizer="l2")
    assert model.weights == [*first.weights, *second.weights] and extra in model.weights
    assert len(model.penalties) == 2
    first.trainable = False
    assert model.trainable_weights == second.weights


def test_a_chain_without_layers_has_no_weights():
    model = Sequential([layers.Dense(3, input_shape=(4,))])
    assert len(model.weights) == 2 and model.predict(np.ones((1, 4)), verbose=0).shape == (1, 3)
    model.pop()
    assert model.weights == []


@pytest.mark.parametrize("setting", ["direct", "winograd2", "winograd4", "highest"])
def test_another_algorithm_after_a_prediction_takes_a_kernel_of_its_own(setting, monkeypatch):
    """What was folded and prepared for one algorithm is no kernel for another."""
    model = chain(layers.Conv2D(32, 3), layers.BatchNormalization(), shape=(16, 16, 32))
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 32)).astype("float32")
    before = model.predict(x, verbose=0)
    monkeypatch.setattr(config.config, "precision" if setting == "highest" else "conv", setting)
    assert_close(model.predict(x, verbose=0), before, 1e-5)
