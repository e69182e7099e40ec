"""VGG: the figures of Keras and of notebook 003, which agree."""

import pytest

from tests.zoo.counting import build, counts, kinds


@pytest.mark.parametrize(
    ("name", "total", "without_top", "expected"),
    [
        ("vgg16", 138_357_544, 14_714_688, "Conv13 Dense3 Flatten1 In1 MaxP5"),
        ("vgg19", 143_667_240, 20_024_384, "Conv16 Dense3 Flatten1 In1 MaxP5"),
    ],
)
def test_parameters(name, total, without_top, expected):
    model = build(name)
    assert counts(model) == (total, total, 0) and kinds(model) == expected
    assert model.name == name and model.output.shape == (None, 1000)
    assert build(name, include_top=False).count_params() == without_top


def test_classes_are_honoured():
    """Notebook 003's builder takes n_classes and makes 1000."""
    model = build("vgg16", classes=10)
    assert model.output.shape == (None, 10) and model.count_params() == 138_357_544 - 990 * 4097


@pytest.mark.parametrize(("pooling", "shape"), [(None, (None, 7, 7, 512)), ("avg", (None, 512)), ("max", (None, 512))])
def test_pooling(pooling, shape):
    assert build("vgg16", include_top=False, pooling=pooling).output.shape == shape


def test_any_size_without_top():
    assert build("vgg16", input_shape=(None, None, 3), include_top=False).output.shape == (None, None, None, 512)


def test_errors():
    with pytest.raises(ValueError, match="vgg16: needs images of at least 32 x 32, got input_shape=\\(32, 31, 3\\)"):
        build("vgg16", input_shape=(32, 31, 3))
    with pytest.raises(ValueError, match="unknown pooling 'mean'"):
        build("vgg19", include_top=False, pooling="mean")
    with pytest.raises(ValueError, match="unknown variant of vgg16 'torch': known are keras"):
        build("vgg16", "torch")
