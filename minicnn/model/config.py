"""A model as plain data in the form of Keras 3: layers, their arguments, and how they are connected."""

from typing import Any

from minicnn import layers as vocabulary
from minicnn.layers.base import Layer
from minicnn.layers.inputs import InputLayer
from minicnn.layers.symbols import Symbol

# The layers that a file may name. A class is looked up here and nowhere else: a file cannot make us import anything.
CLASSES: dict[str, type[Layer]] = {
    name: cls
    for name, cls in vars(vocabulary).items()
    if isinstance(cls, type) and issubclass(cls, Layer) and cls is not Layer
} | {"CustomScaleLayer": vocabulary.ScaledAdd}  # Keras's Inception-ResNet-v2 has a class of its own for x + scale * r
MODULES = {"Sequential": "keras", "Functional": "keras.src.models.functional"}  # where Keras 3 finds them
OURS = {"LocalResponseNormalization", "PadShortcut", "Scale", "Subsampling2D"}  # not in Keras's vocabulary
SCALED_ADD = "keras.src.applications.inception_resnet_v2"  # where Keras has x + scale * r, as CustomScaleLayer


def layer_config(layer: Layer) -> dict[str, Any]:
    """{module, class_name, config, registered_name}: a model's own layers inside."""
    name = (
        "Sequential" if hasattr(layer, "chain") else "Functional" if hasattr(layer, "inputs") else type(layer).__name__
    )
    module: str | None = MODULES.get(name, "keras.layers")
    if name in OURS:
        # Keras finds a class that the caller registered: keras.saving.register_keras_serializable(package="minicnn")
        config = layer.get_config()
        return {"module": None, "class_name": name, "config": config, "registered_name": f"minicnn>{name}"}
    if name == "ScaledAdd":
        name, module = "CustomScaleLayer", SCALED_ADD
    elif module == "keras.layers" and CLASSES.get(name) is not type(layer):
        module = type(layer).__module__  # somebody's own layer
    return {"module": module, "class_name": name, "config": layer.get_config(), "registered_name": None}


def model_config(model: Any) -> dict[str, Any]:
    """The arguments of a model. Raises ValueError for arithmetic on symbols, which only code can describe."""
    common = {"name": model.name, "trainable": model.trainable}
    if hasattr(model, "chain"):
        entrance = [layer_config(model.entrance.node.layer)] if model.entrance is not None else []
        return {**common, "layers": entrance + [layer_config(layer) for layer in model.chain]}
    hidden = next((node.layer for node in model.nodes if node.layer.hidden), None)
    if hidden is not None:
        fault = f"the operation {hidden.name!r} on symbols has no config; use a layer (Add, Lambda, ...) for it"
        raise ValueError(f"{model.name}: {fault}")
    inside = {id(node): node for node in model.nodes}
    listed = []
    for layer in model.layers:
        calls = [_inbound(node, inside) for node in layer.calls if id(node) in inside and node.parents]
        listed.append({**layer_config(layer), "name": layer.name, "inbound_nodes": calls})
    ends = [[_history(s, inside) for s in symbols] for symbols in (model.inputs, model.outputs)]
    many = (model.many_inputs, model.many_outputs)
    first, last = (end if several else end[0] for end, several in zip(ends, many, strict=True))
    return {**common, "layers": listed, "input_layers": first, "output_layers": last}


def _inbound(node: Any, inside: dict[int, Any]) -> dict[str, Any]:
    """One call.

    `fixed` is ours: Keras 3 writes a `training` that means nothing, since each call of the model sets it anew.
    """
    tensors = [
        {
            "class_name": "__keras_tensor__",
            "config": {"shape": list(p.shape), "dtype": p.dtype, "keras_history": _history(p, inside)},
        }
        for p in node.parents
    ]
    call: dict[str, Any] = {"args": [tensors if node.many else tensors[0]], "kwargs": {}}
    return call if node.training is None else {**call, "kwargs": {"training": node.training}, "fixed": True}


def _history(symbol: Symbol, inside: dict[int, Any]) -> list:
    """[layer, which of its calls in this model, which output].

    Where a model begins inside another one, an input stands there.
    """
    node = symbol.node
    if id(node) not in inside:
        own = next(
            n for n in inside.values() if isinstance(n.layer, InputLayer) and n.layer.name == f"{node.layer.name}_input"
        )
        return [own.layer.name, 0, 0]
    calls = [n for n in node.layer.calls if id(n) in inside]
    return [node.layer.name, calls.index(node), symbol.index]
