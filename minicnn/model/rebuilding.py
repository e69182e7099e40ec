"""Models from their configs, in the forms of Keras 3 (which is ours too) and of Keras 2.

A config is untrusted data. Layers are looked up in a fixed table (`minicnn.model.rebuilt_layers`), no code in it is
ever run, and weights take memory only when the file's own arrays take their place.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicnn.formats import FormatError, keras_files
from minicnn.layers.base import Layer
from minicnn.layers.initializers import stand_ins
from minicnn.layers.inputs import InputLayer
from minicnn.layers.symbols import Symbol
from minicnn.model.keras_model import restore_optimizer
from minicnn.model.matching import automatic
from minicnn.model.model import Model
from minicnn.model.rebuilt_layers import Custom, make_layer, name_of
from minicnn.model.saving import load_stored
from minicnn.model.sequential import Sequential

Place = tuple[str, int, int]  # layer, which of its calls, which of its outputs
MODELS: dict[str, type[Model]] = {"Functional": Model, "Model": Model, "Sequential": Sequential}


def load_model(path: str | Path, custom_objects: Custom | None = None, compile: bool = True) -> Model:
    """The model in a .keras file, or in an .h5 file of a whole model, with its weights.

    compile: as the file says, where it is a .keras file and names an optimizer, losses and metrics that we have; the
    optimizer goes on with its state.

    custom_objects: layer classes and activations by the names that the file has for them; for a Lambda the function,
    by the layer's name (or by "Lambda" for all of them). Code in a file is never run.
    Raises ValueError that names a layer or an argument that we do not have; FormatError for a damaged file, and for one
    that holds weights alone; FileNotFoundError for none; ImportError without h5py.
    """
    path = Path(path)
    if path.suffix not in (".keras", ".h5"):
        raise ValueError(f"models are read from .keras or .h5 files, got {str(path)!r}")
    file = keras_files.read(path)
    config = file.config
    if config is None:
        raise FormatError(f"{path} holds weights and no model: build the model, then model.load_weights({str(path)!r})")
    with stand_ins():
        model = _guarded(f"{path}: its config", lambda: make_model(config, custom_objects or {}), custom_objects)
    if not model.built:
        raise ValueError(f"{path}: the shape of the model's input is not in the file: build it, then load its weights")
    load_stored(model, file.layers, path)
    if compile:
        _compile(model, config.get("compile_config"), file.optimizer)
    return model


def _compile(model: Model, config: Any, variables: Sequence[Any]) -> None:
    """Compiles the model as a config says; leaves it alone where that names something that we do not have."""
    names = ("optimizer", "loss", "metrics", "loss_weights", "weighted_metrics")
    if isinstance(config, dict):
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            model.compile(**{name: config[name] for name in names if config.get(name) is not None})
            restore_optimizer(model, variables)


def model_from_config(config: dict[str, Any], custom_objects: Custom | None = None) -> Model:
    """The model that `Model.get_config` or Keras's `model.to_json()` describes, with new weights.

    Takes {class_name, config} or the inner config alone. Raises ValueError as `load_model` does.
    """
    if "class_name" not in config:
        config = {"class_name": "Functional" if "input_layers" in config else "Sequential", "config": config}
    return _guarded("the config", lambda: make_model(config, custom_objects or {}), custom_objects)


def _guarded(what: str, make: Callable[[], Any], custom: Custom | None) -> Any:
    """What `make` gives. What else damaged data, or somebody's own objects, make Python raise becomes a ValueError."""
    try:
        return make()
    except (TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError, ArithmeticError) as error:
        text = f"{type(error).__name__}: {error}"
        own = f", or an error came from your custom_objects ({', '.join(custom)})" if custom else ""
        raise FormatError(f"{what} is damaged, or of a form that is not known{own}: {text[:200]}") from error


# Models --------------------------------------------------------------------------------------------------------------


def make_model(entry: dict[str, Any], custom: Custom) -> Model:
    """The model of {class_name, config}. Raises ValueError for a model that is neither Sequential nor functional."""
    kind, config = entry.get("class_name"), entry.get("config")
    if kind not in MODELS:
        raise ValueError(f"a model of the class {kind!r} cannot be rebuilt, only Sequential and functional ones")
    model: Model
    if kind == "Sequential":
        model = _sequential(config if isinstance(config, dict) else {"layers": config}, custom)
    else:
        model = _functional(config, custom)
    model.named = not automatic(model)
    return model


def _part(entry: dict[str, Any], custom: Custom) -> Layer:
    """A layer, or a model that stands for one."""
    return (make_model if entry["class_name"] in MODELS else make_layer)(entry, custom)


def _sequential(config: Any, custom: Custom) -> Sequential:
    made = [_part(entry, custom) for entry in config["layers"]]
    model = Sequential(made, name=config.get("name"), trainable=config.get("trainable", True))
    shape = config.get("build_input_shape")
    if not model.built and isinstance(shape, list):
        model.build(tuple(shape))
    return model


def _functional(config: Any, custom: Custom) -> Model:
    entries = {name_of(entry): entry for entry in config["layers"]}
    if len(entries) != len(config["layers"]):
        raise ValueError("two layers of the model have the same name")
    made = {name: _part(entry, custom) for name, entry in entries.items()}
    nodes = {name: entry["inbound_nodes"] for name, entry in entries.items()}
    calls = [_call(name, i, inbound) for name, some in nodes.items() for i, inbound in enumerate(some)]
    ends = {key: _ends(config[key]) for key in ("input_layers", "output_layers")}
    _renumber(calls, [places for places, _ in ends.values()])
    symbols = _connect(made, calls)
    # Keras 2 lists its only output too, Keras 3 where the model was made with a list
    lists = any(isinstance(inbound, dict) for some in nodes.values() for inbound in some)

    def end(key: str) -> Any:
        places, several = ends[key]
        found = [_symbol(symbols, place) for place in places]
        return found if len(found) > 1 or (several and lists) else found[0]

    common = {"name": config.get("name"), "trainable": config.get("trainable", True)}
    return Model(end("input_layers"), end("output_layers"), **common)


@dataclass
class Call:
    """One call of a layer as a config tells it. places: (layer, which of its calls, which output) of each input."""

    layer: str
    number: int
    places: list[Place]
    many: bool
    training: bool | None


def _call(name: str, number: int, inbound: Any) -> Call:
    """A call: {"args": [T or [T, ...]], "kwargs": {}} in Keras 3's form, [["layer", 0, 0, {}], ...] in Keras 2's."""
    kwargs: dict[str, Any] = {}
    if isinstance(inbound, dict):
        if len(inbound["args"]) != 1:
            raise ValueError(
                f"{name}: a layer takes one input or one list of them, here {len(inbound['args'])} arguments"
            )
        many, kwargs = isinstance(inbound["args"][0], list), dict(inbound["kwargs"])
        tensors = inbound["args"][0] if many else [inbound["args"][0]]
        if not all(isinstance(t, dict) and t.get("class_name") == "__keras_tensor__" for t in tensors):
            raise ValueError(f"{name}: every input of a layer must be the output of another, got {str(tensors)[:80]}")
        places = [_place(t["config"]["keras_history"]) for t in tensors]
        if not inbound.get("fixed"):  # Keras 3 writes a `training` that it overrides at each call of the model
            kwargs.pop("training", None)
    else:
        tensors = [inbound] if inbound and isinstance(inbound[0], str) else inbound
        many, places = len(tensors) > 1, [_place(t[:3]) for t in tensors]
        for tensor in tensors:
            kwargs |= tensor[3] if len(tensor) > 3 else {}
    training = kwargs.pop("training", None)
    wrong = [key for key, value in kwargs.items() if value is not None]
    if wrong or training not in (None, True, False):
        key = wrong[0] if wrong else "training"
        value = str(kwargs.get(key, training))[:80]
        raise ValueError(f"{name}: the argument {key}={value} of its call is not supported")
    return Call(name, number, places, many, training)


def _place(history: Any) -> Place:
    layer, call, output = history
    if not isinstance(layer, str) or not isinstance(call, int) or not isinstance(output, int):
        raise ValueError(f"expected [layer, call, output], got {str(history)[:80]}")
    return layer.replace("/", "_"), call, output


def _ends(config: Any) -> tuple[list[Place], bool]:
    """The inputs or outputs of a model, and whether they stand in a list: ["name", 0, 0] or [["name", 0, 0], ...]."""
    if isinstance(config, dict):
        names = ", ".join(map(str, config))
        raise ValueError(f"models with a dictionary of inputs or outputs are not supported, got {names}")
    if len(config) == 3 and isinstance(config[0], str):
        return [_place(config)], False
    return [_place(history) for history in config], True


def _renumber(calls: list[Call], ends: list[list[Place]]) -> None:
    """Counts each layer's calls from 0 in all places. Keras 2 begins at 1 where a nested model was made with its input.

    Every call that a config lists is the source of something, so the numbers in use are known.
    """
    listed = Counter(call.layer for call in calls)
    used: dict[str, set[int]] = {}
    lists = [call.places for call in calls] + ends
    for layer, number, _ in (place for places in lists for place in places):
        used.setdefault(layer, set()).add(number)
    known = {layer: sorted(numbers) for layer, numbers in used.items() if len(numbers) == listed[layer]}
    new = {layer: {n: i for i, n in enumerate(numbers)} for layer, numbers in known.items()}
    for places in lists:
        places[:] = [(layer, new[layer][n] if layer in new else n, output) for layer, n, output in places]


def _connect(made: dict[str, Layer], calls: list[Call]) -> dict[Place, Symbol]:
    """Makes the calls, each after those that it depends on and after the earlier ones of its layer.

    Raises ValueError where that is not possible.
    """
    symbols = {(name, 0, 0): layer.output for name, layer in made.items() if isinstance(layer, InputLayer)}
    ready = deque((name, 0) for name, _, _ in symbols)
    needs: list[set[tuple[str, int]]] = []
    waiting: dict[tuple[str, int], list[int]] = {}
    for index, call in enumerate(calls):
        if isinstance(made[call.layer], InputLayer):
            raise ValueError(f"{call.layer}: an input cannot be called")
        needs.append({place[:2] for place in call.places} | ({(call.layer, call.number - 1)} if call.number else set()))
        for need in needs[-1]:
            waiting.setdefault(need, []).append(index)
    while ready:
        finished = ready.popleft()
        for index in waiting.get(finished, []):
            needs[index].discard(finished)
            if not needs[index]:
                symbols |= _make(made, calls[index], symbols)
                ready.append((calls[index].layer, calls[index].number))
    stuck = next((call for call, left in zip(calls, needs, strict=True) if left or not call.places), None)
    if stuck is not None:
        raise ValueError(f"the graph is broken: nothing gives the inputs of {stuck.layer!r}")
    return symbols


def _make(made: dict[str, Layer], call: Call, symbols: dict[Place, Symbol]) -> dict[Place, Symbol]:
    """The outputs of one call."""
    arguments = [_symbol(symbols, place) for place in call.places]
    result = made[call.layer](arguments if call.many else arguments[0], training=call.training)
    outputs = result if isinstance(result, list) else [result]
    return {(call.layer, call.number, symbol.index): symbol for symbol in outputs}


def _symbol(symbols: dict[Place, Symbol], place: Place) -> Symbol:
    if place not in symbols:
        raise ValueError(f"the graph is broken: there is no output {place[2]} of call {place[1]} of {place[0]!r}")
    return symbols[place]
