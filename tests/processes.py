"""Child processes of tests."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 600  # seconds for a child to end: the slowest machine, with other work to do, is quicker


def environment(**more: str) -> dict[str, str]:
    """Ours, in which a child finds the package and the tests from any folder, installed or not, and more variables."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path} | more


def one_thread() -> dict[str, str]:
    """The same, for a child that computes on one thread whatever the machine has: each takes memory and time."""
    return environment(MINICNN_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
