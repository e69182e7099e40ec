"""Which of our networks is held against which Keras model, and at which input.

`tests/parity/test_pairs.py` compares them all, `python -m tests.parity.table` prints the table of the README.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from minicnn import zoo


@dataclass(frozen=True)
class Pair:
    """A network of the zoo, and a function of tests/parity/keras_models that builds its counterpart on its own.

    theirs: "module:function"; the function takes (input_shape, classes, **options) and returns a keras.Model whose
    weights stand in the order of ours.
    input_shape: the smallest that leaves more than one pixel to the last batch norm, so that every gradient is there.
    """

    network: str
    variant: str | None
    theirs: str
    input_shape: tuple[int, int, int]
    classes: int = 10
    options: Mapping = field(default_factory=dict)  # further arguments of both builders, such as include_top
    loss_weights: tuple[float, ...] | None = None  # of a network with several outputs
    slow: bool = True  # left out of the default test run

    def __str__(self):
        options = [f"{name}={value}" for name, value in self.options.items()]
        return "-".join(str(part) for part in (self.network, self.variant, *options) if part is not None)

    def ours(self, **changes):
        """Our model. changes: of input_shape and classes, for the native size."""
        arguments = {"input_shape": self.input_shape, "classes": self.classes, **self.options, **changes}
        return zoo.build(self.network, self.variant, **arguments)

    def reference(self, **changes):
        """The Keras model."""
        module, function = self.theirs.split(":")
        arguments = {"input_shape": self.input_shape, "classes": self.classes, **self.options, **changes}
        return getattr(importlib.import_module(f"tests.parity.keras_models.{module}"), function)(**arguments)


# LeNet, AlexNet, VGG and the Inceptions
INCEPTIONS: list[Pair] = [
    Pair("vgg16", "keras", "vgg:vgg16", (64, 48, 3), slow=False),
    Pair("vgg19", "keras", "vgg:vgg19", (64, 48, 3)),
]

# ResNets
RESNETS: list[Pair] = []

PAIRS = INCEPTIONS + RESNETS
