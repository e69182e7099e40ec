"""The zoo: classic networks by name. `zoo.build("lenet5", variant="1998")` gives a Model.

One architecture family is one file; it is imported when one of its networks is asked for.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

from minicnn.names import unknown

# A network and the file of its family. Adding one is a line here and a function under @register there.
FAMILIES = {
    "lenet5": "lenet",
    "alexnet": "alexnet",
    "inception_resnet_v1": "inception_resnet",
    "inception_resnet_v2": "inception_resnet",
    "inception_v1": "inception_v1",
    "inception_v2": "inception_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "vgg16": "vgg",
    "vgg16_inception_resnet": "vgg_inception_resnet",
    "vgg19": "vgg",
    "resnet18": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "resnet101": "resnet",
    "resnet152": "resnet",
    "resnet50v2": "resnet_v2",
    "resnet101v2": "resnet_v2",
    "resnet152v2": "resnet_v2",
    "resnext50": "resnext",
    "resnext101": "resnext",
    "resnet20": "resnet_cifar",
    "resnet32": "resnet_cifar",
    "resnet44": "resnet_cifar",
    "resnet56": "resnet_cifar",
    "resnet110": "resnet_cifar",
    "plain20": "resnet_cifar",
    "plain32": "resnet_cifar",
    "plain44": "resnet_cifar",
    "plain56": "resnet_cifar",
    "plain110": "resnet_cifar",
    "preact110": "resnet_cifar",
    "preact164": "resnet_cifar",
}


# How the published weights of a family (or of a variant) want their images; the others take 0..1, as we train them.
PREPROCESSING = {
    "vgg": "caffe",
    "resnet": "caffe",
    "torch": "torch",
    "resnet_v2": "tf",
    "resnext": "torch",
    "inception_resnet": "tf",
    "inception_v2": "tf",
    "inception_v3": "tf",
    "inception_v4": "tf",
}


@dataclass(frozen=True)
class Entry:
    """What the zoo knows of a network. `builder(variant=, input_shape=, classes=, ...)` makes the Model."""

    name: str
    builder: Callable
    paper: str
    variants: tuple[str, ...]  # the first is the default; empty where there is only one form
    input_shape: tuple[int, int, int]
    classes: int

    def preprocessing(self, variant: str | None = None) -> str:
        """What published weights of this network expect, a mode of `minicnn.zoo.preprocessing`; "unit" without any."""
        return PREPROCESSING.get(variant or "", PREPROCESSING.get(FAMILIES.get(self.name, ""), "unit"))


_entries: dict[str, Entry] = {}


def register(paper: str, variants: tuple[str, ...] = ()) -> Callable:
    """Decorates a builder: enters it under its own name, with the defaults of its arguments input_shape and classes."""

    def enter(builder):
        default = {name: p.default for name, p in inspect.signature(builder).parameters.items()}
        _entries[builder.__name__] = Entry(
            builder.__name__, builder, paper, variants, default["input_shape"], default["classes"]
        )
        return builder

    return enter


def names() -> list[str]:
    """The networks that build() knows."""
    return sorted(FAMILIES)


def entry(name: str) -> Entry:
    """What is known of this network. Raises ValueError, with the names that come near, for an unknown one."""
    if name not in FAMILIES:
        raise ValueError(unknown("model", name, FAMILIES))
    importlib.import_module(f"{__name__}.{FAMILIES[name]}")
    return _entries[name]


def build(name: str, variant: str | None = None, input_shape=None, classes: int | None = None, **kwargs):
    """The network of this name, its weights drawn from the seed of minicnn.config.

    variant: one of entry(name).variants, the first unless given   input_shape: (H, W, C)   kwargs: the builder's own.
    Raises ValueError for an unknown name or variant, and what the layers raise for an input too small.
    """
    known = entry(name)
    if known.variants:
        kwargs["variant"] = known.variants[0] if variant is None else variant
    if variant is not None and variant not in known.variants:
        raise ValueError(unknown(f"variant of {name}", variant, known.variants))
    return known.builder(
        input_shape=known.input_shape if input_shape is None else tuple(input_shape),
        classes=known.classes if classes is None else classes,
        **kwargs,
    )
