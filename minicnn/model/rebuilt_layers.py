"""Layers from their entries in a config, in the forms of Keras 3 (which is ours too) and of Keras 2.

An entry is untrusted data: its class is looked up in a fixed table, and no code in it is ever run.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from minicnn.config import FLOAT_TYPES
from minicnn.formats import FormatError, keras_files
from minicnn.layers import activations
from minicnn.layers.base import Layer
from minicnn.layers.core import Lambda
from minicnn.layers.inputs import InputLayer
from minicnn.model.config import CLASSES
from minicnn.model.matching import automatic
from minicnn.names import unknown

Custom = Mapping[str, Any]
KERAS = ("keras", "tf_keras", "tensorflow", "minicnn")  # where the layers of the table come from
# What Keras says of a layer and we have no word for, with the values that change nothing. None never does.
NEUTRAL: dict[str, tuple] = {
    "synchronized": (False,), "renorm": (False,), "fused": (False, True), "renorm_momentum": (0.99,), "noise_shape": (),
    "threshold": (0,), "sparse": (False,), "ragged": (False,), "optional": (False,), "dynamic": (False,), "groups":
    (1,), "data_format": ("channels_last",), "build_input_shape": (), "autocast": (True,), "supports_masking":
    (False, True), }  # fmt: skip


def make_layer(entry: dict[str, Any], custom: Custom) -> Layer:
    """The layer of one entry, {class_name, config}. Raises ValueError for what we do not have, or damage."""
    kind, config = entry["class_name"], entry["config"]
    name = name_of(entry)
    if not isinstance(config, dict):
        raise FormatError(f"{name} ({kind}): its config is damaged, got {str(config)[:80]}")
    cls = _class(kind, entry.get("module"), name, custom)
    try:
        layer = cls.from_config(_arguments(cls, name, config, custom))
    except TypeError as error:
        raise ValueError(f"{name} ({kind}): {error}") from None
    layer.named = not automatic(layer)
    return layer


def _class(kind: Any, module: Any, name: str, custom: Custom) -> type[Layer]:
    """The class of a layer, from custom_objects or the table.

    `module` only tells whose class it is; it is never imported.
    """
    found = custom.get(kind)
    if isinstance(found, type) and issubclass(found, Layer):
        return found
    parts = module.split(".") if isinstance(module, str) else []
    if "ops" in parts:
        raise ValueError(f"{name}: the operation {kind} on symbols is not supported, only layers are")
    if kind not in CLASSES or (parts and parts[0] not in KERAS):
        place = f" of {module}" if parts and parts[0] not in KERAS else ""
        hint = unknown("layer class", kind, CLASSES) if not place else f"unknown layer class {kind!r}{place}"
        raise ValueError(f"{name}: {hint}; a layer of your own goes into custom_objects={{{str(kind)!r}: TheClass}}")
    return CLASSES[kind]


def _arguments(cls: type[Layer], name: str, config: dict[str, Any], custom: Custom) -> dict[str, Any]:
    """The arguments of `cls` that a config of Keras means. What we have no word for must change nothing."""
    config = {**config, "name": name, "dtype": _dtype(name, config.get("dtype"))}
    if issubclass(cls, Lambda):
        return _lambda_arguments(name, config, custom)
    shapes = [config.pop(key, None) for key in ("batch_shape", "batch_input_shape")]
    for shape in shapes:
        if shape is not None:
            config |= {"batch_shape": shape} if issubclass(cls, InputLayer) else {"input_shape": shape[1:]}
    known = {"name", "trainable", "dtype", "input_shape"} | set(inspect.signature(cls.__init__).parameters)
    known |= {"batch_shape"} if issubclass(cls, InputLayer) else set()
    own = cls not in CLASSES.values()  # somebody's own layer knows best what it wrote
    given = {}
    for key, value in config.items():
        if key in known or (own and value is not None):
            given[key] = _value(name, key, value, custom)
        elif value is not None and not key.endswith("_initializer") and value not in NEUTRAL.get(key, ()):
            raise ValueError(f"{name} ({cls.__name__}): {key}={str(value)[:80]} is not supported")
    return given


def _value(name: str, key: str, value: Any, custom: Custom) -> Any:
    """An argument without what only Keras knows."""
    if "activation" in key:
        return _activation(name, value, custom)
    if key.endswith(("_initializer", "_regularizer")) and isinstance(value, dict):
        skipped = ("dtype", "input_axes", "output_axes")
        inner = {k: v for k, v in value.get("config", {}).items() if v is not None and k not in skipped}
        if inner.get("distribution") == "normal":  # the word of Keras 2.0 for what was cut at two deviations then too
            inner["distribution"] = "truncated_normal"
        return {"class_name": value["class_name"], "config": inner}
    if key == "axis" and isinstance(value, list) and len(value) == 1:  # Keras 2's BatchNormalization
        return value[0]
    return value


def _activation(name: str, value: Any, custom: Custom) -> Any:
    """An activation by its name, or a function of the user's. Raises ValueError, with the layer's name, for others."""
    if isinstance(value, dict):  # {"class_name": "function", "config": "name"}, or a layer
        inner = value.get("config")
        value = inner if isinstance(inner, str) else value.get("class_name")
    if isinstance(value, str) and callable(custom.get(value)):
        return custom[value]
    if value is not None and value not in activations.BY_NAME:
        known = unknown("activation", value, activations.BY_NAME)
        raise ValueError(f"{name}: {known}; one of your own goes into custom_objects={{{str(value)!r}: function}}")
    return value


def _lambda_arguments(name: str, config: dict[str, Any], custom: Custom) -> dict[str, Any]:
    """A Lambda's: its function must be given. What the file has in its place is a program, or the name of one."""
    inner = config.get("function")
    called = inner.get("config") if isinstance(inner, dict) else inner
    keys = [name, called if isinstance(called, str) else name, "Lambda"]
    function = next((custom[key] for key in keys if callable(custom.get(key))), None)
    if function is None:
        raise ValueError(
            f"{name}: a Lambda's function is a program, and code in a file is never run; "
            f"pass the function: custom_objects={{{name!r}: function}}"
        )
    shape = config.get("output_shape")
    return {
        "function": function, "arguments": config.get("arguments") or {}, "name": name, "dtype": config["dtype"],
        "output_shape": tuple(shape) if isinstance(shape, list) and all(isinstance(n, int) for n in shape) else None,
        "trainable": config.get("trainable", True),
    }  # fmt: skip


def _dtype(name: str, value: Any) -> str | None:
    """The type's name, from a string or a policy of Keras 2 or 3. Raises ValueError for any that we do not have."""
    if isinstance(value, dict):
        value = value.get("config", {}).get("name")
    if value is not None and value not in FLOAT_TYPES:
        raise ValueError(f"{name}: dtype {str(value)[:40]!r} is not supported, only {', '.join(FLOAT_TYPES)}")
    return value


def name_of(entry: dict[str, Any]) -> str:
    """The name of an entry, with '_' for the '/' that Keras 2 allowed. Raises ValueError where there is none."""
    name = keras_files.entry_name(entry)
    if not name:
        raise ValueError(f"a layer of class {entry.get('class_name')!r} has no name")
    return name.replace("/", "_")
