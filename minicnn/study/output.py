"""The files of a result: the figures as JSON, the pictures as PNG, and a report of one HTML file."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats.atomic import write_atomically
from minicnn.study.report import page
from minicnn.study.result import Picture, Result

DPI = 160
FONTS: Any = {"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8}


def write(result: Result, folder: Path) -> list[str]:
    """Writes the files of a result into `folder` (made if need be) and returns a line on each.

    Without matplotlib the pictures are left out, and a line says how to get it. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [named("figures", folder / f"{result.study}.json")]
    save(folder / f"{result.study}.json", json.dumps(as_data(result), indent=1, allow_nan=False))
    images, note = {}, ""
    try:
        images = {picture.name: png(picture) for picture in result.pictures}
    except ImportError as error:
        note = str(error)
        lines.append(note)
    for name, image in images.items():
        save(folder / f"{name}.png", image)
        lines.append(named("picture", folder / f"{name}.png"))
    for name, text in result.files.items():
        save(folder / name, text)
        lines.append(named("file", folder / name))
    save(folder / "report.html", page(result, images, note))
    return [*lines, named("report", folder / "report.html")]


def named(kind: str, path: Path) -> str:
    """A line on a file."""
    return f"{kind + ':':<9}{path}"


def png(picture: Picture) -> bytes:
    """A picture as a PNG file. Raises ImportError with the pip line where matplotlib is absent."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the pictures need matplotlib: pip install 'minicnn[study]'") from error
    with rc_context(FONTS):
        figure = Figure(figsize=picture.size, dpi=DPI, layout="constrained")
        picture.draw(figure)
        buffer = io.BytesIO()
        # Without a date and a version in it the same figures give the same bytes.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save(path: Path, content: str | bytes) -> None:
    """Writes a file at once: the old one or the new one, never half of one. Raises OSError."""
    data = content.encode() if isinstance(content, str) else content

    def put(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomically(path, put)


def as_data(result: Result) -> dict[str, Any]:
    """What the JSON file holds: everything but the pictures."""
    tables = [{"title": t.title, "columns": list(t.columns), "rows": [list(r) for r in t.rows]} for t in result.tables]
    words = {name: getattr(result, name) for name in ("study", "title", "subject", "verdict", "paper")}
    return plain({**words, "figures": result.figures, "tables": tables})


def plain(value: Any) -> Any:
    """The same in JSON's types: NumPy's numbers and arrays as Python's, NaN and infinities as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
