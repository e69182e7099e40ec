"""What a run shows: a bar on a terminal, plain lines elsewhere."""

import io
import re

import pytest

from minicnn.training import evaluate, fit, predict, progress
from minicnn.training.callbacks import LambdaCallback
from minicnn.training.progress import Progress, clock
from tests.training.models import Linear, blobs

STEP = r"epoch 1/2  step 2/6  loss \d\.\d{4}  accuracy \d\.\d{4}  [\d,]+ images/s  0:0\d left"
LOGS = r"loss \d\.\d{4}  accuracy \d\.\d{4}"
EPOCH = rf"epoch 1/2  {LOGS}  val_{LOGS.replace('acc', 'val_acc')}  [\d,]+ images/s  \d\.\d s"


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self):
        return True


def trained(progress, **arguments):
    """What `progress` wrote about two epochs of six steps."""
    model = Linear().compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = blobs()
    fit(model, x, y, batch_size=10, epochs=2, callbacks=[progress], validation_data=(x, y), **arguments)
    return progress.file.getvalue()


def test_lines_where_there_is_no_terminal():
    lines = trained(Progress(log_interval=2, file=io.StringIO())).splitlines()
    assert len(lines) == 2 * (3 + 1)
    assert re.fullmatch(STEP, lines[0])
    assert re.fullmatch(EPOCH, lines[3])


@pytest.mark.parametrize("settings", [{"log_interval": 0, "file": io.StringIO()}, {"bar": False, "file": Terminal()}])
def test_a_line_an_epoch(settings):
    lines = trained(Progress(**settings)).splitlines()
    assert len(lines) == 2
    assert re.fullmatch(EPOCH, lines[0])


@pytest.mark.parametrize("no_color", [False, True])
def test_a_bar_on_a_terminal(monkeypatch, no_color):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    out = trained(Progress(file=Terminal()))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert re.search(r"epoch 2/2 [━╸╺ ]*6/6 +loss \d\.\d{4}  accuracy \d\.\d{4}  [\d,]+ images/s  0:00 left", plain)
    assert len(re.findall(r"val_accuracy", plain)) == 2
    assert out.count("\x1b[?25l") == out.count("\x1b[?25h")  # the cursor was hidden and came back
    assert bool(re.search(r"\x1b\[3[0-9;]*m|\x1b\[38", out)) is not no_color


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in trained(Progress(file=Terminal()))


def test_the_terminal_is_given_back_after_ctrl_c(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")

    def interrupt(batch, logs):
        raise KeyboardInterrupt

    progress = Progress(file=Terminal())
    model = Linear().compile(loss="sparse_categorical_crossentropy")
    with pytest.raises(KeyboardInterrupt):
        fit(model, *blobs(), callbacks=[progress, LambdaCallback(on_train_batch_end=interrupt)])
    assert progress.file.getvalue().count("\x1b[?25h") == 1
    assert progress.display is None


def test_verbose(capsys):
    model = Linear().compile(loss="sparse_categorical_crossentropy")
    x, y = blobs()
    fit(model, x, y, verbose=0)
    evaluate(model, x, y, verbose=0)
    predict(model, x)
    assert capsys.readouterr().out == ""
    fit(model, x, y, batch_size=1, epochs=2, verbose=2)
    assert len(capsys.readouterr().out.splitlines()) == 2
    fit(model, x, y, batch_size=1, epochs=2)
    assert len(capsys.readouterr().out.splitlines()) == 4
    evaluate(model, x, y)
    assert re.fullmatch(r"evaluate  loss \d\.\d{4}  [\d,]+ images/s  \d\.\d s\n", capsys.readouterr().out)


def test_an_iterable_of_unknown_length(capsys):
    model = Linear().compile(loss="sparse_categorical_crossentropy")
    fit(model, (blobs() for _ in range(2)), callbacks=[Progress(log_interval=1)])
    assert re.match(r"epoch 1/1  step 1  loss \d\.\d{4}\nepoch 1/1  step 2  loss", capsys.readouterr().out)


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0:00"), (62, "1:02"), (3661.2, "1:01:01"), (59.7, "1:00")])
def test_clock(seconds, words):
    assert clock(seconds) == words


def test_a_run_that_goes_on_counts_what_it_did_itself(monkeypatch):
    """Steps 0 to 5 were done before: six images in six seconds, not twelve."""
    seconds = iter(range(1000))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(seconds))
    shown = io.StringIO()
    bar = Progress(file=shown, log_interval=0)
    bar.set_params({"epochs": 1, "steps": 12, "batch_size": 1, "samples": 12})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    for step in range(6, 12):
        bar.on_train_batch_begin(step)
        bar.on_train_batch_end(step, {})
    assert bar._speed() == ["1 images/s"]
    bar.step = 9
    assert bar._left() == 8  # three of six steps took 8 seconds
