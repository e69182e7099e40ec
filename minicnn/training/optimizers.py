"""Optimizers, with Keras's names, arguments and formulas (Keras 3.15, `keras/src/optimizers`).

    loss.backward()
    optimizer.step(model.trainable_weights)
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minicnn.backend import Backend, backend_of, to_numpy
from minicnn.names import unknown
from minicnn.tensor import Tensor

Array = Any


class Optimizer:
    """Base class: a subclass names its `slots` (arrays kept for each weight) and writes `update`.

    learning_rate: a number, or a schedule: a function of the steps done so far (`iterations`, 0 at the first step).
    weight_decay: before its update, each weight loses w * weight_decay * learning_rate (Loshchilov and Hutter,
    arXiv:1711.05101, decoupled; scaled by the learning rate, as in Keras). None: no decay.
    """

    slots: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: float | Callable[[int], float],
        weight_decay: float | None = None,
        name: str | None = None,
    ):
        self.name = name or type(self).__name__.lower()
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else _number("weight_decay", weight_decay, low=0)
        self.iterations = 0
        self.weights: list[Any] = []
        self._state: dict[int, dict[str, Array]] = {}  # by id of the weight; `weights` keeps those alive
        self._undecayed: set[int] = set()
        self._undecayed_names: re.Pattern | None = None

    @property
    def learning_rate(self) -> float:
        """The rate of the next step; a schedule is asked. Raises ValueError when set to anything but a number >= 0."""
        if callable(self._learning_rate):
            return float(self._learning_rate(self.iterations))
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Callable[[int], float]) -> None:
        self._learning_rate = value if callable(value) else _number("learning_rate", value, low=0)

    # A step ----------------------------------------------------------------------------------------------------------

    def build(self, weights: Iterable[Any]) -> None:
        """Makes the slots of these weights, all zeros; those that have theirs keep them."""
        for weight in weights:
            if id(weight) not in self._state:
                self.weights.append(weight)
                xp = backend_of(weight.data).xp
                self._state[id(weight)] = {slot: xp.zeros_like(weight.data) for slot in self.slots}

    def step(self, weights: Iterable[Any] | None = None) -> None:
        """Moves every weight that has a gradient, in place, and takes the gradients away.

        weights: those of a model, `model.trainable_weights`; without them, all that were built. Weights without a
        gradient stay as they are. Raises ValueError where none has one: no loss was swept backward.
        """
        weights = self.weights if weights is None else list(weights)
        self.apply_gradients([(w.grad, w) for w in weights])
        for weight in weights:
            weight.grad = None

    def apply_gradients(self, grads_and_weights: Iterable[tuple[Any, Any]]) -> None:
        """One step with pairs of (gradient, weight), as in Keras. Pairs whose gradient is None are left out."""
        pairs = [(g.data if isinstance(g, Tensor) else g, w) for g, w in grads_and_weights if g is not None]
        if not pairs:
            raise ValueError("no weight has a gradient: call backward() on a loss that depends on them, then step()")
        self.build(w for _, w in pairs)
        rate = self.learning_rate
        for gradient, weight in pairs:
            if gradient.shape != weight.data.shape:
                raise ValueError(f"gradient of shape {gradient.shape} for {weight.name} of shape {weight.data.shape}")
            w = weight.data
            if self.weight_decay is not None and self._decays(weight):
                backend_of(w).decay(w, self.weight_decay * rate)
            self.update(w, gradient, rate, self.state_of(weight))
            weight.touch()
        self.iterations += 1

    def update(self, w: Array, g: Array, rate: float, slots: dict[str, Array]) -> None:
        """The formula: changes w and the slots in place, all of one shape; g stays as it is."""
        raise NotImplementedError(f"{type(self).__name__} has no update(self, w, g, rate, slots)")

    def exclude_from_weight_decay(self, var_list: Iterable[Any] = (), var_names: Iterable[str] = ()) -> None:
        """Leaves out the weights listed, and those whose name contains one of the words, such as "bias"."""
        self._undecayed = {id(w) for w in var_list}
        words = [re.escape(word) for word in var_names]
        self._undecayed_names = re.compile("|".join(words)) if words else None

    def _decays(self, weight) -> bool:
        by_name = self._undecayed_names is not None and self._undecayed_names.search(weight.name)
        return not (by_name or id(weight) in self._undecayed)

    # State and settings ----------------------------------------------------------------------------------------------

    def state_of(self, weight: Any) -> dict[str, Array]:
        """The slots of a weight by name, the arrays themselves; they follow a weight that moved to another device."""
        state, home = self._state[id(weight)], backend_of(weight.data)
        if any(backend_of(array) is not home for array in state.values()):
            state |= {slot: home.asarray(to_numpy(array)) for slot, array in state.items()}
        return state

    def to(self, backend: Backend) -> None:
        """Moves all slots to the device of `backend`."""
        for state in self._state.values():
            state |= {slot: backend.asarray(to_numpy(array)) for slot, array in state.items()}

    def get_state(self) -> dict[str, np.ndarray]:
        """All that a checkpoint needs: "iterations", and "0/momentum" and so on, numbered in the order of `build`."""
        state = {"iterations": np.asarray(self.iterations, np.int64)}
        for i, weight in enumerate(self.weights):
            state |= {f"{i}/{slot}": to_numpy(a).copy() for slot, a in self.state_of(weight).items()}
        return state

    def set_state(self, state: dict[str, Any], weights: Iterable[Any]) -> None:
        """Puts back what `get_state` gave, for the same weights in the same order.

        Raises ValueError, before anything is changed, where names or shapes do not fit.
        """
        weights = list(weights)
        expected = {f"{i}/{slot}": w.data.shape for i, w in enumerate(weights) for slot in self.slots}
        expected["iterations"] = ()
        received = {key: tuple(np.shape(a)) for key, a in state.items()}
        if received != expected:
            wrong = sorted(k for k in received.keys() | expected if received.get(k) != expected.get(k))
            shown = ", ".join(f"{k}: expected {expected.get(k)}, got {received.get(k)}" for k in wrong[:3])
            raise ValueError(f"the state is not that of this {self.name} optimizer ({len(wrong)} differ): {shown}")
        self.weights, self._state = [], {}
        self.build(weights)
        for i, weight in enumerate(weights):
            for slot, array in self._state[id(weight)].items():
                array[...] = backend_of(weight.data).asarray(state[f"{i}/{slot}"])
        self.iterations = int(state["iterations"])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again, without its state. A schedule stands there as it is."""
        return {"name": self.name, "learning_rate": self._learning_rate, "weight_decay": self.weight_decay}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Optimizer":
        """The optimizer that `get_config` described."""
        return cls(**config)


class SGD(Optimizer):
    """Gradient descent: w -= rate * g. With momentum: v = momentum * v - rate * g, then w += v.

    nesterov: w += momentum * v - rate * g instead, with the new v (Sutskever et al. 2013, ICML, eq. 3 and 4, rewritten
    for the point that looks ahead).
    """

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        name: str | None = None,
    ):
        super().__init__(learning_rate, weight_decay, name)
        self.momentum = _number("momentum", momentum, low=0, high=1)
        self.nesterov = bool(nesterov)
        self.slots = ("momentum",) if self.momentum else ()

    def update(self, w, g, rate, slots):
        """The formula, in place."""
        backend_of(w).sgd(w, g, slots.get("momentum"), rate, self.momentum, self.nesterov)

    def get_config(self):
        """The arguments that make this optimizer again, without its state."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Kingma and Ba, arXiv:1412.6980, in the form before section 2.1, with its "epsilon hat".

    m += (g - m) * (1 - beta_1); v += (g^2 - v) * (1 - beta_2);
    w -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon), with t = 1 at the first step.
    Epsilon stands beside the uncorrected sqrt(v): PyTorch and the paper's Algorithm 1 put it elsewhere.
    """

    slots = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: float | Callable[[int], float] = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        name: str | None = None,
    ):
        super().__init__(learning_rate, weight_decay, name)
        self.beta_1 = _number("beta_1", beta_1, low=0, below=1)
        self.beta_2 = _number("beta_2", beta_2, low=0, below=1)
        self.epsilon = _number("epsilon", epsilon, low=0)

    def update(self, w, g, rate, slots):
        """The formula, in place."""
        m, v, t = slots["momentum"], slots["velocity"], self.iterations + 1
        alpha = rate * (1 - self.beta_2**t) ** 0.5 / (1 - self.beta_1**t)
        backend_of(w).adam(w, g, m, v, alpha, self.beta_1, self.beta_2, self.epsilon)

    def get_config(self):
        """The arguments that make this optimizer again, without its state."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(identifier: Any) -> Optimizer:
    """The optimizer called `identifier`: a name, an Optimizer, its class, or a dict with class_name and config.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, dict):
        return _class(identifier["class_name"]).from_config(identifier["config"])
    if isinstance(identifier, str):
        return _class(identifier)()
    raise TypeError(f"an optimizer must be a name or an Optimizer, got {identifier!r}")


def _class(name: str) -> Any:
    if name.lower() not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", name, OPTIMIZERS))
    return OPTIMIZERS[name.lower()]


def _number(name: str, value: Any, low: float, high: float = np.inf, below: float = np.inf) -> float:
    """`value` as a Python float, which leaves float32 arrays float32. Raises ValueError outside of the range."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if not (low <= value <= high and value < below):
        upper = f" and at most {high:g}" if high < np.inf else f" and below {below:g}"
        raise ValueError(f"{name} must be at least {low:g}{upper}, got {value!r}")
    return float(value)
