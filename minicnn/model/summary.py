"""`model.summary()`: Keras 3's table, with a column of multiply-adds. Nothing in it is cut off: names fold instead."""

import math
import re
import shutil
from dataclasses import dataclass, field
from typing import Any

from minicnn.layers.base import Layer
from minicnn.layers.inputs import InputLayer, Operation

UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
WIDEST = {"Layer (type)": 46, "Connected to": 46, "Output Shape": 24}  # of the columns that can fold, in characters
NARROWEST = 4
JUSTIFY: dict[str, Any] = {"Param #": "right", "Mult-adds": "right", "Trainable": "center"}
BREAK = r".+?(?:_|(?<=[a-z0-9])(?=[A-Z])|(?=\[\d+\]\[)|$)"  # a piece of a name, up to where it may break


@dataclass
class Row:
    """A line of the table: a layer, and what its calls in this model amount to."""

    layer: Layer
    depth: int  # how many models it is nested in
    shapes: list[tuple] = field(default_factory=list)  # the outputs of its last call
    connections: list[str] = field(default_factory=list)
    multiply_adds: int = 0  # per image, over all its calls


def summary(
    model,
    line_length=None,
    positions=None,
    print_fn=None,
    expand_nested=False,
    show_trainable=False,
    connected=None,
):
    """Prints the layers of a model, their shapes, parameters and multiply-adds per image, and the totals.

    line_length: characters; unless given, what the terminal has, if so many are needed
    positions: the right ends of the columns as fractions of line_length; unless given, they follow the contents
    print_fn: called once with the whole text, without colours; unless given, the text goes to the standard output
    expand_nested: show the layers of nested models, too      show_trainable: a column that says Y, N or - (no weights)
    connected: the column "Connected to"; unless given, it is there where the graph is no chain
    Raises ValueError where `positions` leave a column less than four characters. Without them a line that is too short
    for the numbers is exceeded.
    """
    from rich.console import Console

    connected = not _is_chain(model) if connected is None else connected
    cells = [_cells(row, connected, show_trainable) for row in _rows(model, expand_nested)]
    widths = _widths(cells, line_length) if positions is None else _widths_at(positions, list(cells[0]), line_length)
    width = max(sum(widths) + 3 * len(widths) + 1, 60)  # the totals want 60
    if print_fn is None:
        _print(Console(highlight=False, width=width), model, _table(cells, widths))
        return
    console = Console(highlight=False, width=width, force_terminal=False, color_system=None)
    with console.capture() as captured:
        _print(console, model, _table(cells, widths))
    print_fn(captured.get())


def _print(console, model, table):
    from rich.markup import escape

    console.print(f'[bold]Model: "{escape(model.name)}"[/]')
    console.print(table)
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    for title, weights in (("Total", trainable + frozen), ("Trainable", trainable), ("Non-trainable", frozen)):
        count, size = sum(math.prod(w.shape) for w in weights), sum(w.data.nbytes for w in weights)
        console.print(f"[bold] {title} params:[/] [color(34)]{count:,}[/] ({readable_size(size)})")
    console.print(f"[bold] Multiply-adds:[/] [color(34)]{model.multiply_adds():,}[/] per image")


def readable_size(size: float) -> str:
    """Bytes as Keras writes them: 1536 is "1.50 KB"."""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} {UNITS[-1]}"


def _is_chain(model) -> bool:
    """Whether every call takes what the one before it gave, and no layer is called twice."""
    once = len({node.layer for node in model.nodes}) == len(model.nodes)
    steps = zip(model.nodes, model.nodes[1:], strict=False)
    return len(model.inputs) == 1 and once and all([s.node for s in node.parents] == [before] for before, node in steps)


def _rows(model, expand_nested, depth=0) -> list[Row]:
    """One row a layer, in the order of model.layers; arithmetic on symbols has its rows, too, as in Keras."""
    rows = []
    shown = [layer for layer in model._layers if layer.hidden or layer in model.layers]
    # A Sequential shows no input, so nothing is connected to it.
    hidden = [s for s in model.inputs if isinstance(s.node.layer, InputLayer) and s.node.layer not in shown]
    for layer in shown:
        row = Row(layer, depth, shapes=[s.shape for s in layer.calls[-1].outputs])
        for node in (node for node in model.nodes if node.layer is layer):
            row.shapes = [symbol.shape for symbol in node.outputs]
            row.multiply_adds += node.multiply_adds()
            row.connections += [f"{s.name}[{s.node.call}][{s.index}]" for s in node.parents if s not in hidden]
        rows.append(row)
        if expand_nested and hasattr(layer, "nodes"):
            rows += _rows(layer, expand_nested, depth + 1)
    return rows


def _cells(row: Row, connected: bool, show_trainable: bool) -> dict[str, str]:
    layer = row.layer
    indent = "   " * row.depth + "└ " if row.depth else ""
    cells = {
        "Layer (type)": f"{indent}{layer.name} ({type(layer.op if isinstance(layer, Operation) else layer).__name__})",
        "Output Shape": ", ".join(map(str, row.shapes)),
        "Param #": f"{layer.count_params():,}",
        "Mult-adds": f"{row.multiply_adds:,}",
    }
    if connected:
        cells["Connected to"] = ", ".join(row.connections) or "-"
    if show_trainable:
        cells["Trainable"] = ("Y" if layer.trainable else "N") if layer.weights else "-"
    return cells


def _table(cells: list[dict[str, str]], widths: list[int]):
    from rich.table import Table
    from rich.text import Text

    header = list(cells[0])
    table = Table(show_lines=True)
    for name, width in zip(header, widths, strict=True):
        table.add_column(fold(name, width), justify=JUSTIFY.get(name, "left"), width=width, no_wrap=True)
    styles = dict.fromkeys(("Output Shape", "Param #", "Mult-adds"), "color(34)")
    for row in cells:
        table.add_row(*(Text(fold(row[name], w), styles.get(name, "")) for name, w in zip(header, widths, strict=True)))
    return table


def _widths(cells: list[dict[str, str]], line_length: int | None) -> list[int]:
    """Of the columns' contents. What is too much for the line is taken from texts that can fold, the widest first."""
    room = (line_length or shutil.get_terminal_size().columns) - 3 * len(cells[0]) - 1  # without the borders
    widths = {name: max(len(name), *(len(row[name]) for row in cells)) for name in cells[0]}
    if "Connected to" in widths:  # one connection a line is enough
        widths["Connected to"] = max(len(part) + 1 for row in cells for part in row["Connected to"].split(", "))
    widths = {name: min(width, WIDEST.get(name, width)) for name, width in widths.items()}
    while sum(widths.values()) > room:
        # The names of layers keep a little more than the others: they are what one looks for.
        name = max(WIDEST.keys() & widths.keys(), key=lambda n: widths[n] - 6 * (n == "Layer (type)"))
        if widths[name] <= NARROWEST:
            break
        widths[name] -= 1
    if line_length is not None:  # asked for: also when it is more than needed
        widths["Layer (type)"] += max(room - sum(widths.values()), 0)
    return list(widths.values())


def _widths_at(positions: list[float], header: list[str], line_length: int | None) -> list[int]:
    """Of columns whose right ends are given as fractions of the line."""
    line_length = line_length or shutil.get_terminal_size().columns
    if len(positions) != len(header):
        raise ValueError(f"positions must give one right end for each of {', '.join(header)}, got {positions}")
    ends = [int(position * (line_length - 1)) for position in positions]
    widths = [end - start - 3 for start, end in zip([0, *ends], ends, strict=False)]
    if min(widths) < NARROWEST:
        raise ValueError(f"positions {positions} leave a column less than {NARROWEST} of {line_length} characters")
    return widths


def fold(text: str, width: int) -> str:
    """Breaks a cell into lines of at most `width`: at spaces first, then inside of names, and only then anywhere.

    Names break after "_", before "[0][0]", and where a small letter meets a capital one.
    """
    lines = [""]
    for word in re.findall(r"^ +└ \S+|\S+", text):
        if len(lines[-1]) + 1 + len(word) <= width and lines[-1]:
            lines[-1] += " " + word
            continue
        pieces = [word] if len(word) <= width else re.findall(BREAK, word)
        pieces = [piece[i : i + width] for piece in pieces for i in range(0, len(piece), width)]
        lines.append(pieces[0])
        for piece in pieces[1:]:
            if len(lines[-1]) + len(piece) <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
    return "\n".join(line for line in lines if line)
