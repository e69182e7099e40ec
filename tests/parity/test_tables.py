"""Every layer of every pair: class, name, output shape, parameters, in Keras's order, at the network's own size."""

import pytest

from minicnn import zoo
from minicnn.layers.initializers import placeholders
from minicnn.layers.naming import clear_session
from tests.parity.pairs import PAIRS
from tests.parity.test_pairs import marked


def table(model):
    """[class, name, output shape, parameters] of each layer."""
    return [[type(x).__name__, x.name, tuple(x.output.shape), x.count_params()] for x in model.layers]


@pytest.mark.parametrize("pair", marked(PAIRS))
def test_layers(keras, pair):
    keras.backend.clear_session()
    clear_session()
    entry = zoo.entry(pair.network)
    native = {"input_shape": entry.input_shape, "classes": entry.classes}
    with placeholders():
        ours = pair.ours(**native)
    theirs = pair.reference(**native)
    assert table(ours) == table(theirs)


@pytest.mark.parametrize("options", [{"pooling": None}, {"pooling": "avg"}, {"pooling": "max"}], ids=str)
@pytest.mark.parametrize("name", ["resnet50", "resnet50v2"])
def test_without_top(keras, name, options):
    keras.backend.clear_session()
    clear_session()
    theirs = {"resnet50": keras.applications.ResNet50, "resnet50v2": keras.applications.ResNet50V2}[name]
    with placeholders():
        ours = zoo.build(name, input_shape=(40, 33, 3), include_top=False, **options)
    assert table(ours) == table(theirs(weights=None, input_shape=(40, 33, 3), include_top=False, **options))
