"""`minicnn list`: every network once, in 80 columns, or as JSON."""

import json
import os
import subprocess
import sys

import pytest

from minicnn import zoo
from minicnn.commands import USAGE, main
from minicnn.commands.list_ import short


def test_every_network_has_a_line(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80 and not any(line.endswith(" ") for line in lines)
    named = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("   ")]
    assert named[0] == "network" and sorted(named[1:]) == zoo.names()
    for name in zoo.names():
        entry = zoo.entry(name)
        assert all(variant in out for variant in entry.variants)
        assert entry.paper in " ".join(out.split())


def test_words_choose(capsys):
    assert main(["list", "V2", "lenet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if "resnet50v2" in line)
    assert line.split() == ["resnet50v2", "25,613,800", "3.482", "G", "224x224x3", "keras", "paper"]
    assert sum("resnet50" in line for line in lines) == 1 and any("lenet5" in line for line in lines)


def test_json(capsys):
    assert main(["list", "resnet50", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["parameters"], first["multiply_adds"]) == ("resnet50", 25_636_712, 3_857_973_248)
    assert first["input_shape"] == [224, 224, 3] and first["classes"] == 1000 and second["name"] == "resnet50v2"
    assert first["variants"] == ["keras", "torch", "notebook003", "notebook002"] and "1512.03385" in first["paper"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["lenett"], "did you mean 'lenet5'"), (["--jsn"], "unknown flag '--jsn': did you mean '--json'")],
)
def test_mistakes(capsys, argv, message):
    assert main(["list", *argv]) == USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "text"), [(999, "999"), (1_285_000, "1.285 M"), (3_857_973_248, "3.858 G"), (40_000, "40 K")]
)
def test_short(number, text):
    assert short(number) == text


def test_a_reader_that_has_seen_enough_gets_no_complaint():
    """`minicnn list lenet | head -1`"""
    code = "import sys; from minicnn.commands import main; sys.exit(main(['list', 'lenet']))"
    reading, writing = os.pipe()
    os.close(reading)  # before there is anything to read: nothing depends on who is quicker
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.stderr, done.returncode) == ("", 141)
