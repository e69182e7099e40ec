"""Every network at its own size, in float32: the outputs in inference against Keras's, within 1e-4 of their scale."""

import numpy as np
import pytest

from minicnn import zoo
from minicnn.layers.initializers import placeholders
from tests.parity.harness import compare_outputs
from tests.parity.pairs import PAIRS

SMALL = 64 * 64 * 3  # numbers in an image; larger ones are left out of the default run
QUICK = ("inception_v1-notebook",)  # large, and in it all the same


def marked(pairs):
    """A parameter for each pair; what takes long is left out of the default run."""
    for pair in pairs:
        large = pair.slow or np.prod(zoo.entry(pair.network).input_shape) > SMALL
        quick = str(pair) in QUICK or not large
        yield pytest.param(pair, id=str(pair), marks=[] if quick else [pytest.mark.slow])


@pytest.mark.parametrize("pair", list(marked(PAIRS)))
def test_outputs(keras, rng, pair):
    keras.backend.clear_session()
    entry = zoo.entry(pair.network)
    native = {"input_shape": entry.input_shape, "classes": entry.classes}
    with placeholders():  # the harness draws the weights
        ours = pair.ours(**native)
    images = rng.normal(size=(2, *entry.input_shape)).astype("float32")
    compare_outputs(ours, pair.reference(**native), images, rng, tolerance=1e-4)
