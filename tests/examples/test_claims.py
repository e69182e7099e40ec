"""The programs of examples/claims: each measures, gives a verdict and draws. Here in small; the claims are not tested.

What they find in full is in their pictures and, for the published effects, in tests/study/test_published.py.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.examples.test_examples import EXAMPLES, load

pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib, which is not installed")
CLAIMS = EXAMPLES / "claims"
SMALL = {
    "small_kernels_save": {"rounds": 1},
    "residual_inception_is_faster": {"blocks": 1, "epochs": 1, "seeds": 1},
    "skip_keeps_a_one": {"network": "resnet20", "epochs": 1, "images": 8},
    "plain_networks_degrade": {"depths": (20, 20), "epochs": 1},
    "bn_after_add_hurts": {"n": 1, "epochs": 1, "seeds": 1},
    "aux_heads_feed_early_layers": {"images": 2},
    "removing_a_block": {"networks": ("plain20", "resnet20"), "epochs": 1},
}


@pytest.fixture(autouse=True)
def beside(monkeypatch, tmp_path):
    """As when the program is run: its own folder first on the path, the pictures in the folder where one stands."""
    monkeypatch.syspath_prepend(str(CLAIMS))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("showing", None)


@pytest.mark.parametrize("name", sorted(path.stem for path in CLAIMS.glob("*.py") if path.stem != "showing"))
def test_program(name, capsys):
    load(f"claims/{name}").main(**SMALL[name])
    said = capsys.readouterr().out
    assert "claim:   " in said and "verdict: it " in said
    assert Path("claims", f"{name}.png").stat().st_size > 5000


def test_small_kernels_by_hand():
    """3x3 twice instead of 5x5 with 64 channels: 2 (9 * 64 + 1) 64 weights instead of (25 * 64 + 1) 64."""
    shares = load("claims/small_kernels_save").main(rounds=1)
    parameters, arithmetic, _ = shares["3x3 twice for 5x5, 64 channels"]
    assert parameters == 2 * (9 * 64 + 1) / (25 * 64 + 1)
    assert arithmetic == 18 / 25


def test_when_a_loss_passes_the_goal():
    module = load("claims/residual_inception_is_faster")
    goal = module.GOAL
    assert module.first_below(np.array([4 * goal, goal / 4])) == 1.5  # half of the way, in logarithms
    assert module.first_below(np.array([goal / 2])) == 1
    assert module.first_below(np.array([2 * goal, 2 * goal])) == np.inf
