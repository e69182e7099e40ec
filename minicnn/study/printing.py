"""Results on a terminal: tables that fit 80 columns, and the verdict."""

import math
import textwrap
from typing import Any

from minicnn.study.result import Result, Table

WIDTH = 80
LONG = 60  # rows of a table on a terminal


def show(result: Result) -> None:
    """Prints the tables of a result and its verdict."""
    from rich import box
    from rich import table as rich_table
    from rich.console import Console
    from rich.markup import escape

    console = Console(width=WIDTH, highlight=False)
    console.print(f"[bold]{result.title}[/bold]\n{result.subject}\n")
    for table in result.tables:
        print(textwrap.fill(table.title, WIDTH))
        space = 0 if len(table.columns) > 6 else 1
        drawn = rich_table.Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, space, 0, 0))
        for column, numbers in zip(table.columns, numeric(table), strict=True):
            before, _, last = column.rpartition(" ")
            drawn.add_column(
                f"{before}\n{last}" if before else last,
                justify="right" if numbers else "left",
                no_wrap=numbers,
                overflow="fold",
            )
        for row in table.rows[:LONG]:
            drawn.add_row(*(escape(text(value)) for value in row))
        console.print(drawn)
        if len(table.rows) > LONG:
            print(f"... and {len(table.rows) - LONG} more rows, in the report\n")
    print(textwrap.fill(result.verdict, WIDTH))


def text(value: Any) -> str:
    """A value of a table in few characters: about 3 significant digits, thousands as 12,345, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        if value == 0:
            return "0"
        if not 1e-3 <= abs(value) < 1e5:
            return f"{value:.1e}"
        return f"{value:,.{max(0, min(3, 2 - math.floor(math.log10(abs(value)))))}f}"
    return str(value)


def numeric(table: Table) -> list[bool]:
    """For each column whether it holds numbers."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    return [any(isinstance(v, int | float) and not isinstance(v, bool) for v in column) for column in columns]
