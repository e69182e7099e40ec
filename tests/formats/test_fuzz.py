"""Random, cut and changed files: a clear error or the data, whatever the bytes are."""

import copy
import json
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn.formats import FormatError, safetensors
from minicnn.model import load_model

pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")
from minicnn.formats import keras_files  # noqa: E402

FILES = Path(__file__).parent / "files"
SOUND = [
    "keras2.h5",
    "keras2.weights.h5",
    "keras2.keras",
    "keras3.h5",
    "keras3.weights.h5",
    "keras3.keras",
    "keras2_chain.h5",
]
quick = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def arrays(layers):
    """All arrays of a file, in their order."""
    for layer in layers:
        yield from (array for _, array in layer.weights)
        yield from arrays(layer.layers)


def read(path):
    """The arrays of a file, or None where it is refused. Anything else that is raised fails the test."""
    try:
        if path.suffix == ".safetensors":
            return list(safetensors.read(path).values())
        return list(arrays(keras_files.read(path).layers))
    except FormatError as error:
        assert path.name in str(error)
        return None


ROOM = 1 << 20  # bytes for what belongs to no array: headers, names, modules that are imported when they are needed


@contextmanager
def bounded(size):
    """Within the block Python and NumPy take at most what a file of this size may become."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= size * keras_files.hdf5.EXPANSION + ROOM


def check(path, data):
    """Reads `data` as the file `path`; what comes is not larger than it, nor does it take more on the way."""
    path.write_bytes(data)
    with bounded(len(data)):
        found = read(path)
    assert found is None or sum(a.nbytes for a in found) <= max(len(data), 1) * keras_files.hdf5.EXPANSION
    return found


def test_the_bound_holds_what_is_too_much():
    with pytest.raises(AssertionError), bounded(1000):
        np.zeros(2 * ROOM, np.uint8)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """The bytes of a safetensors file."""
    path = tmp_path_factory.mktemp("sound") / "sound.safetensors"
    safetensors.write(path, {"a/kernel": np.ones((3, 4), np.float32), "a/bias": np.zeros(4)}, {"format": "minicnn"})
    return path.read_bytes()


HEADS = [b"", b"\x89HDF\r\n\x1a\n\0", b"\x89HDF\r\n\x1a\n\2\x08\x08", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0{"]


@quick
@given(st.sampled_from(HEADS), st.binary(max_size=300), st.sampled_from([".h5", ".keras", ".safetensors"]))
def test_random_bytes(tmp_path, head, tail, suffix):
    check(tmp_path / f"random{suffix}", head + tail)


@quick
@given(st.sampled_from(SOUND), st.floats(0, 1, exclude_max=True))
def test_cut_files(tmp_path, name, share):
    data = (FILES / name).read_bytes()
    found = check(tmp_path / name, data[: int(share * len(data))])
    expected = list(arrays(keras_files.read(FILES / name).layers))
    assert found is None or all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@quick
@given(st.data(), st.floats(0, 1, exclude_max=True))
def test_cut_safetensors(tmp_path, ours, data, share):
    assert check(tmp_path / "cut.safetensors", ours[: int(share * len(ours))]) is None


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)


def changed(data, changes):
    """The bytes with some of them replaced."""
    data = bytearray(data)
    for place, value in changes:
        data[int(place * len(data))] = value
    return bytes(data)


@quick
@given(st.sampled_from([n for n in SOUND if n.endswith("h5")]), CHANGES)
def test_changed_h5(tmp_path, name, changes):
    check(tmp_path / name, changed((FILES / name).read_bytes(), changes))


@quick
@given(CHANGES)
def test_changed_safetensors(tmp_path, ours, changes):
    check(tmp_path / "changed.safetensors", changed(ours, changes))


@quick
@given(st.sampled_from(["keras2.keras", "keras3.keras"]), CHANGES, st.booleans())
def test_changed_keras(tmp_path, name, changes, inside):
    """Changes of the zip, which its checksums find; or of the weights inside of a sound one."""
    if not inside:
        check(tmp_path / name, changed((FILES / name).read_bytes(), changes))
        return
    with zipfile.ZipFile(FILES / name) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members["model.weights.h5"] = changed(members["model.weights.h5"], changes)
    with zipfile.ZipFile(tmp_path / "made.keras", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    check(tmp_path / name, (tmp_path / "made.keras").read_bytes())


SPITE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [[], {}, [None], [[]], {"class_name": "Conv2D"}, 1 << 40, "InputLayer", "channels_first", ["a", 0, 0]]
    ),
)


def spoil(data, tree):
    """Replaces something in a tree of lists and dictionaries, at a place that hypothesis draws."""
    place = tree
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.integers(0, 5)) == 0:
            place[key] = copy.deepcopy(data.draw(SPITE))  # what hypothesis samples from is not ours to change
            return
        place = place[key]


@quick
@given(st.data(), st.sampled_from(["keras2.keras", "keras3.keras"]))
def test_changed_configs(tmp_path, data, name):
    """A model whose config says something else: it is refused, or it is made and has the weights of the file."""
    with zipfile.ZipFile(FILES / name) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    config = json.loads(members["config.json"])
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(data, config)
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, json.dumps(config) if member == "config.json" else content)
    with bounded((tmp_path / name).stat().st_size):
        try:
            model = load_model(tmp_path / name)
        except ValueError as error:
            assert str(error)
            return
    assert all(weight.data.flags.writeable for weight in model.weights)
