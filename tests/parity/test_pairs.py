"""Every network that Keras has, or that its layers can build: outputs, every gradient, one step, in float64."""

import pytest

from minicnn.layers.initializers import placeholders
from tests.parity.harness import compare
from tests.parity.pairs import PAIRS


def marked(pairs):
    """A parameter for each pair; the slow ones are left out of the default run."""
    return [pytest.param(pair, id=str(pair), marks=[pytest.mark.slow] if pair.slow else []) for pair in pairs]


@pytest.mark.parametrize("pair", marked(PAIRS))
def test_outputs_gradients_and_a_step(keras, double, rng, pair):
    keras.backend.clear_session()
    with placeholders():  # the harness draws the weights
        ours = pair.ours()
    images = rng.normal(size=(2, *pair.input_shape))
    compare(ours, pair.reference(), images, rng, loss_weights=pair.loss_weights)
