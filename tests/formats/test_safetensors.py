"""Our own format: what goes in comes out, and a header is believed only as far as the file goes."""

import json
import os
import struct

import numpy as np
import pytest

from minicnn.formats import FormatError, safetensors


def test_round_trip(tmp_path, rng):
    arrays = {
        "conv/kernel": rng.normal(size=(2, 3, 4, 5)).astype(np.float32)[..., ::-1],
        "alpha": np.float64(3).reshape(()),
        "empty": np.zeros((0, 3), np.float32),
        "step": np.array([7], np.int64),
    }
    safetensors.write(tmp_path / "a.safetensors", arrays, {"made": "here"})
    found = safetensors.read(tmp_path / "a.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert safetensors.shapes(tmp_path / "a.safetensors") == {name: a.shape for name, a in arrays.items()}


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    safetensors.write(tmp_path / "a.safetensors", {"a": np.zeros(2)})
    with pytest.raises(Exception, match="."):
        safetensors.write(tmp_path / "a.safetensors", {"a": np.array(["no", "numbers"], dtype=object)})
    assert list(safetensors.read(tmp_path / "a.safetensors")) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="there is no umask")
def test_a_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    (tmp_path / "plain").touch()
    safetensors.write(tmp_path / "a.safetensors", {"a": np.zeros(2)})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {"dtype": "F32", "shape": [1]},
        {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]},
        {"dtype": "F33", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
    ],
)
@pytest.mark.parametrize("reader", [safetensors.read, safetensors.shapes])
def test_headers_that_lie(tmp_path, entry, reader):
    text = json.dumps({"weight": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(FormatError, match="a.safetensors: the entry 'weight'"):
        reader(tmp_path / "a.safetensors")


def test_an_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        safetensors.read(tmp_path / "a.safetensors")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="weights.safetensors: cannot be written"):
        safetensors.write(tmp_path / "nowhere" / "weights.safetensors", {"a": np.ones(2)})
