"""AlexNet: the paper's figures and notebook 003's."""

import pytest

from tests.zoo.counting import build, counts, kinds


@pytest.mark.parametrize(("variant", "total"), [("notebook", 49_516_520), ("2012", 60_965_224)])
def test_parameters(variant, total):
    model = build("alexnet", variant)
    assert counts(model) == (total, total, 0)
    assert model.name == "alexnet" and model.output.shape == (None, 1000)


def test_layers_by_type():
    expected = "Conv4 Dense3 Dropout2 Flatten1 In1 MaxP3"
    assert kinds(build("alexnet", "notebook")) == expected


def test_figure_2():
    """The sizes that the paper's Fig. 2 prints, and its 0.72 G multiplications with additions."""
    model = build("alexnet", "2012")
    sizes = [layer.output.shape[1:] for layer in model.layers if layer.name.startswith("conv")][1:]
    assert sizes == [(55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256)]
    assert model.get_layer("pool5").output.shape == (None, 6, 6, 256)
    assert round(sum(node.multiply_adds() for node in model.nodes) / 1e9, 3) == 0.724


def test_kernels_of_two_groups():
    model = build("alexnet", "2012")
    assert [model.get_layer(f"conv{i}").kernel.shape[2] for i in range(1, 6)] == [3, 48, 256, 192, 192]


def test_224_and_227_pixels_fit():
    for pixels in (224, 227):
        assert counts(build("alexnet", "2012", input_shape=(pixels, pixels, 3)))[0] == 60_965_224


@pytest.mark.parametrize(("variant", "smallest"), [("notebook", 67), ("2012", 63)])
def test_smallest_input(variant, smallest):
    model = build("alexnet", variant, input_shape=(smallest, smallest + 32, 1), classes=7)
    assert model.output.shape == (None, 7)
    with pytest.raises(ValueError, match=f"alexnet: needs images of at least {smallest} x {smallest}, got "):
        build("alexnet", variant, input_shape=(smallest - 1, 224, 3))
