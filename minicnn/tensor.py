"""Tensors, the tape that they form, and the sweep back along it.

A tensor that an op made knows the op and its parents: that is the whole tape. `backward` walks it once, in reverse
order of creation, and hands every gradient from a consumer to a parent along an *edge*. Where one tensor feeds a skip
and a branch there are two edges, and a `probe` sees each contribution apart before the engine adds them up.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.backend import backend_of, to_numpy
from minicnn.ops.base import Array, Op, unbroadcast

_created = itertools.count()


class _State(threading.local):
    recording = True
    scope: tuple[str, int] | None = None


_state = _State()


class no_grad:
    """`with no_grad():` records no tape: nothing is kept for a backward pass."""

    def __enter__(self):
        self.before, _state.recording = _state.recording, False

    def __exit__(self, *_):
        _state.recording = self.before


def recording() -> bool:
    """Whether ops are put on the tape: not inside of `with no_grad()`."""
    return _state.recording


class scope:
    """`with scope("conv2d", 0):` notes on the tape which layer, in which of its calls, runs the ops inside; nests as
    a path."""

    def __init__(self, layer: str, call: int = 0):
        self.layer, self.call = layer, call

    def __enter__(self):
        self.before = _state.scope
        _state.scope = (f"{self.before[0]}/{self.layer}" if self.before else self.layer, self.call)

    def __exit__(self, *_):
        _state.scope = self.before


class Operators:
    """Arithmetic and methods that tensors and symbols share; each is one op."""

    __array_ufunc__ = None  # so that `numpy_array * tensor` asks the tensor

    def __add__(self, other):
        return apply(ops.Add(), self, other)

    def __radd__(self, other):
        return apply(ops.Add(), other, self)

    def __sub__(self, other):
        return apply(ops.Subtract(), self, other)

    def __rsub__(self, other):
        return apply(ops.Subtract(), other, self)

    def __mul__(self, other):
        return apply(ops.Multiply(), self, other)

    def __rmul__(self, other):
        return apply(ops.Multiply(), other, self)

    def __truediv__(self, other):
        return apply(ops.Divide(), self, other)

    def __rtruediv__(self, other):
        return apply(ops.Divide(), other, self)

    def __matmul__(self, other):
        return apply(ops.MatMul(), self, other)

    def __rmatmul__(self, other):
        return apply(ops.MatMul(), other, self)

    def __neg__(self):
        return apply(ops.Negative(), self)

    def __pow__(self, exponent):
        if not isinstance(exponent, int | float):
            raise TypeError(f"the exponent of ** must be a number, got {type(exponent).__name__}")
        return apply(ops.Power(exponent), self)

    def __getitem__(self, key):
        return apply(ops.Index(key), self)

    def sum(self, axis=None, keepdims=False):
        """The sum over `axis` (a number, a tuple, or None for all)."""
        return apply(ops.Sum(axis, keepdims), self)

    def mean(self, axis=None, keepdims=False):
        """The mean over `axis`."""
        return apply(ops.Mean(axis, keepdims), self)

    def max(self, axis=None, keepdims=False):
        """The maximum over `axis`; equal maxima share the gradient."""
        return apply(ops.Max(axis, keepdims), self)

    def reshape(self, *shape):
        """The same numbers in another shape: reshape(2, -1) or reshape((2, -1))."""
        return apply(ops.Reshape(_sizes(shape)), self)

    def transpose(self, *axes):
        """The axes in another order; without arguments, turned round."""
        return apply(ops.Transpose(_sizes(axes) or None), self)

    @property
    def T(self):
        """The transpose."""
        return self.transpose()

    def exp(self):
        """e to the power of each number."""
        return apply(ops.Exp(), self)

    def log(self):
        """The natural logarithm of each number."""
        return apply(ops.Log(), self)


def _sizes(numbers) -> tuple:
    return tuple(numbers[0]) if len(numbers) == 1 and not isinstance(numbers[0], int) else tuple(numbers)


class Tensor(Operators):
    """An array, and where it came from.

    data: a NumPy or CuPy array. grad: an array of the same shape after `backward`, for tensors with requires_grad that
    no op made, and for those that asked with `retain_grad()`. Nothing on the tape is ever changed in place.
    """

    grad: Array | None

    def __init__(self, data: Any, requires_grad: bool = False):
        self.data = data if type(data) is np.ndarray else as_array(data)
        if requires_grad and self.data.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors have gradients, got {self.data.dtype}; write 2.0 for 2")
        self.requires_grad = requires_grad
        self.grad = None
        self.op: Op | _Freed | None = None
        self.parents: tuple[Tensor | None, ...] = ()
        self.scope: tuple[str, int] | None = None
        self.logits: Tensor | None = None  # for probabilities (of a softmax, a sigmoid): what came before
        self.order = next(_created)
        self.retains = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the data."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self.data.size

    @property
    def dtype(self):
        """The type of the numbers."""
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)  # NumPy's rule: of several numbers it is ambiguous, and an error

    def __float__(self) -> float:
        return float(self.data)

    def __repr__(self) -> str:
        made = f", op={type(self.op).__name__}" if isinstance(self.op, Op) else ""
        return f"Tensor(shape={self.shape}, dtype={self.dtype}{made})"

    def __array__(self, dtype=None, copy=None):
        return np.array(to_numpy(self.data), dtype=dtype, copy=copy)

    def numpy(self) -> np.ndarray:
        """The data as a NumPy array (copied from the GPU where it lives there)."""
        return to_numpy(self.data)

    def item(self) -> float:
        """The only number that it holds. Raises ValueError where there are several."""
        return self.numpy().item()

    def detach(self) -> "Tensor":
        """The same data, cut off from the tape: no gradient passes."""
        return Tensor(self.data)

    def retain_grad(self) -> "Tensor":
        """Asks for `grad` on a tensor that an op made. Returns the tensor itself."""
        self.retains = True
        return self

    def backward(self, grad: Array | None = None, keep: bool = False, probe: "Probe | None" = None) -> None:
        """Adds to `grad` of every leaf the gradient of this tensor, weighted with `grad` (default 1, for a single
        number).

        Frees what each op kept as it passes, unless `keep` is set. `probe(edge, gradient)` sees what every op returns
        for every input, un-broadcast and before it is summed into the parent. Raises RuntimeError on a freed tape.
        """
        for tensor, dy in sweep(self, _seed(self, grad), keep=keep, probe=probe):
            if tensor.retains or (tensor.op is None and tensor.requires_grad and not tensor.parents):
                tensor.grad = dy if tensor.grad is None else tensor.grad + dy


class Weight(Tensor):
    """A tensor that a layer owns: named, trainable or a statistic, with a version that every write raises.

    What is computed from weights (a kernel's transform, a folded batch norm) may be kept as long as the version stands.
    """

    def __init__(self, data: Any, name: str, trainable: bool = True):
        super().__init__(data, requires_grad=trainable)
        self.name, self.trainable, self.version = name, trainable, 0

    def __repr__(self) -> str:
        return f"Weight({self.name}, shape={self.shape}, dtype={self.dtype})"

    def assign(self, value: Any) -> None:
        """Writes `value` into the data. Raises ValueError for another shape."""
        value = value.data if isinstance(value, Tensor) else value
        if np.shape(value) != self.shape:
            raise ValueError(f"{self.name}: expected a value of shape {self.shape}, got {np.shape(value)}")
        self.data[...] = backend_of(self.data).asarray(value, dtype=self.dtype)
        self.touch()

    def touch(self) -> None:
        """Says that `data` was written."""
        self.version += 1


class Edge(NamedTuple):
    """The way of one gradient: from a consumer back to input `position` of its op.

    layer is the path of the layer that ran the op ("" outside of layers), call which of the layer's calls in its model.
    """

    op: Op
    layer: str
    call: int
    position: int
    consumer: Tensor
    parent: Tensor


Probe = Callable[[Edge, Array], None]


class Deferred(Operators):
    """What is not there yet: a layer's symbolic output. `apply` hands ops on it to its `defer`."""

    def defer(self, op: Op, inputs: Sequence[Any]) -> Any:
        """The symbolic result of `op` on `inputs`."""
        raise NotImplementedError


class _Freed:
    """Stands where an op was before a sweep freed it."""


FREED = _Freed()


def as_array(value: Any, like: Array | None = None) -> Array:
    """An array of `value`; a Python number takes the type and the device of `like`, a sequence is put into an array."""
    if isinstance(value, Tensor):
        return value.data
    if like is None and type(value) is np.ndarray:
        return value
    if like is not None and isinstance(value, int | float):
        # A fraction does not become a whole number: images of bytes / 255.0 are fractions too.
        return backend_of(like).asarray(
            value, dtype=like.dtype if like.dtype.kind == "f" or isinstance(value, int) else None
        )
    if type(value).__module__.partition(".")[0] == "cupy":
        return value
    if like is not None and isinstance(value, np.ndarray | np.generic) and value.dtype.kind == like.dtype.kind == "f":
        # A constant of NumPy's default type must not widen a float32 network behind it.
        value = value.astype(like.dtype, copy=False)
        return backend_of(like).asarray(value) if isinstance(value, np.generic) else value
    return np.asarray(value)


def apply(op: Op, *inputs: Any) -> Any:
    """Runs `op` on tensors (arrays and numbers become constants; an optional input may be None) and records it on
    the tape."""
    like, plain = None, True
    for x in inputs:
        if isinstance(x, Tensor):
            like = x.data if like is None else like
        elif isinstance(x, Deferred):
            return x.defer(op, inputs)
        elif x is not None:
            plain = False
    parents = inputs if plain else _with_constants(inputs, like)
    needs = [p is not None and p.requires_grad for p in parents] if _state.recording else [False] * len(parents)
    op.needs = tuple(needs)
    result = Tensor(op(*[None if p is None else p.data for p in parents]))
    if op.of_logits:
        result.logits = parents[0]
    if True in needs:
        result.requires_grad, result.op, result.parents, result.scope = True, op, parents, _state.scope
    return result


def _with_constants(inputs: Sequence[Any], like: Array | None) -> tuple["Tensor | None", ...]:
    """The inputs of an op, those that are no tensors made into some."""
    return tuple(x if x is None or isinstance(x, Tensor) else Tensor(as_array(x, like)) for x in inputs)


def vjp(y: Tensor, x: Tensor | Sequence[Tensor], dy: Array | None = None, probe: Probe | None = None) -> Any:
    """The gradient of y, weighted with dy, for the tensor x (or a list of them), on a tape that is kept.

    Only the part of the tape between x and y is swept, and no `grad` is touched. Zeros where y does not depend on x.
    """
    targets = [x] if isinstance(x, Tensor) else list(x)
    for target in targets:
        if not target.requires_grad:
            raise RuntimeError(f"the tape says nothing about {target}: it was made without requires_grad=True")
    found: dict[Tensor, Array] = {}
    seed, wanted = _seed(y, dy), between(y, targets)
    if y in wanted:
        for tensor, gradient in sweep(y, seed, keep=True, probe=probe, wanted=wanted):
            if tensor in targets:
                found[tensor] = gradient
    result = [found[t] if t in found else backend_of(t.data).xp.zeros_like(t.data) for t in targets]
    return result[0] if isinstance(x, Tensor) else result


def _seed(y: Tensor, dy: Array | None) -> Array:
    if not y.requires_grad:
        raise RuntimeError(
            "no gradient to compute: nothing on this tape has requires_grad=True (or it ran under no_grad())"
        )
    if dy is None:
        if y.size != 1:
            raise ValueError(f"the gradient of a tensor of shape {y.shape} needs the upstream gradient: backward(grad)")
        return backend_of(y.data).xp.ones_like(y.data)
    dy = backend_of(y.data).asarray(dy.data if isinstance(dy, Tensor) else dy, dtype=y.dtype)
    if dy.shape != y.shape:
        raise ValueError(f"the upstream gradient must have the tensor's shape {y.shape}, got {dy.shape}")
    return dy


def sweep(
    y: Tensor, dy: Array, keep: bool, probe: Probe | None, wanted: set[Tensor] | None = None
) -> Iterator[tuple[Tensor, Array]]:
    """Yields every tensor behind y with its whole gradient, in reverse order of creation; what `backward` does.

    A consumer is always younger than its parents, so the youngest tensor that waits has received all that it will.
    dy: the gradient of y itself.   wanted: the tensors to sweep, unless all (see `between`).   keep, probe: as in
    `backward`. A tensor is yielded before its op is asked.
    """
    waiting: list[tuple[int, Tensor]] = [(-y.order, y)]
    gradients = {y: (dy, False)}
    while waiting:
        _, tensor = heapq.heappop(waiting)
        dy, _ = gradients.pop(tensor)
        yield tensor, dy
        if tensor.op is None:
            continue
        for parent in _hand_on(tensor, dy, gradients, probe, wanted):
            heapq.heappush(waiting, (-parent.order, parent))
        if not keep:
            tensor.op, tensor.parents = FREED, ()


def _hand_on(
    tensor: Tensor, dy: Array, gradients: dict[Tensor, tuple[Array, bool]], probe: Probe | None, wanted
) -> list[Tensor]:
    """Adds to `gradients` what the op behind `tensor` returns; gives the parents that are new there.

    A gradient stands there with whether nobody else holds it: then the next one is added to it in place.
    A function of its own, so that no edge outlives it: an edge holds its op, and the op all that it kept.
    """
    new = []
    for edge, gradient in edges_of(tensor, dy, wanted):
        if probe is not None:
            probe(edge, gradient)
        if edge.parent in gradients:
            total, ours = gradients[edge.parent]
            gradients[edge.parent] = backend_of(gradient).add(total, gradient, overwrite=ours), True
        else:
            ours = probe is None and edge.op.fresh and not backend_of(gradient).xp.may_share_memory(gradient, dy)
            gradients[edge.parent] = gradient, ours
            new.append(edge.parent)
    return new


def edges_of(tensor: Tensor, dy: Array, wanted: set[Tensor] | None) -> list[tuple[Edge, Array]]:
    """What the op behind `tensor` returns for each input that wants a gradient, and stands in `wanted` if that is
    given: one step of the sweep, on a tape that is kept.
    """
    op = tensor.op
    if op is None:
        return []
    if isinstance(op, _Freed):
        raise RuntimeError("this tape was freed by an earlier backward(); use backward(keep=True) to sweep it again")
    needs, parents = op.needs, tensor.parents
    if wanted is not None:
        needs = tuple([need and p in wanted for need, p in zip(needs, parents, strict=True)])
    if True not in needs:
        return []
    layer, call = tensor.scope or ("", 0)
    edges = []
    for position, gradient in enumerate(op.gradients(dy, needs)):
        parent = parents[position]
        if needs[position] and parent is not None and gradient is not None:  # `gradients` saw to that
            if gradient.shape != parent.data.shape:
                gradient = unbroadcast(gradient, parent.shape, f"{type(op).__name__}, input {position}")
            edges.append((Edge(op, layer, call, position, tensor, parent), gradient))
    return edges


def between(y: Tensor, targets: list[Tensor]) -> set[Tensor]:
    """The tensors behind y that depend on a target, targets included."""
    behind, stack = {y}, [y]
    while stack:
        tensor = stack.pop()
        if isinstance(tensor.op, _Freed):
            raise RuntimeError("this tape was freed by an earlier backward(); use backward(keep=True) to keep it")
        fresh = [p for p in tensor.parents if p is not None and p not in behind]
        behind.update(fresh)
        stack.extend(fresh)
    wanted = {t for t in targets if t in behind}
    for tensor in sorted(behind, key=lambda t: t.order):
        if any(p in wanted for p in tensor.parents):
            wanted.add(tensor)
    return wanted
