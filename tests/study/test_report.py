"""The files of a result: HTML that needs no network, JSON, and tables on a terminal."""

import re

import numpy as np
import pytest

from minicnn.study import Picture, Result, Table
from minicnn.study.output import as_data, plain, png, write
from minicnn.study.printing import LONG, show, text
from minicnn.study.report import page


def result(rows=3, **changes):
    """Invented."""

    def draw(figure):
        figure.add_subplot().plot([0, 1], [1, 0])

    given = {
        "study": "invented", "title": "A < B & C", "subject": "nothing, seed 0",
        "figures": {"a": np.float32(0.5), "b": np.arange(3), "c": float("nan"), "d": (1, None)},
        "tables": [Table("Some rows", ["name", "value"], [[f"row {i} [x]", i * 1.5] for i in range(rows)])],
        "pictures": [Picture("line", "A line", "It falls.", draw)],
        "method": "One paragraph.\n\nAnother one.", "paper": "Nobody 1999", "expected": "<g, g> is 1.",
        "verdict": "holds: 1 < 2.",
    }  # fmt: skip
    return Result(**(given | changes))


def test_a_page_needs_no_network():
    one = result()
    html = page(one, {"line": png(one.pictures[0])})
    assert html.startswith("<!DOCTYPE html>") and "A &lt; B &amp; C" in html and "&lt;g, g&gt; is 1." in html
    assert "<strong>holds:</strong> 1 &lt; 2." in html and html.count("<p>") == 3
    outside = re.findall(r'(?:src|href)="(?!data:)|@import|url\(|<script|<link', html)
    assert not outside
    assert 'src="data:image/png;base64,iVBOR' in html and "<b>A line.</b> It falls." in html


def test_a_long_table_begins_folded():
    assert "<details open>" in page(result(), {}) and "<details>" in page(result(rows=100), {})


def test_without_pictures_the_page_says_why():
    assert '<p class="note">pip install &lt;it&gt;</p>' in page(result(), {}, "pip install <it>")


def test_the_same_figures_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write(result(), tmp_path / folder)
    names = [path.name for path in (tmp_path / "a").iterdir()]
    assert sorted(names) == ["invented.json", "line.png", "report.html"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_data_are_plain():
    assert as_data(result())["figures"] == {"a": 0.5, "b": [0, 1, 2], "c": "nan", "d": [1, None]}
    assert plain({1: np.bool_(True)}) == {"1": True}


def test_a_table_on_a_terminal(capsys):
    show(result(rows=LONG + 7))
    out = capsys.readouterr().out
    assert "row 0 [x]" in out and "... and 7 more rows, in the report" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (12345, "12,345"), (0.0, "0"), (1.2345, "1.23"), (0.01234, "0.012"), (123.4, "123"),
     (-0.5, "-0.500"), (3.2e-7, "3.2e-07"), (1234.5, "1,234"), (2.5e8, "2.5e+08"), (float("inf"), "inf"), ("x", "x")],
)  # fmt: skip
def test_numbers_in_few_characters(value, shown):
    assert text(value) == shown


def test_a_row_that_does_not_fit():
    with pytest.raises(ValueError, match="table 'T': 2 columns, but a row has 3: "):
        Table("T", ["a", "b"], [[1, 2], [1, 2, 3]])
