"""`minicnn train`, mostly in this process: what it prints, what it leaves, and how it fails."""

import csv
import errno
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from minicnn import backend, commands, config, data, functions, layers, zoo
from minicnn.commands import building, memory, runs, watching
from minicnn.commands.arguments import resolve
from minicnn.commands.loading import open_run
from minicnn.commands.preprocessing import Preprocessing
from minicnn.commands.train import main
from minicnn.data.augment import Chain
from minicnn.data.images import prepare
from minicnn.model import Model, saving
from minicnn.training import checkpoints
from minicnn.training.callbacks import Callback
from tests.processes import PATIENCE, one_thread

QUICK = ["lenet5", "--epochs", "2", "--limit-batches", "3"]


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_settings_metrics_and_weights(tmp_path, capsys):
    assert main(QUICK) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Total params: 520,082" in out and "epoch 2/2" in out
    *_, test, last = out.splitlines()
    assert test.startswith("test accuracy 0.") and "(96 images)" in test  # three batches of these, too
    left = "config.toml, metrics.csv, metrics.jsonl, weights.safetensors, checkpoints/"
    assert last == f"run folder: {os.path.join('runs', 'lenet5')} ({left})"

    folder = tmp_path / "runs" / "lenet5"
    assert [row["epoch"] for row in rows(folder)] == ["1", "2"]
    assert {"loss", "accuracy", "lr", "seconds", "images_per_second"} < set(rows(folder)[0])
    digits = data.load("digits")
    model = zoo.build("lenet5")
    model.load_weights(folder / "weights.safetensors")
    x = prepare(digits.x_test[:96], (32, 32, 1), digits.top)
    accuracy = np.mean(model.predict(x, verbose=0).argmax(-1) == digits.y_test[:96])
    assert f"test accuracy {accuracy:.4f}" in test


def test_a_run_folder_is_never_overwritten_and_its_config_repeats_the_run(tmp_path, capsys):
    assert main([*QUICK, "--seed", "3"]) == 0
    assert main(["-c", "runs/lenet5/config.toml"]) == 0
    first, second = (tmp_path / "runs" / name for name in ("lenet5", "lenet5-2"))
    assert (first / "config.toml").read_text() == (second / "config.toml").read_text()
    a, b = (load_file(folder / "weights.safetensors") for folder in (first, second))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    assert [row["loss"] for row in rows(first)] == [row["loss"] for row in rows(second)]


def test_a_quick_try_is_quick_in_all_its_parts(capsys, monkeypatch):
    seen = {"train": 0, "test": 0}

    class Counter(Callback):
        """In the place of the progress: counts the batches."""

        def __init__(self, **_):
            pass

        def on_train_batch_end(self, batch, logs=None):
            seen["train"] += 1

        def on_test_batch_end(self, batch, logs=None):
            seen["test"] += 1

    monkeypatch.setattr("minicnn.commands.train.Progress", Counter)
    assert main(["lenet5", "--epochs", "1", "--limit-batches", "2", "-b", "10", "--val-split", "0.5"]) == 0
    assert seen == {"train": 2, "test": 2}
    assert "(20 images)" in capsys.readouterr().out


def test_seeds_differ(tmp_path):
    for seed in "01":
        assert main([*QUICK, "-q", "--seed", seed, "--name", seed]) == 0
    a, b = (load_file(tmp_path / "runs" / seed / "weights.safetensors") for seed in "01")
    assert all(not np.array_equal(a[name], b[name]) for name in a)


def test_quiet_prints_the_result_alone(capsys):
    assert main([*QUICK, "-q"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_summary_stops_before_anything_is_made(tmp_path, capsys):
    assert main(["lenet5", "--summary", "--variant", "1998"]) == 0
    assert "Total params: 61,750" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_sgd_double_precision_and_another_size(tmp_path):
    argv = [*QUICK, "-q", "--opt", "sgd", "--lr", "0.01", "--momentum", "0.9", "--dtype", "float64", "--img-size", "16"]
    assert main([*argv, "--conv", "direct", "--precision", "highest", "--threads", "1"]) == 0
    assert (config.config.conv, config.config.precision, config.config.threads) == ("direct", "highest", 1)
    weights = load_file(tmp_path / "runs" / "lenet5" / "weights.safetensors")
    assert {w.dtype for w in weights.values()} == {np.dtype("float64")}
    assert max(w.size for w in weights.values()) == 4 * 4 * 16 * 500


def test_no_epochs_still_tests(capsys):
    assert main(["lenet5", "--epochs", "0", "-q"]) == 0
    out = capsys.readouterr().out
    assert "test accuracy" in out and out.endswith("(config.toml, weights.safetensors)\n")


# Errors: one clear line each, and the exit code ----------------------------------------------------------------------


def one_line(capsys):
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "Traceback" not in err, err
    assert err.startswith("minicnn train: ")
    return err


@pytest.mark.parametrize("argv, message", [
    (["lenet6"], "unknown model 'lenet6': did you mean 'lenet5'"),
    (["lenet5", "--ephocs", "3"], "unknown flag '--ephocs': did you mean '--epochs'?"),
    (["lenet5", "--epochs", "x"], "invalid whole number value: 'x'"),
    (["lenet5", "--dataset", "mnits"], "unknown data set 'mnits'"),
])  # fmt: skip
def test_usage_errors_exit_with_2(argv, message, capsys, tmp_path):
    assert main(argv) == 2
    err = one_line(capsys)
    assert message in err and "--help" in err
    assert not list(tmp_path.iterdir())


def test_missing_config_file(capsys):
    assert main(["-c", "none.toml"]) == 1
    assert "none.toml: No such file or directory" in one_line(capsys)


def test_images_too_small_for_the_network(capsys, tmp_path):
    assert main(["lenet5", "--variant", "1998", "--img-size", "8"]) == 1
    one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_a_run_folder_that_cannot_be_made_stops_before_training(tmp_path, capsys):
    # root may write into read-only folders, but nobody makes a folder inside a file
    (tmp_path / "runs").write_text("")
    assert main(["lenet5", "--epochs", "100000"]) == 1
    assert "cannot make a run folder in 'runs'" in (err := one_line(capsys)) and "--output" in err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_stops_before_training(tmp_path, capsys):
    (tmp_path / "runs").mkdir(mode=0o500)
    assert main(["lenet5", "--epochs", "100000"]) == 1
    assert "cannot make a run folder in 'runs' (Permission denied)" in one_line(capsys)


def test_a_run_folder_that_takes_no_file_stops_before_training(tmp_path, capsys, monkeypatch):
    def made(output, name):
        (tmp_path / "config.toml").mkdir()  # in the place of the file
        return tmp_path

    monkeypatch.setattr("minicnn.commands.train.make_folder", made)
    assert main(["lenet5", "--epochs", "100000"]) == 1
    assert "cannot write" in (err := one_line(capsys)) and "config.toml" in err


def test_make_folder_says_which_place_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot make a run folder in '.*file' \(.+\): .* --output"):
        runs.make_folder(str(tmp_path / "file"), "lenet5")
    assert runs.make_folder(str(tmp_path / "new" / "place"), "a") == tmp_path / "new" / "place" / "a"
    assert runs.make_folder(str(tmp_path / "new" / "place"), "a").name == "a-2"


def fail_with(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("message", ["needs CuPy: pip install", "no NVIDIA driver", "no GPU found"])
def test_a_gpu_that_is_not_there_is_one_line(message, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "get", fail_with(backend.DeviceError(message)))
    assert main(["lenet5", "--device", "gpu"]) == 1
    assert message in one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_device_auto_falls_back_and_says_so(capsys, monkeypatch):
    def get(name, real=backend.get):
        if name == "cpu":
            return real(name)
        raise backend.DeviceError("no GPU found")

    monkeypatch.setattr(backend, "get", get)
    assert main([*QUICK, "--device", "auto"]) == 0
    assert "device auto: cpu (no GPU found)" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_stops_with_20(tmp_path, capsys, monkeypatch):
    assert main([*QUICK, "-q", "--opt", "sgd", "--lr", "1e30"]) == 20
    err = one_line(capsys)
    assert "the loss is" in err and "epoch 1, step" in err and "--lr" in err
    assert not (tmp_path / "runs" / "lenet5" / "weights.safetensors").exists()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_and_keeps_the_weights(number, code, tmp_path, capsys, monkeypatch):
    class Kill(Callback):
        """In the place of the progress: sends the signal at the second step."""

        def __init__(self, **_):
            pass

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                signal.raise_signal(number)

    monkeypatch.setattr("minicnn.commands.train.Progress", Kill)
    before = signal.getsignal(number)
    assert main(["lenet5"]) == code
    err, run = one_line(capsys), os.path.join("runs", "lenet5")
    assert f"stopped by {number.name} after epoch 1, step 2; go on with: minicnn train --resume {run}" in err
    facts = checkpoints.facts(tmp_path / "runs" / "lenet5" / "checkpoints" / "last.safetensors")
    assert (facts["step"], facts["epoch"], facts["position"]) == (2, 0, 2)
    assert signal.getsignal(number) is before


@pytest.fixture
def ctrl_c():
    """Ctrl-C as at a terminal: a shell that starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_second_signal_acts_at_once(tmp_path, capsys, monkeypatch, ctrl_c):
    class Twice(Callback):
        def __init__(self, **_):
            pass

        def on_train_batch_begin(self, batch, logs=None):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("minicnn.commands.train.Progress", Twice)
    assert main(["lenet5"]) == 130
    assert "stopped by Ctrl-C" in one_line(capsys)
    assert not (tmp_path / "runs" / "lenet5" / "checkpoints").exists()


def test_a_surprise_is_one_line_too_unless_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(zoo, "build", fail_with(KeyError("x")))
    assert main(["lenet5"]) == 1
    assert "KeyError: 'x' (MINICNN_DEBUG=1 shows where)" in one_line(capsys)
    monkeypatch.setattr(zoo, "build", fail_with(MemoryError()))
    assert main(["lenet5"]) == 12
    assert "out of memory" in one_line(capsys)
    monkeypatch.setenv("MINICNN_DEBUG", "1")
    with pytest.raises(MemoryError):
        main(["lenet5"])


# The ways to call it --------------------------------------------------------------------------------------------------


def test_dispatch(capsys):
    assert commands.main([]) == 2
    assert commands.main(["--help"]) == 0
    assert "train" in capsys.readouterr().out
    assert commands.main(["trian"]) == 2
    assert "unknown command 'trian': did you mean 'train'?" in capsys.readouterr().err
    assert commands.main(["train", "lenet6"]) == 2


@pytest.mark.parametrize("start", [["-m", "minicnn.train"], ["-m", "minicnn", "train"]])
def test_as_a_program(start, tmp_path):
    # which may speak of its own affairs where it is imported for the first time
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    argv = [sys.executable, *start, "lenet5", "--epochs", "1", "--limit-batches", "1", "-q"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("test accuracy")
    done = subprocess.run([*argv, "--bad"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


# What it learns ------------------------------------------------------------------------------------------------------


def accuracy(capsys):
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test accuracy"))
    return float(line.split()[2])


def test_two_epochs_learn_most_of_it(capsys):
    assert main(["lenet5", "--epochs", "2", "-q"]) == 0
    assert accuracy(capsys) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_default_recipe_reads_the_digits(seed, capsys):
    assert main(["lenet5", "--seed", str(seed), "-q"]) == 0
    assert accuracy(capsys) >= 0.975


# Out of memory, and disks that are full ------------------------------------------------------------------------------

LIMITED = """
import resource, sys
import numpy as np
sys.modules["matplotlib"] = None  # whose import takes memory, too
from minicnn.commands.train import main
a = np.ones((512, 512), np.float32)
a @ a  # OpenBLAS takes its buffers now: where it finds no memory for them, it ends the process by itself
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as on Linux")
def test_out_of_memory_says_which_batch_fits(tmp_path):
    """Under a limit of the system's beyond what the libraries took; then once more with the batch that was advised."""

    def limited(batch, name):
        argv = ["lenet5", "--img-size", "128", "-b", str(batch), "--epochs", "1", "--limit-batches", "1", "-q"]
        command = [sys.executable, "-c", LIMITED, str(800_000_000), *argv, "--name", name]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=one_thread())

    failed = limited(2048, "large")
    assert failed.returncode == 12 and failed.stderr.count("\n") == 1, failed.stderr
    found = re.search(r"out of memory: a step takes .* each image, .* --batch-size (\d+) would fit", failed.stderr)
    assert found, failed.stderr
    batch = int(found[1])
    assert 1 <= batch < 2048 and batch & (batch - 1) == 0
    assert "config.toml" in os.listdir(tmp_path / "runs" / "large")
    done = limited(batch, "fitting")
    assert done.returncode == 0, done.stderr


def test_cupy_is_out_of_memory_too(monkeypatch, capsys):
    """Known by its name: CuPy is not imported here."""
    error = type("OutOfMemoryError", (Exception,), {})
    monkeypatch.setattr("minicnn.model.Model.fit", fail_with(error("Out of memory allocating 512 bytes")))
    assert main(QUICK) == 12
    err = one_line(capsys)
    assert "out of memory: a step takes about" in err and "(Out of memory allocating 512 bytes)" in err


@pytest.mark.parametrize("free, message", [
    (None, "try a smaller --batch-size than 32"),
    (1000, "not even one image fits; try a smaller --img-size"),
    (1e12, "--batch-size 16 would fit"),
    (1_000_000, "--batch-size 4 would fit"),
])  # fmt: skip
def test_advice(free, message):
    model = zoo.build("lenet5")
    model.compile("adam", "sparse_categorical_crossentropy")
    # 20,978 outputs and as many gradients, of 4 bytes
    assert memory.bytes_per_image(model) == 2 * 4 * (1024 + 6144 + 1536 + 4096 + 1024 + 1024 + 500 + 10)
    assert memory.bytes_of_weights(model) == 4 * 4 * 520_082
    assert message in memory.advice(model, 32, free)


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_stops_or_not(tmp_path, capsys, monkeypatch):
    argv = [*QUICK, "-q", "--save-every", "2s"]
    monkeypatch.setattr("minicnn.training.checkpoints.safetensors.write", full)
    assert main(argv) == 1
    err = one_line(capsys)
    assert "No space left on device; 6.2 MB are needed" in err and "--on-save-error continue would go on" in err
    with monkeypatch.context() as patch:
        patch.setattr("minicnn.commands.train.saving.save_weights", lambda *_: None)
        assert main([*argv, "--on-save-error", "continue"]) == 0
    out, err = capsys.readouterr()
    assert err.count("training goes on") == 3 and "test accuracy" in out


def test_the_best_is_the_best_that_could_be_written(monkeypatch, capsys):
    """The checkpoint of the best epoch failed: the next one, which is worse, is the best in the folder."""
    monkeypatch.setattr(checkpoints, "gather", lambda *_, best, **__: best)
    written = []

    class Disk:
        def save(self, made, best):
            if not written and made == 1.0:
                raise OSError("full")
            written.append((made, best))

    saver = watching.Saver(
        Disk(), {}, [], {}, every="1", monitor="loss", on_error="continue", steps=1, received=[], blame=str
    )  # fmt: skip
    saver.model, saver.params = SimpleNamespace(stop_training=False, step=0), {"epochs": 9}
    for epoch, loss in enumerate((1.0, 2.0, 3.0)):
        saver.on_epoch_end(epoch, {"loss": loss})
    assert written == [(2.0, True), (2.0, False)]
    assert "training goes on" in capsys.readouterr().err


# A loss that runs away -----------------------------------------------------------------------------------------------


def test_the_step_and_the_layer_are_named_and_the_last_checkpoint_is_kept(tmp_path, capsys):
    argv = ["lenet5", "--img-size", "8", "--limit-batches", "6", "--epochs", "2", "-q", "--save-every", "2s"]
    assert main([*argv, "--opt", "sgd", "--lr", "1e12", "--sched", "none", "--warmup-epochs", "1"]) == 20
    err = one_line(capsys)
    assert re.search(r"the loss is nan after epoch 1, step \d \(first in the .* layer \w+\): try", err), err
    step = int(re.search(r"step (\d)", err)[1])
    kept = tmp_path / "runs" / "lenet5" / "checkpoints" / "last.safetensors"
    if step > 2:
        found = checkpoints.read(kept)
        assert found.step == (step - 1) // 2 * 2
        assert all(np.isfinite(array).all() for array in found.part("weights").values())


class Wrong(layers.Layer):
    """Finite until step 2; then infinite on the way there, or only on the way back."""

    forward, step = True, staticmethod(lambda: 0)  # which step of training it is

    def output_shape(self, shape):
        return shape

    def call(self, x):
        if self.step() < 2:
            return x
        return x * np.inf if self.forward else functions.sqrt(x * 0.0) + x


@pytest.mark.parametrize("forward", [True, False])
def test_debug_nan_finds_the_very_place(forward, tmp_path, capsys, monkeypatch):
    wrong = Wrong(name="wrong")
    wrong.forward = forward

    def build(*_, **__):
        x = inputs = layers.Input((8, 8, 1))
        x = layers.Flatten(name="flat")(wrong(layers.Conv2D(2, 3, name="conv")(x)))
        model = Model(inputs, layers.Dense(10, activation="softmax", name="predictions")(x), name="tiny")
        wrong.step = lambda: model.step
        return model

    monkeypatch.setattr("minicnn.commands.building.build", build)
    argv = ["lenet5", "--limit-batches", "6", "--epochs", "1", "-q", "--save-every", "1s"]
    assert main([*argv, "--debug-nan"]) == 20
    what, where = ("the loss is", "output of layer wrong") if forward else ("weights are not", "gradient of conv/bias")
    err = one_line(capsys)
    assert what in err and f"after epoch 1, step 3 (first in the {where}): try a smaller --lr" in err, err
    assert checkpoints.read(tmp_path / "runs" / "lenet5" / "checkpoints" / "last.safetensors").step == 2
    assert main(argv) == 20  # without a closer look it does not save what is of no use, either
    err = one_line(capsys)
    assert what in err and "after epoch 1, step 3" in err and "first in the weight conv/kernel" in err
    assert checkpoints.read(tmp_path / "runs" / "lenet5-2" / "checkpoints" / "last.safetensors").step == 2


# Several outputs, averages, statistics -------------------------------------------------------------------------------


def small_heads(settings, classes):
    """A network with two auxiliary heads where --aux-weight asks for them."""
    x = inputs = layers.Input((8, 8, 1))
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(x)))
    heads = [layers.Dense(classes, activation="softmax")(layers.Flatten()(x)) for _ in range(2)]
    x = layers.Dense(classes, activation="softmax")(layers.GlobalAveragePooling2D(name="pool")(x))
    return Model(inputs, [x, *heads] if settings.aux_weight is not None else x, name="heads")


def test_auxiliary_heads_train_and_are_dropped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minicnn.commands.building.build", small_heads)
    argv = ["lenet5", "--epochs", "2", "--limit-batches", "5", "-q", "--val-split", "0.1"]
    assert main([*argv, "--aux-weight", "0.3", "--save-every", "3s"]) == 0
    assert "test accuracy" in capsys.readouterr().out
    folder = tmp_path / "runs" / "lenet5"
    row = rows(folder)[0]
    assert {"accuracy", "val_accuracy"} < set(row)
    losses = [name for name in row if name.endswith("_loss")]
    ours = ["main_loss", "aux1_loss", "aux2_loss"]
    assert losses == [*ours, "val_loss", *(f"val_{name}" for name in ours)]
    loss, main_loss, *others = (float(row[name]) for name in ("loss", "main_loss", "aux1_loss", "aux2_loss"))
    assert loss == pytest.approx(main_loss + 0.3 * sum(others), rel=1e-4)
    weights = load_file(folder / "weights.safetensors")
    assert sorted(name.partition("/")[0] for name in weights if name.endswith("kernel")) == ["conv", "dense"]
    for which in (None, "best", "last"):
        opened = open_run(folder, which)
        assert len(opened.model.outputs) == 1
        for name, weight in saving.weight_names(opened.model).items():
            if which != "best":
                np.testing.assert_array_equal(weight.numpy(), weights[name])
    assert main(["--resume", str(folder), "-q", "--epochs", "3"]) == 0
    assert len(rows(folder)) == 3


def test_a_network_without_heads_says_so(capsys):
    assert main(["lenet5", "--aux-weight", "0.3"]) == 2
    assert "--aux-weight: lenet5 has no auxiliary heads" in one_line(capsys)


def test_recalibrated_statistics(tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.commands.building.build", small_heads)
    argv = ["lenet5", "--epochs", "1", "--limit-batches", "5", "-q", "--augment", "none"]
    assert main([*argv, "--name", "moving"]) == 0
    assert main([*argv, "--name", "anew", "--recalibrate-bn"]) == 0
    moving, anew = (load_file(tmp_path / "runs" / name / "weights.safetensors") for name in ("moving", "anew"))
    same = [name for name in moving if np.array_equal(moving[name], anew[name])]
    assert sorted(moving.keys() - same) == ["bn/moving_mean", "bn/moving_variance"]


def test_events_for_tensorboard(tmp_path, capsys):
    pytest.importorskip("tensorboard", reason="events are written with tensorboard, which is not installed")
    assert main([*QUICK, "-q", "--tensorboard"]) == 0
    assert "tensorboard/" in capsys.readouterr().out
    assert list((tmp_path / "runs" / "lenet5" / "tensorboard" / "train").iterdir())


def test_without_tensorboard(capsys, monkeypatch):
    for name in ("tensorboard", *(name for name in sys.modules if name.startswith("tensorboard."))):
        monkeypatch.setitem(sys.modules, name, None)
    assert main([*QUICK, "-q", "--tensorboard"]) == 1
    assert "pip install 'minicnn[tensorboard]'" in one_line(capsys)


def test_weights_to_begin_with(tmp_path):
    assert main([*QUICK, "-q", "--name", "first"]) == 0
    argv = ["lenet5", "--epochs", "0", "-q"]
    assert main([*argv, "--weights", "runs/first/weights.safetensors", "--name", "second"]) == 0
    a, b = (load_file(tmp_path / "runs" / name / "weights.safetensors") for name in ("first", "second"))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_no_decay_of_biases_and_batch_norms(monkeypatch):
    monkeypatch.setattr("minicnn.commands.building.build", small_heads)
    settings = resolve(["lenet5", "--no-decay-bias-bn", "--weight-decay", "0.1", "--opt", "sgd"])
    model = small_heads(settings, 10)
    building.compile_model(model, settings, 1)
    decaying = [w.name for w in model.trainable_weights if model.optimizer._decays(w)]
    assert len(decaying) == 2 and all(name.endswith("kernel") for name in decaying)


@pytest.mark.parametrize("argv, rates", [
    ("--sched none", [0.1, 0.1, 0.1]),
    ("--sched step --decay-epochs 1 --decay-rate 0.5", [0.1, 0.05, 0.025]),
    ("--sched multistep --decay-milestones 1,2", [0.1, 0.01, 0.001]),
    ("--sched exponential --decay-epochs 2 --decay-rate 0.25", [0.1, 0.05, 0.025]),
    ("--sched polynomial --power 1 --min-lr 0.01", [0.1, 0.07, 0.04]),
    ("--sched cosine --min-lr 0.02", [0.1, 0.08, 0.04]),
    ("--sched none --warmup-epochs 2", [0, 0.05, 0.1]),
])  # fmt: skip
def test_schedules(argv, rates):
    settings = resolve(["lenet5", "--epochs", "3", "--lr", "0.1", "--opt", "sgd", *argv.split()])
    rate = building.schedule(settings, 100)
    found = [rate(100 * epoch) if callable(rate) else rate for epoch in range(3)]
    np.testing.assert_allclose(found, rates, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("argv, message", [
    (["--augment", "flop"], "--augment flop: unknown augmentation 'flop': did you mean 'flip'"),
    (["--augment", "crop:x"], "--augment crop:x: "),
    (["--val-split", "0.0001"], "--val-split 0.0001 of 1437 images leaves 1437 for training"),
])  # fmt: skip
def test_more_usage_errors(argv, message, capsys):
    assert main(["lenet5", *argv, "-q"]) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize("augment", ["flip", "crop:1,shift:1", "scale:256-480,lighting:0.1", "resized,jitter:0.4"])
def test_augmentations(augment, rng):
    images = rng.integers(0, 256, (9, 20, 22, 3)).astype(np.uint8)
    prepare = Preprocessing((16, 18, 3))
    chain = Chain(building.augmentation(augment, prepare, images, 255))
    x = [chain(images, np.arange(9), chain.tables(epoch, 9)) for epoch in (0, 0, 1)]
    assert x[0].shape == (9, 16, 18, 3) and x[0].dtype == np.float32 and -0.2 < x[0].min() < x[0].max() < 1.2
    np.testing.assert_array_equal(x[0], x[1])
    assert not np.array_equal(x[0], x[2]) and not np.array_equal(x[0], prepare(images))
