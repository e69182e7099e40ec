"""How the pictures look: few lines, words at the lines' ends in place of a legend, readable in greyscale."""

from collections.abc import Sequence
from typing import Any

# Lightness falls from line to line and every one has its own dash and mark: they stay apart without colours. The hues
# are those of Okabe & Ito 2008, which colour-blind people tell apart.
STYLES: Sequence[dict[str, Any]] = (
    {"color": "#000000", "linestyle": "-", "marker": "o", "markersize": 4},
    {"color": "#D55E00", "linestyle": "--", "marker": "s", "markersize": 4},
    {"color": "#0072B2", "linestyle": "-.", "marker": "^", "markersize": 4},
    {"color": "#009E73", "linestyle": ":", "marker": "D", "markersize": 4},
    {"color": "#CC79A7", "linestyle": "-", "marker": "v", "markersize": 4},
    {"color": "#8C8C8C", "linestyle": "--", "marker": "x", "markersize": 4},
)


def axes(figure: Any, x: str, y: str, place: Any = 111, title: str | None = None) -> Any:
    """Axes without a box, labelled; `place` as in figure.add_subplot."""
    ax = figure.add_subplot(*place) if isinstance(place, tuple) else figure.add_subplot(place)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    if title:
        ax.set_title(title, loc="left", fontsize="medium")
    return ax


def label_ends(ax: Any, gap: float = 0.055) -> None:
    """Writes the label of every line to its right end, moved apart where ends come too near (gap: part of the height).

    Call it last, with limits settled: the names stand outside of the axes, to the right.
    """
    ax.get_xlim(), ax.get_ylim()  # settles limits that wait for the drawing
    ends = []
    for line in ax.get_lines():
        container = next((c for c in ax.containers if c.lines and c.lines[0] is line), None)
        label = str(container.get_label() if container is not None else line.get_label())
        if label.startswith("_"):
            continue
        x, y = line.get_xdata()[-1], line.get_ydata()[-1]
        height = ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[1]
        ends.append((min(max(float(height), 0.0), 1.0), label, line.get_color()))
    ends.sort(key=lambda end: end[0])
    places = [end[0] for end in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    over = max(0.0, (places[-1] if places else 0) - 1.0)
    places = [p - over for p in places] if over else places
    for place, (_, label, color) in zip(places, ends, strict=True):
        ax.text(1.02, place, label, color=color, transform=ax.transAxes, va="center", fontsize="small")


def plain_ticks(ax: Any) -> None:
    """Numbers such as 0.5 along a logarithmic axis, in place of powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
