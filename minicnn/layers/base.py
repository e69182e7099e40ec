"""What a layer is, and the symbols that it gives when it is called before there are numbers.

A layer needs `call(x, training)`. `build(shape)` makes its weights, `output_shape(shape)` says its shape without
running it. Called on a Symbol it gives a Symbol, and the graph grows by a node; called on a Tensor or an array, a
Tensor.
"""

import inspect
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.backend import backend_of
from minicnn.config import FLOAT_TYPES, config
from minicnn.layers import activations, initializers, regularizers
from minicnn.layers.naming import automatic_name
from minicnn.layers.symbols import Node, Shape, Symbol, shapes_of, unique
from minicnn.names import snake_case
from minicnn.names import unknown as unknown_name
from minicnn.tensor import Tensor, Weight, apply, no_grad, scope

NO_LAYERS = frozenset({bool, int, float, str, type(None), dict, np.ndarray, Tensor, Weight})
OWN_LISTS = frozenset({"own_weights", "calls", "_penalties"})
UNKNOWN = (97, 89)  # stand in for a height and a width that are not known; odd enough to be found again in the result


class _Caller(threading.local):
    """The layer that runs at the moment: the layers that its `call` calls take their key and their mode from it."""

    key: tuple = ()
    training = False
    calls = 0


_caller = _Caller()


class _running:
    """Says to the layers called inside what their random numbers depend on, and whether this is training."""

    def __init__(self, key: tuple, training: bool):
        self.key, self.training = key, training

    def __enter__(self):
        self.before = _caller.key, _caller.training, _caller.calls
        _caller.key, _caller.training, _caller.calls = self.key, self.training, 0

    def __exit__(self, *_):
        _caller.key, _caller.training, _caller.calls = self.before


class _NamedErrors:
    """What `Layer.named_errors` gives: a class, since a step enters it for each layer."""

    def __init__(self, layer: "Layer"):
        self.layer = layer

    def __enter__(self):
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ValueError) and getattr(error, "layer", None) is None:
            named = ValueError(f"{self.layer.name}: {error}")
            named.layer = self.layer  # type: ignore[attr-defined]
            raise named from error


class Layer:
    """A function with weights. Subclass it with `call(x, training)`, and `build(shape)` where it has weights.

    A layer that is an attribute of another (or in a list that is one) belongs to it: its weights are found there.
    `hidden` layers do the arithmetic on symbols and are not in model.layers, as in Keras.
    """

    hidden = False
    settings = object()  # another one once an attribute of any layer is set: what is made of layers stands until then
    _wants: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._wants = frozenset(inspect.signature(cls.call).parameters) & {"training", "key", "plan"}

    def __init__(self, name: str | None = None, trainable: bool = True, dtype: str | None = None, **unknown):
        kind = type(self).__name__
        self.input_shape_argument = unknown.pop("input_shape", None)  # Sequential's first layer may say it, as in Keras
        if unknown:
            known = [
                p for p in inspect.signature(type(self).__init__).parameters if p not in ("self", "common", "unknown")
            ]
            known += ["name", "trainable", "dtype"]
            wrong = next(iter(unknown))
            raise TypeError(f"{kind}: {unknown_name('argument', wrong, known)}")
        if name is not None and (not isinstance(name, str) or "/" in name or not name):
            raise ValueError(f"{kind}: a name must be a string without '/', got {name!r}")
        if dtype is not None and dtype not in FLOAT_TYPES:
            raise ValueError(f"{kind}: dtype must be one of {', '.join(FLOAT_TYPES)}, got {dtype!r}")
        self.named = name is not None
        self.name = name or automatic_name(snake_case(kind))
        self.dtype = dtype or config.floatx
        self.built = False
        self.calls: list[Node] = []
        self.own_weights: list[Weight] = []
        self._penalties: list[tuple[Weight, Any]] = []
        self._trainable = bool(trainable)
        self._eager_calls = 0

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        Layer.settings = object()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        Layer.settings = object()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"

    # What a subclass writes ----------------------------------------------------------------------------------------

    def build(self, shape: Any) -> None:
        """Makes the weights, with `add_weight`. shape: of the input, (None, H, W, C), or a list of shapes."""

    def call(self, x: Any, training: bool = False) -> Any:
        """The output for x (a Tensor, or a list of them). May take `training` and, where it draws numbers, `key`."""
        raise NotImplementedError(f"{type(self).__name__} has no call(self, x, training)")

    def output_shape(self, shape: Any) -> Any:
        """The shape of the output. Without a method of its own a layer runs once on zeros to find it."""
        return self.run_on_stand_in(shape)

    def multiply_adds(self, input_shape: Any, output_shape: Any) -> int:
        """Multiplications with additions that one image costs, in the forward pass; what is not a matrix product is
        0."""
        return 0

    # Weights -------------------------------------------------------------------------------------------------------

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        regularizer: Any = None,
    ) -> Weight:
        """A new weight of this layer, called `layer/name`. Trainable ones come before statistics in `weights`."""
        if any(n is None for n in shape):
            raise ValueError(f"the shape of {name} is not known: {tuple(shape)}; give the input's channels a size")
        if any(weight.name == f"{self.name}/{name}" for weight in self.own_weights):
            raise ValueError(f"it has a weight named {name!r} already")
        value = initializers.first_value(initializer, tuple(shape), self.dtype)
        weight = Weight(value, f"{self.name}/{name}", trainable)
        weight.requires_grad = trainable and self._trainable
        self.own_weights = [*self.own_weights, weight]  # a new list: what is kept of the old one is out of date
        if regularizer is not None:
            self._penalties = [*self._penalties, (weight, regularizers.get(regularizer))]
        return weight

    @property
    def sublayers(self) -> list["Layer"]:
        """The layers that are attributes of this one, or stand in a list that is, in the order of their making."""
        found: list[Layer] = []
        for name, value in vars(self).items():  # asked for at each step, of every layer: what cannot be one goes by
            kind = type(value)
            if kind in NO_LAYERS or name in OWN_LISTS:
                continue
            if isinstance(value, Layer):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                found += [x for x in value if isinstance(x, Layer)]
        return found

    @property
    def weights(self) -> list[Weight]:
        """All weights: the own trainable ones, the own statistics, then those of the sublayers (Keras's order)."""
        own = sorted(self.own_weights, key=lambda w: not w.trainable)
        return unique(own + [w for layer in self.sublayers for w in layer.weights])

    @property
    def trainable_weights(self) -> list[Weight]:
        """The weights that a training step changes; none where `trainable` is False."""
        return [w for w in self.weights if w.requires_grad]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The statistics, and everything that is frozen."""
        return [w for w in self.weights if not w.requires_grad]

    @property
    def trainable(self) -> bool:
        """Whether a training step may change the weights. A frozen BatchNormalization infers, also in training."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for weight in self.own_weights:
            weight.requires_grad = weight.trainable and self._trainable
        for layer in self.sublayers:
            layer.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights as NumPy arrays, in the order of `weights`."""
        return [w.numpy().copy() for w in self.weights]

    def set_weights(self, values: Sequence[Any]) -> None:
        """Writes all weights, in the order of `weights`. Raises ValueError, and writes none, where shapes do not
        fit."""
        weights, values = self.weights, list(values)
        if len(values) != len(weights):
            raise ValueError(f"{self.name}: set_weights takes {len(weights)} arrays, got {len(values)}")
        wrong = [
            f"{w.name} {w.shape} from {np.shape(v)}"
            for w, v in zip(weights, values, strict=True)
            if w.shape != np.shape(v)
        ]
        if wrong:
            raise ValueError(f"{self.name}: {len(wrong)} of {len(weights)} shapes do not fit: {'; '.join(wrong[:5])}")
        for weight, value in zip(weights, values, strict=True):
            weight.assign(value)

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        return sum(w.size for w in self.weights)

    def regularization(self) -> Tensor | None:
        """The sum of the penalties on the weights that train, as a tensor; None where there are none."""
        total = None
        for term in self.losses:
            total = term if total is None else total + term
        return total

    @property
    def penalties(self) -> list[tuple[Weight, Any]]:
        """Pairs of a weight and its regularizer, sublayers included; a shared layer counts once."""
        return unique(self._penalties + [pair for layer in self.sublayers for pair in layer.penalties])

    @property
    def losses(self) -> list[Tensor]:
        """The penalties on the weights that train, each as a tensor (Keras's name)."""
        return [penalty(weight) for weight, penalty in self.penalties if weight.requires_grad]

    # Calls ---------------------------------------------------------------------------------------------------------

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """A Symbol for symbols, a Tensor for tensors and arrays. Errors begin with the layer's name.

        training: unless given, as the layer runs that calls this one; outside of layers False.
        """
        if not hasattr(self, "own_weights"):
            raise TypeError(f"{type(self).__name__}.__init__ must call super().__init__() before anything else")
        if not isinstance(training, bool | int | np.bool_ | None):
            got = type(training).__name__
            raise TypeError(f"{self.name}: training must be True or False, got a {got}; several inputs go in a list")
        many = isinstance(inputs, list | tuple)
        items = list(inputs) if many else [inputs]
        if any(isinstance(x, Symbol) for x in items):
            wrong = [type(x).__name__ for x in items if not isinstance(x, Symbol)]
            if wrong:
                raise TypeError(f"{self.name}: symbols and {', '.join(wrong)} in one call; put constants into a Lambda")
            return self._connect(items, many, training)
        return self._call_on_numbers(inputs, training)

    def _call_on_numbers(self, inputs: Any, training: bool | None, **extras: Any) -> Any:
        many = isinstance(inputs, list | tuple)
        tensors = [self.to_tensor(x) for x in inputs] if many else self.to_tensor(inputs)
        training = _caller.training if training is None else bool(training)
        return self.compute(tensors, training, self._key_of_a_call(), **extras)

    def _key_of_a_call(self) -> tuple:
        """Inside another layer its key and the place of this call in it; else the name, and the calls so far."""
        if _caller.key:
            _caller.calls += 1
            return *_caller.key, _caller.calls
        self._eager_calls += 1
        return "eager", self.name, self._eager_calls

    def compute(self, inputs: Any, training: bool, key: tuple = (), call: int = 0, plan: bool = False) -> Any:
        """`call` on tensors, its ops noted under this layer's name.

        key: what random numbers depend on.   plan: for a model, as in its __call__
        """
        with self.named_errors(), scope(self.name, call), _running(key, training):
            self.ensure_built(shapes_of(inputs))
            extras: dict[str, Any] = {"training": training, "key": key, "plan": plan}
            y = self.call(inputs, **{name: extras[name] for name in self._wants})
            self._check_tensors(y)
            if y is inputs if isinstance(inputs, Tensor) else any(y is x for x in inputs):
                # A layer that does nothing has an edge of its own, as any other.
                before, y = y, apply(ops.Identity(), y)
                y.logits = before.logits
            return y

    def _check_tensors(self, y: Any) -> None:
        """Raises TypeError where `call` returned something else: an array would stop the gradient without a word."""
        if isinstance(y, Tensor):
            return
        results = y if isinstance(y, list | tuple) else [y]
        wrong = [type(result).__name__ for result in results if not isinstance(result, Tensor)]
        if wrong:
            raise TypeError(f"{self.name}: a layer's call must return a Tensor, or a list of them, got {wrong[0]}")

    def to_tensor(self, x: Any) -> Tensor:
        """x as a tensor on the device and, if it is not a tensor yet, in the type of this layer."""
        if isinstance(x, Tensor):
            return x
        home = self.own_weights[0].data if self.own_weights else None
        if home is None and type(x).__module__.partition(".")[0] == "cupy":
            home = x
        data = backend_of(home).asarray(x) if home is not None else np.asarray(x)
        if data.dtype.kind not in "fiub":
            raise TypeError(f"{self.name}: expected numbers, got an array of {data.dtype}")
        return Tensor(data.astype(self.dtype, copy=False))

    def ensure_built(self, shape: Any) -> None:
        """Calls `build` the first time."""
        if not self.built:
            self.build(shape)
            self.built = True
            if not self._trainable:
                self.trainable = False  # sublayers too, which were made after it was said

    def _connect(self, parents: list[Symbol], many: bool, training: bool | None) -> Any:
        shapes = [p.shape for p in parents]
        with self.named_errors():
            shape = shapes if many else shapes[0]
            self.ensure_built(shape)
            result = self.output_shape(shape)
        node = Node(self, parents, many, training)
        several = isinstance(result, list)
        node.outputs = [Symbol(s, node, i, self.dtype) for i, s in enumerate(result if several else [result])]
        return node.outputs if several else node.outputs[0]

    def named_errors(self) -> _NamedErrors:
        """Puts the layer's name in front of what a ValueError says inside: `with layer.named_errors():`."""
        return _NamedErrors(self)

    def run_on_stand_in(self, shape: Any) -> Any:
        """The shape(s) of `call` on zeros of batch 1; a height or width that is unknown stays so."""
        many = isinstance(shape, list)

        def fill(s: Shape) -> Tensor:
            unknown = iter(UNKNOWN)
            return Tensor(np.zeros([1] + [next(unknown) if n is None else n for n in s[1:]], self.dtype))

        def clear(size: tuple[int, ...]) -> Shape:
            return (None, *(None if n in UNKNOWN and any(None in s[1:] for s in shapes) else n for n in size[1:]))

        shapes = shape if many else [shape]
        stand_ins = [fill(s) for s in shapes]
        with no_grad(), _running(("stand-in",), False):
            extras: dict[str, Any] = {"training": False, "key": ("stand-in",), "plan": False}
            y = self.call(stand_ins if many else stand_ins[0], **{name: extras[name] for name in self._wants})
        self._check_tensors(y)
        return [clear(t.shape) for t in y] if isinstance(y, list | tuple) else clear(y.shape)

    # Graph and configuration ---------------------------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The symbol(s) that it was called on; ambiguous, and an error, where it was called several times."""
        node = self._only_node("input")
        return node.arrange(node.parents)

    @property
    def output(self) -> Any:
        """The symbol(s) that it gave; ambiguous, and an error, where it was called several times."""
        node = self._only_node("output")
        return node.outputs if len(node.outputs) > 1 else node.outputs[0]

    def _only_node(self, what: str) -> Node:
        if len(self.calls) != 1:
            raise AttributeError(
                f"{self.name} was called {len(self.calls)} times on symbols: `{what}` is not defined; use .calls"
            )
        return self.calls[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again: every parameter of __init__ is an attribute of the same name.

        Raises ValueError where one is not: such a layer writes its own get_config.
        """
        settings: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype}
        parameters = inspect.signature(type(self).__init__).parameters
        named = [n for n, p in parameters.items() if n != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            settings = {n: value for n, value in settings.items() if n in named}
        for name in named:
            if name not in settings:
                if not hasattr(self, name):
                    kind = type(self).__name__
                    advice = f"keep the argument {name!r} as an attribute, or write {kind}.get_config"
                    raise ValueError(f"{self.name}: {advice}")
                settings[name] = serialize(getattr(self, name))
        return settings

    @classmethod
    def from_config(cls, settings: dict[str, Any]) -> "Layer":
        """The layer that `get_config` describes, with new weights."""
        return cls(**settings)


def serialize(value: Any) -> Any:
    """An argument of a layer as plain data: initializers and regularizers as {class_name, config}, activations by
    name."""
    if isinstance(value, initializers.Initializer | regularizers.Regularizer):
        module = "keras.initializers" if isinstance(value, initializers.Initializer) else "keras.regularizers"
        entry = {"class_name": type(value).__name__, "config": value.get_config()}
        return {"module": module, **entry, "registered_name": None}
    return activations.serialize(value) if callable(value) else value
