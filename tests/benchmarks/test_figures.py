"""The statistics of a comparison, its tables and its chart, on invented times."""

import json

import pytest

from benchmarks import chart, cpu, figures, machine, scaling, tables
from benchmarks.__main__ import main
from benchmarks.networks import MODES, NETWORKS
from benchmarks.turns import conclude

ABOUT = {
    "date": "2024-02-29T12:00:00+00:00", "cpu": "A Processor (avx2)", "threads": 2, "python": "3.11.7",
    "busy": [0.0, 0.4],
    "versions": {"minicnn": "1.0", "numpy": "2.4.6", "torch": "2.13.0", "tensorflow-cpu": "2.21.0", "keras": "3.15.1"},
}  # fmt: skip


def invented(network, mode, **medians):
    """A result in which every side took its time twice."""
    turns = {side: [[t], [t]] for side, t in medians.items()}
    sides = {side: {**figures.summary(both), "turns": both, "peak": both[0][0]} for side, both in turns.items()}
    one = {"network": network.describe(), "mode": mode, "sides": sides, "sgemm": 200.0, "multiply_adds": 10**9}
    conclude(one)
    return one


@pytest.fixture
def results():
    return [invented(n, mode, ours=1.25, torch=12.5, keras=5.0) for n in NETWORKS.values() for mode in MODES]


def test_the_median_is_over_all_runs_and_the_quartiles_over_turns():
    found = figures.summary([[1.0], [2.0, 2.0, 2.0], [3.0], [9.0]])
    assert found == {"median": 2.0, "low": 2.0, "high": 3.0}
    assert figures.summary([[4.0]]) == {"median": 4.0, "low": 4.0, "high": 4.0}


def test_the_ratio_is_that_of_the_turns_of_a_round():
    """A machine of two moods: ours met the slow one in two rounds of three, and theirs, half as fast again, in one."""
    ours, theirs = [[1.0], [2.0, 9.0, 2.0], [2.0]], [[1.5], [3.0], [1.5]]
    assert figures.ratio(ours, theirs) == {"median": 1.5, "low": 0.75, "high": 1.5}
    assert figures.ratio(ours, ours) == {"median": 1.0, "low": 1.0, "high": 1.0}
    with pytest.raises(ValueError):
        figures.ratio(ours, theirs[:2])


def test_the_exponent_of_a_law():
    assert figures.exponent([2, 4, 8], [0.5 * s**1.5 for s in (2, 4, 8)]) == pytest.approx(1.5)


def test_what_follows_from_the_times(results):
    predict, train = results[:2]
    assert (predict["faster_peer"], predict["ratio"]) == ("keras", 4.0)
    assert {side: found["median"] for side, found in predict["ratios"].items()} == {"torch": 10.0, "keras": 4.0}
    assert predict["gflops"] == pytest.approx(2 / 1.25) and train["gflops"] == pytest.approx(6 / 1.25)


def test_the_report_fits_into_80_columns(results):
    said = tables.header(ABOUT) + "\n" + cpu.report(results, ABOUT)
    assert max(map(len, said.splitlines())) <= 80
    assert all(said.count(name) == 3 for name in NETWORKS)  # predict, train, memory
    assert "4.00" in said and "5000 ms" in said and "WARNING: others keep 0.4 cores busy" in said


def test_a_missing_peer_is_said_and_not_a_crash(results):
    for one in results:
        one["sides"]["torch"] = {"failed": "not installed (pip install it)"}
    results[0]["sides"]["keras"] = {"failed": "failed: MemoryError"}
    said = cpu.report(results, ABOUT)
    assert said.count("not installed") == 2 * len(NETWORKS) + 1 and "PyTorch: not installed (pip install it)" in said
    assert "Keras: failed: MemoryError [vgg16 predict]" in said


def test_noise_is_said(results):
    results[0]["sides"]["ours"] |= {"low": 1.0, "high": 2.0}
    assert "WARNING: half of the turns" in cpu.report(results, ABOUT)


@pytest.mark.parametrize("seconds, shown", [(0.00312, "3.12 ms"), (0.0523, "52.3 ms"), (1.275, "1275 ms")])
def test_milliseconds(seconds, shown):
    assert tables.milliseconds(seconds) == shown


def test_the_chart_is_drawn_without_what_is_missing(results, tmp_path):
    pytest.importorskip("matplotlib")
    results[0]["sides"]["torch"] = {"failed": "failed"}
    conclude(results[0])
    assert list(results[0]["ratios"]) == ["keras"]
    chart.draw(results, ABOUT, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_files_are_read_back(results, tmp_path, capsys):
    path = tmp_path / "new" / "results.json"
    cpu.write(results, ABOUT, path)
    assert json.loads(path.read_text()) == json.loads(json.dumps({"machine": ABOUT, "results": results}))


def test_older_files_are_shown_by_the_same_ratio(results, tmp_path, capsys):
    """Their own is that of the medians, and they have none for each peer."""
    for one in results:
        one["ratio"] = 9.87
        del one["ratios"]
    cpu.write(results, ABOUT, tmp_path / "results.json")
    assert main(["show", str(tmp_path / "results.json")]) == 0
    said = capsys.readouterr().out
    assert "4.00" in said and "9.87" not in said


def test_scaling_laws():
    points = [{**invented(NETWORKS["resnet18"], "train", ours=n, torch=n**2), "size": n} for n in (2, 4, 8)]
    laws = scaling.laws(points)
    assert laws == {"ours": pytest.approx(1), "torch": pytest.approx(2)}
    assert "grows as size^" in tables.scaling(points, "batch", laws)


def test_a_busy_machine_is_warned_of():
    assert machine.warning(0.01) is None
    assert "0.7 cores" in machine.warning(0.7)
    assert "does not say" in machine.warning(None)


def test_the_machine_is_described():
    about = machine.describe(2)
    assert about["threads"] == 2 and about["cpu"] and about["versions"]["minicnn"]
