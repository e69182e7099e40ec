"""A model as plain data, and back: layers, their arguments, and how they are connected. The form is Keras 3's."""

from typing import Any

from minicnn import layers as vocabulary
from minicnn.layers.base import InputLayer, Layer, Symbol
from minicnn.names import unknown

# The layers that a file may name. A class is looked up here and nowhere else: a file cannot make us import anything.
CLASSES: dict[str, type[Layer]] = {
    name: cls for name, cls in vars(vocabulary).items() if isinstance(cls, type) and issubclass(cls, Layer)
}


def layer_config(layer: Layer) -> dict[str, Any]:
    """{class_name, config}: a model's own layers inside."""
    return {"class_name": _class_name(layer), "config": layer.get_config()}


def model_config(model: Any) -> dict[str, Any]:
    """The arguments of a model. Raises ValueError for arithmetic on symbols, which only code can describe."""
    if hasattr(model, "chain"):
        entrance = [layer_config(model.entrance.node.layer)] if model.entrance is not None else []
        return {"name": model.name, "layers": entrance + [layer_config(layer) for layer in model.chain]}
    hidden = next((node.layer for node in model.nodes if node.layer.hidden), None)
    if hidden is not None:
        raise ValueError(f"{model.name}: the operation {hidden.name!r} on symbols has no config; use a layer (Add, Lambda, ...) for it")
    inside = {id(node): node for node in model.nodes}
    listed = []
    for layer in model.layers:
        calls = [node for node in layer.calls if id(node) in inside and node.parents]
        listed.append({**layer_config(layer), "name": layer.name, "inbound_nodes": [_inbound(node, inside) for node in calls]})
    return {
        "name": model.name,
        "layers": listed,
        "input_layers": [[s.node.layer.name, 0, 0] for s in model.inputs],
        "output_layers": [_history(s, inside) for s in model.outputs],
    }


def model_from_config(model_class: type, config: dict[str, Any], custom_objects: dict[str, type] | None = None) -> Any:
    """The model that `model_config` describes, with new weights. custom_objects: further layers by their class names.

    Raises ValueError for a layer that is not known, named in the message.
    """
    known = {**CLASSES, **(custom_objects or {})}
    if "input_layers" not in config:
        return model_class([make_layer(entry, known) for entry in config["layers"]], name=config["name"])
    made = {entry["name"]: make_layer(entry, known) for entry in config["layers"]}
    symbols: dict[tuple, Symbol] = {}
    for name, layer in made.items():
        if isinstance(layer, InputLayer):
            symbols[name, 0, 0] = layer.output
    waiting = [(e["name"], call, inbound) for e in config["layers"] for call, inbound in enumerate(e["inbound_nodes"])]
    while waiting:
        later = []
        for name, call, inbound in waiting:
            # A layer's calls must be made in their order, and after those that they depend on.
            if len(made[name].calls) != call or any(tuple(p) not in symbols for p in inbound["parents"]):
                later.append((name, call, inbound))
                continue
            arguments = [symbols[tuple(p)] for p in inbound["parents"]]
            made[name](arguments if inbound["many"] else arguments[0], training=inbound["training"])
            for symbol in made[name].calls[-1].outputs:
                symbols[name, call, symbol.index] = symbol
        if len(later) == len(waiting):
            raise ValueError(f"{config['name']}: the graph is broken: nothing gives the inputs of {later[0][0]!r}")
        waiting = later
    ends = [[symbols[tuple(place)] for place in config[key]] for key in ("input_layers", "output_layers")]
    single = [end[0] if len(end) == 1 else end for end in ends]
    return model_class(*single, name=config["name"])


def make_layer(entry: dict[str, Any], known: dict[str, type[Layer]]) -> Layer:
    """The layer of one entry. Raises ValueError for a class that is not known."""
    from minicnn.model.model import Model, Sequential

    if entry["class_name"] in ("Functional", "Sequential"):
        return model_from_config({"Functional": Model, "Sequential": Sequential}[entry["class_name"]], entry["config"], known)
    if entry["class_name"] not in known:
        raise ValueError(unknown("layer", entry["class_name"], known))
    return known[entry["class_name"]].from_config(entry["config"])


def _class_name(layer: Layer) -> str:
    return "Sequential" if hasattr(layer, "chain") else "Functional" if hasattr(layer, "inputs") else type(layer).__name__


def _inbound(node: Any, inside: dict[int, Any]) -> dict[str, Any]:
    return {"parents": [_history(p, inside) for p in node.parents], "many": node.many, "training": node.training}


def _history(symbol: Symbol, inside: dict[int, Any]) -> list:
    """[layer, which of its calls in this model, which output]"""
    calls = [node for node in symbol.node.layer.calls if id(node) in inside]
    return [symbol.node.layer.name, calls.index(symbol.node), symbol.index]
