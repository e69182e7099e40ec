"""Every network at its own size, in float32: the outputs against Keras's."""

import pytest

from minicnn import zoo
from minicnn.layers.initializers import placeholders
from tests.parity.harness import compare_outputs
from tests.parity.pairs import PAIRS

QUICK = ("lenet5-notebook", "lenet5-1998", "resnet20-A", "inception_v1-notebook")


def marked(pairs):
    """A parameter for each pair; all but a few are left out of the default run."""
    return [pytest.param(p, id=str(p), marks=[] if str(p) in QUICK else [pytest.mark.slow]) for p in pairs]


@pytest.mark.parametrize("pair", marked(PAIRS))
def test_outputs(keras, rng, pair):
    keras.backend.clear_session()
    entry = zoo.entry(pair.network)
    native = {"input_shape": entry.input_shape, "classes": entry.classes}
    with placeholders():  # the harness draws the weights
        ours = pair.ours(**native)
    images = rng.normal(size=(2, *entry.input_shape)).astype("float32")
    compare_outputs(ours, pair.reference(**native), images, rng, tolerance=1e-4)
