"""Forks, merges and ways in graphs drawn at random, against brute force."""

import numpy as np
import pytest

import minicnn
from minicnn import layers, study
from minicnn.model import Model
from tests.checks import assert_close
from tests.study.test_record import LOSS, cut

SEEDS = range(12)


def random_model(seed):
    """Dense layers, sums, products and concatenations of two, on whatever is there; the ends are joined pairwise."""
    rng = np.random.default_rng(seed)
    symbols = [layers.Dense(4, activation="tanh", name="stem")(inputs := layers.Input((4,), name="in"))]
    unread = {0}
    for i in range(9):
        a, b = (int(n) for n in rng.integers(0, len(symbols), 2))
        kind = rng.choice(["dense", "add", "multiply", "concatenate"]) if a != b else "dense"
        if kind == "dense":
            made = layers.Dense(4, activation="tanh", name=f"dense{i}")(symbols[a])
        elif kind == "concatenate":
            made = layers.Concatenate(name=f"cat{i}")([symbols[a], symbols[b]])
            made = layers.Dense(4, name=f"dense{i}")(made)
            unread.discard(b)
        else:
            made = {"add": layers.Add, "multiply": layers.Multiply}[kind](name=f"{kind}{i}")([symbols[a], symbols[b]])
            unread.discard(b)
        unread.discard(a)
        symbols.append(made)
        unread.add(len(symbols) - 1)
    last, *rest = (symbols[i] for i in sorted(unread))
    for i, other in enumerate(rest):
        last = layers.Add(name=f"end{i}")([last, other])
    return Model(inputs, layers.Dense(3, activation="softmax", name="out")(last), name=f"random{seed}")


@pytest.fixture(params=SEEDS)
def recorded(request):
    minicnn.set_floatx("float64")
    minicnn.set_random_seed(request.param)
    model = random_model(request.param)
    rng = np.random.default_rng(request.param)
    x, y = rng.normal(size=(5, 4)), rng.integers(0, 3, 5)
    return model, x, y, study.record(model, x, y, loss=LOSS)


def test_every_reader_of_every_fork(recorded):
    """Also of forks that begin no block, and of readers that lead to other merges."""
    model, x, y, record = recorded
    for fork, readers in record.forks.items():
        for one in readers:
            if fork != "in":
                assert_close(one.gradient, cut(model, x, y, fork, one.layer, one.position), 1e-12)


def reaches(graph, start, end, without):
    """Whether a way leads from start to end that does not touch `without`."""
    stack, seen = [end], {end}
    while stack:
        tensor = stack.pop()
        if tensor is start:
            return True
        for _, parent in graph.parents(tensor):
            if parent is not without and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return False


def test_dominators(recorded):
    """By brute force: those whose removal cuts a tensor off from the input; the immediate one is the last of them."""
    *_, record = recorded
    graph = record.graph
    (start,) = graph.inputs
    above = graph.dominators()
    for tensor in graph.tensors[1:]:
        cutting = [t for t in graph.tensors if t is not tensor and (t is start or not reaches(graph, start, tensor, t))]
        assert above[tensor] is max(cutting, key=lambda t: t.order)


def test_ways_and_roles(recorded):
    """A way is made of what lies between fork and merge; skip and branch and others make the fork's gradient."""
    *_, record = recorded
    graph = record.graph
    for block in record.blocks:
        for way in block.ways:
            for tensor in graph.tensors:
                between = reaches(graph, block.fork, tensor, None) and reaches(graph, tensor, way.tensor, None)
                assert (tensor in way.inside) == between
        assert_close(sum(c.gradient for c in block.contributions), block.fork_gradient, 1e-12)
        if block.skip is not None and {c.role for c in block.contributions} == {"skip", "branch"}:
            assert_close(block.skip_gradient + block.branch_gradient, block.fork_gradient, 1e-12)
