"""What an instrument gives: figures, tables, pictures, and in plain words how they were made and what they say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Picture:
    """A picture that is drawn when it is wanted: `draw(figure)` draws on an empty matplotlib Figure.

    name: of its file, without the ending.   caption: what one sees, in a sentence or two.   size: inches
    `draw` gets the figure and uses its methods alone, never pyplot, so that nothing global is touched and matplotlib
    is imported only where a picture is made.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Any], None]
    size: tuple[float, float] = (7.0, 4.2)


@dataclass
class Table:
    """Rows of values under columns. Numbers stay numbers: the printer and the report format them."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __post_init__(self):
        wrong = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if wrong is not None:
            raise ValueError(f"table {self.title!r}: {len(self.columns)} columns, but a row has {len(wrong)}: {wrong}")


@dataclass
class Result:
    """Everything that a run of an instrument found.

    study: the instrument's name.   subject: what it looked at ("resnet56, digits, seed 0").   figures: all numbers, as
    plain data for JSON.   method, expected: plain words, paragraphs parted by empty lines.   paper: the source.
    verdict: one or two sentences computed from the figures: "holds: ..." or "does not hold: ...".
    files: more text files by name, such as a graph in Graphviz's language.
    """

    study: str
    title: str
    subject: str
    figures: dict[str, Any]
    tables: list[Table]
    pictures: list[Picture]
    method: str
    paper: str
    expected: str
    verdict: str
    files: dict[str, str] = field(default_factory=dict)
