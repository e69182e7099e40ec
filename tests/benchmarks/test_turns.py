"""Small comparisons for real: processes, weights from side to side, answers, files."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import turns
from benchmarks.__main__ import main
from benchmarks.kernel_cases import cases
from benchmarks.kernels import measure, report
from benchmarks.networks import NETWORKS
from minicnn import config

TINY = turns.Effort(rounds=2, seconds=0.01, most=3, pause=0, memory_steps=1, sgemm=64, whole=0)
LENET = replace(NETWORKS["lenet5"], batch=2)
SMALL = {"lenet5": 32, "resnet20": 32, "resnet18": 64, "resnet50": 64, "inception_v3": 139}


@pytest.mark.parametrize("mode", ["predict", "train"])
def test_ours_alone(mode):
    found = turns.compare(LENET, mode, ["ours"], 1, TINY)
    ours = found["sides"]["ours"]
    assert len(ours["turns"]) == 2 and 0 < ours["low"] <= ours["high"]
    assert ours["built"] < ours["peak"] < 2000
    assert found["gflops"] > 0 and found["sgemm"] > 0 and "ratio" not in found


def test_quick_networks_have_more_turns():
    found = turns.compare(LENET, "predict", ["ours"], 1, replace(TINY, whole=1.0))
    assert len(found["sides"]["ours"]["turns"]) > 2


def test_each_round_begins_with_another_side():
    asked = []

    class Side:
        def __init__(self, name):
            self.name = name

        def ask(self, do, **arguments):
            asked.append(self.name)
            return {"times": [1.0]}

    result = {"sides": {"ours": {}, "torch": {}, "keras": {}}}
    turns._time({name: Side(name) for name in result["sides"]}, "train", replace(TINY, rounds=4), result)
    assert "".join(name[0] for name in asked) == "otk" "tko" "kot" "otk"
    assert all(found["turns"] == [[1.0]] * 4 for found in result["sides"].values())


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(turns, "missing", lambda side: "not installed" if side == "torch" else None)
    found = turns.compare(LENET, "predict", ["ours", "torch"], 1, TINY)
    assert found["sides"]["torch"] == {"failed": "not installed"} and "median" in found["sides"]["ours"]


def test_a_side_that_fails_says_why():
    with pytest.raises(turns.Failed, match="unknown model 'nothing'"):
        turns.Process("ours", replace(LENET, name="nothing"), 1)


def test_a_side_that_computes_something_else_is_not_timed(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(turns.TOLERANCE, "predict", -1.0)  # nothing agrees as well as that
    found = turns.compare(LENET, "predict", ["ours", "torch"], 1, TINY)
    assert "computes something else" in found["sides"]["torch"]["failed"] and "median" not in found["sides"]["torch"]


def test_the_command(tmp_path, capsys):
    path = tmp_path / "results.json"
    flags = ["--quick", "--rounds", "1", "--threads", "1", "--networks", "lenet5", "--modes", "predict", "--peers"]
    assert main(["cpu", *flags, "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["results"][0]["network"]["name"] == "lenet5" and written["machine"]["date"]
    assert "Prediction" in capsys.readouterr().out
    assert path.with_suffix(".png").exists() == bool(importlib.util.find_spec("matplotlib"))


def settled(network):
    """Our model and its images, after batch norms saw them."""
    from benchmarks.sides import Ours

    side = Ours.__new__(Ours)
    side.model, (side.x, _) = network.ours(), network.data()
    side.settle()
    return side


@pytest.mark.parametrize("name", SMALL)
def test_pytorch_computes_the_same(name):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_models

    config.set_random_seed(1)
    known = NETWORKS[name]
    side = settled(replace(known, batch=2, input_shape=(SMALL[name], SMALL[name], known.input_shape[2]), classes=10))
    theirs = torch_models.build(name, known.input_shape[2], 10).eval()
    torch_models.load(theirs, {w.name: w.data for w in side.model.weights})
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(side.x).permute(0, 3, 1, 2)).log_softmax(1).numpy()
    assert np.abs(np.log(side.predict()) - expected).max() < 1e-3 * np.abs(expected).max()
    trained = sum(p.numel() for p in theirs.parameters() if p.requires_grad)
    assert trained == sum(w.data.size for w in side.model.trainable_weights)


def test_weights_that_do_not_fit_pytorch_are_refused():
    pytest.importorskip("torch")
    from benchmarks import torch_models

    model = torch_models.build("lenet5", 1, 10)
    with pytest.raises(ValueError, match="1 layers of ours for 2 Conv2d"):
        torch_models.load(model, {"conv1/kernel": np.zeros((5, 5, 1, 6), "f")})
    with pytest.raises(ValueError, match="no nothing in"):
        torch_models.build("nothing", 1, 10)


@pytest.mark.parametrize("kind", ["conv", "norm", "pool", "matmul"])
def test_kernels(kind):
    results = [measure(case, rounds=1) for case in list(cases([kind], quick=True))[-4:]]
    for one in results:
        assert max(one["errors"].values()) < 1e-4, one
        assert all(seconds > 0 for seconds in one["seconds"].values())
    assert max(map(len, report(results).splitlines())) <= 80
