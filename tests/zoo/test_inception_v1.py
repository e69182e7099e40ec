"""GoogLeNet: Table 1 of the paper and notebook 003's figures."""

import pytest

from minicnn.zoo import inception_v1
from tests.zoo.counting import block, build, counts, kinds

NOTEBOOK = "AvgP2 Cat9 Conv59 Dense5 Dropout3 Flatten2 GAP1 In1 MaxP13 ZPad4"


@pytest.mark.parametrize(
    ("variant", "aux", "total"),
    [
        ("notebook", True, 13_354_200),
        ("notebook", False, 6_976_520),
        ("paper", True, 13_378_280),
        ("paper", False, 6_998_552),
    ],
)
def test_parameters(variant, aux, total):
    model = build("inception_v1", variant, aux=aux)
    assert counts(model) == (total, total, 0) and model.name == "inception_v1"


def test_layers_by_type():
    model = build("inception_v1", "notebook", aux=True)
    assert kinds(model) == NOTEBOOK and len(model.layers) == 99


@pytest.mark.parametrize("variant", ["notebook", "paper"])
def test_outputs(variant):
    """[predictions, head on 4a, head on 4d]"""
    model = build("inception_v1", variant, classes=11, aux=True)
    assert [symbol.shape for symbol in model.outputs] == [(None, 11)] * 3
    assert build("inception_v1", variant, classes=11).output.shape == (None, 11)
    assert build("inception_v1", variant, include_top=False).output.shape == (None, 7, 7, 1024)


def test_heads():
    """Section 5: 4 x 4 x 128 from an average over 5 x 5."""
    assert block(inception_v1.head, (14, 14, 512), 1000).count_params() == 3_188_840
    assert block(inception_v1.head, (14, 14, 528), 1000).count_params() == 3_190_888


@pytest.mark.parametrize(
    ("name", "shape", "total", "channels"),
    [
        ("3a", (28, 28, 192), 163_696, 256),
        ("3b", (28, 28, 256), 388_736, 480),
        ("4a", (14, 14, 480), 376_176, 512),
        ("4b", (14, 14, 512), 449_160, 512),
        ("4c", (14, 14, 512), 510_104, 512),
        ("4d", (14, 14, 512), 592_560, 512),
        ("4e", (14, 14, 512), 859_136, 832),
        ("5a", (7, 7, 832), 1_043_456, 832),
        ("5b", (7, 7, 832), 1_444_080, 1024),
    ],
)
def test_modules_of_the_notebook(name, shape, total, channels):
    *_, module, rows = inception_v1.FORMS["notebook"]
    model = block(module, shape, *rows[name], name=name)
    assert counts(model) == (total, total, 0) and model.output.shape == (None, *shape[:2], channels)
    assert kinds(model) == "Cat1 Conv6 In1 MaxP1"


def test_table_1():
    """The output sizes of the paper's Table 1."""
    model = build("inception_v1", "paper", aux=True)
    sizes = {name: model.get_layer(f"inception_{name}").output.shape[1:] for name in inception_v1.MODULES}
    assert sizes == {
        "3a": (28, 28, 256), "3b": (28, 28, 480),
        "4a": (14, 14, 512), "4b": (14, 14, 512), "4c": (14, 14, 512), "4d": (14, 14, 528), "4e": (14, 14, 832),
        "5a": (7, 7, 832), "5b": (7, 7, 1024),
    }  # fmt: skip
    assert round(sum(node.multiply_adds() for node in model.nodes) / 1e9, 3) == 1.591


def test_smallest_input():
    assert build("inception_v1", input_shape=(65, 66, 3), aux=True).outputs[1].shape == (None, 1000)
    with pytest.raises(ValueError, match="inception_v1: needs images of at least 65 x 65"):
        build("inception_v1", input_shape=(64, 224, 3), aux=True)
    assert build("inception_v1", input_shape=(32, 32, 3)).output.shape == (None, 1000)
    with pytest.raises(ValueError, match="auxiliary heads belong to the top"):
        build("inception_v1", include_top=False, aux=True)
