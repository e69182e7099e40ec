"""The tutorial runs, in small, and what stands in tutorial.md is what stands in tutorial.py."""

import importlib.util
from pathlib import Path

import pytest

from tests.examples.test_examples import EXAMPLES

SOURCE = (EXAMPLES / "tutorial/tutorial.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tool():
    path = Path(__file__).parents[2] / "tools/render_tutorial.py"
    spec = importlib.util.spec_from_file_location("render_tutorial", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_runs_in_small(tool, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are drawn with matplotlib, which is not installed")
    large = 'NETWORK, TWIN, EPOCHS = "resnet56", "plain56", 4'
    assert large in SOURCE
    small = SOURCE.replace(large, 'NETWORK, TWIN, EPOCHS = "resnet20", "plain20", 1')
    page = tool.rendered(small, tmp_path / "tutorial.py")
    assert "32 paths, and the gradient of the chain: they differ by " in page
    assert "10 lengths; their sum and the gradient of the input differ by " in page
    for name in ("gradients", "blocks", "shares"):
        assert f"![{name}]({name}.png)" in page and (tmp_path / f"{name}.png").stat().st_size > 5000


def test_the_rendered_page_is_the_tutorial(tool):
    """Whoever changes tutorial.py renders it once more: python tools/render_tutorial.py"""
    page = (EXAMPLES / "tutorial/tutorial.md").read_text(encoding="utf-8")
    for kind, text in tool.cells(SOURCE):
        assert (text if kind == "markdown" else f"```python\n{text}\n```") in page
    for name in ("gradients", "blocks", "shares"):
        assert f"({name}.png)" in page and (EXAMPLES / f"tutorial/{name}.png").exists()
