"""The table against Keras's own, row by row, and how it reads on a narrow terminal."""

import re

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model, Sequential
from minicnn.model.summary import fold, readable_size


def text_of(model, **options):
    lines = []
    model.summary(print_fn=lines.append, **options)
    return "\n".join(lines)


def table_of(text):
    """The rows of cells, folded lines joined again with a space, and the lines behind the table."""
    table, _, rest = text.partition("└─")
    rows = [[]]
    for line in table.splitlines()[1:]:
        if line.startswith(("├", "┡", "┏")):
            rows.append([])
        elif line.startswith(("│", "┃")):
            rows[-1].append([cell.strip() for cell in re.split("[│┃]", line)[1:-1]])
    joined = [[" ".join(part for part in parts if part) for parts in zip(*row, strict=True)] for row in rows if row]
    return joined, [line.strip() for line in rest.splitlines()[1:] if line.strip()]


def chain(layers, Model, Sequential, Input):  # noqa: N803
    return Sequential([
        Input((12, 10, 3)),
        layers.Conv2D(6, 5, padding="same", activation="relu", name="c1"),
        layers.BatchNormalization(name="norm"),
        layers.MaxPooling2D(name="p1"),
        layers.DepthwiseConv2D(3, name="d1"),
        layers.Flatten(name="flat"),
        layers.Dense(10, name="out"),
    ], name="chain")  # fmt: skip


def branches(layers, Model, Sequential, Input):  # noqa: N803
    inner = Sequential([Input((6, 5, 4)), layers.Conv2D(5, 3, name="ci"), layers.ReLU(name="ri")], name="inner")
    first, second = Input((12, 10, 3), name="first"), Input((6, 5, 4), name="second")
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="a_layer_with_quite_a_long_name")(first)
    x = layers.Add(name="sum")([x, second])
    shared = layers.Conv2D(4, 1, name="shared")
    y = shared(shared(x))
    x = layers.Concatenate(name="both")([x, y, x])
    x = inner(layers.Conv2D(4, 1, name="c2")(x))
    return Model([first, second], [layers.Flatten(name="f1")(x), layers.GlobalMaxPooling2D(name="f2")(y)], name="tree")


def residual(layers, Model, Sequential, Input):  # noqa: N803
    x = Input((6, 5, 4), name="images")
    y = layers.Conv2D(4, 3, padding="same", name="c1")(x)
    return Model(x, layers.Add(name="add")([y, x]), name="residual")


@pytest.mark.parametrize("options", [{}, {"show_trainable": True}, {"expand_nested": True}], ids=str)
@pytest.mark.parametrize("make", [chain, branches, residual])
def test_the_table_is_that_of_keras(make, options, monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setenv("COLUMNS", "200")  # Keras cuts off what goes beyond, whatever line_length says
    theirs = make(keras.layers, keras.Model, keras.Sequential, keras.Input)
    ours = make(layers, Model, Sequential, layers.Input)
    for model in (theirs, ours):
        model.get_layer(index=1).trainable = False
    their_rows, their_totals = table_of(text_of(theirs, line_length=200, **options))
    our_rows, our_totals = table_of(text_of(ours, line_length=200, **options))
    place = our_rows[0].index("Mult-adds")
    if "Connected to" in our_rows[0]:  # Keras says "-" for what is inside a nested model
        for row in our_rows:
            row[-1] = "-" if row[0].startswith("└") else row[-1]
    assert [row[:place] + row[place + 1 :] for row in our_rows] == their_rows
    assert our_totals[:-1] == their_totals
    assert our_totals[-1].startswith("Multiply-adds: ")
    assert text_of(ours).splitlines()[0] == text_of(theirs).splitlines()[0]


def test_multiply_adds_of_a_shared_layer_count_every_call():
    model = branches(layers, Model, Sequential, layers.Input)
    rows, totals = table_of(text_of(model, line_length=200, expand_nested=True))
    counts = {row[0].split(" (")[0]: row[3] for row in rows[1:]}
    once = 6 * 5 * 4 * 4
    assert counts["shared"] == f"{2 * once:,}"
    assert counts["a_layer_with_quite_a_long_name"] == f"{6 * 5 * 4 * 9 * 3:,}"
    inner = 4 * 3 * 5 * 9 * 4
    assert counts["inner"] == counts["└ ci"] == f"{inner:,}"
    assert totals[-1] == f"Multiply-adds: {6 * 5 * 4 * 27 + 2 * once + 6 * 5 * 12 * 4 + inner:,} per image"


def test_arithmetic_on_symbols_is_shown():
    x = layers.Input((4, 3, 2), name="x")
    rows, _ = table_of(text_of(Model(x, x * 2 + x)))
    assert [row[0].rsplit("(")[-1] for row in rows[1:]] == ["InputLayer)", "Multiply)", "Add)"]


@pytest.mark.parametrize("columns", [80, 60, 100])
@pytest.mark.parametrize("options", [{}, {"show_trainable": True, "expand_nested": True}], ids=["plain", "all"])
def test_it_fits_the_terminal_and_cuts_nothing(columns, options, monkeypatch):
    if columns == 60 and options:
        pytest.skip("six columns do not fit there")
    monkeypatch.setenv("COLUMNS", str(columns))
    text = text_of(branches(layers, Model, Sequential, layers.Input), **options)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= columns
    rows, _ = table_of(text)
    squeezed = [row[0].replace(" ", "") for row in rows]
    assert "a_layer_with_quite_a_long_name(Conv2D)" in squeezed
    connected = next(row[4] for row in rows if row[0].startswith("sum")).replace(" ", "")
    assert connected == "a_layer_with_quite_a_long_name[0][0],second[0][0]"


def test_it_is_printed_without_a_print_fn(capsys):
    chain(layers, Model, Sequential, layers.Input).summary()
    out = capsys.readouterr().out
    assert out.startswith('Model: "chain"\n') and "Connected to" not in out


def test_connected_can_be_asked_for():
    rows, _ = table_of(text_of(chain(layers, Model, Sequential, layers.Input), connected=True))
    assert rows[0][-1] == "Connected to" and rows[2][-1] == "c1[0][0]"


def test_positions_place_the_columns():
    text = text_of(chain(layers, Model, Sequential, layers.Input), line_length=101, positions=[0.4, 0.7, 0.85, 1.0])
    borders = [i for i, c in enumerate(text.splitlines()[1]) if c in "┏┳┓"]
    assert borders == [0, 40, 70, 85, 100]
    with pytest.raises(ValueError, match="one right end for each of Layer"):
        text_of(chain(layers, Model, Sequential, layers.Input), positions=[0.5, 1])
    with pytest.raises(ValueError, match="less than 4 of 80 characters"):
        text_of(chain(layers, Model, Sequential, layers.Input), line_length=80, positions=[0.4, 0.42, 0.9, 1])


@pytest.mark.parametrize("text, width, lines", [
    ("conv2d (Conv2D)", 20, ["conv2d (Conv2D)"]),
    ("conv2d (Conv2D)", 10, ["conv2d", "(Conv2D)"]),
    ("batch_normalization (BatchNormalization)", 15, ["batch_", "normalization", "(Batch", "Normalization)"]),
    ("conv2_block1_1_relu[0][0], add[0][0]", 17, ["conv2_block1_1_", "relu[0][0],", "add[0][0]"]),
    ("abcdefgh", 3, ["abc", "def", "gh"]),
    ("", 3, [""]),
])  # fmt: skip
def test_fold(text, width, lines):
    assert fold(text, width).split("\n") == lines


@pytest.mark.parametrize("size, text", [
    (0, "0.00 B"), (1023, "1023.00 B"), (1024, "1.00 KB"), (2080328, "1.98 MB"), (3 * 1024**3, "3.00 GB"),
])  # fmt: skip
def test_readable_size(size, text):
    assert readable_size(size) == text


def test_sizes_are_those_of_the_weights():
    model = Sequential([layers.Input((3,)), layers.Dense(2, dtype="float64")])
    assert np.dtype("float64") == model.weights[0].dtype
    assert "Total params: 8 (64.00 B)" in text_of(model)
