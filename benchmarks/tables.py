"""Results as tables that fit into 80 columns."""

from typing import Any

from benchmarks.sides import SIDES

NOT_INSTALLED = "not installed"


def header(machine: dict[str, Any]) -> str:
    """On what, with what, when."""
    peers = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads, float32",
        peers,
        f"{machine['date']}, Python {machine['python']}",
    ]
    return "\n".join(lines)


def times(results: list[dict[str, Any]]) -> str:
    """The medians of one mode, the ratio to the faster peer, and our rate beside that of sgemm."""
    sides = _sides(results)
    rows = [["", "batch", *(f"{SIDES[side].title}" for side in sides), "ratio", "GFLOP/s", "of sgemm"]]
    for one in results:
        network = one["network"]
        cells = [network["name"], str(network["batch"])]
        cells += [_time(one["sides"].get(side, {})) for side in sides]
        cells.append(f"{one['ratio']:.2f}" if "ratio" in one else "-")
        rows.append([*cells, f"{one['gflops']:.0f}", f"{100 * one['gflops'] / one['sgemm']:.0f} %"])
    return layout(rows)


def memory(results: list[dict[str, Any]]) -> str:
    """Peak memory in MB, a column for each mode and side."""
    sides = _sides(results)
    modes = list(dict.fromkeys(one["mode"] for one in results))
    found = {(one["network"]["name"], one["mode"]): one["sides"] for one in results}
    names = list(dict.fromkeys(one["network"]["name"] for one in results))
    titles = {side: SIDES[side].title for side in sides}
    rows = [["", *(f"{mode} {title}" if side == "ours" else title for mode in modes for side, title in titles.items())]]
    for name in names:
        cells = []
        for mode in modes:
            for side in sides:
                peak = found.get((name, mode), {}).get(side, {}).get("peak")
                cells.append("-" if peak is None else f"{peak:.0f}")
        rows.append([name, *cells])
    return layout(rows)


def notes(results: list[dict[str, Any]]) -> list[str]:
    """Why a figure is missing, one line a reason, and what to know of the noise."""
    reasons: dict[str, list[str]] = {}
    for one in results:
        for side, found in one["sides"].items():
            for key in ("failed", "memory_failed"):
                if key in found:
                    where = f"{one['network']['name']} {one['mode']}"
                    reasons.setdefault(f"{SIDES[side].title}: {found[key]}", []).append(where)
    said = []
    for reason, places in reasons.items():
        said.append(reason if len(places) == len(results) else f"{reason} [{', '.join(places)}]")
    spread = max((_spread(found) for one in results for found in one["sides"].values() if "median" in found), default=0)
    if spread > 0.2:
        said.append(f"WARNING: half of the turns of one side spread over {spread:.0%} of its median")
    return said


def scaling(points: list[dict[str, Any]], title: str, laws: dict[str, float]) -> str:
    """Times over one size, and the exponent of each side's law. points: results with a "size"."""
    sides = _sides(points)
    rows = [[title, *(SIDES[side].title for side in sides), "ratio"]]
    for one in points:
        cells = [_time(one["sides"].get(side, {})) for side in sides]
        rows.append([str(one["size"]), *cells, f"{one['ratio']:.2f}" if "ratio" in one else "-"])
    rows.append(["grows as size^", *(f"{laws[side]:.2f}" if side in laws else "-" for side in sides), ""])
    return layout(rows)


def _sides(results: list[dict[str, Any]]) -> list[str]:
    return [side for side in SIDES if any(side in one["sides"] for one in results)]


def _time(found: dict[str, Any]) -> str:
    """Milliseconds with three digits, or one word for why there are none."""
    if "median" in found:
        return milliseconds(found["median"])
    reason = found.get("failed", "-")
    return NOT_INSTALLED if reason.startswith(NOT_INSTALLED) else reason if reason == "-" else "failed"


def milliseconds(seconds: float) -> str:
    """0.00312 -> 3.12 ms"""
    value = 1000 * seconds
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def _spread(found: dict[str, Any]) -> float:
    return (found["high"] - found["low"]) / found["median"]


def layout(rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell, the first one to the left; a line under the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
