"""Models: graphs of layers that run, train, and keep weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import backend
from minicnn.config import config
from minicnn.layers.base import Layer
from minicnn.layers.inputs import InputLayer
from minicnn.layers.naming import automatic_name
from minicnn.layers.symbols import Node, Symbol, unique
from minicnn.model import running, saving
from minicnn.model.config import model_config
from minicnn.model.derived import Derived
from minicnn.model.graph import order
from minicnn.model.plan import Pass
from minicnn.model.plans import Plans, is_ours
from minicnn.model.summary import summary
from minicnn.names import snake_case, unknown
from minicnn.tensor import Tensor, Weight
from minicnn.training import loop, steps
from minicnn.training.compiled import Compiled

Tap = Callable[[Node, Any], Any]


class Model(Layer):
    """The layers between `inputs` and `outputs` (a symbol each, or lists). A model is a layer: others can call it.

    The inputs may lie inside another model: Model(m.get_layer("a").output, m.output) is the part behind layer a, and
    shares its weights. Raises ValueError where an output depends on an Input that is not given, or where two layers
    share a name. A subclass with a `call` of its own, on layers that are its attributes, trains too; what asks for the
    graph (summary, run, files) is for models from inputs to outputs.
    """

    automatic_prefix = "functional"
    way_to_build = "only Model(inputs, outputs) has a graph of layers"
    __setattr__ = object.__setattr__  # type: ignore[assignment]  # a step counts here, and no plan depends on that

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None, trainable: bool = True):
        own = "automatic_prefix" not in vars(type(self))  # a class of the user's: its models are called by its name
        prefix = snake_case(type(self).__name__) if own else self.automatic_prefix
        super().__init__(name=name or automatic_name(prefix), trainable=trainable)
        self.named = name is not None
        self.compiled: Compiled | None = None
        self.stop_training = False
        self.derived = Derived()
        self.step = 0
        self._connected = self._plain = False
        self._witness: Weight | None = None
        if inputs is not None or outputs is not None:
            self.connect(inputs, outputs)

    def connect(self, inputs: Any, outputs: Any) -> None:
        """Makes this the model from `inputs` to `outputs`."""
        self.many_inputs, self.many_outputs = isinstance(inputs, list | tuple), isinstance(outputs, list | tuple)
        self.inputs: list[Symbol] = list(inputs) if self.many_inputs else [inputs]
        self.outputs: list[Symbol] = list(outputs) if self.many_outputs else [outputs]
        for what, symbols in (("inputs", self.inputs), ("outputs", self.outputs)):
            wrong = [s for s in symbols if not isinstance(s, Symbol)]
            if wrong or not symbols:
                shown = repr(wrong[0]) if wrong else "none"
                raise ValueError(f"{self.name}: {what} must be symbols, as Input and layers give them, got {shown}")
        with self.named_errors():
            reached, ordered = order(self.inputs, self.outputs)
        entrances = unique([s.node for s in self.inputs])
        steps = [node for node in reached if node not in entrances]
        # Where a model begins inside another one, an input layer of its own stands for what lies before.
        inner = {s.node.layer: s for s in self.inputs if not isinstance(s.node.layer, InputLayer)}
        own = {layer: InputLayer(s.shape[1:], name=f"{layer.name}_input", dtype=s.dtype) for layer, s in inner.items()}
        still_used = {node.layer for node in steps}
        self._layers: list[Layer] = []
        for layer in ordered:
            if layer in own:
                self._layers.append(own[layer])
            if layer not in own or layer in still_used:
                self._layers.append(layer)
        self.nodes: list[Node] = [own[n.layer].calls[0] if n.layer in own else n for n in entrances] + steps
        self.steps = steps  # those that compute, each after its parents
        self._positions = {node: position for position, node in enumerate(steps)}
        self._check_names()
        self.built = self._connected = True
        self.plans, self._witness = Plans(), None
        self._plain = all(is_ours(layer) for layer in self._layers)
        if not self._trainable:
            self.trainable = False

    def _check_names(self) -> None:
        names = [layer.name for layer in self.layers]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            shown = ", ".join(map(repr, twice))
            raise ValueError(f"{self.name}: layer names must be unique, but {shown} stands for several layers")

    # Structure -----------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers in Keras's order; arithmetic on symbols is not among them."""
        return [layer for layer in self._layers if not layer.hidden] if self._connected else super().sublayers

    @property
    def sublayers(self) -> list[Layer]:
        """The layers: what weights and penalties are gathered from."""
        return self.layers

    @property
    def weights(self) -> list[Weight]:
        """All weights, in Keras's order."""
        return self._gathered("weights")

    @property
    def penalties(self) -> list[tuple[Weight, Any]]:
        """Pairs of a weight and its regularizer; a shared layer counts once."""
        return self._gathered("penalties")

    def _gathered(self, what: str) -> list:
        """A property of Layer's; where all layers are ours, which have none inside, it is kept as a plan is."""
        find = getattr(Layer, what).fget
        if not self._plain or self.own_weights:
            return find(self)
        return list(self.plans.get(what, self.nodes, lambda: find(self)))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place in `layers`. Raises ValueError where there is none."""
        if (name is None) == (index is None):
            raise ValueError(f"{self.name}: get_layer takes a name or an index, got name={name!r}, index={index!r}")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"{self.name}: there are {len(self.layers)} layers, got the index {index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{self.name}: {unknown('layer', name, [layer.name for layer in self.layers])}")

    @property
    def input(self) -> Any:
        """The input symbol, or the list of them."""
        self._need_graph()
        return self.inputs if self.many_inputs else self.inputs[0]

    @property
    def output(self) -> Any:
        """The output symbol, or the list of them."""
        self._need_graph()
        return self.outputs if self.many_outputs else self.outputs[0]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, (None, H, W, C), or a list."""
        return [s.shape for s in self.input] if self.many_inputs else self.input.shape

    @property
    def output_names(self) -> list[str]:
        """The name of the layer that gives each output; several of the same layer are numbered from _0 on."""
        self._need_graph()
        names = [s.name for s in self.outputs]
        return [n if names.count(n) == 1 else f"{n}_{names[:i].count(n)}" for i, n in enumerate(names)]

    def _need_graph(self) -> None:
        if not self._connected:
            with self.named_errors():
                raise ValueError(f"it is not built yet: {self.way_to_build}")

    @property
    def step(self) -> int:
        """How many training steps were done: what is random in step n depends on n alone. Set it to resume a run."""
        return self._step

    @step.setter
    def step(self, value: int) -> None:
        self._step, self._passes = value, 0

    # Running -------------------------------------------------------------------------------------------------------

    def output_shape(self, shape):
        self._need_graph()
        given = shape if isinstance(shape, list) else [shape]
        self._check_shapes(given)
        found = dict(zip(map(id, self.inputs), given, strict=True))
        for node in self.steps:
            result = node.layer.output_shape(node.arrange([found[id(p)] for p in node.parents]))
            results = result if isinstance(result, list) else [result]
            found.update(zip(map(id, node.outputs), results, strict=True))
        shapes = [found[id(s)] for s in self.outputs]
        return shapes if self.many_outputs else shapes[0]

    def multiply_adds(self, input_shape=None, output_shape=None):
        """Multiply-adds of one image through the whole model."""
        self._need_graph()
        return sum(node.multiply_adds() for node in self.steps)

    def __call__(self, inputs: Any, training: bool | None = None, plan: bool = False) -> Any:
        """As for any layer; several inputs also as a dict by the names of the input layers.

        plan: whether layers that follow each other run at once (`minicnn.model.plan`), as in fit, evaluate and predict.
        It is faster and needs less memory, the numbers are the same within rounding; but a probe sees no edge inside of
        what ran at once.
        """
        inputs = self._by_name(inputs) if isinstance(inputs, dict) else inputs
        items = inputs if isinstance(inputs, list | tuple) else [inputs]
        if plan and not any(isinstance(x, Symbol) for x in items):
            return self._call_on_numbers(inputs, training, plan=True)
        return super().__call__(inputs, training)

    def _by_name(self, x: dict[str, Any]) -> Any:
        """A dict of inputs in the order of the inputs. Raises ValueError where a name is missing or unknown."""
        self._need_graph()
        names = [s.name for s in self.inputs]
        if set(x) != set(names):
            given = ", ".join(map(repr, x))
            raise ValueError(f"{self.name}: the inputs are {', '.join(map(repr, names))}, got {given}")
        return [x[name] for name in names] if self.many_inputs else x[names[0]]

    def run(self, x: Any, training: bool = False, tap: Tap | None = None, plan: bool = False) -> Any:
        """The output(s) for x. tap(node, output) sees every layer's output; what it returns, if anything, replaces it.

        plan: as in a call; with a tap every layer runs on its own.

        Lesions, scales, statistics: `m.run(x, tap=lambda node, y: y * 0 if node.layer.name == "block3_add" else None)`.
        """
        x = self._by_name(x) if isinstance(x, dict) else x
        many = isinstance(x, list | tuple)
        tensors = [self.to_tensor(t) for t in x] if many else self.to_tensor(x)
        self._need_graph_for(tensors)
        with self.named_errors():
            return self._run_graph(tensors, training, self._key(training), tap, plan)

    def call(self, x, training, key, plan=False):
        self._need_graph_for(x)
        return self._run_graph(x, training, self._key(training) if key[:1] == ("eager",) else key, None, plan)

    def _need_graph_for(self, x: Any) -> None:
        self._need_graph()

    def _run_graph(self, x: Any, training: bool, key: tuple, tap: Tap | None, plan: bool) -> Any:
        context = Pass(training, key, plan and tap is None, self._positions, self.derived)
        found = running.run(self, self._entering(x), context, tap)
        return found if self.many_outputs else found[0]

    def _entering(self, x: Any) -> dict[int, Tensor]:
        """The inputs by their symbols. Raises ValueError where their number or their shapes do not fit."""
        given = list(x) if isinstance(x, list | tuple) else [x]
        self._check_shapes([tensor.shape for tensor in given])
        return {id(s): t for s, t in zip(self.inputs, given, strict=True)}

    def _check_shapes(self, given: list) -> None:
        """Raises ValueError unless the shapes fit the inputs; None fits any size."""
        if len(given) != len(self.inputs):
            raise ValueError(f"expected {len(self.inputs)} input(s), got {len(given)}")
        for symbol, shape in zip(self.inputs, given, strict=True):
            if not alike(symbol.shape, shape):
                raise ValueError(f"expected an input of shape {symbol.shape}, got {tuple(shape)}")

    def _key(self, training: bool) -> tuple:
        """What random numbers of this pass depend on: the step, and the how manieth training pass of the step it is."""
        if not training:
            return ("inference",)
        self._passes += 1
        return ("step", self.step, self._passes)

    @property
    def backend(self) -> backend.Backend:
        """The kernels of the device on which the weights live."""
        weight = self._first_weight()
        return backend.get("cpu") if weight is None else backend.backend_of(weight.data)

    def _first_weight(self) -> Any:
        """A weight, which shows the device and the type of all; None where there is none. Ours stay, once found."""
        found = self._witness
        if found is None:
            some = self.own_weights or next(filter(None, (layer.weights for layer in self.layers)), [])
            found = some[0] if some else None
            self._witness = found if self._plain else None
        return found

    def to_tensor(self, x):
        if isinstance(x, Tensor):
            return x
        weight = self._first_weight()
        dtype = np.dtype(config.floatx) if weight is None else weight.dtype
        array = self.backend.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{self.name}: expected numbers, got an array of {array.dtype}")
        return Tensor(array.astype(dtype, copy=False))

    def to(self, device: str) -> "Model":
        """Moves the weights to "cpu", "gpu" or "gpu:1"; returns the model. Raises DeviceError where there is none."""
        target = backend.get(device)
        for weight in self.weights:
            weight.data, weight.grad = target.asarray(backend.to_numpy(weight.data)), None
            weight.touch()
        self.derived.clear()
        if self.compiled is not None:
            self.compiled.optimizer.to(target)
        return self

    # Training ------------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "sgd",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Says how to train: an optimizer, a loss (for each output), metrics; by name or object, as in Keras."""
        names = self.output_names if self._connected else None
        self.compiled = Compiled(optimizer, loss, metrics, loss_weights, weighted_metrics, names)

    @property
    def optimizer(self) -> Any:
        """The optimizer that compile() set."""
        return None if self.compiled is None else self.compiled.optimizer

    @property
    def metrics_names(self) -> list[str]:
        """The names of what evaluate() returns, in its order; the metrics' once a batch has shown which they are."""
        return [] if self.compiled is None else list(self.compiled.results())

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: Any = "auto",
        **options: Any,
    ):
        """Trains for `epochs` passes over x and y; returns a History. See `minicnn.training.loop.fit`."""
        self.history = loop.fit(self, x, y, batch_size, epochs, verbose, **options)
        return self.history

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = 32, verbose: Any = "auto", **options: Any
    ):
        """The loss and metrics on x and y. See `minicnn.training.loop.evaluate`."""
        return loop.evaluate(self, x, y, batch_size, verbose, **options)

    def predict(self, x: Any, batch_size: int | None = 32, verbose: Any = "auto", **options: Any):
        """The outputs for x as NumPy arrays. See `minicnn.training.loop.predict`."""
        return loop.predict(self, x, batch_size, verbose, **options)

    def train_on_batch(self, x: Any, y: Any = None, **options: Any):
        """One step on one batch; its loss and metrics. See `minicnn.training.steps.train_on_batch`."""
        return steps.train_on_batch(self, x, y, **options)

    def test_on_batch(self, x: Any, y: Any = None, **options: Any):
        """The loss and metrics of one batch. See `minicnn.training.steps.test_on_batch`."""
        return steps.test_on_batch(self, x, y, **options)

    def predict_on_batch(self, x: Any, **options: Any):
        """The outputs for one batch as NumPy arrays."""
        return steps.predict_on_batch(self, x, **options)

    # Words and files -----------------------------------------------------------------------------------------------

    def summary(self, **options: Any) -> None:
        """Prints the table of layers. See `minicnn.model.summary.summary`."""
        self._need_graph()
        summary(self, **options)

    def save(self, path: Any, overwrite: bool = True) -> None:
        """Writes all of the model to a .keras file, which Keras 3 opens too: `minicnn.model.keras_model.save_model`."""
        from minicnn.model.keras_model import save_model

        self._need_graph()
        save_model(self, path, overwrite)

    def save_weights(self, path: Any) -> None:
        """Writes all weights to a .safetensors or .weights.h5 file. See `minicnn.model.saving.save_weights`."""
        self._need_graph()
        saving.save_weights(self, path)

    def load_weights(self, path: Any) -> None:
        """Reads all weights from a file; all fit, or none is written. See `minicnn.model.saving.load_weights`."""
        self._need_graph()
        saving.load_weights(self, path)

    def get_config(self) -> dict[str, Any]:
        """The layers and how they are connected, as plain data in the form of Keras 3."""
        self._need_graph()
        return model_config(self)

    @classmethod
    def from_config(cls, settings: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> "Model":
        """The model that `get_config` describes, with new weights. See `minicnn.model.rebuilding.model_from_config`."""
        from minicnn.model.rebuilding import model_from_config

        return model_from_config(settings, custom_objects)


def alike(one: tuple, other: tuple) -> bool:
    """Whether two shapes are the same where both are known."""
    if len(one) != len(other):
        return False
    for n, m in zip(one, other, strict=True):
        if n != m and n is not None and m is not None:
            return False
    return True
