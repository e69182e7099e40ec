"""Layouts of Keras's files that no Keras at hand writes any more, made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from minicnn.formats import FormatError

h5py = pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")
from minicnn.formats import keras_files, keras_writing  # noqa: E402
from minicnn.formats.keras_files import Stored  # noqa: E402

FILES = Path(__file__).parent / "files"


def legacy(path, layers, kind="S", root="", **attributes):
    """A legacy file. layers: {name: {weight name: array}}; kind: strings of fixed length (S) or references (O)."""

    def names(group, attribute, values):
        group.attrs[attribute] = np.array(values, dtype="S") if kind == "S" else values

    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        group = file.require_group(root) if root else file
        names(group, "layer_names", list(layers))
        for name, weights in layers.items():
            inner = group.create_group(name)
            names(inner, "weight_names", list(weights))
            for weight, array in weights.items():
                inner[weight] = array


def tree(layers):
    """{name: {weight: array}} of what was read."""
    return {s.name: dict(s.weights) or tree(s.layers) for s in layers}


CONV = {"conv2d_1/kernel:0": np.ones((1, 1, 2, 3), np.float32), "conv2d_1/bias:0": np.arange(3, dtype=np.float32)}
BN = {
    f"bn/{name}:0": np.full(3, i, np.float32)
    for i, name in enumerate(["gamma", "beta", "moving_mean", "moving_variance"])
}


@pytest.mark.parametrize("root", ["", "model_weights"])
@pytest.mark.parametrize("kind", ["S", "O"])
def test_names_as_bytes_or_strings_at_the_root_or_in_a_model(tmp_path, kind, root):
    legacy(tmp_path / "a.h5", {"conv2d_1": CONV, "flatten": {}, "bn": BN}, kind, root, keras_version="2.0.8")
    file = keras_files.read(tmp_path / "a.h5")
    found = tree(file.layers)
    assert list(found["bn"]) == ["gamma", "beta", "moving_mean", "moving_variance"]
    np.testing.assert_array_equal(found["conv2d_1"]["bias"], [0, 1, 2])
    assert file.metadata["keras_version"] == "2.0.8"
    assert file.config is None


def test_names_too_long_for_one_attribute(tmp_path):
    legacy(tmp_path / "a.h5", {"bn": BN})
    with h5py.File(tmp_path / "a.h5", "a") as file:
        names = file["bn"].attrs["weight_names"]
        del file["bn"].attrs["weight_names"], file.attrs["layer_names"]
        file.attrs["layer_names0"] = np.array([b"bn"])
        file["bn"].attrs["weight_names0"], file["bn"].attrs["weight_names1"] = names[:3], names[3:]
    weights = tree(keras_files.read(tmp_path / "a.h5").layers)["bn"]
    assert [float(a[0]) for a in weights.values()] == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [3, 300])
def test_the_newer_form_of_headers(tmp_path, count):
    """Keras writes the oldest form; a file that somebody packed anew may have the newest."""
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = ["dense"]
        names = [f"dense/weight{i}:0" for i in range(count)]
        layer = file.create_group("dense", track_order=True)
        layer.attrs["first"] = 1
        layer.attrs["weight_names"] = names
        for i, name in enumerate(names):
            layer[name] = np.full(1, i, np.float32)
    (layer,) = keras_files.read(tmp_path / "a.h5").layers
    assert [(name, float(a[0])) for name, a in layer.weights] == [(f"weight{i}", i) for i in range(count)]
    with h5py.File(tmp_path / "a.h5", "a", libver="latest") as file:
        for i in range(20):
            file["dense"].attrs[f"more{i}"] = i
    with pytest.raises(FormatError, match="the attribute 'weight_names' is kept in a way that is not read"):
        keras_files.read(tmp_path / "a.h5")


def test_attributes_behind_many_others(tmp_path):
    """The header of an object goes on in other blocks."""
    legacy(tmp_path / "a.h5", {"conv2d_1": CONV})
    with h5py.File(tmp_path / "a.h5", "a") as file:
        for i in range(50):
            file["conv2d_1"].attrs[f"more{i}"] = "text" * i
        file["conv2d_1"].attrs["weight_names"] = list(CONV)
    (layer,) = keras_files.read(tmp_path / "a.h5").layers
    assert [name for name, _ in layer.weights] == ["kernel", "bias"]


def test_names_of_keras_1(tmp_path):
    """Without scopes: block1_conv1_W_1:0. There the order in the list is all that there is."""
    weights = {"block1_conv1_W_1:0": np.zeros((2, 2)), "block1_conv1_b_1:0": np.zeros(2)}
    legacy(tmp_path / "a.h5", {"block1_conv1": weights})
    assert list(tree(keras_files.read(tmp_path / "a.h5").layers)) == ["block1_conv1"]


@pytest.mark.parametrize("kind", ["S", "O"])
def test_a_slash_in_a_layer_name(tmp_path, kind):
    weights = {"conv1/bn/gamma:0": np.ones(2), "conv1/bn/beta:0": np.zeros(2)}
    legacy(tmp_path / "a.h5", {"conv1/bn": weights, "conv1/conv": {"conv1/conv/kernel:0": np.ones((2, 2))}}, kind)
    assert tree(keras_files.read(tmp_path / "a.h5").layers).keys() == {"conv1_bn", "conv1_conv"}


def test_a_number_that_tensorflow_1_put_behind_a_scope(tmp_path):
    legacy(tmp_path / "a.h5", {"conv2d_1": {"conv2d_1_2/kernel:0": np.ones((2, 2)), "conv2d_1_2/bias:0": np.ones(2)}})
    (layer,) = keras_files.read(tmp_path / "a.h5").layers
    assert [name for name, _ in layer.weights] == ["kernel", "bias"]


def test_seed_states_are_no_weights(tmp_path):
    state = {"seed_generator_1/seed_generator_state": np.array([1, 2], np.uint32)}
    legacy(tmp_path / "a.h5", {"dropout": state, "conv2d_1": CONV}, "O")
    assert [s.name for s in keras_files.read(tmp_path / "a.h5").layers if not s.empty] == ["conv2d_1"]
    with h5py.File(tmp_path / "b.weights.h5", "w") as file:
        file["layers/dropout/seed_generator/vars/0"] = np.array([1, 2], np.uint32)
        file["layers/dense/vars/0"] = np.ones((2, 2))
    assert [s.kind for s in keras_files.read(tmp_path / "b.weights.h5").layers if not s.empty] == ["dense"]


def test_more_than_ten_weights_and_layers(tmp_path):
    """'10' stands before '2' as text."""
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        for i in range(12):
            group = file.create_group(f"layers/dense_{i}/vars" if i else "layers/dense/vars")
            for j in range(12):
                group[str(j)] = np.full(1, 100 * i + j, np.float32)
    layers = keras_files.read(tmp_path / "a.weights.h5").layers
    assert [float(a[0]) for s in layers for _, a in s.weights] == [100 * i + j for i in range(12) for j in range(12)]


@pytest.mark.parametrize(
    "filters", [{"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}]
)
def test_compressed_arrays(tmp_path, rng, filters):
    data = rng.normal(size=(37, 11)).astype(">f4")
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=data, chunks=(8, 4), **filters)
    ((_, found),) = keras_files.read(tmp_path / "a.weights.h5").layers[0].weights
    np.testing.assert_array_equal(found, data)
    assert found.dtype == np.float32


def test_what_we_write_we_read(tmp_path, rng):
    kernel, bias = rng.normal(size=(2, 3)).astype(np.float32), np.zeros(3, np.float64)
    inner = Stored("head", "sequential", (), (Stored("last", "dense", (("kernel", kernel),)),))
    layers = [Stored("a", "dense", (("kernel", kernel), ("bias", bias))), Stored("b", "dense"), inner]
    keras_writing.write_weights(tmp_path / "a.weights.h5", layers, "model")
    found = keras_files.read(tmp_path / "a.weights.h5").layers
    assert [(s.name, s.kind, s.number) for s in found] == [
        ("a", "dense", 0),
        ("b", "dense", 1),
        ("head", "sequential", 0),
    ]
    np.testing.assert_array_equal(found[0].weights[0][1], kernel)
    assert found[0].weights[1][1].dtype == np.float64
    assert found[2].layers[0].name == "last"


DAMAGED = {
    "no group 'layers'": lambda file: file.create_group("stuff"),
    "weights of its own, outside of its layers": lambda file: (
        file.create_group("layers"),
        file.create_dataset("vars/0", data=np.ones(2)),
    ),
    "is not laid out as a layer of Keras \\(cell\\)": lambda file: file.create_dataset(
        "layers/rnn/cell/vars/0", data=[1.0]
    ),
    "expected 0, 1": lambda file: file.create_dataset("layers/dense/vars/1", data=[1.0]),
    "is not a dataset": lambda file: file.create_group("layers/dense/vars/0"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_layouts_that_are_refused(tmp_path, fault):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        DAMAGED[fault](file)
    with pytest.raises(FormatError, match=fault):
        keras_files.read(tmp_path / "a.weights.h5")


def test_legacy_layouts_that_are_refused(tmp_path):
    legacy(tmp_path / "a.h5", {"dense": {"dense/kernel:0": np.ones((2, 2))}})
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["dense/dense/kernel:0"]
    with pytest.raises(FormatError, match="names a weight 'dense/kernel:0' that is not there"):
        keras_files.read(tmp_path / "a.h5")
    legacy(tmp_path / "c.h5", {"dense": {}}, model_config=json.dumps([]))
    with pytest.raises(FormatError, match="no JSON object"):
        keras_files.read(tmp_path / "c.h5")


def test_an_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.h5: no such file"):
        keras_files.read(tmp_path / "none.h5")


def test_an_absent_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'minicnn\[keras\]'"):
        keras_files.read(FILES / "keras3.h5")
    with pytest.raises(ImportError, match=r"pip install 'minicnn\[keras\]'"):
        keras_writing.write_weights(tmp_path / "a.weights.h5", [], "model")
