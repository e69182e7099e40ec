"""Trainings beside the peers: our side on a small made-up CIFAR-10, and what the report makes of results."""

import json

import numpy as np
import pytest

from benchmarks import training
from benchmarks.__main__ import main


@pytest.fixture
def cifar(tmp_path, rng):
    """250 records each for training and test: a label and 3,072 bytes; brighter images have higher labels."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        labels = rng.integers(0, 10, (250, 1))
        pixels = np.clip(labels * 20 + rng.integers(0, 40, (250, 3072)), 0, 255)
        (folder / name).write_bytes(np.concatenate([labels, pixels], axis=1).astype(np.uint8).tobytes())
    return folder


def test_a_training_is_written_and_not_done_again(cifar, tmp_path, capsys, monkeypatch):
    output = tmp_path / "results.json"
    command = ["training", "cifar", "--data-dir", str(cifar), "--epochs", "1", "--only", "ours:0", "--threads", "1"]
    assert main([*command, "--output", str(output)]) == 0
    run = json.loads(output.read_text())["runs"]["ours:0"]
    assert run["steps"] == len(run["losses"]) == 2
    assert 0 <= run["accuracy"][0] <= 1
    monkeypatch.setattr(training, "ask", lambda *_, **__: pytest.fail("done again"))
    assert main([*command, "--output", str(output)]) == 0
    assert "written:" in capsys.readouterr().out


def test_report_of_a_pair():
    ours = {"losses": [2.0, 1.0], "accuracy": [0.5, 0.6], "steps": 2, "seconds": 3.0}
    theirs = {"losses": [2.0, 1.5], "accuracy": [0.5, 0.62], "steps": 2, "seconds": 6.0}
    text = training.cifar_report({"ours:0": ours, "keras:0": theirs, "ours:1": ours})
    assert "2.5e-01 mean, 5.0e-01 in 10 steps" in text
    assert "means apart 0.0200" in text


def test_report_of_epochs():
    text = training.mnist_report({"ours": [2.0, 3.0, 4.0], "torch": [6.0], "keras": [9.0]})
    assert "faster peer / ours: 2.00" in text
