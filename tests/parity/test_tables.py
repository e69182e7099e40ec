"""Every layer of every pair: class, name, output shape, parameters, in Keras's order, at the network's own size."""

import pytest

from minicnn import zoo
from minicnn.layers.initializers import placeholders
from minicnn.layers.naming import clear_session
from tests.parity.pairs import PAIRS
from tests.parity.test_pairs import marked


def table(model):
    """[class, name, output shape, parameters] of each layer."""
    return [[class_name(x), our_name(x.name), tuple(x.output.shape), x.count_params()] for x in model.layers]


def class_name(layer):
    """Keras's Inception-ResNet has a layer of its own for our ScaledAdd."""
    return type(layer).__name__.replace("CustomScaleLayer", "ScaledAdd")


def our_name(name):
    """The automatic name of that layer."""
    return name.replace("custom_scale_layer", "scaled_add")


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
@pytest.mark.parametrize(
    "name",
    [
        "vgg16",
        "vgg19",
        "resnet50",
        "resnet50v2",
        "inception_v3",
        pytest.param("inception_resnet_v2", marks=pytest.mark.slow),
    ],
)
def test_without_top(keras, name, options):
    keras.backend.clear_session()
    clear_session()
    theirs = {
        "vgg16": keras.applications.VGG16,
        "vgg19": keras.applications.VGG19,
        "resnet50": keras.applications.ResNet50,
        "resnet50v2": keras.applications.ResNet50V2,
        "inception_v3": keras.applications.InceptionV3,
        "inception_resnet_v2": keras.applications.InceptionResNetV2,
    }[name]
    arguments = {"input_shape": (76, 99, 3), "include_top": False, **options}
    with placeholders():
        ours = zoo.build(name, **arguments)
    assert table(ours) == table(theirs(weights=None, **arguments))
