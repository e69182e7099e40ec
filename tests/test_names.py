import pytest

from minicnn.names import unknown

KNOWN = ["Conv2D", "Dense", "--epochs", "--verbose", "lenet5"]


@pytest.mark.parametrize("name, message", [
    ("conv2", "unknown thing 'conv2': did you mean 'Conv2D'?"),
    ("--ephocs", "unknown thing '--ephocs': did you mean '--epochs'?"),
    ("LeNet_5", "unknown thing 'LeNet_5': did you mean 'lenet5'?"),
    ("zzz", "unknown thing 'zzz': known are --epochs, --verbose, Conv2D, Dense, lenet5"),
    (None, "unknown thing None: known are --epochs, --verbose, Conv2D, Dense, lenet5"),
])  # fmt: skip
def test_the_nearest_names(name, message):
    assert unknown("thing", name, KNOWN) == message


def test_nothing_is_known():
    assert unknown("thing", "a", []) == "unknown thing 'a': known are none"
