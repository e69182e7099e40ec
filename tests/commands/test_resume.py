"""A run that was stopped and goes on ends with the bits of one that was not, wherever it was stopped."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minicnn import layers
from minicnn.commands import building, runs, train
from minicnn.commands.train import main
from minicnn.model import Model
from minicnn.training import checkpoints
from minicnn.training.callbacks import Callback
from minicnn.training.store import Store
from tests.processes import PATIENCE, one_thread

NUMPY = np.__version__
TIMES = {"seconds", "images_per_second"}


def tiny(settings, classes):
    """A network with all that has a state or is random: moving statistics, dropout, a penalty."""
    x = inputs = layers.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, kernel_regularizer="l2", name="conv")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(x))
    x = layers.Dropout(0.3, name="drop")(layers.GlobalAveragePooling2D(name="pool")(x))
    return Model(inputs, layers.Dense(classes, activation="softmax", name="predictions")(x), name="tiny")


class StopAt(Callback):
    """In the place of the progress: sends this process a signal in the middle of the step `step` of the run."""

    step = 0

    def __init__(self, **_):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.step + 1 == type(self).step:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def stop(monkeypatch):
    """stop(step, argv): trains until then, as far as it comes."""
    monkeypatch.setattr(train, "Progress", StopAt)

    def run(step, argv):
        monkeypatch.setattr(StopAt, "step", step)
        return main(argv)

    return run


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


def assert_same_run(one, other):
    """Weights, slots, sums, statistics, metrics: all of it, apart from times."""
    a, b = (checkpoints.read(folder / "checkpoints" / "last.safetensors") for folder in (one, other))
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name], err_msg=name)
    for name in ("step", "epoch", "position", "best", "learning_rate", "metrics"):
        assert a.facts[name] == b.facts[name]
    assert rows(one) == rows(other)
    assert (one / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()
    from safetensors.numpy import load_file

    weights = [load_file(folder / "weights.safetensors") for folder in (one, other)]
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])


# 1,437 digits: 1,293 and 144 held out; 5 steps an epoch, 3 epochs
TINY = "lenet5 --epochs 3 --limit-batches 5 -b 16 --val-split 0.1 --augment shift:1 --lr 0.01".split()
OPTIONS = {
    "sgd": "--opt sgd --weight-decay 0.01",
    "momentum": "--opt momentum --no-decay-bias-bn --weight-decay 0.01",
    "nesterov": "--opt nesterov --sched step --decay-epochs 1 --clip-grad 0.5",
    "rmsprop": "--opt rmsprop --ema 0.9 --sched exponential --decay-epochs 1 --warmup-epochs 1",
    "adam": "--opt adam --grad-accum-steps 3 --label-smoothing 0.1",
    "adamw": "--opt adamw --ema 0.9 --grad-accum-steps 2 --clip-grad 0.5 --sched cosine -j 2",
    "plateau": "--opt sgd --sched plateau --sched-patience 0 --lr 1e-7",  # too little for any progress
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_optimizer_goes_on_with_the_same_bits(name, tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    argv = [*TINY, *OPTIONS[name].split(), "-v"]
    assert stop(0, [*argv, "--name", "whole"]) == 0
    whole = tmp_path / "runs" / "whole"
    if name == "plateau":
        assert float(rows(whole)[-1]["lr"]) < 1e-7
    for step in (5, 7):  # the last of an epoch, and one in the middle; below, every one
        run = f"{name}{step}"
        code = stop(step, [*argv, "--name", run])
        assert code == 143
        _, err = capsys.readouterr()
        assert f"go on with: minicnn train --resume {os.path.join('runs', run)}" in err
        assert stop(0, ["--resume", f"runs/{run}"]) == 0
        assert f"(step {step}) from" in capsys.readouterr().out
        assert_same_run(tmp_path / "runs" / run, whole)


def test_a_run_may_be_stopped_at_every_step(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(building, "build", tiny)
    argv = [*TINY, *OPTIONS["adamw"].split()]
    assert stop(0, [*argv, "--name", "whole"]) == 0
    assert stop(1, [*argv, "--name", "often"]) == 143
    for step in range(2, 16):
        assert stop(step, ["--resume", "runs/often"]) == 143
    assert stop(0, ["--resume", "runs/often"]) == 0
    assert_same_run(tmp_path / "runs" / "often", tmp_path / "runs" / "whole")


def test_more_epochs(tmp_path, monkeypatch, stop):
    """train(2N) is train(N) and resume to 2N, where the schedule does not look at the end."""
    monkeypatch.setattr(building, "build", tiny)
    argv = ["lenet5", "--limit-batches", "4", "-b", "16", "--sched", "none", "--opt", "momentum", "-q"]
    assert main([*argv, "--epochs", "4", "--name", "whole"]) == 0
    assert main([*argv, "--epochs", "2", "--name", "half"]) == 0
    assert main(["--resume", "runs/half", "--epochs", "4", "-q"]) == 0
    assert_same_run(tmp_path / "runs" / "half", tmp_path / "runs" / "whole")
    assert "epochs = 4" in (tmp_path / "runs" / "half" / "config.toml").read_text()


def test_a_run_that_has_all_its_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(building, "build", tiny)
    assert main("lenet5 --limit-batches 2 -b 16 -q --epochs 2".split()) == 0
    text = (tmp_path / "runs" / "lenet5" / "config.toml").read_text()
    assert main("--resume runs/lenet5 --epochs 1 -q".split()) == 2
    assert "--epochs 1: the run has 2 epochs behind it" in capsys.readouterr().err
    assert main("--resume runs/lenet5 --recipe small --name other".split()) == 0
    assert "the run has all its epochs: a larger --epochs would go on" in capsys.readouterr().out
    # nothing of this has made the settings another run's
    assert (tmp_path / "runs" / "lenet5" / "config.toml").read_text() == text


def test_a_run_that_stopped_early_stays_so(tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    argv = [*TINY, "--opt", "sgd", "--lr", "0", "--patience", "1", "--epochs", "9", "--ema", "0.5", "--name"]
    assert stop(0, [*argv, "whole"]) == 0
    assert len(rows(tmp_path / "runs" / "whole")) == 2
    assert stop(8, [*argv, "two"]) == 143
    for _ in range(2):  # the second time there is nothing left to do
        assert stop(0, ["--resume", "runs/two"]) == 0
        assert_same_run(tmp_path / "runs" / "two", tmp_path / "runs" / "whole")
    assert "the run has ended early" in capsys.readouterr().out
    assert stop(0, ["--resume", "runs/two", "--patience", "3"]) == 0
    assert len(rows(tmp_path / "runs" / "two")) > 2


def test_a_validation_is_stopped_at_once_and_done_anew(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(building, "build", tiny)

    class InValidation(StopAt):
        def on_test_batch_begin(self, batch, logs=None):
            if self.model.step == 10 and batch == 1 and type(self).step:
                signal.raise_signal(signal.SIGINT)

        on_train_batch_begin = Callback.on_train_batch_begin

    monkeypatch.setattr(train, "Progress", InValidation)
    InValidation.step = 1
    assert main([*TINY, "--name", "one"]) == 130
    found = checkpoints.facts(tmp_path / "runs" / "one" / "checkpoints" / "last.safetensors")
    assert (found["step"], found["epoch"], found["position"]) == (10, 1, 5)
    InValidation.step = 0
    assert main(["--resume", "runs/one"]) == 0
    assert main([*TINY, "--name", "two"]) == 0
    assert_same_run(tmp_path / "runs" / "one", tmp_path / "runs" / "two")


# What --resume means -------------------------------------------------------------------------------------------------


def test_auto_takes_the_latest_and_a_new_run_where_there_is_none(tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    argv = [*TINY, "--resume", "auto"]
    assert stop(7, argv) == 143  # nothing there: a new run
    assert stop(9, [*TINY]) == 143
    assert stop(8, [*TINY, "--name", "other"]) == 143
    capsys.readouterr()
    assert stop(0, argv) == 0
    assert "going on after epoch 2, step 4 (step 9)" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["lenet5", "lenet5-2", "other"]
    os.utime(tmp_path / "runs" / "other" / "checkpoints" / "last.safetensors", ns=(2**62, 2**62))
    assert stop(0, ["--resume"]) == 0  # without MODEL: the latest of all
    assert "other" in capsys.readouterr().out


def test_an_older_checkpoint_begins_a_new_run(tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    assert stop(0, [*TINY, "--save-every", "2s", "--keep", "4"]) == 0
    first = tmp_path / "runs" / "lenet5"
    kept = sorted(p.name for p in (first / "checkpoints").iterdir())
    assert kept == ["best.safetensors", "last.safetensors", *(f"step-{n:08}.safetensors" for n in (10, 12, 14))]
    before = (first / "metrics.csv").read_text()
    assert stop(0, ["--resume", "runs/lenet5/checkpoints/step-00000012.safetensors"]) == 0
    assert_same_run(tmp_path / "runs" / "lenet5-2", first)
    assert (first / "metrics.csv").read_text() == before
    # one that lies elsewhere knows its settings
    (tmp_path / "away.safetensors").write_bytes((first / "checkpoints" / "step-00000012.safetensors").read_bytes())
    assert stop(0, ["--resume", "away.safetensors", "--name", "away"]) == 0
    assert rows(tmp_path / "runs" / "away") == rows(first)[2:]
    # and may not say anything else
    found = checkpoints.read(tmp_path / "away.safetensors")
    for name, value, message in (("name", "../x", "without a path"), ("epochs", "x", "whole"), ("y", 1, "unknown")):
        found.facts["config"] = {"model": "lenet5", name: value}
        checkpoints.write(tmp_path / "evil.safetensors", found)
        capsys.readouterr()
        assert main(["--resume", "evil.safetensors"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
def test_a_damaged_last_checkpoint_is_passed_over_aloud(quiet, tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    assert stop(0, [*TINY, "--name", "whole"]) == 0
    assert stop(12, [*TINY, "--name", "hurt"]) == 143
    last = tmp_path / "runs" / "hurt" / "checkpoints" / "last.safetensors"
    changed = bytearray(last.read_bytes())
    changed[-3] ^= 1
    last.write_bytes(changed)
    (last.parent / ".last.safetensors.tmp-1").write_text("half a file")
    capsys.readouterr()
    assert stop(0, ["--resume", "runs/hurt", *quiet]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("minicnn train: passed over: ") and "SHA-256" in err and err.count("\n") == 1
    assert ("going on after epoch 2 (step 10)" in out) is not bool(quiet)
    assert not list(last.parent.glob(".*"))
    assert_same_run(tmp_path / "runs" / "hurt", tmp_path / "runs" / "whole")


@pytest.mark.parametrize("argv, message", [
    (["--resume", "none"], "--resume none: no such run folder or checkpoint"),
    (["--resume", "."], "--resume .: there are no checkpoints in that folder"),
    (["--resume"], "which MODEL"),
    (["--resume", "runs/lenet5", "--opt", "sgd"], "--opt cannot change when a run goes on: it is adam there"),
    (["resnet20", "--resume", "runs/lenet5"], "MODEL cannot change when a run goes on: it is lenet5 there"),
    (["--resume", "runs/lenet5", "-b", "7"], "--batch-size cannot change when a run goes on: it is 16 there"),
    # its augmentation, for one, would be another
    (["--resume", "runs/lenet5", "--recipe", "paper"], "--recipe cannot change when a run goes on: it is small there"),
])  # fmt: skip
def test_mistakes(argv, message, tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    if len(argv) > 2 or argv[-1].startswith("runs"):
        assert stop(3, TINY) == 143
        capsys.readouterr()
    assert main(argv) == 2
    assert message in capsys.readouterr().err


def test_nothing_sound_is_left(tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    assert stop(3, TINY) == 143
    for path in (tmp_path / "runs" / "lenet5" / "checkpoints").iterdir():
        path.write_bytes(b"nothing")
    assert main(["--resume"]) == 1
    assert "no checkpoint in" in (err := capsys.readouterr().err) and "last.safetensors" in err
    for path in (tmp_path / "runs" / "lenet5" / "checkpoints").iterdir():
        path.unlink()
    assert main(["--resume", "runs/lenet5"]) == 2
    assert "there is no checkpoint in" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="there are no such locks")
def test_two_processes_cannot_train_one_run(tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    assert stop(3, TINY) == 143
    held = runs.claim(tmp_path / "runs" / "lenet5")
    capsys.readouterr()
    assert main(["--resume", "runs/lenet5"]) == 2
    assert "is being trained by another process" in capsys.readouterr().err
    held.close()
    assert stop(0, ["--resume", "runs/lenet5"]) == 0


def test_other_versions_are_told(tmp_path, monkeypatch, stop, capsys):
    monkeypatch.setattr(building, "build", tiny)
    assert stop(3, TINY) == 143
    monkeypatch.setattr(np, "__version__", "9.9")
    assert stop(0, ["--resume"]) == 0
    out = capsys.readouterr().out
    assert "the last bits may differ" in out and f"numpy {NUMPY} then, 9.9 now" in out


def test_metrics_are_cut_back(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n3,0.3\n4,")
    lines = [json.dumps({"step": step}) for step in range(1, 6)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step":']))
    runs.cut_back(tmp_path, tmp_path, 2, 4)
    assert (tmp_path / "metrics.csv").read_text().split() == ["epoch,loss", "1,0.5", "2,0.4"]
    assert (tmp_path / "metrics.jsonl").read_text().split("\n") == [*lines[:4], ""]
    runs.cut_back(tmp_path, tmp_path, 0, 0)
    assert not (tmp_path / "metrics.csv").exists() and (tmp_path / "metrics.jsonl").read_text() == ""


# Fresh processes, and such as are killed -----------------------------------------------------------------------------

SMALL = "lenet5 --img-size 8 --epochs 3 --limit-batches 20 -b 8 --save-every 7s --val-split 0.1".split()


# without matplotlib, whose import takes longer than these runs
PROGRAM = "import sys; sys.modules['matplotlib'] = None; from minicnn.commands.train import main; sys.exit(main())"

WAITING = """
import sys
sys.modules["matplotlib"] = None
from minicnn.commands import train
from minicnn.training.callbacks import Callback

class Waiting(Callback):
    def __init__(self, **_):
        pass
    def on_train_batch_begin(self, batch, logs=None):
        if self.model.step + 1 == 9:
            print("step 9", flush=True)
            sys.stdin.readline()

train.Progress = Waiting  # in its place: says when step 9 begins, and waits for a line
sys.exit(train.main())
"""


def start(argv, program=PROGRAM):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", program, *argv], env=one_thread(), text=True, **pipes)


def done(process):
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def wait_for(process, path, since=0):
    """Until this file is written, or the process has ended."""
    while written(path) <= since and process.poll() is None:
        time.sleep(0.001)


def written(path):
    """When the file was written last, in nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("options", ["--opt adam", "--opt rmsprop --ema 0.9 -j 2 --augment crop:1,shift:1"])
def test_fresh_processes(tmp_path, options):
    whole = start([*SMALL, "-q", *options.split(), "--name", "whole"])
    half = start([*SMALL, *options.split(), "--name", "half"], WAITING)
    assert "step 9\n" in iter(half.stdout.readline, "")  # read up to there
    half.send_signal(signal.SIGINT)
    half.stdin.write("\n")
    code, _, err = done(half)
    assert code == 130 and "stopped by SIGINT after epoch 1, step 9" in err
    assert done(start(["--resume", "-q", "--name", "half"]))[0] == 0
    assert done(whole)[0] == 0
    assert_same_run(tmp_path / "runs" / "half", tmp_path / "runs" / "whole")


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments(kills, tmp_path):
    """However often: the folder loads, no step but those behind the last checkpoint is lost, the end is the same."""
    moments = np.random.default_rng(kills)
    whole = start([*SMALL, "-q", "--name", "whole"])
    wait_for(whole, tmp_path / "runs" / "whole" / "metrics.jsonl")
    begun = time.monotonic()
    code, _, err = done(whole)
    assert (code, err) == (0, "")
    lasting = time.monotonic() - begun  # on this machine, with what else it has to do
    killed = numbers = 0
    while killed < kills:
        name, numbers = f"run{numbers}", numbers + 1
        folder = tmp_path / "runs" / name
        store = Store(folder / "checkpoints")
        argv, step = [*SMALL, "-q", "--name", name], 0
        while True:
            before = written(folder / "metrics.jsonl")
            process = start(argv)
            if killed < kills:
                wait_for(process, folder / "metrics.jsonl", before)  # which is cut back when a run goes on
                time.sleep(moments.uniform(0, lasting))
            if killed < kills:
                process.kill()
            code, _, err = done(process)
            finished = code == 0  # also where the kill came a moment after the end
            assert finished or code == -signal.SIGKILL, err
            killed += not finished
            _, found, refused = store.newest()
            assert not refused
            lines = (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else []
            if found is None:  # before the first checkpoint
                assert len(lines) <= 7
                break
            assert found.step >= step and len(lines) - found.step <= 7
            argv, step = ["--resume", f"runs/{name}", "-q"], found.step
            if finished:
                assert_same_run(folder, tmp_path / "runs" / "whole")
                break
    assert killed == kills
