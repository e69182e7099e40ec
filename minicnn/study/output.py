"""The files of a result: the figures as JSON, the pictures as PNG, and a report of one HTML file."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.formats.atomic import write_atomically
from minicnn.study.result import Result


def write(result: Result, folder: Path) -> list[str]:
    """Writes the files of a result into `folder` (made if need be) and returns a line on each.

    Without matplotlib the pictures are left out, and a line says how to get it. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    path = folder / f"{result.study}.json"
    save(path, json.dumps(as_data(result), indent=1, allow_nan=False))
    lines.append(f"figures: {path}")
    for name, text in result.files.items():
        save(folder / name, text)
        lines.append(f"file: {folder / name}")
    return lines


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
