"""The curvature of the loss around a network: products with the Hessian, and its extreme eigenvalues.

The engine knows first derivatives alone; a product of the Hessian with a vector is a difference of two gradients
(Pearlmutter 1994, Fast Exact Multiplication by the Hessian, section 2, names the price: rounding), and Lanczos's method
needs nothing but products.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn import layers
from minicnn.backend import backend_of, to_numpy
from minicnn.layers.activations import relu
from minicnn.study.probing import everything, in_float64, undisturbed
from minicnn.study.states import LOSS
from minicnn.tensor import Tensor, no_grad
from minicnn.training import losses

Loss = str | Callable[[Any, Any], Tensor]

# A central difference of gradients errs by r^2 |g''| / 6 and by rounding, u |g| / r, u = 2.2e-16. In units in which the
# weights have length 1 and with both of the gradient's order, the sum is least at r = u^(1/3) = 6e-6.
STEP = 6e-6


class FrozenReLU:
    """A ReLU that is open, cell by cell, where it was in the first pass: linear ever after."""

    def __init__(self) -> None:
        self.masks: list[Any] = []
        self.place = 0
        self.learning = True

    def __call__(self, x: Tensor) -> Tensor:
        if self.learning:
            self.masks.append((x.data > 0).astype(x.dtype))
        mask = self.masks[self.place % len(self.masks)]  # as many calls in every pass
        self.place += 1
        return x * mask


@contextmanager
def kinks_frozen(model: Any, x: Any, training: bool = False) -> Iterator[None]:
    """Within the block every ReLU of a layer is open for the batch x where it is now, wherever the weights go.

    A loss with ReLUs has its curvature between the kinks, and jumps of the gradient on them. A difference of gradients
    across a kink is the jump by the step: as large as one likes. Some units lie on a kink, as those of a channel that
    is dead and whose statistics have decayed to 1e-10. With the ReLUs held the loss is smooth, and its Hessian is
    that of the loss wherever the loss has one. Max pools, and ReLUs outside of layers, are left as they are.
    """
    found = everything(model)
    plain = [r for r in found if isinstance(r, layers.ReLU) and not (r.max_value or r.negative_slope)]
    spots = [(layer, "activation") for layer in found if getattr(layer, "activation", None) is relu]
    spots += [(layer, "call") for layer in plain]
    frozen = [FrozenReLU() for _ in spots]
    try:
        for (layer, name), one in zip(spots, frozen, strict=True):
            setattr(layer, name, one)
        with no_grad(), undisturbed(model):
            model(x, training=training)
        for one in frozen:
            one.learning, one.place = False, 0
        yield
    finally:
        for layer, name in spots:
            if name == "activation":
                layer.activation = relu
            elif name in vars(layer):
                delattr(layer, name)  # the method of its class shows again


def loss_of(model: Any, x: Any, y: Any, loss: Loss | None = None, training: bool = False) -> Tensor:
    """The mean loss on a batch as a tensor: of the (first) output alone, without the penalties on weights.

    loss: a name or a function, as for compile; the compiled one unless given, of a model that is not compiled sparse
    cross-entropy.
    """
    output = model(x, training=training)
    first = output[0] if isinstance(output, list | tuple) else output
    own = model.compiled.losses[0] if model.compiled is not None else None
    return losses.get(loss if loss is not None else own or LOSS)(y, first)


def gradient(model: Any, x: Any, y: Any, loss: Loss | None = None, training: bool = False) -> np.ndarray:
    """The gradient of the mean loss for all trainable weights, one after another: (P,)."""
    weights = model.trainable_weights
    before = [w.grad for w in weights]
    for w in weights:
        w.grad = None
    loss_of(model, x, y, loss, training).backward()
    parts = [np.zeros(w.size) if w.grad is None else to_numpy(w.grad).ravel() for w in weights]
    for w, grad in zip(weights, before, strict=True):
        w.grad = grad
    return np.concatenate(parts)


def hessian_product(
    model: Any, x: Any, y: Any, step: float = STEP, **how: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """v -> H v, by the central difference of gradients (g(w + r v) - g(w - r v)) / 2r at r = step * |w| / |v|.

    Call it within `in_float64(model)`: in float32 the difference drowns in rounding. v: (P,), the weights one after
    another. The weights are as before after each product. Where there are ReLUs, call it within `kinks_frozen` too.
    Raises TypeError in any other type than float64.
    """
    weights = model.trainable_weights
    if any(w.dtype != np.float64 for w in weights):
        raise TypeError("Hessian-vector products are differences of gradients: they need float64, see in_float64()")
    start = np.concatenate([to_numpy(w.data).ravel() for w in weights])
    scale = step * max(float(np.linalg.norm(start)), 1e-3)

    def put(flat: np.ndarray) -> None:
        place = 0
        for w in weights:
            w.data = backend_of(w.data).asarray(flat[place : place + w.size].reshape(w.shape))
            w.touch()
            place += w.size

    def product(v: np.ndarray) -> np.ndarray:
        size = float(np.linalg.norm(v))
        if size == 0:
            return np.zeros_like(v)
        r = scale / size
        try:
            put(start + r * v)
            ahead = gradient(model, x, y, **how)
            put(start - r * v)
            return (ahead - gradient(model, x, y, **how)) / (2 * r)
        finally:
            put(start)

    return product


def lanczos(
    product: Callable[[np.ndarray], np.ndarray], size: int, steps: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Ritz values of a symmetric operator, ascending, and a bound on each one's distance from an eigenvalue.

    `steps` of Lanczos from a random start, every vector made orthogonal to all before it, twice, so that none comes
    back. The extremes settle first. The bound is |beta s|, Paige 1972; 0 where the space is exhausted. steps <= size.
    """
    v = np.random.default_rng(seed).normal(size=size)
    basis = [v / np.linalg.norm(v)]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(steps, size)):
        w = product(basis[-1])
        diagonal.append(float(w @ basis[-1]))
        rows = np.array(basis)
        for _ in range(2):
            w = w - rows.T @ (rows @ w)
        beta = float(np.linalg.norm(w))
        beside.append(beta)
        if beta <= 1e-10 * max(map(abs, diagonal)):
            beside[-1] = 0.0
            break
        basis.append(w / beta)
    inner = beside[:-1]
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(inner, 1) + np.diag(inner, -1))
    return values, np.abs(beside[-1] * vectors[-1])


def hessian_extremes(model: Any, x: Any, y: Any, steps: int = 20, seed: int = 0, **how: Any) -> dict[str, float]:
    """The largest and the smallest eigenvalue of the Hessian of the mean loss, with bounds on their errors.

    In float64, by `lanczos` on `hessian_product` within `kinks_frozen`; the model is as before afterwards.
    how: `loss`, `training`, `step`.
    `ratio` is |smallest / largest|, Li et al.'s measure of how far from convex: 0 in a convex landscape.
    """
    images = np.asarray(x, "float64")
    with undisturbed(model), in_float64(model):
        with kinks_frozen(model, images, how.get("training", False)):
            product = hessian_product(model, images, y, **how)
            values, bounds = lanczos(product, sum(w.size for w in model.trainable_weights), steps, seed)
    top, bottom = float(values[-1]), float(min(values[0], 0.0))
    ratio = abs(bottom) / top if top > 0 else float("inf")
    return {
        "largest": top, "largest ±": float(bounds[-1]),
        "smallest": float(values[0]), "smallest ±": float(bounds[0]), "ratio": ratio,
    }  # fmt: skip
