"""Make minicnn/data/digits.npz, the data set that minicnn ships: `python tools/make_digits.py [FILE]`.

The images are scikit-learn's copy of the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
C. Kaynak, 1998, UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0): 1,797 images of 8 x 8
cells, each a count from 0 to 16 of the ink in a 4 x 4 block of the scan. They are split once, stratified by class.

Needs scikit-learn (made with 1.9), which minicnn itself does not.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TEST_SIZE = 360
FILE = Path(__file__).parents[1] / "minicnn" / "data" / "digits.npz"


def main(path: Path = FILE) -> None:
    """Write the four arrays: x_* (N, 8, 8) and y_* (N,), all uint8."""
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=TEST_SIZE, stratify=labels, random_state=0
    )
    np.savez_compressed(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    print(f"{path}: {len(x_train)} for training, {len(x_test)} for test, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
