"""MNIST and CIFAR-10 themselves, where the environment variable MINICNN_DATA names a folder that has them."""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from minicnn import data
from minicnn.data import mnist
from minicnn.keras import datasets

FOLDER = Path(os.environ.get("MINICNN_DATA") or "/nowhere")


def needs(name):
    return pytest.mark.skipif(not (FOLDER / name).is_dir(), reason=f"MINICNN_DATA names no folder with {name}")


@pytest.fixture
def no_download(monkeypatch):
    monkeypatch.setattr(data.files, "fetch", lambda name, files, found="": pytest.fail(f"asked for {name}: {found}"))


@needs("mnist")
def test_mnist(no_download):
    found = data.load("mnist")
    assert found.x_train.shape == (60000, 28, 28, 1) and found.x_test.shape == (10000, 28, 28, 1) and not found.note
    assert found.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # the famous first ones
    assert np.bincount(found.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert abs(found.x_train.mean() / 255 - 0.1307) < 1e-4 and abs(found.x_train.std() / 255 - 0.3081) < 1e-4
    for name, sha256 in zip(mnist.NAMES, mnist.SHA256["mnist"], strict=True):
        path = FOLDER / "mnist" / name
        assert not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    with pytest.raises(ValueError, match="holds mnist, not fashion_mnist"):
        data.load("fashion_mnist", FOLDER / "mnist")


@needs("cifar-10-batches-bin")
def test_cifar10(no_download):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", data.PartialDataWarning)
        found = data.load("cifar10")
    assert found.x_train.shape[1:] == (32, 32, 3) and len(found.x_test) == len(found.y_test) >= 5000
    assert found.y_train[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]  # frog, truck, truck, deer, ...
    assert found.y_test[:5].tolist() == [3, 8, 8, 0, 6]
    assert found.x_train[0, 0, 0].tolist() == [59, 62, 63]  # red, green, blue of the frog's first cell
    assert bool(found.note) == (len(found.x_train) < 50_000 or len(found.x_test) < 10_000)


@needs("mnist")
@needs("cifar-10-batches-bin")
@pytest.mark.filterwarnings("ignore::minicnn.data.PartialDataWarning")
def test_keras_shapes_of_the_real_ones(no_download):
    (x_train, y_train), (x_test, y_test) = datasets.mnist.load_data("mnist.npz")
    assert x_train.shape == (60000, 28, 28) and y_train.shape == (60000,) and x_test.shape == (10000, 28, 28)
    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    assert x_train.shape[1:] == (32, 32, 3) and y_train.shape == (len(x_train), 1) and y_test.shape == (len(x_test), 1)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
