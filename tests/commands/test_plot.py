"""`minicnn plot` and `minicnn compare`: pictures that are drawn, tables that fit, mistakes that are said."""

import json
import sys

import numpy as np
import pytest

from minicnn.commands import pictures, runs, train
from minicnn.commands.compare import in_columns, short_names
from minicnn.commands.compare import main as compare
from minicnn.commands.plot import PICTURES, draw_curves, main
from minicnn.commands.scores import Scores

pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib, which is not installed")
QUICK = "lenet5 --img-size 8 --epochs 2 --limit-batches 20 -q".split()


def is_picture(path):
    from matplotlib.image import imread

    pixels = imread(path)
    return pixels.shape[0] > 100 and pixels[..., :3].std() > 0.01


def test_all_pictures_of_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train, "draw_curves", draw_curves)
    assert train.main([*QUICK, "--val-split", "0.1"]) == 0
    assert "curves.png)" in capsys.readouterr().out  # drawn at the end of the run already
    (tmp_path / "runs" / "lenet5" / "curves.png").unlink()
    assert main(["runs/lenet5", "--image", "7"]) == 0
    assert capsys.readouterr().out.split() == [f"runs/lenet5/{name}.png" for name in PICTURES]
    assert all(is_picture(tmp_path / "runs" / "lenet5" / f"{name}.png") for name in PICTURES)
    assert main(["runs/lenet5", "--only", "filters,curves", "--output", "new/place", "--checkpoint", "best"]) == 0
    assert sorted(path.name for path in (tmp_path / "new" / "place").iterdir()) == ["curves.png", "filters.png"]


@pytest.mark.parametrize("argv, message", [
    (["none"], "none: no such run folder"),
    (["runs/lenet5", "--only", "curve"], "--only curve: unknown picture 'curve': did you mean 'curves'"),
    (["runs/lenet5", "--image", "360"], "--image must be from 0 to 359, got 360"),
    (["runs/lenet5", "--only", "activations", "--image", "-1"], "--image must be from 0 to 359, got -1"),
])  # fmt: skip
def test_mistakes(argv, message, tmp_path, capsys):
    assert train.main(QUICK) == 0
    capsys.readouterr()
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not list(tmp_path.rglob("*.png"))  # said before anything is drawn


def test_without_matplotlib(capsys, monkeypatch):
    monkeypatch.setattr(train, "draw_curves", draw_curves)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train.main(QUICK) == 0  # trains all the same
    assert "curves.png" not in capsys.readouterr().out
    assert main(["runs/lenet5"]) == 1
    assert "pip install 'minicnn[study]'" in capsys.readouterr().err


def test_nothing_to_draw(tmp_path, capsys):
    assert train.main(["lenet5", "--epochs", "0", "-q"]) == 0
    assert main(["runs/lenet5", "--only", "curves"]) == 0
    assert "no curves: no epoch has ended yet" in capsys.readouterr().out


def draw(function, *arguments):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4))
    function(figure, *arguments)
    return figure


def test_what_the_curves_show():
    rows = [{"epoch": str(i), "lr": "0.1", "loss": str(1 / i), "accuracy": "0.5", "val_loss": "nan"} for i in (1, 2, 3)]
    figure = draw(pictures.curves, rows, "a run")
    loss, accuracy, rate = figure.axes
    assert (loss.get_xlabel(), loss.get_ylabel(), accuracy.get_ylabel()) == ("epoch", "loss", "accuracy")
    np.testing.assert_array_equal(loss.get_lines()[0].get_ydata(), [1, 0.5, 1 / 3])
    assert len(loss.get_lines()) == 2 and len(accuracy.get_lines()) == 1
    assert len({line.get_linestyle() for line in loss.get_lines()}) == 2  # apart without colours


def test_what_the_confusion_matrix_shows():
    p = np.eye(3)[[0, 0, 2, 1, 1]]
    figure = draw(pictures.confusion, Scores(np.array([0, 1, 2, 1, 1]), p), ["a", "b", "c"], "title")
    ax = figure.axes[0]
    assert sorted((t.get_position()[::-1], t.get_text()) for t in ax.texts) == [
        ((0, 0), "1"), ((1, 0), "1"), ((1, 1), "2"), ((2, 2), "1"),
    ]  # fmt: skip
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("taken for", "class")


def test_pictures_in_colour(rng):
    p = rng.dirichlet(np.ones(4), 9)
    scores = Scores(rng.integers(0, 4, 9), p)
    worst = scores.worst(24)
    figure = draw(pictures.mistakes, rng.random((len(worst), 5, 6, 3)), scores, ["a" * 30, "b", "c", "d"], "t")
    assert len(figure.axes) == len(worst) > 0
    figure = draw(pictures.filters, rng.normal(size=(3, 3, 3, 70)).astype(np.float32), "t")
    assert len(figure.axes) == 64
    figure = draw(pictures.activations, rng.random((5, 5, 3)), {"conv": rng.normal(size=(4, 4, 20))}, "t")
    assert len(figure.axes) == 1 + 8


# compare -------------------------------------------------------------------------------------------------------------


def test_compare(tmp_path, capsys):
    assert train.main([*QUICK, "--name", "a"]) == 0
    assert train.main([*QUICK, "--name", "b", "--opt", "sgd", "--epochs", "3", "--val-split", "0.1"]) == 0
    capsys.readouterr()
    assert compare(["runs/a", "runs/b", "--plot", "both.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and lines[-1] == "both.png" and is_picture(tmp_path / "both.png")
    table = {line.rsplit(None, 2)[0]: line.split()[-2:] for line in lines[1:-1] if len(line.split()) == 3}
    assert table["opt"] == ["adam", "sgd"] and table["epochs"] == ["2", "3"] and table["val_split"] == ["0.0", "0.1"]
    assert "lr" not in table and "seed" not in table and "name" not in table
    rows = runs.read_metrics(tmp_path / "runs" / "b")
    assert table["loss"][1] == rows[-1]["loss"] and table["val_loss"] == ["-", rows[-1]["val_loss"]]
    best = min(float(row["val_loss"]) for row in rows)
    assert f"{best:g} (" in next(line for line in lines if line.startswith("best val_loss"))


def test_the_same_settings(capsys):
    for _ in range(2):
        assert train.main([*QUICK]) == 0
    capsys.readouterr()
    assert compare(["runs/lenet5", "runs/lenet5-2"]) == 0
    assert "settings" in (out := capsys.readouterr().out) and "the same" in out


@pytest.mark.parametrize("argv, message", [
    (["runs/lenet5"], "which runs? At least two folders"),
    (["runs/lenet5", "none"], "none: no such run folder"),
    (["runs/lenet5", "."], ". is no run folder"),
])  # fmt: skip
def test_mistakes_of_compare(argv, message, capsys):
    assert train.main(["lenet5", "--epochs", "0", "-q"]) == 0
    capsys.readouterr()
    assert compare(argv) == 2
    assert message in capsys.readouterr().err


def test_many_runs_go_below_each_other():
    lines = in_columns([f"run{i}" for i in range(30)], [("opt", ["sgd"] * 30), ("", [""] * 30)])
    assert max(map(len, lines)) <= 80 and sum(line.count("run") for line in lines) == 30


def test_short_names():
    assert short_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert short_names(["runs/a", "other/a"]) == ["runs/a", "other/a"]


def test_as_programs(capsys):
    from minicnn.commands import main as minicnn

    assert train.main(QUICK) == 0
    capsys.readouterr()
    assert minicnn(["evaluate", "runs/lenet5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 360
    for command in ("evaluate", "plot", "compare"):
        with pytest.raises(SystemExit):
            minicnn([command, "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
