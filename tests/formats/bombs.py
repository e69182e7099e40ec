"""Files that lie: each asks for more than it holds, or for something outside of it."""

import json
import struct
import zipfile

import h5py
import numpy as np

FILES = {}


def bomb(suffix):
    """Enters a function that writes a hostile file under its name."""

    def enter(function):
        FILES[function.__name__] = (function, suffix)
        return function

    return enter


def variables(file):
    """The group of the only layer's weights, in a .weights.h5 layout."""
    file.create_group("vars")
    return file.create_group("layers/dense/vars")


@bomb(".weights.h5")
def chunks_never_written(path):
    with h5py.File(path, "w") as file:
        variables(file).create_dataset("0", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,))


@bomb(".weights.h5")
def contiguous_never_written(path):
    with h5py.File(path, "w") as file:
        variables(file).create_dataset("0", shape=(1 << 36,), dtype="f4")


@bomb(".weights.h5")
def fill_value(path):
    with h5py.File(path, "w") as file:
        group = variables(file)
        group.create_dataset("0", shape=(1 << 30,), dtype="f4", chunks=(1 << 10,), fillvalue=1.0)[0] = 2.0


@bomb(".weights.h5")
def deflated_zeros(path):
    with h5py.File(path, "w") as file:
        data = np.zeros(1 << 24, np.float32)
        variables(file).create_dataset("0", data=data, chunks=(1 << 22,), compression="gzip", compression_opts=9)


@bomb(".weights.h5")
def a_stream_larger_than_its_chunk(path):
    """A chunk declared small whose deflate stream gives 64 MiB: HDF5's own filter would inflate all of it."""
    import zlib

    with h5py.File(path, "w") as file:
        data = variables(file).create_dataset("0", shape=(1024,), dtype="f4", chunks=(1024,), compression="gzip")
        data.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 26), 9))


@bomb(".weights.h5")
def a_chunk_larger_than_the_data(path):
    with h5py.File(path, "w") as file:
        data = variables(file).create_dataset(
            "0", shape=(4,), maxshape=(None,), dtype="f4", chunks=(1 << 28,), compression="gzip"
        )
        data.id.write_direct_chunk((0,), b"x")


@bomb(".weights.h5")
def external_storage(path):
    target = path.with_name("secret")
    target.write_bytes(bytes(64))
    with h5py.File(path, "w") as file:
        variables(file).create_dataset("0", shape=(16,), dtype="f4", external=[(str(target), 0, 64)])


@bomb(".weights.h5")
def virtual_dataset(path):
    source = path.with_name("source.h5")
    with h5py.File(source, "w") as file:
        file["data"] = np.zeros(16, np.float32)
    layout = h5py.VirtualLayout((16,), np.float32)
    layout[:] = h5py.VirtualSource(source, "data", (16,))
    with h5py.File(path, "w") as file:
        variables(file).create_virtual_dataset("0", layout)


@bomb(".weights.h5")
def external_link(path):
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["data"] = np.zeros(16, np.float32)
    with h5py.File(path, "w") as file:
        variables(file)["0"] = h5py.ExternalLink(str(other), "/data")


@bomb(".h5")
def external_link_as_model_weights(path):
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["data"] = np.zeros(16, np.float32)
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(other), "/")


@bomb(".weights.h5")
def soft_link(path):
    with h5py.File(path, "w") as file:
        group = variables(file)
        file["data"] = np.zeros(16, np.float32)
        group["0"] = h5py.SoftLink("/data")


@bomb(".weights.h5")
def one_array_many_times(path):
    with h5py.File(path, "w") as file:
        group = variables(file)
        group["0"] = np.zeros(1 << 18, np.float32)
        for i in range(1, 500):
            group[str(i)] = group["0"]


@bomb(".weights.h5")
def a_cycle_of_groups(path):
    with h5py.File(path, "w") as file:
        layers = file.create_group("layers")
        inner = layers.create_group("functional")
        inner["layers"] = layers


@bomb(".weights.h5")
def groups_without_end(path):
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(100):
            group = group.create_group("layers/functional")


def references(path, change):
    """A legacy file whose weight names are references:

    16 bytes each, length, place of a heap, index. change(bytes, place).
    """
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([b"dense"])
        layer = file.create_group("dense")
        layer.attrs.create("weight_names", ["x" * 1_234_567] + ["y"] * 2000, dtype=h5py.string_dtype())
        layer["kernel"] = np.zeros((2, 2), np.float32)
    data = bytearray(path.read_bytes())
    change(data, data.index(struct.pack("<I", 1_234_567)))
    path.write_bytes(data)


@bomb(".h5")
def one_name_many_times(path):
    """All 2,001 references point to one string of 1.2 MB, of which HDF5 would make as many copies."""

    def change(data, place):
        data[place : place + 16 * 2001] = data[place : place + 16] * 2001

    references(path, change)


@bomb(".h5")
def a_name_of_4_gib(path):
    """HDF5 takes as much memory as a reference says, then looks at the string."""
    references(path, lambda data, place: data.__setitem__(slice(place, place + 4), b"\xff" * 4))


@bomb(".h5")
def a_heap_without_end(path):
    """A string of 2^64 - 16 bytes: HDF5 1.14 looks for the end of its heap for ever."""

    def change(data, place):
        (heap,) = struct.unpack("<Q", data[place + 20 : place + 28])  # of the second name, "y"
        data[heap + 24 : heap + 32] = struct.pack("<Q", (1 << 64) - 16)

    references(path, change)


@bomb(".weights.h5")
def objects(path):
    with h5py.File(path, "w") as file:
        variables(file).create_dataset("0", data=["some", "text"], dtype=h5py.string_dtype())


@bomb(".weights.h5")
def integers(path):
    with h5py.File(path, "w") as file:
        variables(file)["0"] = np.arange(4)


@bomb(".weights.h5")
def a_strange_filter(path):
    with h5py.File(path, "w") as file:
        variables(file).create_dataset("0", data=np.zeros(64, np.float32), chunks=(64,), compression="lzf")


@bomb(".keras")
def deflated_member(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", bytes(1 << 26))
        archive.writestr("model.weights.h5", b"")


@bomb(".keras")
def a_member_too_many(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5", "../evil.py"):
            archive.writestr(name, "{}")


@bomb(".keras")
def the_same_member_twice(path):
    import warnings

    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("metadata.json", "config.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")


@bomb(".keras")
def bzip2(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")


@bomb(".keras")
def encrypted(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"))


def safetensors(path, header, data=b""):
    """A file with this header."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@bomb(".safetensors")
def more_than_the_file(path):
    safetensors(path, {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})


@bomb(".safetensors")
def a_shape_larger_than_its_data(path):
    safetensors(path, {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, bytes(4))


@bomb(".safetensors")
def data_that_overlaps(path):
    entry = {"dtype": "F32", "shape": [1 << 16], "data_offsets": [0, 1 << 18]}
    safetensors(path, dict.fromkeys(map(str, range(1000)), entry), bytes(1 << 18))


@bomb(".safetensors")
def a_header_without_end(path):
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


@bomb(".safetensors")
def nested_json(path):
    text = b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)
