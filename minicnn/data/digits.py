"""The embedded data set: 1,797 real handwritten digits of 8 x 8 cells, 1,437 for training and 360 for test.

E. Alpaydin and C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
https://archive.ics.uci.edu/dataset/80, licensed CC BY 4.0; the part that scikit-learn ships. A cell holds the ink in
4 x 4 pixels of the scan, 0..16. tools/make_digits.py made the file and the split (stratified, seed 0), once.
"""

from importlib import resources

import numpy as np

from minicnn.data import Dataset


def load() -> Dataset:
    """The digits: x (N, 8, 8, 1) uint8 from 0 to 16, y (N,) int64."""
    file = resources.files("minicnn.data") / "digits.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        x = {part: arrays[f"x_{part}"][..., np.newaxis] for part in ("train", "test")}
        y = {part: arrays[f"y_{part}"].astype(np.int64) for part in ("train", "test")}
    return Dataset("digits", x["train"], y["train"], x["test"], y["test"], tuple("0123456789"), top=16)
