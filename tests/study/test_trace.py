"""The trace says what happens in a backward pass, and counts it right."""

import numpy as np
import pytest

import minicnn
from minicnn import layers, study, zoo
from minicnn.model import Model
from minicnn.study import trace
from minicnn.study.trace import Tracer, as_dot, as_text
from tests.study.results import check

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture
def block(rng):
    """One residual block of dense layers, and a batch of 4."""
    inputs = layers.Input((6,), name="in")
    x = layers.Dense(5, use_bias=False, name="stem")(inputs)
    y = layers.ReLU(name="relu")(layers.Dense(5, use_bias=False, name="branch")(x))
    x = layers.Add(name="sum")([x, y])
    model = Model(inputs, layers.Dense(3, use_bias=False, activation="softmax", name="out")(x))
    return model, rng.normal(size=(4, 6)), rng.integers(0, 3, 4)


def test_the_order_of_one_block(block):
    """By hand: the sum hands its gradient on twice, and the stem waits until both ways have come back."""
    steps = trace.trace(*block, loss=LOSS)
    told = [(s.layer, s.op, s.readers, [(t["name"], t["added"]) for t in s.to]) for s in steps if s.layer]
    assert told[-5:] == [
        ("out", "MatMul", 1, [("sum", False), ("out/kernel", False)]),
        ("sum", "Add", 1, [("stem", False), ("relu", False)]),
        ("relu", "ReLU", 1, [("branch", False)]),
        ("branch", "MatMul", 1, [("stem", True), ("branch/kernel", False)]),
        ("stem", "MatMul", 2, [("in", False), ("stem/kernel", False)]),
    ]


def test_multiply_adds_are_those_of_both_gradients(block):
    model, x, y = block
    steps = {s.layer: s for s in trace.trace(*block, loss=LOSS) if s.op == "MatMul"}
    for name in ("stem", "branch", "out"):
        assert steps[name].multiply_adds == 2 * len(x) * model.get_layer(name).kernel.size


def test_multiply_adds_of_a_network():
    """Forward they are known: the gradients of inputs and of kernels cost as many each."""
    model = zoo.build("resnet20", input_shape=(8, 8, 3))
    steps = trace.trace(model, np.zeros((2, 8, 8, 3)), np.array([0, 1]), loss=LOSS)
    assert sum(s.multiply_adds for s in steps) == 2 * 2 * model.multiply_adds()


def test_memory_is_held_until_its_last_use(block):
    """What the ops of this network keep can be counted: the softmax's own numbers apart, inputs of products."""
    minicnn.set_floatx("float32")
    seen = study.record(*block, loss=LOSS)
    steps = Tracer(seen).run(seen.total)
    tracer = Tracer(seen)
    assert sum(s.saved for s in steps) == sum(tracer.held.values())
    held = [s.live for s in steps]
    assert held[0] == max(held) or held[0] > 0.8 * max(held)
    last = steps[-1]
    assert last.layer == "stem" and last.live == last.saved + 4 * 5 * 4  # its own gradient, float32
    assert all(s.seconds > 0 for s in steps)


def test_norms_are_those_of_the_gradients(block):
    seen = study.record(*block, loss=LOSS)
    steps = {(s.layer, s.op): s for s in Tracer(seen).run(seen.total)}
    assert steps["stem", "MatMul"].norm == pytest.approx(np.linalg.norm(seen.block("sum").fork_gradient), rel=1e-6)
    assert steps["sum", "Add"].norm == pytest.approx(np.linalg.norm(seen.block("sum").gradient), rel=1e-6)


def test_words_and_graph(block):
    seen = study.record(*block, loss=LOSS)
    text = as_text(Tracer(seen).run(seen.total))
    assert "stem: MatMul gets 4x5, the sum of 2, |g| = " in text and "4x5 is added to what stem has" in text
    dot = as_dot(seen)
    assert dot.startswith("digraph backward {") and dot.endswith("}\n")
    assert dot.count("peripheries=2") == 1 and dot.count("fillcolor") == 1 and dot.count("style=dashed") == 1
    assert dot.count(" -> ") == len(seen.graph.tensors)  # a chain has one less; the second way of the block adds one


def test_runs_from_end_to_end(few_images, capsys):
    result = trace.run(study.Settings("resnet20", batch_size=4))
    check(result, capsys)
    assert result.figures["summary"]["sums"] == 9
    assert set(result.files) == {"trace.txt", "trace.dot"}
