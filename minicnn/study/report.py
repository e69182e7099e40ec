"""A result as one HTML file that needs no network: words, numbers, and the pictures in it."""

import base64
import html
from importlib import resources

from minicnn.study.printing import numeric, text
from minicnn.study.result import Result, Table

LONG = 60  # rows of a table that are shown before the reader unfolds it


def page(result: Result, images: dict[str, bytes], note: str = "") -> str:
    """The report of a result. images: by the picture's name its PNG.   note: in place of pictures that are not there"""
    style = resources.files("minicnn.study").joinpath("report.css").read_text(encoding="utf-8")
    pictures = "\n".join(figure(p.title, p.caption, images[p.name]) for p in result.pictures if p.name in images)
    parts = [
        f"<h1>{words(result.title)}</h1>",
        f'<p class="subject">{words(result.subject)}</p>',
        f'<p class="verdict">{verdict(result.verdict)}</p>',
        pictures or (f'<p class="note">{words(note)}</p>' if note else ""),
        f"<h2>What one should see</h2>\n{paragraphs(result.expected)}",
        f"<h2>How it was measured</h2>\n{paragraphs(result.method)}",
        "<h2>The numbers</h2>",
        *(table(one) for one in result.tables),
        f'<h2>Sources</h2>\n<p class="sources">{words(result.paper)}</p>',
        f"<footer>minicnn study {words(result.study)}. All numbers are in {words(result.study)}.json.</footer>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{words(result.title)}: {words(result.subject)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def words(plain: str) -> str:
    """Text, with what HTML would take for itself escaped."""
    return html.escape(plain, quote=False)


def paragraphs(plain: str) -> str:
    """A paragraph for each part between empty lines."""
    return "\n".join(f"<p>{words(part.strip())}</p>" for part in plain.split("\n\n") if part.strip())


def verdict(plain: str) -> str:
    """The verdict, its first words ("holds", "does not hold") set apart."""
    head, colon, rest = plain.partition(":")
    return f"<strong>{words(head)}:</strong>{words(rest)}" if colon and len(head) < 30 else words(plain)


def figure(title: str, caption: str, png: bytes) -> str:
    """A picture with what it shows."""
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure>\n<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">\n'
        f"<figcaption><b>{words(title)}.</b> {words(caption)}</figcaption>\n</figure>"
    )


def table(one: Table) -> str:
    """A table; a long one begins folded."""
    kinds = [' class="number"' if is_number else "" for is_number in numeric(one)]
    head = "".join(f"<th{kind}>{words(c)}</th>" for c, kind in zip(one.columns, kinds, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(f"<td{k}>{words(text(v))}</td>" for v, k in zip(row, kinds, strict=True)) + "</tr>"
        for row in one.rows
    )
    whole = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    opened = "" if len(one.rows) > LONG else " open"
    summary = f"<summary>{words(one.title)}</summary>"
    return f'<details{opened}>{summary}\n<div class="wide">\n{whole}\n</div>\n</details>'
