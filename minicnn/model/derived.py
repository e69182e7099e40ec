"""What is computed from weights and kept as long as they stand: kernels with a batch norm in them, transformed ones.

Every write to a weight raises its version. What is kept here says of which arrays in which versions it was made, and is
made anew once they differ.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any

from minicnn.backend import Window, backend_of
from minicnn.config import config
from minicnn.tensor import Tensor, Weight

Array = Any
Convolution = tuple[Tensor, Tensor | None, Any]


class Derived:
    """Values by name, each with the weights that it was made from. Several threads may ask at once; one makes it."""

    def __init__(self):
        self.kept: dict[Hashable, tuple[list, Any]] = {}
        self.lock = threading.Lock()

    def __deepcopy__(self, _):
        return Derived()

    def __reduce__(self):
        return Derived, ()

    def clear(self) -> None:
        """Forgets everything: what is made here takes as much memory as the weights."""
        self.kept.clear()

    def get(self, name: Hashable, weights: list[Weight], make: Callable[[], Any]) -> Any:
        """What `make()` gave for these weights as they are."""
        with self.lock:
            found = self.kept.get(name)
            if found is None or not all(map(unchanged, found[0], weights)):
                self.kept.pop(name, None)  # before its successor is there: both need not fit into memory
                found = self.kept[name] = [(w.data, w.version) for w in weights], make()
            return found[1]

    def convolution(
        self, conv: Any, norm: Any, scale: float, window: Window, x: Array, pooled: bool = False
    ) -> Convolution:
        """The kernel, the bias and the prepared kernel (as the backend makes it, for images like x) of a layer.

        norm: a BatchNormalization over its moving statistics, which the kernel takes in, or None. scale: of both.
        pooled: whether max pooling follows.
        """
        weights = [*conv.own_weights, *(norm.own_weights if norm is not None else ())]
        folding, xp = norm is not None or scale != 1, backend_of(x).xp

        def make():
            kernel, bias = fold(conv, norm, scale) if folding else (conv.kernel, conv.bias)
            if pooled:
                of_bias = None if bias is None else bias.data
                prepared = backend_of(x).prepare_pooled_kernel(kernel.data, of_bias, window, x.shape)
            else:
                prepared = backend_of(x).prepare_kernel(kernel.data, window, x.shape)
            if folding and prepared is not None:  # what is prepared says it all; where a kernel is read, it shows
                kernel = Tensor(xp.broadcast_to(xp.asarray(xp.nan, kernel.dtype), kernel.shape))
            return kernel, bias, prepared, x.shape

        kernel, bias, prepared, shape = self.get((conv, norm, scale, config.conv, config.precision), weights, make)
        if folding and prepared is not None and x.shape != shape:  # other images may ask for the kernel itself
            kernel = fold(conv, norm, scale)[0]
        return kernel, bias, prepared


def unchanged(before: tuple[Array, int], weight: Weight) -> bool:
    """Whether the weight is the array, in the version, that it was."""
    return before[0] is weight.data and before[1] == weight.version


def fold(conv: Any, norm: Any, scale: float) -> tuple[Tensor, Tensor]:
    """Kernel and bias of scale * norm(conv(x)), which is a convolution again: (KH, KW, C/G, F), (F,)

    (x * w + b - mean) / std * gamma + beta = x * (w * g) + (b - mean) * g + beta, with g = gamma / std.
    """
    xp, w = backend_of(conv.kernel.data).xp, conv.kernel.data
    g = xp.full(w.shape[-1:], scale, w.dtype)
    b = xp.zeros_like(g) if conv.bias is None else conv.bias.data
    if norm is None:
        return Tensor(w * g), Tensor(b * g)
    g = g / xp.sqrt(norm.moving_variance.data + w.dtype.type(norm.epsilon))
    if norm.gamma is not None:
        g = g * norm.gamma.data
    b = (b - norm.moving_mean.data) * g
    return Tensor(w * g), Tensor(b if norm.beta is None else b + norm.beta.data * w.dtype.type(scale))
