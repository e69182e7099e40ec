"""What stands in `help(minicnn.study)` is there, without an import of one's own."""

import re
import subprocess
import sys

import pytest

import minicnn.study
from tests.processes import environment

LINES = re.findall(r"study\.(\w+)(?:\.(\w+))?\(", minicnn.study.__doc__ or "")


def test_every_function_of_the_help_is_there():
    assert len(LINES) > 12
    found = [getattr(minicnn.study, first) for first, _ in LINES]
    found = [getattr(one, second) if second else one for one, (_, second) in zip(found, LINES, strict=True)]
    assert all(map(callable, found))


def test_modules_come_when_they_are_asked_for():
    program = (
        "import sys; from minicnn import study; early = 'minicnn.study.landscape' in sys.modules; "
        "study.landscape.direction; sys.exit(early)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())
    with pytest.raises(AttributeError, match="module 'minicnn.study' has no attribute 'path'"):
        getattr(minicnn.study, "path")  # noqa: B009
