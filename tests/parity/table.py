"""The table of docs/parity.md: `python -m tests.parity.table` prints it, `--write FILE` also puts it into a file.

One row for each pair of tests/parity/pairs.py: the network, its parameters, the worst error of its outputs and of any
weight's gradient against the Keras model, in float64. The parameters are those at the native size, with 1000 (or 10)
classes.
"""

import argparse
import datetime
import os
import platform
import re
import sys
import time
import traceback
from pathlib import Path

HEADER = "| network | parameters | outputs | gradients | after a step |\n|---|---:|---:|---:|---:|"
BEGIN, END = "<!-- parity table -->", "<!-- end of the parity table -->"


def main(argv=None) -> int:
    """Compares the pairs whose names contain one of the given words (all, unless given) and prints the table."""
    parser = argparse.ArgumentParser("python -m tests.parity.table", description="Compare the zoo with Keras models.")
    parser.add_argument("words", metavar="WORD", nargs="*", help="only the pairs whose names contain one of these")
    parser.add_argument("--write", metavar="FILE", type=Path, help=f"replace what stands there after {BEGIN}")
    arguments = parser.parse_args(argv)
    rows, failed = [], 0
    for pair in chosen(arguments.words):
        begun = time.perf_counter()
        try:
            rows.append(row(pair))
        except Exception:  # one network that differs must not hide the others
            traceback.print_exc()
            rows.append(f"| {pair} | differs | | | |")
            failed += 1
        print(f"{rows[-1]}  {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    text = f"{HEADER}\n" + "\n".join(rows) + f"\n\n{colophon()}\n"
    print(text)
    if arguments.write is not None and not failed:
        write(arguments.write, text)
    return min(failed, 1)


def chosen(words):
    """The pairs, in their order."""
    from tests.parity.pairs import PAIRS

    return [pair for pair in PAIRS if not words or any(word in str(pair) for word in words)]


def row(pair) -> str:
    """A line of the table. Raises AssertionError where the two models differ."""
    import keras
    import numpy as np

    from minicnn.config import config
    from minicnn.layers.initializers import placeholders
    from tests.parity.harness import compare

    keras.config.set_floatx("float64")
    keras.backend.clear_session()
    config.floatx = "float64"
    rng = np.random.default_rng(20240229)
    with placeholders():  # the harness draws the weights
        ours = pair.ours()
    images = rng.normal(size=(2, *pair.input_shape))
    errors = compare(ours, pair.reference(), images, rng, loss_weights=pair.loss_weights)
    outputs = max(errors.inference, errors.outputs)
    return f"| {pair} | {native_parameters(pair):,} | {outputs:.1e} | {errors.gradient:.1e} | {errors.step:.1e} |"


def native_parameters(pair) -> int:
    """Those of the network at its own input size and number of classes."""
    from minicnn import zoo
    from minicnn.layers.initializers import placeholders

    entry = zoo.entry(pair.network)
    with placeholders():
        return pair.ours(input_shape=entry.input_shape, classes=entry.classes).count_params()


def colophon() -> str:
    """When, and with what."""
    import keras
    import numpy as np
    import tensorflow as tf

    import minicnn

    versions = f"minicnn {minicnn.__version__}, Keras {keras.__version__} on TensorFlow {tf.__version__}"
    versions += f", NumPy {np.__version__}, Python {platform.python_version()}"
    return (
        f"{datetime.date.today():%Y-%m-%d}; {versions}. float64, batches of 2. The worst error of any tensor on that "
        "tensor's own scale: of the outputs (in inference, and of the logits in training), of a weight's gradient, "
        "and of weights and moving statistics after one step of SGD."
    )


def write(path: Path, text: str) -> None:
    """Puts the table between the two marks. Raises ValueError where the file has none."""
    old = path.read_text(encoding="utf-8")
    new, count = re.subn(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}{END}", old, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{path} has no single place from {BEGIN} to {END}")
    path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
