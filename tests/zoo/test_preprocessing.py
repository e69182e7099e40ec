"""What images go through, and what answers are called. tests/parity holds both against Keras."""

import json

import numpy as np
import pytest

from minicnn import zoo
from minicnn.zoo.preprocessing import MODES, decode_predictions, preprocess_input, read_labels
from tests.checks import assert_close

BLACK, WHITE = np.zeros((1, 1, 3)), np.full((1, 1, 3), 255.0)


def test_black_and_white():
    assert_close(preprocess_input(BLACK, "tf"), np.full((1, 1, 3), -1.0))
    assert_close(preprocess_input(WHITE, "tf"), np.ones((1, 1, 3)))
    assert_close(preprocess_input(WHITE, "unit"), np.ones((1, 1, 3)))
    assert_close(preprocess_input(BLACK, "caffe"), np.array([[[-103.939, -116.779, -123.68]]]))
    assert_close(preprocess_input(WHITE, "torch"), np.array([[[0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]]]))


def test_caffe_turns_the_colours_round():
    red = np.array([[[255, 0, 0]]], np.uint8)
    assert preprocess_input(red, "caffe").argmax() == 2
    assert preprocess_input(red, "caffe").dtype == np.float32


@pytest.mark.parametrize("mode", ["caffe", "torch"])
def test_colours_are_needed(mode):
    with pytest.raises(ValueError, match=rf"{mode} preprocessing wants images of shape .* got \(2, 2, 1\)"):
        preprocess_input(np.zeros((2, 2, 1)), mode)


def test_an_unknown_mode():
    with pytest.raises(ValueError, match="unknown preprocessing 'cafe': did you mean 'caffe'"):
        preprocess_input(BLACK, "cafe")


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_has_one(name):
    assert zoo.entry(name).preprocessing() in MODES


def test_a_variant_may_have_its_own():
    assert zoo.entry("resnet50").preprocessing() == "caffe"
    assert zoo.entry("resnet50").preprocessing("torch") == "torch"
    assert zoo.entry("lenet5").preprocessing("1998") == "unit"


PREDICTIONS = np.array([[0.1, 0.6, 0.3], [0.4, 0.4, 0.2]])


@pytest.mark.parametrize(
    ("file", "text", "first"),
    [
        ("a.json", json.dumps({"0": ["n0", "cat"], "1": ["n1", "dog"], "2": ["n2", "hen"]}), ("n1", "dog", 0.6)),
        ("a.json", json.dumps(["cat", "dog", "hen"]), ("1", "dog", 0.6)),
        ("a.txt", "cat\ndog\nhen\n", ("1", "dog", 0.6)),
    ],
)
def test_labels_from_a_file(tmp_path, file, text, first):
    (tmp_path / file).write_text(text)
    found = decode_predictions(PREDICTIONS, tmp_path / file, top=2)
    assert found[0][0] == first
    assert [name for _, name, _ in found[1]] == ["cat", "dog"]  # equal: the lower class first
    assert all(len(row) == 2 for row in found)


def test_labels_from_a_list():
    assert decode_predictions(PREDICTIONS, ["cat", "dog", "hen"])[0][0] == ("1", "dog", 0.6)
    assert decode_predictions(PREDICTIONS, [("a", "cat"), ("b", "dog"), ("c", "hen")], 1)[0] == [("b", "dog", 0.6)]


def test_labels_must_be_as_many_as_classes():
    with pytest.raises(ValueError, match="there are 2 labels for 3 classes"):
        decode_predictions(PREDICTIONS, ["cat", "dog"])
    with pytest.raises(ValueError, match=r"expected predictions of shape \(N, classes\), got \(3,\)"):
        decode_predictions(PREDICTIONS[0], ["cat", "dog", "hen"])


@pytest.mark.parametrize(
    "text", ['{"0": ["n0", "cat"], "2": ["n2", "hen"]}', "7", "[1, 2]", "[[", '{"0": ["n0"]}', "[" * 9999]
)
def test_files_of_other_things(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="a.json: expected"):
        read_labels(tmp_path / "a.json")


def test_a_file_that_is_too_large(tmp_path):
    with open(tmp_path / "a.txt", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match="a.txt: too large for a file of labels"):
        read_labels(tmp_path / "a.txt")
