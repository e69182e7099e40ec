"""Holds one of our models against a Keras model: outputs, every weight's gradient, one SGD step."""

from dataclasses import dataclass

import numpy as np

from minicnn.layers import Dropout
from minicnn.tensor import no_grad
from minicnn.training import optimizers
from minicnn.training.losses import get as loss_named

LEARNING_RATE = 0.01


@dataclass(frozen=True)
class Errors:
    """The worst error of each kind, relative to the scale of its tensor, and the weights where the last two stand."""

    parameters: int
    inference: float  # logits (where there is a softmax, else outputs) from the moving statistics
    outputs: float  # the same in training, from the statistics of the batch
    gradient: float
    step: float  # weights and moving statistics after one step
    worst_gradient: str
    worst_step: str

    def check(self, tolerance: float) -> None:
        """Raises AssertionError unless all of them are within the tolerance."""
        for kind in ("inference", "outputs", "gradient", "step"):
            error, place = getattr(self, kind), getattr(self, f"worst_{kind}", "")
            assert error <= tolerance, f"{kind} {place}: off by {error:.2e} of its scale, allowed {tolerance:g}"


def compare(ours, theirs, x, rng, tolerance=1e-9, loss_weights=None) -> Errors:
    """Copies random weights from `theirs` to `ours` and compares them at x, dropout left out.

    The loss is the cross-entropy with random labels where an output is a softmax, and a random weighting of the output
    where it is not; loss_weights: one for each output. Raises AssertionError beyond the tolerance.
    """
    set_random_weights(theirs, rng)
    ours.set_weights(theirs.get_weights())
    without_dropout(ours, theirs)
    inference = outputs_differ(ours, theirs, x)
    upstream = Upstream([s.shape for s in ours.outputs], len(x), loss_weights, rng)
    our_outputs, our_gradients = our_step(ours, x, upstream)
    their_outputs, their_gradients = their_step(theirs, x, upstream)
    gradients = gradient_errors(our_gradients, their_gradients)
    steps = {w.name: error(w.data, v) for w, v in zip(ours.weights, theirs.get_weights(), strict=True)}
    worst_gradient, worst_step = max(gradients, key=gradients.get), max(steps, key=steps.get)
    found = Errors(
        parameters=ours.count_params(),
        inference=inference,
        outputs=worst(our_outputs, their_outputs),
        gradient=gradients[worst_gradient],
        step=steps[worst_step],
        worst_gradient=worst_gradient,
        worst_step=worst_step,
    )
    found.check(tolerance)
    return found


def compare_outputs(ours, theirs, x, rng, tolerance=1e-4) -> float:
    """The worst error of the outputs in inference, with the weights of `compare`: for float32 and large inputs.

    Raises AssertionError beyond the tolerance. (In training, a batch norm of a few samples blows rounding up.)
    """
    set_random_weights(theirs, rng)
    ours.set_weights(theirs.get_weights())
    without_dropout(ours, theirs)
    found = outputs_differ(ours, theirs, x)
    assert found <= tolerance, f"outputs: off by {found:.2e} of their scale, allowed {tolerance:g}"
    return found


def outputs_differ(ours, theirs, x) -> float:
    """The worst error in inference of the logits, or of the outputs where there are none."""
    with no_grad():
        mine = [y if y.logits is None else y.logits for y in to_list(ours(x, training=False))]
    other = [getattr(y, "_keras_logits", y) for y in to_list(theirs(x, training=False))]
    assert [y.dtype for y in mine] == [x.dtype] * len(other), "the outputs must keep the type of the images"
    return worst(mine, other)


def set_random_weights(model, rng) -> None:
    """Kernels that keep the scale of what passes (He et al. 2015), and statistics that no layer starts with."""
    draw = {
        "bias": lambda shape: 0.1 * rng.normal(size=shape),
        "gamma": lambda shape: rng.uniform(0.5, 1.5, size=shape),
        "beta": lambda shape: 0.1 * rng.normal(size=shape),
        "moving_mean": lambda shape: 0.1 * rng.normal(size=shape),
        "moving_variance": lambda shape: rng.uniform(0.5, 1.5, size=shape),
    }

    def value(variable):
        kind, shape = variable.path.rpartition("/")[2], tuple(variable.shape)
        if kind in draw:
            return draw[kind](shape)
        fan_in = np.prod(shape[:2] if kind == "depthwise_kernel" else shape[:-1])
        return rng.normal(size=shape) * np.sqrt(2 / fan_in)

    model.set_weights([value(variable) for variable in model.weights])


def without_dropout(*models) -> None:
    """Sets the rate of every dropout to 0: the two libraries draw other numbers."""
    for layer in (layer for model in models for layer in model.layers):
        if isinstance(layer, Dropout) or type(layer).__name__ == "Dropout":
            layer.rate = 0.0


class Upstream:
    """What both sides make a loss of: labels for outputs of softmaxes, weights for others, drawn once."""

    def __init__(self, shapes, count, loss_weights, rng):
        self.labels = [rng.integers(shape[-1], size=count) for shape in shapes]
        self.dy = [rng.normal(size=(count, *shape[1:])) / count for shape in shapes]
        self.weights = loss_weights or (1.0,) * len(shapes)


def our_step(model, x, upstream):
    """[logits or output of each], {weight: gradient}; the model takes a step."""
    outputs = to_list(model(x, training=True))
    total = 0.0
    for y, labels, dy, weight in zip(outputs, upstream.labels, upstream.dy, upstream.weights, strict=True):
        loss = (y * dy).sum() if y.logits is None else loss_named("sparse_categorical_crossentropy")(labels, y)
        total = loss * weight + total
    total.backward()
    gradients = {w.name: w.grad for w in model.trainable_weights}
    sgd = optimizers.SGD(LEARNING_RATE)
    sgd.build(model.trainable_weights)
    sgd.step()
    return [y if y.logits is None else y.logits for y in outputs], gradients


def their_step(model, x, upstream):
    """[logits or output of each], [gradient of each weight]; the model takes a step."""
    import keras
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = [getattr(y, "_keras_logits", y) for y in to_list(model(x, training=True))]
        total = 0.0
        for y, output, labels, dy, weight in zip(
            outputs, model.outputs, upstream.labels, upstream.dy, upstream.weights, strict=True
        ):
            if ends_in_softmax(output):
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y))
            else:
                loss = tf.reduce_sum(y * dy)
            total += loss * weight
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    keras.optimizers.SGD(LEARNING_RATE).apply(gradients, model.trainable_variables)
    return outputs, gradients


def ends_in_softmax(output) -> bool:
    """Whether the layer that gives this Keras tensor has a softmax, so that there are logits."""
    activation = getattr(output._keras_history.operation, "activation", None)
    return getattr(activation, "__name__", "") == "softmax"


def gradient_errors(ours, theirs) -> dict[str, float]:
    """{weight: error}, each on the scale of its own gradient.

    A gradient that vanishes, such as that of a bias in front of a batch norm, is what rounding leaves: it is held
    against the largest gradient of its layer.
    """
    largest: dict[str, float] = {}
    for (name, _), gradient in zip(ours.items(), theirs, strict=True):
        layer = name.rpartition("/")[0]
        largest[layer] = max(largest.get(layer, 0.0), scale(gradient))
    errors = {}
    for (name, mine), gradient in zip(ours.items(), theirs, strict=True):
        around = largest[name.rpartition("/")[0]]
        vanishes = scale(gradient) < 1e-9 * around
        errors[name] = error(mine, gradient, around if vanishes else None)
    return errors


def worst(ours, theirs) -> float:
    """The largest error of a list of tensors."""
    return max(error(a, b) for a, b in zip(ours, theirs, strict=True))


def error(actual, expected, against=None) -> float:
    """max|actual - expected| / max|expected|, or / against; infinite where the shapes differ or a number is not one."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return np.inf
    difference = np.abs(actual - expected).max(initial=0.0)
    return float(difference / (against or scale(expected) or 1.0))


def scale(values) -> float:
    """max|values|"""
    return float(np.abs(np.asarray(values)).max(initial=0.0))


def to_list(x) -> list:
    """x, or [x] where it is one thing."""
    return list(x) if isinstance(x, list | tuple) else [x]
