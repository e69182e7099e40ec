"""`minicnn summary MODEL`: the table, its options, receptive fields, and mistakes."""

import pytest

from minicnn.commands import ERROR, USAGE, main


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_summary(capsys):
    assert main(["summary", "resnet18", "--variant", "torch"]) == 0
    out = capsys.readouterr().out
    assert 'Model: "resnet18"' in out and "Total params: 11,699,112" in out and "Trainable params: 11,689,512" in out
    assert "Multiply-adds: 1,814,073,344 per image" in out and "Paper: He et al. 2015, arXiv:1512.03385" in out
    assert max(map(len, out.splitlines())) <= 80 and "Receptive" not in out


def test_another_input_and_other_classes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # so that no shape is folded
    assert main(["summary", "resnet20", "--img-size", "8x12", "--num-classes", "7"]) == 0
    out = capsys.readouterr().out
    assert "(None, 8, 12, 3)" in out and "(None, 7)" in out


def test_receptive_fields(capsys):
    assert main(["summary", "resnet20", "--img-size", "8x9", "--receptive-field"]) == 0
    out = capsys.readouterr().out
    table = out[out.index("Receptive fields") :].splitlines()
    assert max(map(len, table)) <= 80
    lines = {line.split()[0]: line.split()[2:] for line in table[4:] if "(" in line}
    assert lines["conv1_conv"] == ["3", "1", "0"]
    assert lines["conv4_block3_out"] == ["81", "4", "0"]
    assert lines["conv4_block1_1_pad"] == ["37", "2", "-2"]
    assert lines["predictions"] == ["85", "x", "89", "-", "all", "of", "it"]


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["resnet51"], USAGE, "unknown model 'resnet51': did you mean 'resnet"),
        (["resnet50", "--variant", "tourch"], USAGE, "unknown variant of resnet50 'tourch': did you mean 'torch'"),
        (["resnet50", "--img-size", "224x"], USAGE, "--img-size: must be a whole number from 1 up, got ''"),
        (["resnet50", "--num-classes", "0"], USAGE, "--num-classes: must be a whole number from 1 up, got '0'"),
        ([], USAGE, "required: MODEL"),
        (["resnet50", "--variant", "notebook002", "--img-size", "16"], ERROR, "avg_pooling: a kernel of 2x2"),
    ],
)
def test_mistakes(capsys, argv, code, message):
    assert main(["summary", *argv]) == code
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and not out
