"""Every network at its own size and in float32: the outputs in inference, within 1e-4 of their scale."""

import numpy as np
import pytest

from minicnn import zoo
from minicnn.layers.initializers import placeholders
from minicnn.tensor import no_grad
from tests.parity.harness import set_random_weights, to_list, worst
from tests.parity.pairs import PAIRS

SMALL = 64 * 64 * 3  # numbers in an image; larger ones are left out of the default run


def marked(pairs):
    """A parameter for each pair."""
    for pair in pairs:
        large = pair.slow or np.prod(zoo.entry(pair.network).input_shape) > SMALL
        yield pytest.param(pair, id=str(pair), marks=[pytest.mark.slow] if large else [])


@pytest.mark.parametrize("pair", list(marked(PAIRS)))
def test_outputs_in_float32(keras, rng, pair):
    keras.backend.clear_session()
    entry = zoo.entry(pair.network)
    native = {"input_shape": entry.input_shape, "classes": entry.classes}
    with placeholders():
        ours = pair.ours(**native)
    theirs = pair.reference(**native)
    set_random_weights(theirs, rng)
    ours.set_weights(theirs.get_weights())
    image = rng.normal(size=(1, *entry.input_shape)).astype("float32")
    with no_grad():
        mine = [y if y.logits is None else y.logits for y in to_list(ours(image))]
    other = [getattr(y, "_keras_logits", y) for y in to_list(theirs(image, training=False))]
    assert all(y.dtype == "float32" for y in mine)
    error = worst([y.data for y in mine], other)
    assert error <= 1e-4, f"off by {error:.2e} of the output's scale"
