"""`python -m benchmarks cpu`: predictions and training steps of six networks."""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import chart, machine, tables
from benchmarks.networks import MODES, NETWORKS, Network
from benchmarks.turns import Effort, Failed, compare

RESULTS = Path(__file__).parent / "results"
QUICK = Effort(rounds=3, seconds=0.1, pause=0.02, memory_steps=2, whole=0)
RATIO = """Medians. Ratio: the faster peer's time / ours in the same round, the
median over the rounds. GFLOP/s count the arithmetic of direct convolutions, a
training step as three passes; sgemm: 2048 x 2048 x 2048 in this run."""
TITLES = {"predict": "Prediction, a batch", "train": "Training step: forward, backward, SGD with momentum"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    common(parser)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME",
                        help=f"some of {', '.join(NETWORKS)}")  # fmt: skip
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), metavar="MODE",
                        help="predict, train or both")  # fmt: skip


def common(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that compares networks."""
    parser.add_argument("--peers", nargs="*", choices=("torch", "keras", "keras-xla"), default=["torch", "keras"],
                        metavar="PEER", help="some of torch, keras, keras-xla; nothing: minicnn alone")  # fmt: skip
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each side, at least (5; with --quick 3)")
    parser.add_argument("--threads", type=int, default=machine.cores(), metavar="N", help="of every side (all cores)")
    parser.add_argument("--quick", action="store_true", help="little repetition, and no file unless --json names one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write (benchmarks/results/NAME-DATE.json)")


def effort(settings: argparse.Namespace) -> Effort:
    """How long to measure, by the flags."""
    chosen = QUICK if settings.quick else Effort()
    return chosen if settings.rounds is None else Effort(**{**vars(chosen), "rounds": settings.rounds})


def main(settings: argparse.Namespace) -> int:
    """Measures, prints, writes. 0, or 1 where one of our own networks failed."""
    about = machine.describe(settings.threads)
    print(tables.header(about), flush=True)
    wanted = [(NETWORKS[name], mode) for name in settings.networks for mode in settings.modes]
    results, failures = measure(wanted, settings, about)
    if results:
        print(report(results, about))
        if path := target(settings, "cpu", about):
            write(results, about, path)
            draw(results, about, path.with_suffix(".png"))
    for failure in failures:
        print(failure)
    return 1 if failures else 0


def measure(
    wanted: list[tuple[Network, str]], settings: argparse.Namespace, about: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The results of the networks and modes, and what is to be said of those where we failed ourselves."""
    results, failures = [], []
    about["busy"] = []
    for network, mode in wanted:
        about["busy"].append(quiet())
        label = f"{network.name} {mode}, batch {network.batch} at {network.input_shape[0]} x {network.input_shape[1]}"
        print(f"... {label}", flush=True)
        try:
            results.append(compare(network, mode, ["ours", *settings.peers], settings.threads, effort(settings)))
        except Failed as failure:
            failures.append(f"minicnn, {label}: {failure}")
    return results, failures


def quiet() -> float | None:
    """How busy others are; says so where it is too much."""
    load = machine.busy()
    if said := machine.warning(load):
        print(said, flush=True)
    return load


def report(results: list[dict[str, Any]], about: dict[str, Any]) -> str:
    """The tables and what is to be said of them."""
    parts = []
    for mode in MODES:
        if some := [one for one in results if one["mode"] == mode]:
            parts.append(f"\n{TITLES[mode]}\n\n{tables.times(some)}")
    parts.append(f"\nPeak memory of the whole process, MB\n\n{tables.memory(results)}")
    said = [RATIO, *tables.notes(results)]
    loads = [load for load in about.get("busy", []) if load is not None]
    if loads and (warning := machine.warning(max(loads))):
        said.append(warning)
    return "\n".join([*parts, "", *said])


def target(settings: argparse.Namespace, kind: str, about: dict[str, Any]) -> Path | None:
    """The file to write: what --json names, else one by the date; none for a quick run."""
    if settings.json is not None:
        return settings.json
    stamp = about["date"][:19].replace("-", "").replace(":", "").replace("T", "-")
    return None if settings.quick else RESULTS / f"{kind}-{stamp}.json"


def write(results: list[dict[str, Any]], about: dict[str, Any], path: Path) -> None:
    """Writes a results file: {"machine": ..., "results": [...]}, a line for each result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(one) for one in results)
    path.write_text(f'{{"machine": {json.dumps(about)},\n"results": [\n{lines}\n]}}\n', encoding="utf-8")
    print(f"wrote {path}")


def draw(results: list[dict[str, Any]], about: dict[str, Any], path: Path) -> None:
    """Draws the chart, or says why not."""
    try:
        chart.draw(results, about, path)
    except ImportError:
        print("no chart: pip install matplotlib")
        return
    print(f"wrote {path}")
