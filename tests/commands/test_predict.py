"""minicnn predict: a table for each picture, a line for each broken one."""

import json
import sys

import numpy as np
import pytest

from minicnn import commands, zoo
from minicnn.commands.predict import main, shortened
from minicnn.layers import Dense, Flatten, Input
from minicnn.model import Model, Sequential
from minicnn.model.config import layer_config

Image = pytest.importorskip("PIL.Image", reason="pictures are read with Pillow, which is not installed")


@pytest.fixture
def place(tmp_path, rng):
    """A folder with weights of LeNet-5, labels and three pictures, one of them broken."""
    zoo.build("lenet5").save_weights("lenet5.safetensors")
    (tmp_path / "labels.txt").write_text("\n".join(f"digit {i}" for i in range(10)))
    for name in ("a.png", "b.jpg"):
        Image.fromarray(rng.integers(0, 256, (40, 50), np.uint8)).save(name)
    (tmp_path / "broken.png").write_text("no picture")
    return tmp_path


WEIGHTS = ["lenet5", "--weights", "lenet5.safetensors"]


def test_a_table_for_each_picture(place, capsys):
    assert main([*WEIGHTS, "a.png", "b.jpg", "--labels", "labels.txt", "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["a.png", "b.jpg"]
    assert len(lines) == 2 + 6
    scores = [float(line.split()[1]) for line in lines[1:4]]
    assert scores == sorted(scores, reverse=True)
    assert all("digit" in line for line in lines[1:4])
    assert max(map(len, lines)) <= 80


def test_the_scores_are_the_networks(place, capsys):
    from minicnn.data.pictures import read_picture

    main([*WEIGHTS, "a.png"])
    model = zoo.build("lenet5")
    model.load_weights("lenet5.safetensors")
    expected = model.predict(read_picture("a.png", (32, 32), 1)[None] / 255, verbose=0)[0]
    first = capsys.readouterr().out.splitlines()[1].split()
    assert first == ["1", f"{expected.max():.4f}", str(expected.argmax()), "class", str(expected.argmax())]


def test_a_broken_picture_does_not_stop_the_others(place, capsys):
    assert main([*WEIGHTS, "a.png", "broken.png", "none.png", "b.jpg"]) == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if not line.startswith(" ")] == ["a.png", "b.jpg"]
    assert "minicnn predict: broken.png: not a picture that can be read" in err
    assert "minicnn predict: none.png: no such file" in err
    assert len(err.splitlines()) == 2


def test_flags_between_the_pictures(place, capsys):
    assert main(["lenet5", "a.png", "--weights", "lenet5.safetensors", "b.jpg"]) == 0
    assert capsys.readouterr().out.count("class") == 10


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["lenet6", "--weights", "x", "a.png"], "unknown model 'lenet6': did you mean 'lenet5'"),
        (["lenet5", "a.png"], "which --weights FILE"),
        ([*WEIGHTS, "a.png", "--variant", "1989"], "unknown variant of lenet5 '1989'"),
        ([*WEIGHTS, "a.png", "--label", "x"], "unknown flag '--label': did you mean '--labels'"),
        ([*WEIGHTS, "a.png", "--device", "tpu"], "argument --device: must be cpu, gpu or gpu:N, got 'tpu'"),
        ([*WEIGHTS, "a.png", "--top", "0"], "--top must be at least 1, got 0"),
        ([*WEIGHTS, "a.png", "--preprocessing", "cafe"], "invalid choice: 'cafe'"),
        (["lenet5"], "IMAGE"),
    ],
)
def test_usage(place, capsys, argv, message):
    assert main(argv) == commands.USAGE
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["lenet5", "--weights", "none.safetensors", "a.png"], "none.safetensors: no such file"),
        ([*WEIGHTS, "--num-classes", "7", "a.png"], "predictions/kernel (500, 7) from (500, 10)"),
        ([*WEIGHTS, "--labels", "none.txt", "a.png"], "none.txt"),
        ([*WEIGHTS, "--labels", "two.txt", "a.png"], "there are 2 labels for 10 classes"),
        (["none.keras", "a.png"], "none.keras: no such file"),
    ],
)
def test_errors(place, capsys, argv, message):
    (place / "two.txt").write_text("one\ntwo\n")
    assert main(argv) == commands.ERROR
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_whole_model(place, capsys, rng):
    h5py = pytest.importorskip("h5py", reason="Keras's files are read with h5py, which is not installed")
    model = Sequential([Input((4, 5, 3)), Flatten(), Dense(3, activation="softmax", name="answer")])
    model.save_weights("a.weights.h5")
    with h5py.File("model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(layer_config(model))
        group = file.create_group("model_weights/answer")
        group.attrs["weight_names"] = ["answer/kernel", "answer/bias"]
        for weight in model.weights:
            group[weight.name] = weight.numpy()
    assert main(["model.h5", "a.png"]) == 0
    first = capsys.readouterr().out
    assert main(["model.h5", "a.png", "--weights", "a.weights.h5"]) == 0
    assert capsys.readouterr().out == first
    assert main(["model.h5", "a.png", "--variant", "x"]) == commands.USAGE
    assert "--variant belongs to a network of the zoo" in capsys.readouterr().err


def test_a_model_of_something_else(place, capsys, monkeypatch):
    frame = Input((7,))
    monkeypatch.setattr("minicnn.commands.predict.load_model", lambda path: Model(frame, Dense(2)(frame), name="m"))
    assert main(["model.h5", "a.png"]) == commands.ERROR
    assert "m does not take one picture of a known size, but (None, 7)" in capsys.readouterr().err


def test_an_absent_pillow(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert main([*WEIGHTS, "a.png"]) == commands.ERROR
    assert "pip install 'minicnn[images]'" in capsys.readouterr().err


def test_the_dispatcher_knows_it(place, capsys):
    assert commands.main(["predict", *WEIGHTS, "a.png"]) == 0
    assert commands.main([]) == commands.USAGE
    assert "predict" in capsys.readouterr().out


def test_long_names_lose_their_middle():
    assert shortened("a" * 30 + "b" * 30, 9) == "aaa...bbb"
    assert shortened("short", 9) == "short"
    assert shortened("bell\a\x1b[31m", 20) == "bell??[31m"


def test_an_absent_extra_is_one_line(monkeypatch, capsys, tmp_path):
    """The line that installs it, and no name of a Python class before it."""
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "w.h5").write_bytes(b"")
    assert main(["lenet5", "--weights", str(tmp_path / "w.h5"), "a.png"]) == 1
    err = capsys.readouterr().err
    assert "pip install 'minicnn[keras]'" in err and "Error" not in err and err.count("\n") == 1
