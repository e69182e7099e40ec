"""preprocess_input and decode_predictions against keras.applications."""

import json

import numpy as np
import pytest

from minicnn import zoo
from minicnn.zoo.preprocessing import decode_predictions, preprocess_input
from tests.checks import assert_close

NETWORKS = {
    "vgg16": "vgg16",
    "vgg19": "vgg19",
    "resnet50": "resnet",
    "resnet101v2": "resnet_v2",
    "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2",
}


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_of_keras(keras, rng, name, dtype):
    x = rng.integers(0, 256, (2, 5, 4, 3)).astype(dtype)
    before = x.copy()
    expected = getattr(keras.applications, NETWORKS[name]).preprocess_input(x.astype(np.float32))
    assert_close(preprocess_input(x, zoo.entry(name).preprocessing()), expected)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_each_mode(keras, rng, mode):
    from keras.src.applications import imagenet_utils

    x = rng.uniform(0, 255, (5, 4, 3))
    assert_close(preprocess_input(x, mode), imagenet_utils.preprocess_input(x.copy(), mode=mode))


def test_decoded_as_keras_does(keras, rng, monkeypatch, tmp_path):
    from keras.src.applications import imagenet_utils

    index = {str(i): [f"n{i:08}", f"name {i}"] for i in range(1000)}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", index)  # Keras would download it
    predictions = rng.dirichlet(np.ones(1000), 3)
    expected = imagenet_utils.decode_predictions(predictions, top=4)
    found = decode_predictions(predictions, tmp_path / "imagenet_class_index.json", top=4)
    assert found == [[(a, b, pytest.approx(float(c))) for a, b, c in row] for row in expected]
