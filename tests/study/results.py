"""What every result of an instrument must stand."""

import io
import json

from matplotlib.figure import Figure

from minicnn.study.output import as_data
from minicnn.study.printing import show


def check(result, capsys):
    """Its figures are JSON, its tables fit 80 columns, its pictures draw, and a verdict and the words are there."""
    assert json.loads(json.dumps(as_data(result), allow_nan=False))["study"] == result.study
    show(result)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert result.verdict.startswith(("holds", "does not hold", "measured")) and result.tables
    assert all((result.subject, result.method, result.paper, result.expected))
    for picture in result.pictures:
        figure = Figure(figsize=picture.size, layout="constrained")
        picture.draw(figure)
        figure.savefig(io.BytesIO(), format="png")
        assert all(ax.get_xlabel() or ax.get_title(loc="left") for ax in figure.axes), picture.name
    assert len({picture.name for picture in result.pictures}) == len(result.pictures)
