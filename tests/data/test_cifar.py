"""CIFAR-10's binary files and their archive."""

import gzip
import io
import lzma
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import data
from minicnn.data import PartialDataWarning, cifar
from tests.data.test_idx import CHANGES, mutated


def records(rng, n):
    """x, y and the bytes of n records, written cell by cell."""
    x = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
    y = rng.integers(0, 10, n)
    return (
        x,
        y,
        b"".join(bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in zip(x, y, strict=True)),
    )


@pytest.mark.parametrize("ending", [".bin", ".bin.xz"])
def test_a_batch(tmp_path, rng, ending):
    x, y, content = records(rng, 7)
    path = tmp_path / f"a{ending}"
    path.write_bytes(lzma.compress(content) if ending.endswith("xz") else content)
    found = cifar.read_batch(path)
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_array_equal(found[1], y)
    assert found[0].dtype == np.uint8 and found[1].dtype == np.int64


def test_damaged_batches(tmp_path, rng):
    content = records(rng, 3)[2]
    for change, message in [
        (content[:-1], "records of 3,073 bytes, and has 9,218 bytes"),
        (b"", "and has 0 bytes"),
        (bytes(3073 * 10_001), "1 to 10,000 records"),
        (content[:3073] + b"\x0a" + content[3074:], "labels must be 0 to 9, record 1 has 10"),
    ]:
        (tmp_path / "a.bin").write_bytes(change)
        with pytest.raises(ValueError, match=f"a.bin.*{message}"):
            cifar.read_batch(tmp_path / "a.bin")
    packed = lzma.compress(content)
    flipped = packed[:200] + bytes([packed[200] ^ 4]) + packed[201:]
    for change, message in [
        (packed[:-5], "cut short"),
        (packed + b"more", "something follows"),
        (b"no xz", "damaged compressed data|cut short"),
        (flipped, "damaged compressed data"),
        (lzma.compress(bytes(3073 * 10_000 + 1), preset=0), "holds more than it should"),
    ]:
        (tmp_path / "a.bin.xz").write_bytes(change)
        with pytest.raises(ValueError, match=f"a.bin.xz.*{message}"):
            cifar.read_batch(tmp_path / "a.bin.xz")


def test_an_xz_bomb_is_not_unpacked(tmp_path):
    packer = lzma.LZMACompressor(preset=0)
    (tmp_path / "a.bin.xz").write_bytes(
        b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(200)), packer.flush()])
    )
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more than it should"):
        cifar.read_batch(tmp_path / "a.bin.xz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 3073 * 10_000
    # one whose header asks for 1.5 GB to unpack it with
    (tmp_path / "a.bin.xz").write_bytes(_with_large_dictionary())
    with pytest.raises(ValueError, match="damaged compressed data .*[Mm]emory"):
        cifar.read_batch(tmp_path / "a.bin.xz")


def _with_large_dictionary():
    """An xz file of 3,073 zeros whose block header is rewritten to a dictionary of 1.5 GiB (its size is one byte)."""
    import zlib

    file = bytearray(lzma.compress(bytes(3073), preset=0))
    header = 12  # of the stream; then the block's: size, flags, filter 0x21, 1 byte of properties, the dictionary
    size = (file[header] + 1) * 4
    place = file.index(b"\x21\x01", header) + 2
    file[place] = 37
    file[header + size - 4 : header + size] = zlib.crc32(file[header : header + size - 4]).to_bytes(4, "little")
    return bytes(file)


# The archive ---------------------------------------------------------------------------------------------------------


def member(name, size, **attributes):
    found = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
    found.size = size
    for key, value in attributes.items():
        setattr(found, key, value)
    return found


def archive(members):
    """A .tar.gz of (TarInfo, bytes)"""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as made:
        for info, content in members:
            made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def whole(rng, n=2):
    """(names to arrays, members) of the six files"""
    made = {name: records(rng, n + k) for k, name in enumerate((*cifar.TRAIN, cifar.TEST))}
    members = [(member(name, len(content)), content) for name, (_, _, content) in made.items()]
    return made, [(member("readme.html", 5), b"hello"), *members]


def test_the_archive(tmp_path, rng):
    made, members = whole(rng)
    (tmp_path / "a.tar.gz").write_bytes(archive(members))
    found = cifar.read_archive(tmp_path / "a.tar.gz")
    assert sorted(found) == sorted(made)
    for name, (x, y, _) in made.items():
        np.testing.assert_array_equal(found[name][0], x)
        np.testing.assert_array_equal(found[name][1], y)


def test_evil_archives(tmp_path, rng):
    path, (_, members) = tmp_path / "a.tar.gz", whole(rng)
    (tmp_path / "secret").write_bytes(bytes(3073))
    others = members[1:]
    cases = [
        (members[:-1], r"lacks cifar-10-batches-bin/test_batch.bin"),
        ([*others[:-1], (member("test_batch.bin", 0, type=tarfile.SYMTYPE, linkname="../secret"), b"")], "is a link"),
        ([*others[:-1], (member("test_batch.bin", 0, type=tarfile.LNKTYPE, linkname="../secret"), b"")], "is a link"),
        ([*others[:-1], (member("test_batch.bin", 0, type=tarfile.FIFOTYPE), b"")], "is a link"),
        ([*others[:-1], (member("../cifar-10-batches-bin/test_batch.bin", 3073), bytes(3073))], "lacks .*test_batch"),
        ([*others[:-1], (member("test_batch.bin", 3072), bytes(3072))], "test_batch.bin: must hold .* 3,072 bytes"),
        ([*others, others[-1]], "there twice"),
        ([(member(f"{i}", 0), b"") for i in range(200)], "more than 100 members"),
        ([(member("x", 190_000_000), bytes(190_000_000))], "would unpack to more than 185,428,576 bytes"),
    ]
    for members_, message in cases:
        path.write_bytes(archive(members_))
        with pytest.raises(ValueError, match=f"a.tar.gz.*{message}"):
            cifar.read_archive(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "secret"]  # nothing was extracted


def test_damaged_archives(tmp_path, rng):
    path, content = tmp_path / "a.tar.gz", archive(whole(rng)[1])
    for change, message in [
        (b"", "cut short"),
        (content[: len(content) // 2], "cut short"),
        (content[:-1], "cut short"),
        (gzip.compress(b"no tar"), "not a sound tar archive"),
        (content[:-8] + bytes(8), "damaged compressed data"),
        (content + b"x", "something follows"),
    ]:
        path.write_bytes(change)
        with pytest.raises(ValueError, match=f"a.tar.gz.*{message}"):
            cifar.read_archive(path)


SMALL = archive(whole(np.random.default_rng(0), 1)[1])
PLAIN = gzip.decompress(SMALL)


@settings(max_examples=100)
@given(changes=CHANGES, cut=st.integers(0, 30_000), inside=st.booleans(), header=st.booleans())
def test_mutated_archives(tmp_path_factory, changes, cut, inside, header):
    path = tmp_path_factory.getbasetemp() / "mutated.tar.gz"
    if inside:  # the tar is changed, in its headers or anywhere, and packed again
        starts = [512 * k for k in range(len(PLAIN) // 512) if PLAIN[512 * k : 512 * k + 5] == b"cifar"]
        moved = [(starts[p % len(starts)] + p % 512 if header else p * 7, v) for p, v in changes]
        path.write_bytes(gzip.compress(mutated(PLAIN, moved, cut % 3 and cut), 1))
    else:
        path.write_bytes(mutated(SMALL, changes, cut % 3 and cut))
    try:
        found = cifar.read_archive(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert set(found) == {*cifar.TRAIN, cifar.TEST} and all(y.max() < 10 for _, y in found.values())


BATCH = b"".join(bytes([k]) + bytes(range(256)) * 12 for k in range(3))


@settings(max_examples=150)
@given(changes=CHANGES, cut=st.integers(0, 400), inside=st.booleans(), packed=st.booleans())
def test_mutated_batches(tmp_path_factory, changes, cut, inside, packed):
    path = tmp_path_factory.getbasetemp() / ("mutated.bin.xz" if packed else "mutated.bin")
    content = mutated(BATCH, changes, cut % 3 and cut) if inside or not packed else BATCH
    packed_content = lzma.compress(content, preset=0) if packed else content
    path.write_bytes(packed_content if inside or not packed else mutated(packed_content, changes, cut % 3 and cut))
    try:
        x, y = cifar.read_batch(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:  # to the byte what was in the file
        planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        assert b"".join(bytes([label]) + p.tobytes() for label, p in zip(y, planes, strict=True)) == content


@settings(max_examples=100)
@given(content=st.binary(max_size=300), ending=st.sampled_from([".bin", ".bin.xz", ".tar.gz"]), packed=st.booleans())
def test_random_bytes(tmp_path_factory, content, ending, packed):
    path = tmp_path_factory.getbasetemp() / f"random{ending}"
    if packed and ending != ".bin":
        content = lzma.compress(content, preset=0) if ending == ".bin.xz" else gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="random"):  # 300 bytes are never a record
        (cifar.read_archive if ending == ".tar.gz" else cifar.read_batch)(path)


# The data set --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No test here sees the data, nor the cache, of who runs it."""
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    monkeypatch.setattr(data.files, "fetch", lambda name, files, found="": pytest.fail(f"asked for {name}: {found}"))


def test_a_part_is_used_and_said_to_be_one(tmp_path, rng):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    two, four, test = (records(rng, n) for n in (2, 4, 3))
    inner = tmp_path / "cifar-10-batches-bin"
    (inner / "data_batch_4.bin").write_bytes(four[2])
    (inner / "data_batch_2.bin.xz").write_bytes(lzma.compress(two[2]))
    (inner / "test_batch.bin").write_bytes(test[2])
    with pytest.warns(PartialDataWarning, match="6 of 50,000 images for training, 3 of 10,000 for test"):
        found = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal(found.x_train, np.concatenate([two[0], four[0]]))
    np.testing.assert_array_equal(found.y_test, test[1])
    assert found.note.startswith("only a part of cifar10 is here") and found.classes == 10


def test_the_archive_in_a_folder(tmp_path, rng):
    made, members = whole(rng)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive(members))
    with pytest.warns(PartialDataWarning):
        found = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal(found.x_train, np.concatenate([made[name][0] for name in cifar.TRAIN]))
    np.testing.assert_array_equal(found.x_test, made[cifar.TEST][0])


@pytest.mark.parametrize("name, message", [
    ("test_batch.bin", "has test_batch.bin, but no file for training"),
    ("data_batch_1.bin", "has data_batch_1.bin, but no test_batch.bin"),
])  # fmt: skip
def test_half_a_part_is_not_enough(tmp_path, rng, name, message):
    (tmp_path / name).write_bytes(records(rng, 2)[2])
    with pytest.raises(pytest.fail.Exception, match=f"asked for cifar10: .*{message}"):
        data.load("cifar10", tmp_path)
