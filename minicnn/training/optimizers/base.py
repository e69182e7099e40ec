"""What all optimizers share: gradients in, state, and the options that Keras gives to every one of them."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minicnn.backend import Backend, backend_of, to_numpy
from minicnn.tensor import Tensor
from minicnn.training import schedules
from minicnn.training.optimizers.arguments import number, optional, refuse_others, whole

Array = Any
Pairs = list[tuple[Array, Any]]  # gradient, weight


def number_by_number(update: Callable) -> Callable:
    """Says of an `update` that it treats each number by itself, so that it may be given pieces of the arrays."""
    update.number_by_number = True  # type: ignore[attr-defined]
    return update


class Optimizer:
    """Base class: a subclass names its `slots` (arrays kept for each weight) and writes `update`.

    learning_rate: a number, or a schedule: a function of the steps done so far (0 at the first one).
    weight_decay: before its update, each weight loses w * weight_decay * learning_rate (Loshchilov and Hutter,
    arXiv:1711.05101, decoupled; scaled by the learning rate, as in Keras). None: no decay.
    clipnorm: the gradient of each weight is scaled down to this norm where its own is larger; global_clipnorm: all of
    them together (Pascanu et al. 2013, arXiv:1211.5063, Algorithm 1); clipvalue: each number is cut at -clipvalue and
    clipvalue. One of the three at most.
    use_ema: a moving average of every weight is kept, a = ema_momentum * a + (1 - ema_momentum) * w after each step;
    it takes the weight's place every ema_overwrite_frequency steps, at the end of `fit`, and within `averaged()`.
    gradient_accumulation_steps: n: the mean of n gradients makes one update; n - 1 of n steps only gather. Schedules
    count all of these steps, `iterations` the updates.
    loss_scale_factor: `fit` multiplies the loss by it, and gradients are divided by it: small ones survive in float16.
    Raises ValueError for values out of range, TypeError for unknown arguments.
    """

    slots: tuple[str, ...] = ()
    paired: tuple[str, ...] = ()  # those that alternate in Keras's files

    def __init__(
        self,
        learning_rate: float | Callable[[int], float],
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **others: Any,
    ):
        refuse_others(type(self), others)
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if sum(value is not None for value in clips.values()) > 1:
            shown = ", ".join(f"{key}={value}" for key, value in clips.items() if value is not None)
            raise ValueError(f"only one of clipnorm, clipvalue and global_clipnorm can be set, got {shown}")
        self.name = name or type(self).__name__.lower()
        self.learning_rate = learning_rate
        self.weight_decay = optional("weight_decay", weight_decay)
        self.clipnorm, self.clipvalue, self.global_clipnorm = (optional(key, value) for key, value in clips.items())
        self.use_ema = bool(use_ema)
        self.ema_momentum = number("ema_momentum", ema_momentum, low=0, high=1)
        self.ema_overwrite_frequency = whole("ema_overwrite_frequency", ema_overwrite_frequency, low=1)
        self.loss_scale_factor = optional("loss_scale_factor", loss_scale_factor)
        self.gradient_accumulation_steps = whole("gradient_accumulation_steps", gradient_accumulation_steps, low=2)
        self.swapped = False  # whether the averages stand in the weights, and the weights in the slots
        self.steps = 0  # how often gradients came, whether or not they made an update
        self.weights: list[Any] = []
        self._state: dict[int, dict[str, Array]] = {}  # by id of the weight; `weights` keeps those alive
        self._undecayed: set[int] = set()
        self._undecayed_names: re.Pattern | None = None

    @property
    def learning_rate(self) -> float:
        """The rate of the next step; a schedule is asked. Raises ValueError when set to anything but a number >= 0."""
        if callable(self._learning_rate):
            return float(self._learning_rate(self.steps))
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | Callable[[int], float]) -> None:
        self._learning_rate = value if callable(value) else number("learning_rate", value, low=0)

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate is a schedule's, which callbacks cannot set."""
        return callable(self._learning_rate)

    @property
    def iterations(self) -> int:
        """How many updates were made."""
        return self.steps // (self.gradient_accumulation_steps or 1)

    # A step ----------------------------------------------------------------------------------------------------------

    @property
    def all_slots(self) -> tuple[str, ...]:
        """The arrays kept for each weight: those of the rule, of the moving average and of the accumulation."""
        accumulated = ("accumulated",) if self.gradient_accumulation_steps else ()
        return (*self.slots, *(("average",) if self.use_ema else ()), *accumulated)

    def slot_groups(self) -> list[tuple[str, ...]]:
        """The slots in the order in which Keras lists its variables: those of a group alternate over the weights."""
        alternating = [slot for slot in self.slots if slot in self.paired]
        shared = [slot for slot in self.all_slots if slot not in self.slots]
        alone = [(slot,) for slot in (*shared, *self.slots) if slot not in alternating]
        first = len(shared)
        return [*alone[:first], *([tuple(alternating)] if alternating else []), *alone[first:]]

    def build(self, weights: Iterable[Any]) -> None:
        """Makes the slots of these weights, all zeros; those that have theirs keep them."""
        for weight in weights:
            if id(weight) not in self._state:
                self.weights.append(weight)
                xp = backend_of(weight.data).xp
                self._state[id(weight)] = {slot: xp.zeros_like(weight.data) for slot in self.all_slots}

    def step(self, weights: Iterable[Any] | None = None) -> None:
        """Moves every weight that has a gradient, in place, and takes the gradients away.

        weights: those of a model, `model.trainable_weights`; without them, all that were built. Weights without a
        gradient stay as they are. Raises ValueError where none has one: no loss was swept backward.
        """
        weights = self.weights if weights is None else list(weights)
        self.build(weights)  # all of them, so that their order is the model's
        self.apply_gradients([(w.grad, w) for w in weights])
        for weight in weights:
            weight.grad = None

    def apply_gradients(self, grads_and_weights: Iterable[tuple[Any, Any]]) -> None:
        """One step with pairs of (gradient, weight), as in Keras. Pairs whose gradient is None are left out."""
        pairs = [(g.data if isinstance(g, Tensor) else g, w) for g, w in grads_and_weights if g is not None]
        if not pairs:
            raise ValueError("no weight has a gradient: call backward() on a loss that depends on them, then step()")
        for gradient, weight in pairs:
            if gradient.shape != weight.data.shape:
                raise ValueError(f"gradient of shape {gradient.shape} for {weight.name} of shape {weight.data.shape}")
        self.build([w for _, w in pairs])
        if self.loss_scale_factor:
            pairs = [(g / self.loss_scale_factor, w) for g, w in pairs]
        gathered = self._gather(pairs) if self.gradient_accumulation_steps else pairs
        if gathered:
            self._update(gathered)
        if self.use_ema:
            self._average()
        self.steps += 1

    def update(self, w: Array, g: Array, rate: float, slots: dict[str, Array]) -> None:
        """The formula: changes w and the slots in place, all of one shape; g stays as it is."""
        raise NotImplementedError(f"{type(self).__name__} has no update(self, w, g, rate, slots)")

    def _update(self, pairs: Pairs) -> None:
        rate, pairs = self.learning_rate, self._clipped(pairs)
        decay = 0.0 if self.weight_decay is None else self.weight_decay * rate
        amounts = [decay if decay and self._decays(weight) else 0.0 for _, weight in pairs]
        twice = len({id(weight) for _, weight in pairs}) < len(pairs)
        if twice or not getattr(self.update, "number_by_number", False):  # somebody's own rule sees whole arrays
            for amount, (gradient, weight) in zip(amounts, pairs, strict=True):
                self._move(rate, amount, self.state_of(weight), weight.data, gradient)
                weight.touch()
            return
        tasks = []
        for amount, (gradient, weight) in zip(amounts, pairs, strict=True):
            state = self.state_of(weight)
            work = partial(self._move_piece, rate, amount, tuple(state))
            tasks.append((work, (weight.data, gradient, *state.values())))
        try:
            backend_of(pairs[0][0]).number_by_number(tasks)
        finally:
            for _, weight in pairs:
                weight.touch()

    def _move(self, rate: float, decay: float, slots: dict[str, Array], w: Array, g: Array) -> None:
        """Weight decay and the rule."""
        if decay:
            backend_of(w).decay(w, decay)
        self.update(w, g, rate, slots)

    def _move_piece(self, rate: float, decay: float, names: tuple[str, ...], w: Array, g: Array, *slots: Array) -> None:
        """The same for a piece of a weight, of its gradient and of its slots."""
        self._move(rate, decay, dict(zip(names, slots, strict=True)), w, g)

    def _gather(self, pairs: Pairs) -> Pairs:
        """Adds the gradients to what was accumulated; the means where an update is due, and nothing otherwise."""
        count = self.gradient_accumulation_steps or 1
        means = []
        for gradient, weight in pairs:
            accumulated = self.state_of(weight)["accumulated"]
            accumulated += gradient
            means.append((accumulated / count, weight))
        if (self.steps + 1) % count:
            return []
        for weight in self.weights:
            self.state_of(weight)["accumulated"][...] = 0
        return means

    def _clipped(self, pairs: Pairs) -> Pairs:
        """The gradients as clipnorm, global_clipnorm or clipvalue leave them."""
        home = backend_of(pairs[0][0])
        if self.clipnorm:
            return [(g * self._scale(home.norm([g]), self.clipnorm), w) for g, w in pairs]
        if self.global_clipnorm:
            scale = self._scale(home.norm([g for g, _ in pairs]), self.global_clipnorm)
            return [(g * scale, w) for g, w in pairs]
        if self.clipvalue:
            return [(g.clip(-self.clipvalue, self.clipvalue), w) for g, w in pairs]
        return pairs

    @staticmethod
    def _scale(norm: Array, limit: float) -> Array:
        """What brings a norm down to the limit, 1 where it is below. A norm that is not finite makes all of it NaN."""
        return limit / backend_of(norm).xp.maximum(norm, limit) + (norm - norm)

    # Weight decay ----------------------------------------------------------------------------------------------------

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leaves out the weights listed, and those whose own name (bias, gamma, ...) contains one of the words."""
        self._undecayed = {id(w) for w in var_list or ()}
        words = [re.escape(word) for word in var_names or ()]
        self._undecayed_names = re.compile("|".join(words)) if words else None

    def _decays(self, weight) -> bool:
        own_name = weight.name.rpartition("/")[2]
        by_name = self._undecayed_names is not None and self._undecayed_names.search(own_name)
        return not (by_name or id(weight) in self._undecayed)

    # Moving averages of the weights ----------------------------------------------------------------------------------

    def _average(self) -> None:
        """One step of the averages, of all weights; they begin at the weights after the first step."""
        momentum = self.ema_momentum if self.iterations else 0.0
        every = self.ema_overwrite_frequency
        home = backend_of(self.weights[0].data)
        average = partial(home.average, momentum=momentum)
        home.number_by_number([(average, (self.state_of(w)["average"], w.data)) for w in self.weights])
        if every and (self.iterations + 1) % every == 0:
            self.finalize_variable_values(self.weights)

    def finalize_variable_values(self, var_list: Iterable[Any]) -> None:
        """Gives the weights their moving averages for good (use_ema); `fit` does so at its end. Keras's name."""
        for weight in var_list if self.use_ema else ():
            if id(weight) not in self._state:
                continue
            average = self.state_of(weight)["average"]
            if self.swapped:
                average[...] = weight.data
            else:
                weight.assign(average)
        self.swapped = False

    def swap_averages(self) -> None:
        """Exchanges the weights and their moving averages. Raises ValueError where none are kept."""
        if not self.use_ema:
            raise ValueError(f"{self.name} keeps no moving averages: make it with use_ema=True")
        for weight in self.weights:
            average = self.state_of(weight)["average"]
            before = weight.data.copy()
            weight.assign(average)
            average[...] = before
        self.swapped = not self.swapped

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the weights are their moving averages: `with optimizer.averaged(): model.evaluate(...)`."""
        self.swap_averages()
        try:
            yield
        finally:
            self.swap_averages()

    # State and settings ----------------------------------------------------------------------------------------------

    def state_of(self, weight: Any) -> dict[str, Array]:
        """The slots of a weight by name, the arrays themselves; they follow a weight that moved to another device."""
        state, data = self._state[id(weight)], weight.data
        for slot, array in state.items():
            if type(array) is type(data) is np.ndarray:  # as nearly always on a CPU
                continue
            if backend_of(array) is not (home := backend_of(data)):
                state[slot] = home.asarray(to_numpy(array))
        return state

    def to(self, backend: Backend) -> None:
        """Moves all slots to the device of `backend`."""
        for state in self._state.values():
            state |= {slot: backend.asarray(to_numpy(array)) for slot, array in state.items()}

    def get_state(self) -> dict[str, np.ndarray]:
        """All that a checkpoint needs: "steps", "learning_rate" (of no schedule), and the slots of each weight.

        Slots are called "0/momentum" and so on, numbered in the order of `build`.
        """
        state = {"steps": np.asarray(self.steps, np.int64)}
        if not self.scheduled:  # callbacks may have set it
            state["learning_rate"] = np.asarray(self.learning_rate, np.float64)
        for i, weight in enumerate(self.weights):
            state |= {f"{i}/{slot}": to_numpy(a).copy() for slot, a in self.state_of(weight).items()}
        return state

    def set_state(self, state: dict[str, Any], weights: Iterable[Any]) -> None:
        """Puts back what `get_state` gave, for the same weights in the same order.

        Raises ValueError, before anything is changed, where names or shapes do not fit.
        """
        weights = list(weights)
        expected = {f"{i}/{slot}": w.data.shape for i, w in enumerate(weights) for slot in self.all_slots}
        expected |= {"steps": ()} if self.scheduled else {"steps": (), "learning_rate": ()}
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
        self.steps = int(state["steps"])
        if not self.scheduled:
            self.learning_rate = float(state["learning_rate"])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this optimizer again, without its state; a schedule as plain data (Keras's form)."""
        options = (
            "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum",
            "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
        )  # fmt: skip
        rate = schedules.serialize(self._learning_rate)
        return {"name": self.name, "learning_rate": rate, **{key: getattr(self, key) for key in options}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Optimizer":
        """The optimizer that `get_config` described."""
        return cls(**{**config, "learning_rate": schedules.get(config["learning_rate"])} if config else {})
