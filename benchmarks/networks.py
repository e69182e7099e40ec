"""What is compared: networks of the zoo with batch and image size, and the data that every side is given."""

import importlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MOMENTUM = 0.9
MODES = ("predict", "train")


@dataclass(frozen=True)
class Network:
    """A network of the zoo in one variant, at one size."""

    name: str
    variant: str
    keras: str  # where tests/parity/keras_models builds it: "module:function"
    batch: int
    input_shape: tuple[int, int, int]
    classes: int
    rate: float  # of learning: the sides agree on the second loss only where an update is a small step

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, H, W, C) in float32 and labels (N,), the same for every side."""
        rng = np.random.default_rng(7)
        images = rng.standard_normal((self.batch, *self.input_shape), dtype=np.float32)
        return images, rng.integers(0, self.classes, self.batch)

    def ours(self) -> Any:
        """minicnn's model."""
        from minicnn import zoo

        return zoo.build(self.name, self.variant, input_shape=self.input_shape, classes=self.classes)

    def theirs(self) -> Any:
        """Keras's model: its own application where it has one, else that of the parity tests."""
        module, function = self.keras.split(":")
        build = getattr(importlib.import_module(f"tests.parity.keras_models.{module}"), function)
        return build(input_shape=self.input_shape, classes=self.classes)

    def describe(self) -> dict[str, Any]:
        """As plain data, for another process."""
        return asdict(self)

    @classmethod
    def from_description(cls, data: dict[str, Any]) -> "Network":
        """What `describe` described."""
        return cls(**{**data, "input_shape": tuple(data["input_shape"])})


NETWORKS = {
    network.name: network
    for network in (
        Network("vgg16", "keras", "vgg:vgg16", 8, (224, 224, 3), 1000, 0.1),
        Network("resnet18", "torch", "resnets:resnet18_torch", 8, (224, 224, 3), 1000, 0.001),
        Network("resnet50", "keras", "resnets:resnet50", 8, (224, 224, 3), 1000, 1e-6),
        Network("inception_v3", "keras", "inception_v3:plain", 8, (299, 299, 3), 1000, 1e-6),
        Network("resnet20", "A", "resnets:resnet20_a", 64, (32, 32, 3), 10, 0.001),
        Network("lenet5", "notebook", "lenet:notebook", 64, (32, 32, 1), 10, 0.001),
    )
}
