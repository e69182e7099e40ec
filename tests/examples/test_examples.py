"""Every example runs, and says what it is meant to show."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "residual_block": "by hand and by the engine agree to",
    "own_layer": "the gradients of all weights agree with finite differences",
    "own_op": "WrongSwish, input 0, cell",
    "own_training_loop": "test accuracy",
}


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_example(name, capsys):
    load(name).main()
    assert SAYS[name] in capsys.readouterr().out


def test_own_training_loop_learns():
    assert load("own_training_loop").main(epochs=3) > 0.93
