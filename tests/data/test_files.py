"""Where data sets are looked for, how they are downloaded, and what is said where neither helps. No test here has a
network: pooch is given addresses on this machine, or none that answers."""

import functools
import gzip
import hashlib
import http.server
import socket
import threading

import numpy as np
import pooch
import pytest

from minicnn import data
from minicnn.data import PartialDataWarning, files, mnist
from tests.data.test_idx import idx


def contents(rng, n=6, shape=(28, 28)):
    """The four files of a small MNIST, name -> bytes, and its arrays."""
    arrays = {}
    for part, count in (("train", n), ("t10k", n - 2)):
        arrays[f"{part}-images-idx3-ubyte.gz"] = rng.integers(0, 256, (count, *shape), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte.gz"] = rng.integers(0, 10, count).astype(np.uint8)
    return {name: gzip.compress(idx(array), mtime=0) for name, array in arrays.items()}, arrays


def put(folder, content, plain=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, packed in content.items():
        (folder / name.removesuffix(".gz" if plain else "")).write_bytes(gzip.decompress(packed) if plain else packed)


def check(found, arrays):
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for array, name in zip((found.x_train, found.y_train, found.x_test, found.y_test), names, strict=True):
        np.testing.assert_array_equal(array[..., 0] if array.ndim == 4 else array, arrays[name])
    assert found.x_train.dtype == np.uint8 and found.y_train.dtype == np.int64 and found.top == 255


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No test sees the data, nor the cache, of who runs it, nor does it reach the network."""
    monkeypatch.delenv("MINICNN_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


@pytest.fixture
def offline(monkeypatch):
    def nothing_answers(*arguments, **more):
        raise ConnectionError("no network in this test")

    monkeypatch.setattr(pooch, "retrieve", nothing_answers)


# Folders -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name, inner", [
    ("mnist", ""), ("mnist", "mnist"), ("fashion_mnist", ""), ("fashion_mnist", "fashion_mnist"),
    ("fashion_mnist", "fashion"),
])  # fmt: skip
def test_a_folder_given_or_in_the_environment(tmp_path, rng, monkeypatch, offline, name, inner, plain):
    content, arrays = contents(rng)
    put(tmp_path / "here" / inner, content, plain)
    with pytest.warns(PartialDataWarning, match="6 of 60,000 images for training, 4 of 10,000 for test"):
        check(data.load(name, tmp_path / "here"), arrays)
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "here"))
    with pytest.warns(PartialDataWarning):
        check(data.load(name), arrays)


@pytest.mark.filterwarnings("ignore::minicnn.data.PartialDataWarning")
def test_the_order_of_folders(tmp_path, rng, monkeypatch, offline):
    first, second, third = (contents(rng, n) for n in (6, 7, 8))
    put(tmp_path / "given" / "mnist", first[0])
    put(tmp_path / "given", second[0])
    put(tmp_path / "environment", third[0])
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "environment"))
    check(data.load("mnist", tmp_path / "given"), first[1])
    (tmp_path / "given" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    check(data.load("mnist", tmp_path / "given"), second[1])
    check(data.load("mnist"), third[1])


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        data.load("mnist", tmp_path / "none")


def test_the_other_data_set_of_the_same_names_is_noticed(tmp_path, rng, monkeypatch):
    content, _ = contents(rng)
    put(tmp_path / "here", content)
    labels = hashlib.sha256(content["t10k-labels-idx1-ubyte.gz"]).hexdigest()
    monkeypatch.setitem(mnist.SHA256, "mnist", ("", "", "", labels))
    with pytest.raises(ValueError, match="here holds mnist, not fashion_mnist: put each into a folder of its name"):
        data.load("fashion_mnist", tmp_path / "here")


@pytest.mark.parametrize("change, message", [
    ({"train-labels-idx1-ubyte.gz": np.zeros(5, np.uint8)}, "has 6 images of 28 x 28, .*train-labels.* 5 labels"),
    ({"train-labels-idx1-ubyte.gz": np.full(6, 10, np.uint8)}, "labels must be 0 to 9, number 0 is 10"),
    ({"t10k-images-idx3-ubyte.gz": np.zeros((4, 27, 28), np.uint8)}, "images of 28 x 28, .* of 27 x 28"),
    ({"t10k-images-idx3-ubyte.gz": np.zeros((0, 28, 28), np.uint8), "t10k-labels-idx1-ubyte.gz": np.zeros(0, np.uint8)},
     "has 0 images"),
    ({"t10k-images-idx3-ubyte.gz": np.zeros(4, np.uint8)}, "not an idx file .* with 3 axes"),
])  # fmt: skip
def test_files_that_do_not_fit_together(tmp_path, rng, change, message):
    content, _ = contents(rng)
    put(tmp_path, content | {name: gzip.compress(idx(array)) for name, array in change.items()})
    with pytest.raises(ValueError, match=message):
        data.load("mnist", tmp_path)


# The network ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A folder, and the address of a web server that serves it on this machine; what was asked for is in `.asked`."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form, *arguments):
            asked.append(self.path)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{running.server_port}/", asked
    running.shutdown()
    running.server_close()


@pytest.fixture
def silent():
    """An address of this machine at which nothing answers: nobody else gets the port as long as the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/"


def mirrored(monkeypatch, content, mirrors):
    """MNIST's checksums and mirrors replaced by these."""
    monkeypatch.setitem(mnist.MIRRORS, "mnist", mirrors)
    sums = tuple(hashlib.sha256(content[name]).hexdigest() for name in mnist.NAMES)
    monkeypatch.setitem(mnist.SHA256, "mnist", sums)


@pytest.mark.filterwarnings("ignore::minicnn.data.PartialDataWarning")
def test_download_once_from_the_mirror_that_answers(tmp_path, rng, server, silent, monkeypatch):
    content, arrays = contents(rng)
    folder, address, asked = server
    put(folder, content)
    mirrored(monkeypatch, content, (silent, f"{address}nothing/", address))
    check(data.load("mnist"), arrays)
    assert [path for path in asked if "nothing" not in path and "code" not in path] == [f"/{n}" for n in mnist.NAMES]
    cached = tmp_path / "cache" / "minicnn" / "mnist"
    assert sorted(p.name for p in cached.iterdir()) == sorted(mnist.NAMES)
    asked.clear()
    check(data.load("mnist"), arrays)  # from the cache
    assert not asked
    (cached / mnist.NAMES[1]).write_bytes(b"damaged")
    check(data.load("mnist"), arrays)  # the damaged one again
    assert [path for path in asked if "nothing" not in path and "code" not in path] == [f"/{mnist.NAMES[1]}"]


def test_what_has_another_checksum_is_not_taken(tmp_path, rng, server, monkeypatch):
    content, _ = contents(rng)
    folder, address, _ = server
    mirrored(monkeypatch, content, (address,))
    put(folder, contents(rng, 9)[0])
    with pytest.raises(FileNotFoundError, match="127.0.0.1:[0-9]*: what came has another checksum"):
        data.load("mnist")
    assert not list((tmp_path / "cache").rglob("*ubyte*"))


def test_offline(tmp_path, offline):
    with pytest.raises(FileNotFoundError) as error:
        data.load("fashion_mnist")
    message = str(error.value)
    for part in (*mnist.NAMES, *mnist.MIRRORS["fashion_mnist"], str(tmp_path / "cache" / "minicnn" / "fashion_mnist"),
                 "--data-dir", "MINICNN_DATA", "no network in this test"):  # fmt: skip
        assert part in message
    with pytest.raises(FileNotFoundError, match="cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/"):
        data.load("cifar10")


def test_offline_with_a_part_in_a_folder(tmp_path, rng, offline):
    content, _ = contents(rng)
    del content["train-labels-idx1-ubyte.gz"]
    put(tmp_path / "mnist", content)
    with pytest.raises(FileNotFoundError, match="mnist lacks train-labels-idx1-ubyte.gz. *\nGet"):
        data.load("mnist", tmp_path)


def test_every_http_address_has_a_checksum_behind_it():
    for name in mnist.MIRRORS:
        for remote in mnist.remotes(name):
            assert len(remote.sha256) == 64 and set(remote.sha256) <= set("0123456789abcdef")
            assert all(address.startswith("http") and address.endswith(remote.name) for address in remote.addresses)
    assert files.cache("x").name == "x"
