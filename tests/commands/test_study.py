"""`minicnn study`: the list, a run with its files, and mistakes."""

import builtins
import json

import numpy as np
import pytest

from minicnn.commands import ERROR, USAGE, main
from minicnn.data import PartialDataWarning
from minicnn.study import INSTRUMENTS, landscape
from tests.data.test_cifar import records


def test_without_a_name_it_lists_the_instruments(capsys):
    assert main(["study"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name}" in out for name in INSTRUMENTS) and max(map(len, out.splitlines())) <= 80


def test_help(capsys):
    with pytest.raises(SystemExit):
        main(["study", "--help"])
    out = capsys.readouterr().out
    assert "decompose" in out and max(map(len, out.splitlines())) <= 80


def test_a_run(capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib, which is not installed")
    assert main(["study", "trace", "resnet20", "-b", "2", "--out", "here"]) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80 and "measured: " in out
    assert "one backward pass of resnet20, 2 images" in err
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert names == {"trace.json", "memory.png", "time.png", "trace.txt", "trace.dot", "report.html"}
    found = json.loads((tmp_path / "here/trace.json").read_text())
    assert found["study"] == "trace" and found["subject"] == "resnet20, digits 8x8x1, seed 0"
    assert (tmp_path / "here/memory.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_of_a_data_set_from_a_folder(tmp_path, rng, monkeypatch):
    for name, value in (("REACH", np.linspace(-1, 1, 3)), ("PLANE", np.linspace(-1, 1, 3)), ("LANCZOS", 2)):
        monkeypatch.setattr(landscape, name, value)
    place = tmp_path / "data"
    place.mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (place / name).write_bytes(records(rng, 12)[2])
    argv = ["landscape", "resnet20", "--dataset", "cifar10", "--data-dir", "data", "--images", "8", "--epochs", "1"]
    with pytest.warns(PartialDataWarning, match="12 of 50,000 images for training"):
        assert main(["study", *argv, "--out", "here", "-q"]) == 0
    found = json.loads((tmp_path / "here/landscape.json").read_text())
    assert found["subject"] == "resnet20, plain20, cifar10 (8 images for training), seed 0"
    assert "8 images for training" in (tmp_path / "here/report.html").read_text()


def test_a_folder_of_its_own_each_time(capsys, tmp_path):
    for _ in range(2):
        assert main(["study", "trace", "resnet20", "-b", "2", "-q"]) == 0
    assert not capsys.readouterr().err
    assert {path.name for path in (tmp_path / "studies").iterdir()} == {"trace-resnet20", "trace-resnet20-2"}


def test_without_matplotlib_the_figures_come_all_the_same(capsys, tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name.split(".")[0] == "matplotlib":
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert main(["study", "trace", "resnet20", "-b", "2", "-q", "--out", "here"]) == 0
    assert "the pictures need matplotlib: pip install 'minicnn[study]'" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "here").iterdir()} == {"trace.json", "trace.txt", "trace.dot", "report.html"}
    assert "pip install" in (tmp_path / "here/report.html").read_text()


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["decomp"], USAGE, "unknown study 'decomp': did you mean 'decompose'?"),
        (["decompose", "resnet51"], USAGE, "unknown model 'resnet51': did you mean 'resnet"),
        (["decompose", "--variant", "C"], USAGE, "unknown variant of resnet56 'C'"),
        (["decompose", "--dataset", "digit"], USAGE, "unknown data set 'digit': did you mean 'digits'?"),
        (["decompose", "--dataset", "folder"], USAGE, "unknown data set 'folder': known are cifar10, digits, "),
        (["decompose", "--epoch", "1"], USAGE, "unknown flag '--epoch': did you mean '--epochs'?"),
        (["decompose", "--epochs", "-1"], USAGE, "--epochs: must be at least 0, got -1"),
        (["decompose", "-b", "0"], USAGE, "--batch-size: must be at least 1, got 0"),
        (["decompose", "plain20", "-b", "2", "-q"], ERROR, "plain20: there is no merge"),
        (["paths", "inception_v1", "-b", "2", "-q"], ERROR, "inception_v1: there is no sum with a skip: its merges"),
        (["decompose", "--weights", "no.safetensors"], ERROR, "no.safetensors"),
    ],
)
def test_mistakes(capsys, argv, code, message):
    assert main(["study", *argv]) == code
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out
