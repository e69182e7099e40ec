"""Data sets in the shapes and types of keras.datasets: (x_train, y_train), (x_test, y_test), all uint8."""

import numpy as np

from minicnn import data

Pair = tuple[np.ndarray, np.ndarray]


def mnist(path: str = "mnist.npz") -> tuple[Pair, Pair]:
    """MNIST: x (60000, 28, 28), y (60000,); for test 10,000. path: Keras's name for its cache, of no meaning here."""
    return _grey("mnist")


def fashion_mnist() -> tuple[Pair, Pair]:
    """Fashion-MNIST: x (60000, 28, 28), y (60000,); for test 10,000."""
    return _grey("fashion_mnist")


def cifar10() -> tuple[Pair, Pair]:
    """CIFAR-10: x (50000, 32, 32, 3), y (50000, 1); for test 10,000."""
    (x_train, y_train), (x_test, y_test) = _parts("cifar10")
    return (x_train, y_train[:, np.newaxis]), (x_test, y_test[:, np.newaxis])


def _grey(name: str) -> tuple[Pair, Pair]:
    (x_train, y_train), (x_test, y_test) = _parts(name)
    return (x_train[..., 0], y_train), (x_test[..., 0], y_test)


def _parts(name: str) -> tuple[Pair, Pair]:
    found = data.load(name)
    parts = ((found.x_train, found.y_train), (found.x_test, found.y_test))
    train, test = ((np.asarray(x), y.astype(np.uint8)) for x, y in parts)
    return train, test
