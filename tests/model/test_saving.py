"""Weights to safetensors files and back: by name, all or none."""

import json

import numpy as np
import pytest

from minicnn import Input, Model, Sequential, layers
from minicnn.layers.naming import clear_session
from minicnn.model.saving import weight_names


def network(extra=0, filters=3):
    """Automatic and given names, a model inside, a layer of layers; `extra` layers are made before it."""

    class Pair(layers.Layer):
        def __init__(self, **common):
            super().__init__(**common)
            self.parts = [layers.Dense(4), layers.Dense(4)]

        def call(self, x):
            return self.parts[1](self.parts[0](x))

    for _ in range(extra):
        layers.Conv2D(1, 1), layers.Dense(1), Sequential()
    x = inputs = Input((5, 4, 2))
    x = layers.Conv2D(filters, 3, padding="same")(x)
    x = Sequential([layers.BatchNormalization(), layers.Conv2D(2, 1, name="mixed")])(x)
    x = layers.Conv2D(2, 3)(x)
    x = Pair()(layers.Flatten()(x))
    return Model(inputs, layers.Dense(3, name="head")(x))


@pytest.fixture
def saved(tmp_path):
    clear_session()
    model = network()
    model.set_weights([np.random.default_rng(i).uniform(size=w.shape) for i, w in enumerate(model.weights)])
    model.save_weights(tmp_path / "weights.safetensors")
    return model, tmp_path / "weights.safetensors"


def test_round_trip_where_automatic_names_differ(saved, rng):
    model, path = saved
    other = network(extra=4)
    assert [layer.name for layer in other.layers] != [layer.name for layer in model.layers]
    other.load_weights(path)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    x = rng.normal(size=(2, 5, 4, 2))
    np.testing.assert_array_equal(model(x).data, other(x).data)


def test_names_in_a_file_are_counted_within_the_model():
    names = list(weight_names(network(extra=7)))
    assert names[:2] == ["conv2d/kernel", "conv2d/bias"]
    assert "sequential/batch_normalization/gamma" in names and "sequential/mixed/kernel" in names
    assert "conv2d_1/kernel" in names and "pair/dense_1/kernel" in names and names[-1] == "head/bias"
    assert len(names) == len(network().weights)


def test_a_loaded_weight_has_another_version(saved):
    model, path = saved
    before = [w.version for w in model.weights]
    model.load_weights(str(path))
    assert all(w.version > v for w, v in zip(model.weights, before, strict=True))


def relabelled(content):
    """The same numbers under another name in the header."""
    return content.replace(b"head/bias", b"head/bios")


def other_shape(content):
    """Three numbers declared as one row of three."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["head/bias"]["shape"] = [1, 3]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: b"", "not a safetensors file, or a cut one"),
        (lambda c: c[:100], "not a safetensors file, or a cut one"),
        (lambda c: c[:-1], "asks for what the file does not hold"),
        (lambda c: c + b"x", "not a sound safetensors file"),
        (lambda c: b"\xff" * 8 + c[8:], "not a safetensors file, or a cut one"),
        (lambda c: c[:8] + b"?" * 30 + c[38:], "its header is no JSON"),
        (lambda c: b"PK\x03\x04" + c, "safetensors file"),
        (relabelled, r"another model.* nothing was loaded. 1 missing: head/bias; 1 unexpected: head/bios"),
        (other_shape, r"1 of another shape: head/bias \(3,\) from \(1, 3\)"),
    ],
)
def test_spoilt_files(saved, spoil, message):
    model, path = saved
    path.write_bytes(spoil(path.read_bytes()))
    before = model.get_weights()
    with pytest.raises(ValueError, match=message) as caught:
        model.load_weights(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_of_another_model(saved):
    _, path = saved
    other = network(filters=5)
    before = other.get_weights()
    with pytest.raises(
        ValueError, match=r"another model than '.*'; nothing was loaded. .* of another shape: conv2d/kernel"
    ):
        other.load_weights(path)
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    smaller = Sequential([Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"2 missing: dense/kernel, dense/bias; \d+ unexpected: .*, \.\.\."):
        smaller.load_weights(path)


def test_places_that_are_none(saved, tmp_path):
    model, _ = saved
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors: no such file"):
        model.load_weights(tmp_path / "nowhere.safetensors")
    for use in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=r"weights are .*\.safetensors.* files, got '.*weights.bin'"):
            use(tmp_path / "weights.bin")


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        model.save_weights(path)
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_of_one_name_are_refused_instead_of_lost():
    class Clash(layers.Layer):
        def build(self, shape):
            self.a = self.add_weight("w", (2,))
            self.b = self.add_weight("w", (3,))

        def call(self, x):
            return x

    with pytest.raises(ValueError, match="clash: it has a weight named 'w' already"):
        Clash()(np.ones((1, 2)))


def test_layers_of_one_name_inside_a_layer_are_refused_instead_of_lost(tmp_path):
    class Two(layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = [layers.Dense(2, name="same"), layers.Dense(2, name="same")]

        def call(self, x):
            return self.parts[1](self.parts[0](x))

    x = Input((2,))
    model = Model(x, Two()(x))
    with pytest.raises(ValueError, match="two weights would be called 'two/same/kernel'"):
        model.save_weights(tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.safetensors", "a.weights.h5"])
def test_a_place_that_cannot_be_written(tmp_path, name):
    if name.endswith(".h5"):
        pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")
    model = Sequential([layers.Input((2,)), layers.Dense(3)])
    with pytest.raises(OSError, match=rf"{name}: cannot be written \("):
        model.save_weights(tmp_path / "nowhere" / name)
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=rf"{name}: cannot be written \("):
        model.save_weights(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
