import pytest

from minicnn import zoo


def shapes(model):
    return {layer.name: [w.shape for w in layer.weights] for layer in model.layers if layer.weights}


def test_notebook():
    model = zoo.build("lenet5")
    assert model.name == "lenet5" and model.count_params() == 520_082
    assert shapes(model) == {
        "conv1": [(5, 5, 1, 6), (6,)],
        "conv2": [(5, 5, 6, 16), (16,)],
        "dense1": [(1024, 500), (500,)],
        "predictions": [(500, 10), (10,)],
    }


def test_1998():
    """Fig. 2, section II.B: C1 156, S2 12, S4 32, C5 48,120, F6 10,164 as in the paper; C3 has 2,416 for its 1,516."""
    model = zoo.build("lenet5", variant="1998")
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.weights}
    assert counts == {"c1": 156, "s2": 12, "c3": 2416, "s4": 32, "c5": 48_120, "f6": 10_164, "predictions": 850}
    assert model.count_params() == 61_750


@pytest.mark.parametrize("variant", zoo.entry("lenet5").variants)
def test_other_inputs_and_classes(variant):
    model = zoo.build("lenet5", variant, input_shape=(36, 32, 3), classes=7)
    assert model.input.shape == (None, 36, 32, 3) and model.output.shape == (None, 7)


def test_1998_with_sigmoids():
    """The text of notebook 003 leaves the choice: sigmoid or tanh."""
    model = zoo.build("lenet5", variant="1998", activation="sigmoid")
    named = {layer.name: layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")}
    assert named == dict.fromkeys(["c1", "s2", "c3", "s4", "c5", "f6"], "sigmoid") | {"predictions": "softmax"}
    assert model.count_params() == zoo.build("lenet5", variant="1998").count_params()
