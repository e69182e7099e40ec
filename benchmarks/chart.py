"""The picture of a comparison: how long the peers take, with minicnn's time as 1; above 1 minicnn is faster."""

from pathlib import Path
from typing import Any

from benchmarks.sides import SIDES

# told apart without colours: light and hatched against dark
LOOKS = {
    "torch": {"color": "#c9c9c9", "hatch": "//"},
    "keras": {"color": "#555555", "hatch": ""},
    "keras-xla": {"color": "#ffffff", "hatch": ".."},
}


def draw(results: list[dict[str, Any]], machine: dict[str, Any], path: Path) -> None:
    """Writes a PNG: a panel for each mode, a group of bars for each network.

    Raises ImportError where matplotlib is missing.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    modes = list(dict.fromkeys(one["mode"] for one in results))
    figure, panels = pyplot.subplots(1, len(modes), figsize=(5 * len(modes), 4), sharey=True, squeeze=False)
    for panel, mode in zip(panels[0], modes, strict=True):
        _panel(panel, mode, [one for one in results if one["mode"] == mode])
    panels[0][0].set_ylabel("time / minicnn's time")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", ncols=len(labels), frameon=False)
    figure.text(0.5, 0.01, _caption(machine), ha="center", fontsize=8)
    figure.tight_layout(rect=(0, 0.03, 1, 0.94))
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _panel(panel: Any, mode: str, results: list[dict[str, Any]]) -> None:
    peers = [side for side in LOOKS if any(side in one["sides"] for one in results)]
    width = 0.8 / max(len(peers), 1)
    for i, side in enumerate(peers):
        places, heights = [], []
        for place, one in enumerate(results):
            if side in one["ratios"]:
                places.append(place + (i - (len(peers) - 1) / 2) * width)
                heights.append(one["ratios"][side]["median"])
        look = {"edgecolor": "black", "linewidth": 0.6, **LOOKS[side]}
        bars = panel.bar(places, heights, width, label=SIDES[side].title, **look)
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # so that the line does not cross figures
        panel.bar_label(bars, fmt="%.2f", fontsize=7, padding=2, bbox=paper, zorder=4)
    panel.axhline(1, color="black", linewidth=1.2, linestyle="--", label="minicnn")
    panel.set_xticks(range(len(results)), [one["network"]["name"] for one in results], rotation=30, ha="right")
    panel.set_title({"predict": "Prediction", "train": "Training step"}[mode])
    panel.set_xlabel("network")
    panel.spines[["top", "right"]].set_visible(False)


def _caption(machine: dict[str, Any]) -> str:
    versions = machine["versions"]
    peers = ", ".join(f"{name} {versions[name]}" for name in ("torch", "keras", "tensorflow-cpu") if name in versions)
    return f"{machine['cpu']}, {machine['threads']} threads, float32; {peers}; {machine['date'][:10]}"
