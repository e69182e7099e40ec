"""What the shared kernels ask of their array library exists in CuPy: it imports without a GPU, so CI can tell."""

import ast
import importlib
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest

import minicnn

PACKAGE = Path(minicnn.__file__).parent


@pytest.fixture(scope="module")
def cupy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it finds no CUDA
        return pytest.importorskip("cupy", reason="cupy is not installed", exc_type=ImportError)


def chain(node):
    """["xp", "linalg", "norm"] of `xp.linalg.norm`, or of `self.backend.xp.linalg.norm`; None for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.insert(0, node.id)
    for root in ("xp", "cupy", "cp"):
        if root in names:
            return names[names.index(root) :]
    return None


def uses(path):
    """(line, dotted name, keyword arguments) of everything that a file takes from xp, or from cupy itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {id(n.func): [k.arg for k in n.keywords if k.arg] for n in ast.walk(tree) if isinstance(n, ast.Call)}
    inner = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}  # a part of a longer chain
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            names = chain(node)
            if names and len(names) > 1:
                yield node.lineno, names[1:], calls.get(id(node), [])


def sources():
    """Every file but those that only NumPy runs through."""
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "cpu" not in path.relative_to(PACKAGE).parts]


def find(module, names):
    """The object behind a dotted name. Raises AttributeError where the library has none."""
    found = module
    for name in names:
        if inspect.ismodule(found) and not hasattr(found, name):
            try:
                importlib.import_module(f"{found.__name__}.{name}")
            except ImportError:
                pass
        found = getattr(found, name)
    return found


def unknown_keywords(function, keywords):
    """Those that the function does not take, as far as it says what it takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return []
    return [k for k in keywords if k not in {p.name for p in parameters}]


def test_the_names_are_found_at_all():
    """A check that walks past everything would pass as well."""
    names = {".".join(names) for path in sources() for _, names, _ in uses(path)}
    assert {"matmul", "pad", "lib.stride_tricks.as_strided"} <= names


def test_every_name_exists_in_numpy():
    """Names that are CuPy's own stand in backend/gpu."""
    missing = []
    for path in sources():
        if "gpu" not in path.relative_to(PACKAGE).parts:
            for line, names, _ in uses(path):
                try:
                    find(np, names)
                except AttributeError:
                    missing.append(f"{path.relative_to(PACKAGE)}:{line}: numpy.{'.'.join(names)}")
    assert not missing


def test_every_name_exists_in_cupy(cupy):
    missing = []
    for path in sources():
        for line, names, keywords in uses(path):
            where = f"{path.relative_to(PACKAGE)}:{line}: cupy.{'.'.join(names)}"
            try:
                missing += [f"{where}({k}=...)" for k in unknown_keywords(find(cupy, names), keywords)]
            except AttributeError:
                missing.append(where)
    assert not missing
