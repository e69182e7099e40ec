"""idx files: the right array or a clear error, and never more memory than the file may claim."""

import gzip
import math
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data.idx import read_idx


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (5, 7, 6), np.uint8)


def written(folder, data, packed=False):
    path = folder / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_written_is_read(tmp_path, images, packed):
    np.testing.assert_array_equal(read_idx(written(tmp_path, idx(images), packed), 3), images)
    labels = images[:, 0, 0]
    np.testing.assert_array_equal(read_idx(str(written(tmp_path, idx(labels), packed)), 1), labels)
    nothing = np.zeros((0, 28, 28), np.uint8)
    assert read_idx(written(tmp_path, idx(nothing), packed), 3).shape == (0, 28, 28)


def test_more_than_a_chunk(tmp_path, rng):
    images = rng.integers(0, 4, (301, 100, 101), np.uint8)  # 3 MB, and 0.8 MB packed
    np.testing.assert_array_equal(read_idx(written(tmp_path, idx(images), True), 3), images)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change, message", [
    (lambda d: b"", "cut short"),
    (lambda d: d[:15], "cut short"),
    (lambda d: d[:-1], r"declares the shape \(5, 7, 6\), 210 bytes, and holds 209"),
    (lambda d: d[:16], r"declares the shape \(5, 7, 6\), 210 bytes, and holds 0"),
    (lambda d: b"\0\0\x08\x01" + d[4:], "not an idx file of unsigned bytes with 3 axes: it begins with 00000801"),
    (lambda d: b"\0\0\x0d\x03" + d[4:], "begins with 00000d03, not 00000803"),
    (lambda d: d[:4] + b"\xff" * 12 + d[16:], "more than 1,073,741,824 bytes are not read"),
])  # fmt: skip
def test_what_does_not_fit(tmp_path, images, packed, change, message):
    path = written(tmp_path, change(idx(images)), packed)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path, 3)
    assert str(path) in str(error.value)


def test_too_much(tmp_path, images):
    with pytest.raises(ValueError, match="210 bytes, and holds 211"):
        read_idx(written(tmp_path, idx(images) + b"x"), 3)
    with pytest.raises(ValueError, match="holds more than it should"):
        read_idx(written(tmp_path, idx(images) + b"x", packed=True), 3)
    with pytest.raises(ValueError, match="holds more than it should|more than .* bytes are not read"):
        read_idx(written(tmp_path, idx(images) * 1000, packed=True), 3)
    path = written(tmp_path, idx(images), packed=True)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(ValueError, match="something follows the compressed data"):
        read_idx(path, 3)


def test_damage_inside_is_found_by_the_checksum(tmp_path, images):
    path = written(tmp_path, idx(images), packed=True)
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged compressed data"):
        read_idx(path, 3)


def test_a_bomb_is_not_unpacked(tmp_path):
    """50 MB of zeros in 0.2 MB: behind a small shape, and behind one that the packed file cannot hold."""
    small = bytes((0, 0, 8, 1)) + struct.pack(">I", 100)
    path = written(tmp_path, small + bytes(50_000_000), packed=True)
    assert path.stat().st_size < 250_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more than it should"):
        read_idx(path, 1)
    large = bytes((0, 0, 8, 1)) + struct.pack(">I", 1_000_000_000)
    path = written(tmp_path, large + bytes(1000), packed=True)
    with pytest.raises(ValueError, match="far too small for it"):
        read_idx(path, 1)
    path = written(tmp_path, large + bytes(1000))
    with pytest.raises(ValueError, match="holds 1,000"):
        read_idx(path, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none", 3)


VALID = idx(np.arange(60, dtype=np.uint8).reshape(5, 4, 3))
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)


def mutated(data, changes, cut):
    data = bytearray(data)
    for place, value in changes:
        data[place % len(data)] = value
    return bytes(data[: len(data) - cut % len(data)])


@settings(max_examples=150)
@given(data=st.binary(max_size=200), packed=st.booleans(), axes=st.sampled_from([1, 3]))
def test_random_bytes(tmp_path_factory, data, packed, axes):
    path = written(tmp_path_factory.getbasetemp(), data, packed)
    try:
        found = read_idx(path, axes)
    except ValueError as error:
        assert str(path) in str(error)
    else:  # only what a writer could have written
        assert idx(found) == data


@settings(max_examples=300)
@given(changes=CHANGES, cut=st.integers(0, 40), inside=st.booleans(), packed=st.booleans())
def test_mutated_files(tmp_path_factory, changes, cut, inside, packed):
    path = tmp_path_factory.getbasetemp() / "mutated"
    data = mutated(VALID, changes, cut) if inside or not packed else VALID
    data = gzip.compress(data, mtime=0) if packed else data
    path.write_bytes(data if inside or not packed else mutated(data, changes, cut))
    try:
        found = read_idx(path, 3)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert found.size == math.prod(found.shape) <= 1000
        if not inside and packed:  # whatever the change was (a time stamp), the checksum held
            np.testing.assert_array_equal(found, np.arange(60).reshape(5, 4, 3))
