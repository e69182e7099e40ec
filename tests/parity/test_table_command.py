"""`python -m tests.parity.table`: which pairs it takes, and where it writes."""

import pytest

from tests.parity import table
from tests.parity.pairs import PAIRS


def test_words_choose_pairs():
    assert table.chosen([]) == PAIRS
    assert [str(pair) for pair in table.chosen(["plain20", "resnet20-B"])] == ["resnet20-B", "plain20"]


def test_a_row_and_the_colophon(keras, double):
    (pair,) = table.chosen(["plain20"])
    name, parameters, *errors = (cell.strip() for cell in table.row(pair).strip("|").split("|"))
    assert (name, parameters) == ("plain20", "271,098") and all(0 < float(error) < 1e-9 for error in errors)
    assert f"Keras {keras.__version__} on TensorFlow" in table.colophon()


def test_write(tmp_path):
    file = tmp_path / "README.md"
    file.write_text(f"before\n{table.BEGIN}\nold \\1\n{table.END}\nafter\n", encoding="utf-8")
    table.write(file, "| new \\1 |\n")
    assert file.read_text(encoding="utf-8") == f"before\n{table.BEGIN}\n| new \\1 |\n{table.END}\nafter\n"
    file.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="has no single place"):
        table.write(file, "")
