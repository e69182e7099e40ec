"""Writes examples/tutorial/tutorial.md: the tutorial with its output and pictures.

    python tools/render_tutorial.py

Runs the cells of tutorial.py one after the other, and puts what each prints behind it.
"""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

TUTORIAL = Path(__file__).parents[1] / "examples/tutorial/tutorial.py"


def cells(source: str) -> list[tuple[str, str]]:
    """(kind, text) of each cell: "markdown", without the marks of a comment, or "code"."""
    found = []
    for part in re.split(r"^# %%", source, flags=re.MULTILINE)[1:]:
        first, _, rest = part.partition("\n")
        if "[markdown]" in first:
            found.append(("markdown", re.sub(r"^# ?", "", rest, flags=re.MULTILINE).strip()))
        else:
            found.append(("code", rest.strip()))
    return found


def rendered(source: str, path: Path) -> str:
    """The tutorial in Markdown, run as if it were the file `path`."""
    names: dict[str, Any] = {"__file__": str(path), "__name__": "tutorial"}
    parts = []
    for kind, text in cells(source):
        if kind == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, str(path), "exec"), names)  # noqa: S102  (our own cells)
        parts += shown(printed.getvalue())
    return "\n\n".join(parts) + "\n"


def shown(printed: str) -> list[str]:
    """What a cell printed, and the pictures that it names."""
    lines = printed.splitlines()
    pictures = [line.removeprefix("picture: ") for line in lines if line.startswith("picture: ")]
    text = "\n".join(line for line in lines if not line.startswith("picture: "))
    return ([f"```text\n{text}\n```"] if text else []) + [f"![{Path(name).stem}]({name})" for name in pictures]


if __name__ == "__main__":
    TUTORIAL.with_suffix(".md").write_text(rendered(TUTORIAL.read_text(encoding="utf-8"), TUTORIAL), encoding="utf-8")
