"""A layer or a model and its double in Keras: the same weights, the same inputs, a random upstream gradient."""

import numpy as np

from minicnn.layers import Input
from minicnn.tensor import Tensor
from tests.checks import assert_close, to_numpy

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def listed(x):
    """x in a list, unless it is one."""
    return list(x) if isinstance(x, list | tuple) else [x]


def random_weights(rng, theirs):
    """Numbers for all weights of a Keras layer: normal ones (a bias of zeros hides faults), variances positive."""
    return [
        rng.uniform(0.5, 2.0, size=v.shape) if "variance" in v.path else rng.normal(size=v.shape) * 0.5
        for v in theirs.weights
    ]


def their_pass(theirs, xs, dys, training):
    """(outputs, gradients of the inputs, gradients of the trainable weights) by TensorFlow's tape, without XLA."""
    import tensorflow as tf

    inputs = [tf.constant(x) for x in xs]
    with tf.GradientTape() as tape:
        for x in inputs:
            tape.watch(x)
        ys = listed(theirs(inputs if len(inputs) > 1 else inputs[0], training=training))
        if dys is None:
            dys = [np.random.default_rng(7).normal(size=y.shape).astype(y.dtype.name) for y in ys]
    sources = inputs + [v.value for v in theirs.trainable_weights]
    gradients = tape.gradient(ys, sources, output_gradients=[tf.constant(dy) for dy in dys])
    gradients = [None if g is None else tf.convert_to_tensor(g).numpy() for g in gradients]
    return [y.numpy() for y in ys], dys, gradients[: len(xs)], gradients[len(xs) :]


def our_pass(ours, xs, dys, training):
    """The same by our own sweep."""
    inputs = [Tensor(x, requires_grad=True) for x in xs]
    ys = listed(ours(inputs if len(inputs) > 1 else inputs[0], training=training))
    total = None
    for y, dy in zip(ys, dys, strict=True):  # one sweep for all outputs
        part = (y * Tensor(dy)).sum()
        total = part if total is None else total + part
    total.backward()
    gradients = [w.grad for w in ours.trainable_weights]
    for w in ours.weights:
        w.grad = None  # or the next step of training would add to it
    return [y.data for y in ys], [x.grad for x in inputs], gradients


def assert_same_gradient(actual, expected, tol, scale=0.0):
    """Within tol of the gradient's own scale, or of `scale` where it vanishes analytically; None is a zero."""
    if actual is None or expected is None:
        found = expected if actual is None else actual
        assert found is None or np.abs(to_numpy(found)).max() <= tol * scale
        return
    if 0 < np.abs(expected).max(initial=0.0) < 1e-6 * scale:
        assert actual.shape == expected.shape
        assert np.abs(actual).max() <= tol * scale
        return
    assert_close(actual, expected, tol)


def assert_same_pass(ours, theirs, xs, training=False, tol=None, scales=None):
    """Outputs, gradients of the inputs and of all weights, and the statistics afterwards.

    scales: for each trainable weight the scale of its layer's kernel gradient, for those that vanish analytically.
    """
    tol = TOLERANCE[xs[0].dtype.name] if tol is None else tol
    expected, dys, their_dx, their_dw = their_pass(theirs, xs, None, training)
    actual, our_dx, our_dw = our_pass(ours, xs, dys, training)
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype
        assert_close(a, b, tol)
    for a, b in zip(our_dx, their_dx, strict=True):
        assert_same_gradient(a, b, tol, scale=1.0)
    for w, a, b in zip(ours.trainable_weights, our_dw, their_dw, strict=True):
        assert_same_gradient(a, b, tol, kernel_scale(ours, our_dw, w))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(a, b, tol)


def kernel_scale(ours, gradients, weight):
    """The largest gradient among the weights of the layer that owns `weight`."""
    owner = weight.name.rpartition("/")[0]
    beside = [g for w, g in zip(ours.trainable_weights, gradients, strict=True) if w.name.startswith(f"{owner}/")]
    return max((np.abs(g).max(initial=0.0) for g in beside if g is not None), default=0.0)


def double_of(ours, theirs, rng, shapes, dtype):
    """Builds both for inputs of `shapes` (with the batch), gives them the same random weights, and draws the inputs."""
    symbols = [Input(shape[1:], dtype=dtype) for shape in shapes]
    symbol = ours(symbols if len(shapes) > 1 else symbols[0])
    theirs.build(list(shapes) if len(shapes) > 1 else shapes[0])
    theirs.set_weights(random_weights(rng, theirs))
    ours.set_weights(theirs.get_weights())
    return [rng.normal(size=shape).astype(dtype) for shape in shapes], symbol
