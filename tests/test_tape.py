"""The tape: what is swept, in which order, what is seen on the way, and what is left behind."""

import gc
import weakref

import numpy as np
import pytest

from minicnn import functions as F
from minicnn import ops
from minicnn.tensor import Tensor, apply, no_grad, scope, vjp
from tests.checks import assert_close, leaf, to_numpy


@pytest.fixture
def x(xp):
    return leaf(xp, [1.0, 2.0, 3.0])


# -------------------------------------------------------------------------------------------------------------- sweeps


def test_gradients_of_leaves(xp, x):
    (x * x * x).sum().backward()
    assert_close(x.grad, [3.0, 12.0, 27.0])


def test_gradients_add_up_over_sweeps(x):
    for _ in range(2):
        (x * 2.0).sum().backward()
    assert_close(x.grad, [4.0, 4.0, 4.0])


def test_upstream_gradient(xp, x):
    (x * x).backward(xp.asarray([1.0, 10.0, 100.0]))
    assert_close(x.grad, [2.0, 40.0, 600.0])


def test_upstream_gradient_of_the_wrong_shape(xp, x):
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        (x * x).backward(xp.ones(2))


def test_a_vector_needs_an_upstream_gradient(x):
    with pytest.raises(ValueError, match=r"\(3,\)"):
        (x * x).backward()


def test_nothing_to_differentiate(xp):
    with pytest.raises(RuntimeError, match="requires_grad"):
        (Tensor(xp.ones(3)) * 2.0).sum().backward()


def test_whole_numbers_have_no_gradient(xp):
    with pytest.raises(TypeError, match="int64"):
        Tensor(xp.asarray([1, 2, 3], dtype="int64"), requires_grad=True)


def test_diamond(xp, x):
    """A fork and a merge: y = s*e^s + s^2 with s = 2x, so dy/dx = 2 * (e^s + s*e^s + 2s)."""
    s = x * 2.0
    y = s * s.exp() + s * s
    y.sum().backward()
    s = to_numpy(s.data)
    assert_close(x.grad, 2 * (np.exp(s) + s * np.exp(s) + 2 * s))


def test_stacked_diamonds_are_swept_once_an_op(x):
    """Thirty forks in a row have a billion paths and sixty edges."""
    y = x
    for _ in range(30):
        y = y * 0.5 + y * 0.5
    seen = []
    y.sum().backward(probe=lambda edge, gradient: seen.append(edge))
    assert len(seen) == 1 + 30 * 4
    assert_close(x.grad, [1.0, 1.0, 1.0])


def test_skip_over_a_long_branch(x):
    """The merge waits for the long way round: a queue in order of arrival would sweep the fork too early."""
    s = x * 1.0
    branch = s
    for _ in range(5):
        branch = branch * 2.0
    (s + branch).sum().backward()
    assert_close(x.grad, [33.0, 33.0, 33.0])


def test_consumers_are_swept_before_what_they_consume(x):
    a = x * 2.0
    b = a.exp()
    c = a * 3.0
    y = (c + b).sum()
    order = []
    y.backward(probe=lambda edge, gradient: order.append((edge.consumer, edge.parent)))
    for consumer, parent in order:
        later = [c for c, _ in order[order.index((consumer, parent)) :]]
        assert parent not in [c for c, _ in order[: order.index((consumer, parent))]]
        assert parent in later or not parent.parents
    assert [type(c.op).__name__ for c, _ in order] == ["_Freed"] * len(order)


@pytest.mark.parametrize("probing", [False, True])
def test_sums_at_a_fork_are_written_to_nobody_elses_array(xp, rng, probing):
    """Of the three gradients of u the first is dy itself, those of t are new; a probe may keep any of them."""
    kept = []
    r, s, weight = (leaf(xp, rng.normal(size=shape)) for shape in ((2, 64, 64, 4), (2, 64, 64, 4), (1, 1, 4, 4)))
    u, t, dy = r * 2.0, s * 2.0, xp.asarray(rng.normal(size=r.shape))
    u.retain_grad(), t.retain_grad()
    before = dy.copy()
    convolved = apply(ops.Conv2D(), u, weight) + apply(ops.Conv2D(), u, weight)
    normed = apply(ops.BatchNormAct(relu=False), t, None, None, u) + apply(ops.Conv2D(), t, weight)
    (convolved + normed).backward(dy, probe=(lambda _, g: kept.append((g, g.copy()))) if probing else None)
    np.testing.assert_array_equal(to_numpy(dy), to_numpy(before))
    for gradient, copied in kept:
        np.testing.assert_array_equal(to_numpy(gradient), to_numpy(copied))
    back = to_numpy(dy) @ to_numpy(weight.data)[0, 0].T
    assert_close(u.grad, to_numpy(dy) + 2 * back)
    norm = ops.BatchNorm()
    norm(t.data, None, None)
    assert_close(t.grad, back + to_numpy(norm.backward(dy)[0]))
    assert_close(r.grad, 2 * to_numpy(u.grad))


def test_two_outputs_share_a_part_of_the_tape(x):
    shared = x * x
    first, second = shared.sum(), (shared * 3.0).sum()
    first.backward(keep=True)
    second.backward()
    assert_close(x.grad, [8.0, 16.0, 24.0])


# -------------------------------------------------------------------------------------------------------- broadcasting


@pytest.mark.parametrize("shape", [(3, 4), (4,), (1, 4), (3, 1), (1, 1), (), (2, 1, 4)], ids=str)
@pytest.mark.parametrize("position", [0, 1])
def test_broadcasting_is_undone(xp, rng, shape, position):
    small, large = leaf(xp, rng.normal(size=shape)), leaf(xp, rng.normal(size=(2, 3, 4)))
    dy = rng.normal(size=(2, 3, 4))
    pair = (small, large) if position == 0 else (large, small)
    (pair[0] * pair[1]).backward(xp.asarray(dy))
    cell = np.broadcast_to(np.arange(small.size).reshape(shape), (2, 3, 4))  # which cell of `small` stood here
    expected = np.bincount(cell.ravel(), (dy * to_numpy(large.data)).ravel()).reshape(shape)
    assert small.grad.shape == shape
    assert_close(small.grad, expected)
    assert_close(large.grad, dy * to_numpy(small.data))


def test_matmul_over_a_batch_is_undone(xp, rng):
    a, b = leaf(xp, rng.normal(size=(2, 3, 4))), leaf(xp, rng.normal(size=(4, 5)))
    dy = rng.normal(size=(2, 3, 5))
    (a @ b).backward(xp.asarray(dy))
    assert_close(b.grad, sum(to_numpy(a.data)[n].T @ dy[n] for n in range(2)))


# -------------------------------------------------------------------------------------------------------------- probes


def probed(y, **options):
    seen = []
    y.backward(probe=lambda edge, gradient: seen.append((edge, to_numpy(gradient).copy())), **options)
    return seen


def test_probe_sees_both_edges_of_one_op(x):
    """x * x: two edges from one op to one tensor, each with half of the gradient."""
    edges = [(e.position, g.tolist()) for e, g in probed((x * x).sum()) if e.parent is x]
    assert edges == [(0, [1.0, 2.0, 3.0]), (1, [1.0, 2.0, 3.0])]
    assert_close(x.grad, [2.0, 4.0, 6.0])


def test_probe_sees_skip_and_branch_apart(x):
    s = x * 1.0
    branch = s * 5.0
    seen = probed((s + branch).sum())
    contributions = {type(e.op).__name__: g.tolist() for e, g in seen if e.parent is s}
    assert contributions == {"Add": [1.0] * 3, "Multiply": [5.0] * 3}
    merge = [g.tolist() for e, g in seen if isinstance(e.op, ops.Add)]
    assert merge == [[1.0] * 3, [1.0] * 3]  # at the merge both edges carry the same


def test_probe_sees_what_was_unbroadcast(xp, x):
    b = leaf(xp, 2.0)
    (gradient,) = [g for e, g in probed((x * b).sum()) if e.parent is b]
    assert (gradient.shape, gradient.item()) == ((), 6.0)


def test_probe_does_not_change_the_gradients(xp, rng):
    a = rng.normal(size=(3, 4))
    t, u = leaf(xp, a), leaf(xp, a)
    F.tanh(t * t + t).sum().backward()
    F.tanh(u * u + u).sum().backward(probe=lambda edge, gradient: None)
    np.testing.assert_array_equal(to_numpy(t.grad), to_numpy(u.grad))


def test_edges_name_the_layer_and_its_call(x):
    with scope("block", 1):
        y = x * 2.0
        with scope("conv2d", 3):
            z = y.exp()
    seen = probed((z + 1.0).sum())
    names = {type(e.op).__name__: (e.layer, e.call) for e, _ in seen}
    assert names == {"Sum": ("", 0), "Add": ("", 0), "Exp": ("block/conv2d", 3), "Multiply": ("block", 1)}


def test_only_edges_that_want_a_gradient_are_seen(xp, x):
    seen = probed((x * Tensor(xp.ones(3)) + 2.0).sum())
    assert [(type(e.op).__name__, e.position) for e, _ in seen] == [("Sum", 0), ("Add", 0), ("Multiply", 0)]


# ------------------------------------------------------------------------------------------------- keeping and freeing


def test_a_kept_tape_is_swept_again(xp, x):
    y = F.softmax(x * x).sum() + (x.exp() * x).mean()
    y.backward(keep=True)
    first, x.grad = x.grad, None
    y.backward(keep=True)
    np.testing.assert_array_equal(to_numpy(x.grad), to_numpy(first))
    y.backward()
    assert_close(x.grad, 2 * first)


def test_a_freed_tape_says_so(x):
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"freed.*keep=True"):
        y.backward()
    with pytest.raises(RuntimeError, match=r"freed.*keep=True"):
        vjp(y, x)


def test_a_tape_freed_in_part_says_so(x):
    shared = x * x
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="freed"):
        (shared * 3.0).sum().backward()


def test_keep_keeps_the_inputs_of_every_op(xp, rng):
    """Sweeping changes nothing that an op kept: in-place sums would."""
    x, w = leaf(xp, rng.normal(size=(2, 5, 4, 3))), leaf(xp, rng.normal(size=(3, 3, 3, 3)))
    y = F.conv2d(x, w, window=ops.Window((1, 1), "same")) + x
    dy = xp.asarray(rng.normal(size=y.shape))
    kept = dy.copy()
    y.backward(dy, keep=True)
    first = [g.copy() for g in (x.grad, w.grad)]
    x.grad = w.grad = None
    y.backward(dy)
    np.testing.assert_array_equal(to_numpy(dy), to_numpy(kept))
    for a, b in zip(first, (x.grad, w.grad), strict=True):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))


class Watched(ops.Op):
    """y = 2x; keeps an array of its own, and notes in its backward which of the others' arrays still live."""

    def __init__(self, number, kept, alive):
        self.number, self.registry, self.alive = number, kept, alive

    def forward(self, x):
        self.saved = x + 0.0
        self.registry[self.number] = weakref.ref(self.saved)
        return x + x

    def backward(self, dy):
        self.alive[self.number] = [n for n, ref in self.registry.items() if ref() is not None]
        return (dy + dy,)


@pytest.mark.parametrize("probe", [None, lambda edge, gradient: None], ids=["plain", "probe"])
def test_memory_is_freed_as_the_sweep_passes(x, probe):
    """When op n runs backward, what the later ones kept is gone already, without waiting for the garbage collector."""
    kept, alive, y = {}, {}, x
    for number in range(6):
        y = apply(Watched(number, kept, alive), y)
    gc.disable()
    try:
        y.sum().backward(probe=probe)
        assert [ref() for ref in kept.values()] == [None] * 6
    finally:
        gc.enable()
    assert alive == {number: list(range(number + 1)) for number in range(6)}


def test_a_kept_tape_keeps(x):
    kept, alive = {}, {}
    y = apply(Watched(1, kept, alive), apply(Watched(0, kept, alive), x))
    y.sum().backward(keep=True)
    assert alive == {0: [0, 1], 1: [0, 1]}


def test_no_tape_keeps_nothing(x):
    kept, alive = {}, {}
    with no_grad():
        y = apply(Watched(0, kept, alive), x)
    assert kept[0]() is None
    assert y.op is None


def test_intermediate_tensors_die_with_the_forward_pass(x):
    """The graph holds arrays that ops keep, and no cycle holds the graph."""
    gc.disable()
    try:
        y = (x * 2.0).exp().sum()
        ref = weakref.ref(y.op)
        del y
        assert ref() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("keep", [False, True])
def test_deep_chains(xp, keep):
    """5,000 ops: neither the sweep nor the end of the tape recurses."""
    x = leaf(xp, 1.0)
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.backward(keep=keep)
    assert x.grad.item() == 1.0
    if keep:
        assert vjp(y, x).item() == 1.0
    del y


def test_deep_chain_that_is_never_swept(xp):
    y = leaf(xp, 1.0)
    for _ in range(50_000):
        y = y + 1.0
    del y


# ----------------------------------------------------------------------------------------------------------------- vjp


def test_vjp_touches_no_grad(xp, x):
    y = x * x
    assert_close(vjp(y, x, xp.asarray([1.0, 10.0, 100.0])), [2.0, 40.0, 600.0])
    assert_close(vjp(y, x, xp.ones(3)), [2.0, 4.0, 6.0])
    assert x.grad is None
    y.sum().backward()
    assert_close(x.grad, [2.0, 4.0, 6.0])


def test_vjp_of_a_part(xp, x):
    """From one inner tensor to another: nothing before or beside it is swept."""
    a = x * 3.0
    b = a.exp()
    c = b * b
    d = (c + a).sum()
    swept = []
    gradient = vjp(c, b, xp.ones(3), probe=lambda edge, g: swept.append(type(edge.op).__name__))
    assert_close(gradient, 2 * to_numpy(b.data))
    assert swept == ["Multiply", "Multiply"]
    assert_close(vjp(d, a), 2 * to_numpy(c.data) + 1)
    assert_close(vjp(d, x), 3 * (2 * to_numpy(c.data) + 1))


def test_vjp_of_several(xp, x):
    a = x * 3.0
    b = a * a
    of_a, of_x, of_b = vjp(b, [a, x, b], xp.ones(3))
    assert_close(of_a, 2 * to_numpy(a.data))
    assert_close(of_x, 6 * to_numpy(a.data))
    assert_close(of_b, [1.0, 1.0, 1.0])


def test_vjp_where_nothing_depends(xp, x):
    other = leaf(xp, [5.0, 6.0])
    assert_close(vjp((x * x).sum(), other), [0.0, 0.0])


def test_vjp_for_what_records_no_gradient(xp, x):
    """Zeros would be a lie: y depends on the constant, only the tape does not say so."""
    constant = Tensor(xp.ones(3))
    with pytest.raises((RuntimeError, ValueError), match="requires_grad"):
        vjp((x * constant).sum(), constant)


def test_vjp_without_a_tape(x):
    with no_grad():
        y = (x * x).sum()
    with pytest.raises(RuntimeError, match="requires_grad|no_grad"):
        vjp(y, x)


def test_vjp_makes_no_gradient_that_is_not_asked_for(xp, rng):
    """The kernel's gradient costs as much as the convolution."""
    x, w = leaf(xp, rng.normal(size=(2, 5, 4, 3))), leaf(xp, rng.normal(size=(3, 3, 3, 3)))
    y = F.conv2d(x, w)
    y.op.backend = Counting(y.op.backend)
    vjp(y, x, xp.ones(y.shape))
    assert y.op.backend.calls == ["conv2d_input_grad"]


class Counting:
    """A backend that notes which kernels run."""

    def __init__(self, backend):
        self.backend, self.calls = backend, []

    def __getattr__(self, name):
        self.calls.append(name)
        return getattr(self.backend, name)


def test_images_get_no_gradient(xp, rng):
    x, w = Tensor(xp.asarray(rng.normal(size=(2, 5, 4, 3)))), leaf(xp, rng.normal(size=(3, 3, 3, 3)))
    y = F.conv2d(x, w)
    op, op.backend = y.op, Counting(y.op.backend)
    y.sum().backward()
    assert op.backend.calls == ["conv2d_weight_grad"]
    assert x.grad is None


# ------------------------------------------------------------------------------------- ops whose backward is not right


class Product(ops.Multiply):
    """a * b with a backward of the test's own: a function of (op, dy)."""

    def __init__(self, backward):
        self.own = backward

    def backward(self, dy):
        return self.own(self, dy)


@pytest.mark.parametrize(
    "backward, message",
    [
        (lambda op, dy: dy * op.b, "Product.backward must return a tuple with a gradient for each of 2, got ndarray"),
        (lambda op, dy: (dy * op.b,), "Product.backward must return a tuple with a gradient for each of 2, got 1"),
        (lambda op, dy: (dy * op.b, None), "Product.backward gave None for an input that wants a gradient"),
        (lambda op, dy: (dy * op.b, dy[:2]), r"Product, input 1: a gradient of shape \(2,\) for an input of shape"),
        (lambda op, dy: (dy.sum(), dy), r"Product, input 0: a gradient of shape \(\) for an input of shape \(3,\)"),
    ],
)
def test_a_wrong_backward_is_refused(xp, x, backward, message):
    """A gradient that is lost without a word trains a network that is not the one on paper."""
    y = apply(Product(backward), x, leaf(xp, [4.0, 5.0, 6.0]))
    with pytest.raises(ValueError, match=message):
        y.sum().backward()
