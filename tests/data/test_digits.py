import hashlib

import numpy as np
import pytest

from minicnn import data


def test_digits_are_the_ones_that_the_script_made():
    digits = data.load("digits")
    assert digits.name == "digits" and digits.classes == 10 and digits.top == 16
    assert digits.x_train.shape == (1437, 8, 8, 1) and digits.x_test.shape == (360, 8, 8, 1)
    assert digits.x_train.dtype == np.uint8 and digits.y_train.dtype == np.int64
    assert digits.x_train.max() == 16
    # whoever makes the file anew and gets another split has changed every result that was ever measured on it
    sums = [hashlib.sha256(x.tobytes()).hexdigest()[:16] for x in (digits.x_train, digits.x_test)]
    assert sums == ["5760f944f9d45833", "3cc232bd25364446"]


def test_digits_are_split_by_class_and_without_overlap():
    digits = data.load("digits")
    train, test = (np.bincount(y, minlength=10) for y in (digits.y_train, digits.y_test))
    assert abs(train / 1437 - test / 360).max() < 0.003
    seen = {x.tobytes() for x in digits.x_train}
    assert not any(x.tobytes() in seen for x in digits.x_test)


def test_unknown_data_set_names_the_nearest():
    with pytest.raises(ValueError, match="unknown data set 'digit': did you mean 'digits'"):
        data.load("digit")
    with pytest.raises(ValueError, match="unknown data set 'zzz': known are cifar10, digits"):
        data.load("zzz")
