"""Which of our networks is held against which Keras model, and at which input.

`tests/parity/test_pairs.py` compares them all, `python -m tests.parity.table` prints the table of docs/parity.md.
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


HEADS = {"aux": True}

# LeNet, AlexNet, VGG and the Inceptions
INCEPTIONS: list[Pair] = [
    Pair("lenet5", "notebook", "lenet:notebook", (32, 28, 1), slow=False),
    Pair("lenet5", "1998", "lenet:original", (32, 36, 1), slow=False),
    Pair("alexnet", "notebook", "alexnet:notebook", (67, 99, 3)),
    Pair("alexnet", "2012", "alexnet:paper", (63, 95, 3), slow=False),
    Pair("vgg16", "keras", "vgg:vgg16", (32, 64, 3), slow=False),
    Pair("vgg19", "keras", "vgg:vgg19", (32, 64, 3)),
    Pair("inception_v1", "notebook", "inception_v1:notebook", (32, 64, 3)),
    Pair("inception_v1", "notebook", "inception_v1:notebook", (65, 81, 3), 10, HEADS, (1.0, 0.3, 0.3), slow=False),
    Pair("inception_v1", "paper", "inception_v1:paper", (32, 64, 3)),
    Pair("inception_v1", "paper", "inception_v1:paper", (65, 81, 3), 10, HEADS, (1.0, 0.3, 0.3)),
    Pair("inception_v2", "paper", "inception_v2:paper", (33, 64, 3), slow=False),
    Pair("inception_v2", "slim", "inception_v2:slim", (33, 64, 3)),
    Pair("inception_v3", "keras", "inception_v3:plain", (75, 107, 3), slow=False),
    Pair("inception_v3", "keras", "inception_v3:with_head", (107, 123, 3), 10, HEADS, (1.0, 0.3)),
    # At 75 x 107 the last batch norms see so few pixels that one ulp of the images moves our own gradients by 1.3e-9.
    Pair("inception_v4", None, "inception_v4:inception_v4", (107, 139, 3)),
    Pair("inception_resnet_v1", None, "inception_resnet:v1", (75, 107, 3)),
    Pair("inception_resnet_v2", "keras", "inception_resnet:released", (75, 107, 3)),
    Pair("inception_resnet_v2", "paper", "inception_resnet:v2_paper", (75, 107, 3)),
    Pair("inception_resnet_v2", "paper", "inception_resnet:v2_paper", (75, 107, 3), options={"blocks": (5, 10, 5)}),
    Pair("vgg16_inception_resnet", "notebook", "vgg_inception_resnet:notebook", (32, 64, 1)),
    *(
        Pair("vgg16_inception_resnet", "notebook", "vgg_inception_resnet:notebook", (32, 64, 1), options=options)
        for options in ({"include_top": False, "pooling": pooling} for pooling in ("max", "avg", None))
    ),
]

# ResNets
RESNETS: list[Pair] = [
    Pair("resnet18", "keras", "resnets:resnet18", (33, 65, 3), slow=False),
    Pair("resnet34", "keras", "resnets:resnet34", (33, 65, 3)),
    Pair("resnet50", "keras", "resnets:resnet50", (33, 65, 3)),
    Pair("resnet101", "keras", "resnets:resnet101", (33, 65, 3)),
    Pair("resnet152", "keras", "resnets:resnet152", (33, 65, 3)),
    Pair("resnet18", "torch", "resnets:resnet18_torch", (33, 65, 3)),
    Pair("resnet34", "torch", "resnets:resnet34_torch", (33, 65, 3)),
    Pair("resnet50", "torch", "resnets:resnet50_torch", (33, 65, 3)),
    Pair("resnet101", "torch", "resnets:resnet101_torch", (33, 65, 3)),
    Pair("resnet152", "torch", "resnets:resnet152_torch", (33, 65, 3)),
    Pair("resnet18", "notebook003", "resnets:resnet18_003", (33, 65, 3), slow=False),
    Pair("resnet34", "notebook003", "resnets:resnet34_003", (33, 65, 3)),
    Pair("resnet50", "notebook003", "resnets:resnet50_003", (33, 65, 3)),
    Pair("resnet101", "notebook003", "resnets:resnet101_003", (33, 65, 3)),
    Pair("resnet152", "notebook003", "resnets:resnet152_003", (33, 65, 3)),
    Pair("resnet50", "notebook002", "resnets:resnet50_002", (75, 97, 3)),  # 2 x 3 pixels, then their averages
    Pair("resnet50v2", "keras", "resnets:resnet50v2", (33, 65, 3)),
    Pair("resnet101v2", "keras", "resnets:resnet101v2", (33, 65, 3)),
    Pair("resnet152v2", "keras", "resnets:resnet152v2", (33, 65, 3)),
    Pair("resnet50v2", "paper", "resnets:resnet50v2_paper", (33, 65, 3)),
    Pair("resnet101v2", "paper", "resnets:resnet101v2_paper", (33, 65, 3)),
    Pair("resnet152v2", "paper", "resnets:resnet152v2_paper", (33, 65, 3)),
    Pair("resnext50", "32x4d", "resnets:resnext50_32x4d", (33, 65, 3)),
    Pair("resnext101", "32x4d", "resnets:resnext101_32x4d", (33, 65, 3)),
    Pair("resnext101", "32x8d", "resnets:resnext101_32x8d", (33, 65, 3)),
    Pair("resnext101", "64x4d", "resnets:resnext101_64x4d", (33, 65, 3)),
    Pair("resnet20", "A", "resnets:resnet20_a", (8, 12, 1), slow=False),
    Pair("resnet20", "B", "resnets:resnet20_b", (8, 12, 1), slow=False),
    Pair("plain20", None, "resnets:plain20", (8, 12, 1), slow=False),
    Pair("resnet110", "A", "resnets:resnet110_a", (8, 12, 1)),
    Pair("preact110", "A", "resnets:preact110_a", (8, 12, 1)),
    Pair("preact110", "B", "resnets:preact110_b", (8, 12, 1)),
    Pair("preact164", "B", "resnets:preact164_b", (8, 12, 1), slow=False),
]

PAIRS = INCEPTIONS + RESNETS
