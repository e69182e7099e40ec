"""Inception v3: the figures of Keras, notebook 003 and torchvision."""

import pytest

from minicnn.layers import BatchNormalization
from minicnn.zoo.inception_v3 import conv_bn
from tests.zoo.counting import block, build, counts, kinds

TYPES = "Act94 AvgP9 BN94 Cat15 Conv94 Dense1 GAP1 In1 MaxP4"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (23_851_784, 23_817_352, 34_432)),
        ({"aux": True}, (27_179_376, 27_143_152, 36_224)),
        ({"input_shape": (75, 75, 3), "classes": 10}, (21_823_274, 21_788_842, 34_432)),
        ({"include_top": False}, (21_802_784, 21_768_352, 34_432)),
    ],
)
def test_parameters(arguments, expected):
    assert counts(build("inception_v3", **arguments)) == expected


@pytest.mark.parametrize(("aux", "torchvision"), [(False, 23_834_568), (True, 27_161_264)])
def test_torchvision(aux, torchvision):
    """Its batch norms have a gamma; its "buffers" are our statistics."""
    model = build("inception_v3", aux=aux)
    gammas = sum(layer.beta.size for layer in model.layers if isinstance(layer, BatchNormalization))
    assert counts(model)[1] + gammas == torchvision


def test_layers_by_type():
    model = build("inception_v3")
    assert kinds(model) == TYPES and len(model.layers) == 313


def test_first_block():
    model = block(conv_bn, (299, 299, 3), 32, 3, 2, "valid")
    assert counts(model) == (960, 896, 64) and kinds(model) == "Act1 BN1 Conv1 In1"
    assert model.output.shape == (None, 149, 149, 32)


def test_sizes():
    model = build("inception_v3")
    sizes = [model.get_layer(f"mixed{i}").output.shape[1:] for i in range(11)]
    assert sizes[:4] == [(35, 35, 256), (35, 35, 288), (35, 35, 288), (17, 17, 768)]
    assert sizes[4:] == [(17, 17, 768)] * 4 + [(8, 8, 1280)] + [(8, 8, 2048)] * 2
    assert round(sum(node.multiply_adds() for node in model.nodes) / 1e9, 3) == 5.713


def test_errors():
    with pytest.raises(ValueError, match="inception_v3: needs images of at least 75 x 75"):
        build("inception_v3", input_shape=(74, 299, 3))
    with pytest.raises(ValueError, match="inception_v3: needs images of at least 107 x 107"):
        build("inception_v3", input_shape=(106, 299, 3), aux=True)
    with pytest.raises(ValueError, match="the auxiliary head belongs to the top"):
        build("inception_v3", include_top=False, aux=True)
