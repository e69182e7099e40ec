"""`minicnn evaluate RUN`, and `minicnn predict --run RUN`: the network of a run, as it was trained."""

import json

import numpy as np
import pytest

from minicnn import commands, data, zoo
from minicnn.commands import loading, preprocessing, runs
from minicnn.commands.evaluate import main, matrix_lines
from minicnn.commands.loading import open_run
from minicnn.commands.preprocessing import Preprocessing
from minicnn.commands.scores import Scores
from minicnn.commands.train import main as train
from minicnn.formats import FormatError

QUICK = "lenet5 --img-size 8 --epochs 2 --limit-batches 30 -q".split()


def test_the_tables(capsys):
    assert train([*QUICK, "--val-split", "0.1"]) == 0
    test = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test accuracy")).split()
    assert main(["runs/lenet5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "lenet5 on digits: runs/lenet5/weights.safetensors (360 images)"
    assert lines[1].startswith(f"accuracy {test[2]}  top-5 ") and lines[1].endswith(f"loss {test[4]}")
    rows = [line.split() for line in lines[4:14]]
    assert [row[0] for row in rows] == list("0123456789") and sum(int(row[1]) for row in rows) == 360
    matrix = np.array([[0 if n == "." else int(n) for n in line.split()[2:]] for line in lines[-10:]])
    assert matrix.shape == (10, 10) and matrix.sum() == 360
    assert f"{np.trace(matrix) / 360:.4f}" == test[2]

    assert main(["runs/lenet5", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["confusion"] == matrix.tolist() and f"{numbers['accuracy']:.4f}" == test[2]
    assert numbers["classes"]["3"]["recall"] == pytest.approx(matrix[3, 3] / matrix[3].sum())

    for which in ("last", "best", "runs/lenet5/checkpoints/best.safetensors"):
        assert main(["runs/lenet5", "--checkpoint", which]) == 0
        assert f"{which.removesuffix('.safetensors').rpartition('/')[2]}.safetensors" in capsys.readouterr().out
    assert main(["runs/lenet5", "--crops", "ten"]) == 0
    assert "360 images, 10 crops of each" in capsys.readouterr().out


def test_checkpoints_give_the_averages_of_weights_where_there_are_some(tmp_path):
    assert train([*QUICK, "--ema", "0.9"]) == 0
    weights, last = open_run("runs/lenet5"), open_run("runs/lenet5", "last")
    for a, b in zip(weights.model.get_weights(), last.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def cut_by_hand(images, crops):
    """As the papers cut 224 of 256 and so on, for a network of 8 x 8."""
    from minicnn.data.crops import grid_crops, inception_crops, ten_crop
    from minicnn.data.images import resize

    if crops == "ten":
        return ten_crop(resize(images, (9, 9)), (8, 8))  # 8 * 256 / 224 = 9.1
    if crops == "vgg":
        return grid_crops(images, (8, 8), (9, 14, 18))
    return inception_crops(images, (8, 8), (9, 10, 11, 13))


@pytest.mark.parametrize("crops, count", [("ten", 10), ("vgg", 150), ("inception", 144)])
def test_the_mean_over_crops(crops, count, monkeypatch):
    """Of the network's answers to them one by one."""
    from minicnn.commands.evaluate import scores

    assert train([*QUICK, "--preprocessing", "channel"]) == 0
    opened, digits = open_run("runs/lenet5"), data.load("digits")
    monkeypatch.setattr(loading, "test_part", lambda *_: (digits.x_test[:3], digits.y_test[:3], digits.top))
    found = scores(opened, crops)
    cut = cut_by_hand(digits.x_test[:3], crops)
    assert cut.shape[1] == count
    mean, deviation = digits.x_train.mean() / 16, digits.x_train.std() / 16
    answers = [opened.model.predict((cut[:, i] / 16 - mean) / deviation, verbose=0) for i in range(count)]
    np.testing.assert_allclose(found.probabilities, np.mean(answers, 0), atol=1e-5)


@pytest.mark.parametrize("argv, code, message", [
    (["none"], 2, "none: no such run folder"),
    (["."], 2, ". is no run folder: there is no config.toml in it"),
    (["empty"], 2, "empty has neither weights.safetensors nor a checkpoint"),
    (["empty", "--checkpoint", "best"], 2, "empty has no best checkpoint"),
    (["empty", "--checkpoint", "x.safetensors"], 1, "x.safetensors: no such file"),
    (["other"], 2, "does not say how its images were prepared"),
    (["empty", "--crops", "nine"], 2, "invalid choice: 'nine'"),
    ([], 2, "RUN"),
])  # fmt: skip
def test_mistakes(argv, code, message, tmp_path, capsys):
    for name in ("empty", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text('model = "lenet5"\n')
    zoo.build("lenet5").save_weights("other/weights.safetensors")
    assert main(argv) == code
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_other_classes(capsys, monkeypatch):
    from minicnn.data import Dataset

    assert train(QUICK) == 0
    x, y = np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 1, 0, 1])
    monkeypatch.setattr(data, "load", lambda *_, **__: Dataset("digits", x, y, x, y, ("cat", "dog")))
    assert main(["runs/lenet5"]) == 1
    assert "the data set has other classes, 2, cat, dog..., than the run was trained on, 10" in capsys.readouterr().err


# Scores by hand ------------------------------------------------------------------------------------------------------


def test_scores():
    p = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4]])
    found = Scores(np.array([0, 1, 1, 2]), p)
    assert found.accuracy == 0.5 and found.top(2) == 1.0 and found.top(1) == 0.5
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    zero, one, two = found.by_class()
    assert zero == {"images": 1, "precision": pytest.approx(1 / 3), "recall": 1.0, "f1": pytest.approx(0.5)}
    assert one == {"images": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert two == {"images": 1, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    np.testing.assert_allclose(found.losses, -np.log([0.7, 0.3, 0.8, 0.4]))
    assert found.worst(5).tolist() == [1, 3]


def test_matrix_lines():
    lines = matrix_lines(np.array([[1200, 0], [3, 4]]), ["a long name of a class", "b"])
    assert lines[1].split("  ")[1].startswith("a long") and "1,200" not in lines[1] and "1200" in lines[1]
    assert "." in lines[1] and len({len(line) for line in lines}) == 1


# Preprocessing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", preprocessing.MODES)
def test_preprocessing_through_its_text(mode, rng):
    images = rng.integers(0, 256, (40, 6, 7, 3)).astype(np.uint8)
    made = Preprocessing((9, 8, 3), mode, class_names=("a", "ä")).fitted(images, 255)
    again = preprocessing.loads(made.dumps())
    np.testing.assert_array_equal(made(images), again(images))
    assert again.class_names == ("a", "ä") and made(images).shape == (40, 9, 8, 3) and made(images).dtype == np.float32


def test_means_are_those_of_the_training_images(rng):
    images = rng.integers(0, 17, (50, 6, 7, 3)).astype(np.uint8)
    channel = Preprocessing((6, 7, 3), "channel").fitted(images, 16)(images, 16)
    np.testing.assert_allclose(channel.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(channel.std((0, 1, 2)), 1, atol=1e-5)
    pixel = Preprocessing((12, 9, 3), "pixel").fitted(images, 16)(images, 16)
    np.testing.assert_allclose(pixel.mean(0), 0, atol=1e-5)


def test_a_border_of_zeros(rng):
    images = rng.integers(1, 256, (3, 28, 28, 1)).astype(np.uint8)
    x = Preprocessing((32, 32, 1), pad=True, source=(28, 28))(images)
    np.testing.assert_array_equal(x[:, 2:30, 2:30], np.float32(images) / np.float32(255))
    assert np.count_nonzero(x) == images.size


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shape": [1, 2]}', "[" * 10**5,
    '{"shape": [2, 2, 1], "mode": "other", "source": null, "mean": null, "deviation": null, "class_names": []}',
    '{"shape": [2, 2, 1], "mode": "unit", "source": null, "mean": [1, 2, 3], "deviation": null, "class_names": []}',
])  # fmt: skip
def test_texts_that_make_no_sense(text):
    with pytest.raises(FormatError, match="the preprocessing that is noted there makes no sense"):
        preprocessing.loads(text)


# predict -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path, rng):
    image = pytest.importorskip("PIL.Image", reason="pictures are read with Pillow, which is not installed")
    image.fromarray(rng.integers(0, 256, (40, 50), np.uint8)).save("a.png")
    return "a.png"


@pytest.mark.parametrize("mode", ["unit", "channel", "pixel"])
def test_predict_prepares_pictures_as_the_run_did(mode, picture, capsys):
    from minicnn.commands.predict import main as predict
    from minicnn.data.pictures import read_picture

    assert train([*QUICK, "--preprocessing", mode]) == 0
    opened = open_run("runs/lenet5")
    expected = opened.model.predict(opened.preprocessing(read_picture("a.png", (8, 8), 1)[None]), verbose=0)[0]
    outputs = []
    for argv in (["--run", "runs/lenet5"], ["lenet5", "--weights", "runs/lenet5/weights.safetensors"],
                 ["lenet5", "--weights", "runs/lenet5/checkpoints/last.safetensors"]):  # fmt: skip
        capsys.readouterr()
        assert predict([*argv, picture]) == 0
        outputs.append(capsys.readouterr().out)
    assert len(set(outputs)) == 1
    assert outputs[0].splitlines()[1].split()[1:3] == [f"{expected.max():.4f}", str(expected.argmax())]


def test_predict_knows_the_variant(picture, capsys):
    from minicnn.commands.predict import main as predict

    assert train(["lenet5", "--variant", "1998", "--epochs", "1", "--limit-batches", "2", "-q"]) == 0
    for name in ("weights.safetensors", "checkpoints/last.safetensors"):
        assert predict(["lenet5", "--weights", f"runs/lenet5/{name}", picture]) == 0


def test_predict_with_a_run_takes_no_flags_of_the_network(picture, capsys):
    from minicnn.commands.predict import main as predict

    assert train(QUICK) == 0
    capsys.readouterr()
    for argv, message in (
        (["--run", "runs/lenet5", picture, "--img-size", "9"], "--img-size does not go with --run"),
        (["--run", "runs/lenet5"], "which IMAGE?"),
        ([], "which MODEL and IMAGE?"),
        (["lenet5", picture, "--checkpoint", "best"], "--checkpoint belongs to --run"),
    ):
        assert predict(argv) == commands.USAGE
        assert message in capsys.readouterr().err


def test_a_run_that_was_stopped_can_be_used(picture, capsys, monkeypatch):
    assert train(QUICK) == 0
    (runs.Path("runs/lenet5") / "weights.safetensors").unlink()
    assert main(["runs/lenet5"]) == 0
    assert "last.safetensors" in capsys.readouterr().out
