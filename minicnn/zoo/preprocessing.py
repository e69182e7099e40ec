"""What images must go through before a network sees them, and what its answers are called.

The published weights of a family expect the numbers that it was trained on:
caffe: blue, green, red, minus the mean of ImageNet, 0..255      tf: from -1 to 1
torch: minus the mean, divided by the deviation of each colour   unit: from 0 to 1, what `minicnn train` gives
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.names import unknown

CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red
TORCH_MEAN, TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # red, green, blue, of 0..1
MODES = ("caffe", "tf", "torch", "unit")
LARGEST_LABELS = 1 << 24  # bytes of a file of labels


def preprocess_input(x: np.ndarray, mode: str = "caffe") -> np.ndarray:
    """Images in the range that weights of `mode` expect, as a new float32 array (float64 stays so).

    x: (..., H, W, 3), red, green, blue, 0..255; for "tf" and "unit" any number of channels. Raises ValueError.
    """
    if mode not in MODES:
        raise ValueError(unknown("preprocessing", mode, MODES))
    x = np.asarray(x)
    x = np.array(x, x.dtype if x.dtype == np.float64 else np.float32)
    if mode == "tf":
        return x / 127.5 - 1
    if mode == "unit":
        return x / 255
    if x.ndim < 3 or x.shape[-1] != 3:
        raise ValueError(f"{mode} preprocessing wants images of shape (..., H, W, 3), got {x.shape}")
    if mode == "caffe":
        return x[..., ::-1] - np.asarray(CAFFE_MEAN, x.dtype)
    return (x / 255 - np.asarray(TORCH_MEAN, x.dtype)) / np.asarray(TORCH_DEVIATION, x.dtype)


def read_labels(path: str | Path) -> list[tuple[str, str]]:
    """(identifier, name) of each class from a file: Keras's imagenet_class_index.json, or a text with a name a line.

    Without identifiers these are the classes' numbers. Raises ValueError for another file, OSError for none.
    """
    path = Path(path)
    if path.stat().st_size > LARGEST_LABELS:
        raise ValueError(f"{path}: too large for a file of labels ({path.stat().st_size:,} bytes)")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            found = json.loads(text)
            if isinstance(found, dict):
                found = [found[str(i)] for i in range(len(found))]
            return _pairs(found)
    except (ValueError, KeyError, RecursionError, TypeError):
        raise ValueError(
            f'{path}: expected {{"0": ["n01440764", "tench"], ...}} or a text with a name a line'
        ) from None
    return _pairs(text.splitlines())


def decode_predictions(
    predictions: np.ndarray, labels: str | Path | Sequence[Any], top: int = 5
) -> list[list[tuple[str, str, float]]]:
    """For each image its `top` classes, best first: (identifier, name, score). Equal scores: the lower class first.

    predictions: (N, classes)   labels: a file, as in `read_labels`, or a list of names or of (identifier, name).
    Raises ValueError where there are more or fewer labels than classes.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 2:
        raise ValueError(f"expected predictions of shape (N, classes), got {predictions.shape}")
    named = read_labels(labels) if isinstance(labels, str | Path) else _pairs(labels)
    if len(named) != predictions.shape[1]:
        raise ValueError(f"there are {len(named)} labels for {predictions.shape[1]} classes")
    order = np.argsort(-predictions, axis=1, kind="stable")[:, :top]
    return [[(*named[i], float(row[i])) for i in best] for row, best in zip(predictions, order, strict=True)]


def _pairs(labels: Sequence[Any]) -> list[tuple[str, str]]:
    """Names, or pairs of an identifier and a name, as pairs. Raises ValueError for anything else."""
    pairs = [(str(i), label) if isinstance(label, str) else label for i, label in enumerate(labels)]
    if not all(isinstance(p, list | tuple) and len(p) == 2 and all(isinstance(x, str) for x in p) for p in pairs):
        raise ValueError("labels must be names, or pairs of an identifier and a name")
    return [(identifier, name) for identifier, name in pairs]
