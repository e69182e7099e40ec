"""An op: arrays in, one array out, forward and backward side by side. It knows neither Tensor nor layer."""

from typing import Any

from minicnn.backend import Backend, backend_of

Array = Any
Gradients = tuple[Array | None, ...]


class Op:
    """A differentiable function, used for one call: `y = op(a, b)`, then `da, db = op.backward(dy)`.

    `forward` keeps on `self` what its backward needs, and nothing else; `backward` changes none of it, so that it can
    be asked any number of times. `needs[i]` says whether input i wants a gradient; where it does not, `backward` may
    give None. A binary op gives its gradients in the shape of dy: the engine undoes broadcasting, once (`unbroadcast`).
    """

    backend: Backend
    needs: tuple[bool, ...] = ()
    fresh = False  # whether nobody else holds the gradients that `backward` gives, except for dy and views of it
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
        """`backward` for some of the inputs only, whatever `needs` said at the forward pass.

        Raises ValueError where it gives no tuple, or lacks a gradient that is needed.
        """
        before, self.needs = self.needs, needs
        try:
            gradients = self.backward(dy)
        finally:
            self.needs = before
        kind = type(self).__name__
        if not isinstance(gradients, tuple) or len(gradients) < len(needs):
            got = f"{len(gradients)}" if isinstance(gradients, tuple) else type(gradients).__name__
            raise ValueError(f"{kind}.backward must return a tuple with a gradient for each of {len(needs)}, got {got}")
        gradients = gradients[: len(needs)]
        for need, gradient in zip(needs, gradients, strict=True):
            if need and gradient is None:
                raise ValueError(f"{kind}.backward gave None for an input that wants a gradient: needs={needs}")
        return gradients


def unbroadcast(gradient: Array, shape: tuple[int, ...], of: str = "unbroadcast") -> Array:
    """Sums `gradient` over the axes that broadcasting added or stretched, down to `shape`.

    Raises ValueError, which names what it is the gradient `of`, where its shape does not come from `shape` by
    broadcasting.
    """
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    if added < 0 or any(n not in (1, m) for n, m in zip(shape, gradient.shape[added:], strict=True)):
        raise ValueError(f"{of}: a gradient of shape {gradient.shape} for an input of shape {shape}")
    gradient = gradient.sum(axis=tuple(range(added)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=stretched, keepdims=True) if stretched else gradient


def check_axis(op: str, x: Array, axis: int) -> int:
    """`axis` counted from the front. Raises ValueError where x has no such axis."""
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{op}: axis {axis} does not exist in an array of shape {x.shape}")
    return axis % x.ndim
