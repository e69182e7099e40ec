"""A file imports only from its left, and importing the package imports little."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

PACKAGE = Path(minicnn.__file__).parent
# Each line reads: what stands left may be imported by what stands right of it.
ARROWS = [
    "config backend ops tensor functions layers training model zoo study __init__ commands train __main__",
    "tensor gradcheck __init__",
    "config data training",
    "config formats training",
    "model distributed __init__",
    "config names",
    "study keras",  # the facade stands right of all that it names again
    "distributed keras",
]
ANYWHERE = {"names"}  # help with misspelt names in error messages: it imports nothing of ours
HEAVY = ["cupy", "matplotlib", "h5py", "rich", "pooch", "tensorflow", "torch", "PIL", "onnx", "mpi4py", "safetensors"]


def left_of():
    """For every part of the package: all that stands left of it, by any way along the arrows."""
    left = {}
    for line in ARROWS:
        names = line.split()
        for name in names:
            left.setdefault(name, set())
        for before, after in zip(names, names[1:], strict=False):
            left[after].add(before)
    for _ in left:
        for name in left:
            left[name] |= set().union(*(left[other] for other in left[name]))
    return left


LEFT = left_of()


def part(path):
    """The part of the house that a file belongs to: conv for ops/conv.py is ops."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def exists(name):
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()


def imported_modules(path):
    """(line, absolute module name) of every import in a file, at the top or inside a function."""
    package = ["minicnn", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "minicnn":  # from minicnn import ops; any other name stands in __init__
                inner = (f"minicnn.{alias.name}" if exists(alias.name) else module for alias in node.names)
                yield from ((node.lineno, name) for name in inner)
            else:
                yield node.lineno, module


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_the_left(path):
    here = part(path)
    wrong = []
    for line, module in imported_modules(path):
        top, _, rest = module.partition(".")
        there = rest.partition(".")[0] or "__init__"
        if top == "minicnn" and there != here and there not in ANYWHERE and there not in LEFT[here]:
            wrong.append(f"line {line} imports {module}, which does not stand left of {here}")
    assert not wrong


def test_every_part_has_its_place():
    assert {part(path) for path in FILES} <= set(LEFT)


def test_what_may_be_imported_anywhere_imports_nothing_of_ours():
    for name in ANYWHERE:
        path = PACKAGE / f"{name}.py"
        assert not path.exists() or not [m for _, m in imported_modules(path) if m.startswith("minicnn")]


def test_only_the_backend_imports_cupy():
    importing = [
        path for path in FILES for _, name in imported_modules(path) if name.split(".")[0] in ("cupy", "cupyx")
    ]
    assert {part(path) for path in importing} <= {"backend"}


def test_the_arrows_say_what_the_design_says():
    """The table above is checked too: a slip there would let everything pass."""
    assert "tensor" in LEFT["layers"]
    assert "layers" not in LEFT["tensor"]
    assert {"data", "formats"} <= LEFT["training"]
    assert "model" not in LEFT["formats"]
    assert [name for name in LEFT if "commands" in LEFT[name]] == ["train", "__main__"]
    assert LEFT["config"] == set()
    assert all("config" in LEFT[name] for name in LEFT if name != "config")
    assert all(name not in LEFT[name] for name in LEFT)


def run(code, **more):
    """What a fresh interpreter prints. It may keep compiled files, as an installation does; `more` is environment."""
    command = [sys.executable, "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent, env=environment)
    return result.stdout


def test_importing_the_package_imports_no_heavy_library():
    loaded = run("import sys, minicnn; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert not set(HEAVY) & set(loaded)


def test_importing_the_package_is_quick(tmp_path):
    """On the machine where NumPy alone takes 0.15 s the whole import stays under 0.3 s; elsewhere in proportion to it.

    Processor time, the best of several, so that a busy machine does not fail it; with compiled files, as after an
    installation. NumPy is timed in the same process: on a slow machine both take longer.
    """
    code = (
        "import time; t = [time.process_time()]; import numpy, numpy.random; t.append(time.process_time()); "
        "import minicnn; t.append(time.process_time()); print(t[1] - t[0], t[2] - t[0])"
    )
    run(code, PYTHONPYCACHEPREFIX=str(tmp_path))  # compiles
    times = [tuple(map(float, run(code, PYTHONPYCACHEPREFIX=str(tmp_path)).split())) for _ in range(7)]
    assert min(whole / numpy for numpy, whole in times) < 2
