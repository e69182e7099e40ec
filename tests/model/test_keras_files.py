"""Models and weights from files of Keras 2 and 3, without either: tools/make_fixtures.py wrote them."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minicnn import functions, layers
from minicnn.data.images import prepare
from minicnn.formats import FormatError
from minicnn.layers.naming import clear_session
from minicnn.model import Model, Sequential, load_model, model_from_config
from minicnn.model.config import layer_config
from tests.checks import assert_close

pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")

FILES = Path(__file__).parents[1] / "formats" / "files"
VERSIONS = ["keras2", "keras3"]


def answers(version):
    """What Keras answered: x, y, answer, second, chain, scaled."""
    with np.load(FILES / f"{version}.npz") as found:
        return dict(found)


def functional():
    """tools/make_fixtures.py's functional model, in our words."""
    first, second = layers.Input((6, 6, 2), name="first"), layers.Input((6, 6, 2))
    shared = layers.Conv2D(3, 3, padding="same", activation="relu")
    inner = Sequential([layers.Input((6, 6, 3)), layers.Conv2D(3, 1, name="one"), layers.BatchNormalization()])
    a, b = shared(first), shared(second)
    x = layers.Concatenate()([layers.Add()([inner(a), b]), a])
    x = layers.SeparableConv2D(4, 3)(layers.DepthwiseConv2D(2, name="each")(x))
    x = layers.Flatten()(layers.MaxPooling2D()(layers.Dropout(0.5)(layers.ReLU(max_value=6.0)(x))))
    outputs = [layers.Dense(3, activation="softmax", name="answer")(x), layers.Dense(2, kernel_regularizer="l2")(x)]
    return Model([first, second], outputs)


def check_answers(model, version):
    """The model gives what Keras gave."""
    known = answers(version)
    found = model.predict([known["x"], known["y"]], verbose=0)
    assert_close(found[0], known["answer"])
    assert_close(found[1], known["second"])


# Whole models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_functional_model(version, suffix):
    model = load_model(FILES / f"{version}{suffix}")
    check_answers(model, version)
    assert [layer.name for layer in model.layers][:4] == [
        "first",
        "conv2d",
        {"keras2": "input_1", "keras3": "input_layer"}[version],
        "sequential",
    ]
    assert len(model.get_layer("conv2d").calls) == 2
    dropout = model.get_layer("dropout").calls[0]
    assert dropout.training is None  # Keras 3 writes training=False there, and drops all the same


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sequential_model(version):
    model = load_model(FILES / f"{version}_chain.h5")
    assert isinstance(model, Sequential)
    assert_close(model.predict(answers(version)["x"], verbose=0), answers(version)["chain"])


@pytest.mark.parametrize("key", ["scaled", "Lambda"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_lambda_is_given_by_the_user(version, key):
    model = load_model(FILES / f"{version}_lambda.h5", custom_objects={key: lambda xs, scale: xs[0] + xs[1] * scale})
    assert_close(model.predict(answers(version)["x"], verbose=0), answers(version)["scaled"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lambda_in_a_file_never_runs(version):
    with pytest.raises(
        ValueError, match=r"scaled: .*code in a file is never run; .*custom_objects=\{'scaled': function\}"
    ):
        load_model(FILES / f"{version}_lambda.h5")


def test_a_loaded_model_trains(rng):
    model = load_model(FILES / "keras3.keras")
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    before = model.get_weights()
    x, y = answers("keras3")["x"], answers("keras3")["y"]
    model.train_on_batch([x, y], [np.array([0, 1, 2]), np.ones((3, 2))])
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("path", ["keras2.weights.h5", "keras3.weights.h5"])
def test_weights_are_no_model(path):
    with pytest.raises(FormatError, match="holds weights and no model: build the model, then model.load_weights"):
        load_model(FILES / path)


def test_a_path_that_is_no_model():
    with pytest.raises(ValueError, match=r"from .keras or .h5 files, got 'a.safetensors'"):
        load_model("a.safetensors")


# Weights into a model of ours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("built_before", [0, 1])
def test_weights_find_their_layers(version, suffix, built_before):
    """Automatic names depend on what was built before; given ones do not."""
    clear_session()
    for _ in range(built_before):
        functional()
    model = functional()
    model.load_weights(FILES / f"{version}{suffix}")
    check_answers(model, version)


def test_automatic_names_go_by_number_and_given_ones_by_name(tmp_path, rng):
    """Layers of equal shapes, the given names in another order: what goes by place alone would swap them."""

    def build(order):
        made = {}
        for name in order:
            made[name] = layers.Dense(4, name=name if name in "ab" else None)
        return Sequential([layers.Input((4,)), *(made[name] for name in ("1", "a", "2", "b"))])

    ours, theirs = build(["1", "2", "a", "b"]), build(["b", "1", "a", "2"])
    theirs.set_weights([rng.normal(size=w.shape) for w in theirs.weights])
    theirs.save_weights(tmp_path / "a.weights.h5")
    ours.load_weights(tmp_path / "a.weights.h5")
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_what_does_not_fit_is_listed_and_nothing_is_loaded():
    first, second = layers.Input((6, 6, 2)), layers.Input((6, 6, 2))
    shared = layers.Conv2D(3, 3, padding="same", use_bias=False)
    x = layers.Concatenate()([shared(first), shared(second)])
    x = layers.BatchNormalization(name="extra")(layers.DepthwiseConv2D(3, name="each")(x))
    model = Model([first, second], x)
    before = model.get_weights()
    with pytest.raises(ValueError, match="holds weights of another model") as caught:
        model.load_weights(FILES / "keras3.h5")
    message = str(caught.value)
    assert "nothing was loaded" in message
    assert "4 missing: extra/gamma, extra/beta, extra/moving_mean, extra/moving_variance" in message
    assert "unexpected: conv2d" in message
    assert "of another shape: each/kernel (3, 3, 6, 1) from (2, 2, 6, 1)" in message
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_kernel_is_no_bias(tmp_path):
    """Where both sides name a weight, equal shapes are not enough."""
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"bn"])
        names = ["bn/beta:0", "bn/gamma:0", "bn/moving_mean:0", "bn/moving_variance:0"]
        file.create_group("bn").attrs["weight_names"] = np.array(names, dtype="S")
        for i, name in enumerate(names):
            file["bn"][name] = np.full(3, i, np.float32)
    model = Sequential([layers.Input((3,)), layers.BatchNormalization(name="bn")])
    with pytest.raises(ValueError, match="2 of another shape: bn/gamma from beta, bn/beta from gamma"):
        model.load_weights(tmp_path / "a.h5")


@pytest.mark.parametrize("suffix", [".safetensors", ".weights.h5"])
def test_round_trip(tmp_path, suffix):
    clear_session()
    model = load_model(FILES / "keras3.keras")
    model.save_weights(tmp_path / f"a{suffix}")
    other = functional()
    other.load_weights(tmp_path / f"a{suffix}")
    check_answers(other, "keras3")


def test_layers_inside_of_a_layer_have_no_place_in_a_keras_file(tmp_path):
    class Pair(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(2)

        def call(self, x):
            return self.inner(x)

    model = Sequential([layers.Input((2,)), Pair()])
    with pytest.raises(ValueError, match="no place for layers inside of a layer; use .safetensors"):
        model.save_weights(tmp_path / "a.weights.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.keras", "weights"])
def test_suffixes_that_are_not_written(tmp_path, name):
    with pytest.raises(ValueError, match="written to .safetensors or .weights.h5 files, got"):
        load_model(FILES / "keras3_chain.h5").save_weights(tmp_path / name)


def test_suffixes_that_are_not_read():
    with pytest.raises(ValueError, match="read from .safetensors, .weights.h5, .h5 or .keras files, got 'a.npz'"):
        load_model(FILES / "keras3_chain.h5").load_weights("a.npz")


# Configs -------------------------------------------------------------------------------------------------------------


def test_a_config_makes_the_model_again():
    model = load_model(FILES / "keras2.keras")
    copy = model_from_config(json.loads(json.dumps(model.get_config())))
    copy.set_weights(model.get_weights())
    check_answers(copy, "keras2")
    assert layer_config(copy) == layer_config(model)
    assert Model.from_config(model.get_config()).name == model.name


def test_training_that_we_fixed_stays_fixed():
    x = layers.Input((3,))
    model = Model(x, layers.Dropout(0.5)(x, training=True))
    copy = model_from_config(model.get_config())
    assert copy.layers[1].calls[0].training is True


def test_a_model_that_begins_inside_another():
    whole = functional()
    part = Model(whole.get_layer(index=-3).output, whole.outputs)
    copy = model_from_config(part.get_config())
    assert [tuple(w.shape) for w in copy.weights] == [tuple(w.shape) for w in part.weights]


def test_every_layer_of_the_vocabulary():
    x = inputs = layers.Input((8, 8, 2))
    x = layers.ZeroPadding2D(((1, 0), (0, 1)))(layers.Cropping2D(1)(x))
    x = layers.LocalResponseNormalization(2)(layers.Subsampling2D()(layers.Conv2D(4, 2, groups=2, name="c")(x)))
    x = layers.ScaledAdd(0.5)([x, layers.Scale()(layers.Softmax()(x))])
    x = layers.AveragePooling2D(1)(layers.Multiply()([x, layers.Activation("tanh")(x)]))
    x = layers.Reshape((-1, 3, 6))(layers.PadShortcut(6, 1)(x))
    model = Model(inputs, [layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D(keepdims=True)(x)])
    copy = model_from_config(json.loads(json.dumps(model.get_config())))
    assert [type(layer) for layer in copy.layers] == [type(layer) for layer in model.layers]
    assert layer_config(copy) == layer_config(model)


def edited(path, change):
    """keras3.keras with another config: change(layers by name, config)."""
    with zipfile.ZipFile(FILES / "keras3.keras") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    config = json.loads(members["config.json"])
    change({entry["name"]: entry for entry in config["config"]["layers"]}, config)
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, json.dumps(config) if member == "config.json" else content)
    return path


def setting(layer, **values):
    """Changes arguments of a layer."""
    return lambda entries, _: entries[layer]["config"].update(values)


def entry(layer, **values):
    """Changes a layer's entry."""
    return lambda entries, _: entries[layer].update(values)


REFUSED = {
    "dropout: unknown layer class 'GaussianNoise'": entry("dropout", class_name="GaussianNoise", module="keras.layers"),
    r"conv2d: unknown layer class 'Conv2D' of somebodys.code; .* custom_objects=\{'Conv2D'": entry(
        "conv2d", module="somebodys.code"
    ),
    "add: the operation Add on symbols is not supported": entry("add", module="keras.src.ops.numpy"),
    "a model of the class 'Thing' cannot be rebuilt": lambda _, config: config.update(class_name="Thing"),
    "conv2d: data_format must be 'channels_last'": setting("conv2d", data_format="channels_first"),
    r"conv2d: unknown activation 'mish'.*custom_objects=\{'mish'": setting("conv2d", activation="mish"),
    r"conv2d \(Conv2D\): kernel_constraint=.*MaxNorm.* is not supported": setting(
        "conv2d", kernel_constraint={"class_name": "MaxNorm", "config": {}}
    ),
    r"answer \(Dense\): activity_regularizer=.* is not supported": setting("answer", activity_regularizer="l2"),
    r"dropout \(Dropout\): noise_shape=\[1, 6\] is not supported": setting("dropout", noise_shape=[1, 6]),
    r"re_lu \(ReLU\): threshold=0.5 is not supported": setting("re_lu", threshold=0.5),
    "conv2d: dtype 'mixed_float16' is not supported": setting("conv2d", dtype={"config": {"name": "mixed_float16"}}),
    "unknown initializer 'Clever'": setting("conv2d", kernel_initializer={"class_name": "Clever", "config": {}}),
    "unknown regularizer 'Clever'": setting("conv2d", kernel_regularizer={"class_name": "Clever", "config": {}}),
    "flatten: the argument mask=7 of its call is not supported": lambda entries, _: entries["flatten"]["inbound_nodes"][
        0
    ]["kwargs"].update(mask=7),
    "the graph is broken: nothing gives the inputs of": entry("flatten", inbound_nodes=[]),
    "two layers of the model have the same name": lambda entries, _: (
        entries["flatten"].update(name="add"),
        entries["flatten"]["config"].update(name="add"),
    ),
    "a dictionary of inputs or outputs": lambda _, config: config["config"].update(
        output_layers={"a": ["answer", 0, 0]}
    ),
    "its config is damaged": entry("flatten", config=7),
    # 2^40 units: found before any memory is taken
    "of another shape: answer/kernel .*1099511627776": setting("answer", units=1 << 40),
}


@pytest.mark.parametrize("message", REFUSED)
def test_configs_that_are_refused(tmp_path, message):
    with pytest.raises(ValueError, match=message):
        load_model(edited(tmp_path / "a.keras", REFUSED[message]))


def test_functions_and_classes_of_the_user(tmp_path):
    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    def change(entries, _):
        entries["conv2d"]["config"]["activation"] = "mish"
        entries["re_lu"].update(class_name="Twice", module="somebodys.code", registered_name="somebodys>Twice")
        entries["re_lu"]["config"] = {"name": "re_lu", "trainable": True, "dtype": "float32"}

    path = edited(tmp_path / "a.keras", change)
    with pytest.raises(ValueError, match="unknown activation 'mish'"):
        load_model(path, custom_objects={"Twice": Twice})
    with pytest.raises(ValueError, match="re_lu: unknown layer class 'Twice' of somebodys.code"):
        load_model(path, custom_objects={"mish": functions.tanh})
    model = load_model(path, custom_objects={"Twice": Twice, "mish": functions.tanh})
    assert model.get_layer("conv2d").activation is functions.tanh
    assert type(model.get_layer("re_lu")) is Twice


def test_keras_scaled_sum_is_ours():
    config = {"name": "block", "trainable": True, "dtype": "float32", "scale": 0.17}
    model = model_from_config(
        {
            "name": "m",
            "input_layers": [["a", 0, 0]],
            "output_layers": [["block", 0, 0]],
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {"batch_input_shape": [None, 3], "name": "a"},
                    "inbound_nodes": [],
                },
                {
                    "class_name": "CustomScaleLayer",
                    "module": "keras.src.applications.inception_resnet_v2",
                    "config": config,
                    "name": "block",
                    "inbound_nodes": [[["a", 0, 0, {}], ["a", 0, 0, {}]]],
                },
            ],
        }
    )
    assert isinstance(model.get_layer("block"), layers.ScaledAdd)
    assert_close(model(np.ones((2, 3), np.float32)).data, np.full((2, 3), 1.17, np.float32))


def test_a_slash_in_a_name_becomes_an_underscore():
    """Keras 2 allowed it (DenseNet's conv1/bn), Keras 3 writes conv1_bn."""
    entries = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": "a"}, "inbound_nodes": []},
        {"class_name": "Dense", "config": {"name": "b/c", "units": 2}, "inbound_nodes": [[["a", 0, 0, {}]]]},
        {"class_name": "ReLU", "config": {"name": "d/e"}, "inbound_nodes": [[["b/c", 0, 0, {}]]]},
    ]
    ends = {"input_layers": [["a", 0, 0]], "output_layers": [["d/e", 0, 0]]}
    model = model_from_config({"name": "m", "layers": entries, **ends})
    assert [layer.name for layer in model.layers] == ["a", "b_c", "d_e"]


def test_the_first_sequentials_were_lists():
    model = model_from_config(
        {
            "class_name": "Sequential",
            "config": [
                {
                    "class_name": "Dense",
                    "config": {"name": "a", "units": 2, "batch_input_shape": [None, 3], "trainable": True},
                },
            ],
        }
    )
    assert model.input_shape == (None, 3)


# Three LeNets that Keras 2.0.8 wrote ---------------------------------------------------------------------------------


def lenet(number):
    """Model1-3 of DeepXplore: LeNet-1, -4 and -5 with `same` convolutions."""
    filters, dense = {1: ((4, 12), ()), 2: ((6, 16), (84,)), 3: ((6, 16), (120, 84))}[number]
    x = inputs = layers.Input((28, 28, 1))
    for block, count in enumerate(filters, 1):
        x = layers.Conv2D(count, 5, padding="same", activation="relu", name=f"block{block}_conv1")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool1")(x)
    x = layers.Flatten(name="flatten")(x)
    for i, units in enumerate(dense, 1):
        x = layers.Dense(units, activation="relu", name=f"fc{i}")(x)
    x = layers.Dense(10, name="before_softmax")(x)
    return Model(inputs, layers.Activation("softmax", name="predictions")(x))


@pytest.fixture(scope="module")
def mnist():
    """MINICNN_DATA and the first 1,000 test images of MNIST (28, 28, 1), from 0 to 1."""
    import gzip

    folder = Path(os.environ.get("MINICNN_DATA", "none"))
    images = folder / "mnist" / "t10k-images-idx3-ubyte.gz"
    if not (folder / "pretrained").is_dir() or not images.is_file():
        pytest.skip("MINICNN_DATA names no folder with pretrained/ and mnist/")
    with gzip.open(images) as file:
        pixels = np.frombuffer(file.read(16 + 1000 * 784), np.uint8, offset=16).reshape(1000, 28, 28, 1)
    return folder / "pretrained", prepare(pixels, (28, 28, 1), 255)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_pretrained_lenets(mnist, number):
    folder, images = mnist
    model = lenet(number)
    model.load_weights(folder / f"deepxplore_Model{number}.h5")
    expected = np.load(folder / f"deepxplore_Model{number}.softmax.npy")
    assert_close(model.predict(images, verbose=0), expected.astype(np.float32))


def test_an_error_in_somebodys_own_function_is_not_called_damage_alone():
    inputs = layers.Input((3,))
    config = Model(inputs, layers.Lambda(lambda x: x * 2, name="double")(inputs)).get_config()

    def double(x):
        raise TypeError("my own mistake")

    with pytest.raises(ValueError, match=r"custom_objects \(double\).*my own mistake"):
        model_from_config(config, custom_objects={"double": double})
