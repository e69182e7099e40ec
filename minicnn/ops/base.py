"""An op: arrays in, one array out, forward and backward side by side. It knows neither Tensor nor layer."""

from typing import Any

from minicnn.backend import Backend, backend_of

Array = Any
Gradients = tuple[Array | None, ...]


class Op:
    """A differentiable function, used for one call: `y = op(a, b)`, then `da, db = op.backward(dy)`.

    `forward` keeps on `self` what its backward needs, and nothing else; `backward` changes none of it, so that it
    can be
    asked any number of times. `needs[i]` says whether input i wants a gradient; where it does not, `backward` may
    give None.
    A binary op gives its gradients in the shape of dy: the engine undoes broadcasting, once (`unbroadcast`).
    """

    backend: Backend
    needs: tuple[bool, ...] = ()
    of_logits = False  # whether y are probabilities and x their logits, from which a loss computes exactly

    def __call__(self, *arrays: Array | None) -> Array:
        """Runs `forward` on the backend of the arrays. An optional input may be None."""
        self.backend = backend_of(*arrays)
        self.xp = self.backend.xp
        if not self.needs:
            self.needs = tuple(a is not None for a in arrays)
        return self.forward(*arrays)

    def forward(self, *arrays: Array) -> Array:
        """The function itself."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, *arrays)")

    def backward(self, dy: Array) -> Gradients:
        """One gradient for each input, given the gradient of the output."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(self, dy)")

    def gradients(self, dy: Array, needs: tuple[bool, ...]) -> Gradients:
        """`backward` for some of the inputs only, whatever `needs` said at the forward pass."""
        before, self.needs = self.needs, needs
        try:
            return self.backward(dy)
        finally:
            self.needs = before


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sums `gradient` over the axes that broadcasting added or stretched, down to `shape`."""
    if gradient.shape == shape:
        return gradient
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def check_axis(op: str, x: Array, axis: int) -> int:
    """`axis` counted from the front. Raises ValueError where x has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{op}: axis {axis} does not exist in an array of shape {x.shape}")
    return axis % x.ndim
