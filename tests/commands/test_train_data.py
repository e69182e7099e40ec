"""`minicnn train` on other data than the digits: folders of pictures, MNIST, a part of CIFAR-10."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from minicnn import zoo
from minicnn.commands.evaluate import main as evaluate
from minicnn.commands.plot import main as plot
from minicnn.commands.predict import main as predict
from minicnn.commands.train import main
from tests.data.test_cifar import records

DATA = os.environ.get("MINICNN_DATA") or None
needs_data = pytest.mark.skipif(DATA is None, reason="MINICNN_DATA names no folder with MNIST and CIFAR-10")


@pytest.fixture
def pictures(tmp_path, rng):
    """A folder of light and dark pictures of several sizes, one of them broken."""
    image = pytest.importorskip("PIL.Image", reason="pictures are read with Pillow, which is not installed")
    for part, count in (("train", 12), ("val", 4)):
        for label, low in (("dark", 0), ("light", 150)):
            folder = tmp_path / "pictures" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(low, low + 100, (20 + i, 30, 3)).astype(np.uint8)
                image.fromarray(pixels).save(folder / f"{i}.png")
    (tmp_path / "pictures" / "train" / "dark" / "3.png").write_text("no picture")
    return tmp_path / "pictures"


RUN = "resnet20 --dataset folder --data-dir pictures --img-size 16 --epochs 3 -b 8 --recipe small -q".split()


def test_a_folder_of_pictures(pictures, capsys):
    assert main([*RUN, "--augment", "resized,flip", "--preprocessing", "channel"]) == 1
    assert "3.png: not a picture that can be read" in capsys.readouterr().err
    argv = [*RUN, "--skip-broken", "--augment", "resized,flip", "--preprocessing", "channel", "-j", "2", "--name", "a"]
    assert main(argv) == 0
    captured = capsys.readouterr()
    assert "(8 images)" in captured.out and "1 picture was left out" in captured.err and "3.png" in captured.err
    assert evaluate(["runs/a"]) == 0
    assert "dark " in (out := capsys.readouterr().out) and "light" in out
    assert predict(["--run", "runs/a", "pictures/val/light/0.png", "pictures/val/dark/0.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {lines[1].split()[-1], lines[2].split()[-1]} == {"dark", "light"}
    assert main([*argv[:-1], "b", "--val-split", "0.25", "--limit-batches", "1"]) == 0


def test_broken_pictures_of_the_test_part(pictures, capsys):
    (pictures / "val" / "light" / "9.png").write_text("no picture")  # the ninth: a last batch of its own
    assert main([*RUN, "--skip-broken", "--epochs", "1"]) == 0
    capsys.readouterr()
    assert evaluate(["runs/resnet20"]) == 0
    captured = capsys.readouterr()
    assert "(8 images)" in captured.out and "1 of 9 test images cannot be read: left out" in captured.err
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib, which is not installed")
    assert plot(["runs/resnet20", "--only", "confusion,activations"]) == 0


def test_a_folder_that_is_not_there(capsys):
    assert main(RUN) == 1
    assert "pictures: no such folder" in capsys.readouterr().err
    assert main(["resnet20", "--dataset", "folder"]) == 1
    assert "--data-dir" in capsys.readouterr().err


@needs_data
def test_mnist_in_its_border(tmp_path, capsys):
    assert main("lenet5 --dataset mnist --epochs 1 --limit-batches 20 -q".split()) == 0
    assert "(1280 images)" in capsys.readouterr().out
    from minicnn.commands.loading import open_run

    opened = open_run("runs/lenet5")
    assert opened.preprocessing.pad and opened.preprocessing.source == (28, 28)
    assert opened.model.input_shape == (None, 32, 32, 1)


@pytest.mark.filterwarnings("ignore::minicnn.data.PartialDataWarning")
def test_inception_v1_with_its_heads(tmp_path, rng, capsys):
    """Some batches of pictures like CIFAR-10's: trained with both heads, resumed, and used without them."""
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(records(rng, 8)[2])
    argv = "inception_v1 --dataset cifar10 --data-dir . --img-size 65 --aux-weight 0.3 -b 4 --epochs 1 --opt sgd -q"
    assert main([*argv.split(), "--lr", "0.001"]) == 0
    with open("runs/inception_v1/metrics.csv", newline="") as file:
        row = {name: float(value) for name, value in next(csv.DictReader(file)).items()}
    assert {"accuracy", "main_loss", "aux1_loss", "aux2_loss"} < set(row)
    auxiliary = row["aux1_loss"] + row["aux2_loss"]
    assert row["loss"] == pytest.approx(row["main_loss"] + 0.3 * auxiliary, rel=1e-4)
    assert main(["--resume", "runs/inception_v1", "--epochs", "2", "-q"]) == 0
    weights = load_file("runs/inception_v1/weights.safetensors")
    assert sum(w.size for w in weights.values()) == zoo.build("inception_v1", classes=10).count_params()
    capsys.readouterr()
    assert evaluate(["runs/inception_v1"]) == 0
    assert "(8 images)" in capsys.readouterr().out


@needs_data
@pytest.mark.slow
def test_a_part_of_cifar_10_says_that_it_is_one(capsys):
    argv = "resnet20 --dataset cifar10 --recipe paper --epochs 1 --limit-batches 1 -b 16 --val-split 0.9"
    assert main(argv.split()) == 0
    out = capsys.readouterr().out
    assert "only a part of cifar10 is here" in out and "Recipe: paper (He et al. 2015" in out


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_default_recipe_reads_mnist(seed, tmp_path):
    """At least 99.0 % in at most 5 epochs, in a process of its own."""
    command = [sys.executable, "-m", "minicnn", "train", "lenet5", "--dataset", "mnist", "--seed", str(seed), "-q"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open("runs/lenet5/metrics.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) <= 5
    assert float(done.stdout.split()[2]) >= 0.99
