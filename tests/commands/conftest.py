"""Where the tests of the commands run."""

import pytest

from minicnn.commands import train
from tests.processes import environment


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test runs in an empty folder, 80 columns wide, whatever the environment of who runs it says.

    The picture at the end of a run is left out: it takes longer than these runs.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    for name in ("MINICNN_DEBUG", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(train, "draw_curves", lambda *_: None)
