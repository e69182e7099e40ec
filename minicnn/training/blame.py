"""Where a number stopped being finite: the first layer, weight or gradient."""

from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.tensor import no_grad


def first_not_finite(model: Any, x: Any, y: Any = None) -> str:
    """In words, for a batch (x, y) run layer by layer in training: " (first in ...)"; nothing where all is finite.

    Looked at in the order of the computation: the images, each layer's weights and its output, then, with y, the
    gradients from the last weight to the first. Statistics move: the model is not for use afterwards.
    """
    if not _finite(x):
        return " (first in the images)"
    found: list[str] = []

    def look(node: Any, output: Any) -> None:
        if found:
            return
        for weight in node.layer.weights:
            if not _finite(weight.data):
                found.append(f" (first in the weight {weight.name} of layer {node.layer.name})")
                return
        outputs = output if isinstance(output, list | tuple) else [output]
        if not all(_finite(one.data) for one in outputs):
            found.append(f" (first in the output of layer {node.layer.name})")

    with model.backend.working(), no_grad(), np.errstate(all="ignore"):
        model.run(x, training=True, tap=look)
    if found or y is None:
        return found[0] if found else ""
    return _gradients(model, x, y)


def _gradients(model: Any, x: Any, y: Any) -> str:
    with model.backend.working(), np.errstate(all="ignore"):
        outputs = model(x, training=True)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        total = model.compiled.loss(model.compiled.targets(y), outputs, model.regularization())[0]
        if not _finite(total.data):
            return " (first in the loss itself)"
        for weight in model.trainable_weights:
            weight.grad = None
        total.backward()
    for weight in reversed(model.trainable_weights):
        gradient, weight.grad = weight.grad, None
        if gradient is not None and not _finite(gradient):
            return f" (first in the gradient of {weight.name})"
    return ""


def _finite(array: Any) -> bool:
    return bool(np.isfinite(to_numpy(array)).all())
