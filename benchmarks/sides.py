"""The sides of the comparison: minicnn, PyTorch, Keras on TensorFlow. Each lives in a process of its own (worker.py).

Every side gets what its users get at their best: PyTorch in eager mode with channels_last, Keras compiled into a graph.
Images lie ready in the library's own arrays, predictions come back as NumPy arrays. Keras's graph runs on oneDNN; the
side "keras-xla" runs it on XLA instead, which took more processor time in every training step.
"""

import importlib.metadata
import importlib.util
import os
from typing import Any

import numpy as np

import minicnn
from benchmarks.networks import MOMENTUM, Network

INSTALL = "pip install -e '.[benchmarks]'"


class Ours:
    """minicnn."""

    title, needs = "minicnn", "numpy"

    def __init__(self, network: Network, threads: int):
        from minicnn.config import set_threads
        from minicnn.training.optimizers import SGD

        set_threads(threads)
        self.model = network.ours()
        self.model.compile(SGD(network.rate, momentum=MOMENTUM), "sparse_categorical_crossentropy")
        self.x, self.y = network.data()
        self.multiply_adds = self.model.multiply_adds() * network.batch

    def settle(self) -> None:
        """Gives batch norms the statistics of the batch, so that predictions are of ordinary size."""
        moved = [layer for layer in self.model.layers if hasattr(layer, "momentum")]
        before = [layer.momentum for layer in moved]
        for layer in moved:
            layer.momentum = 0.0
        self.model(self.x, training=True)
        for layer, momentum in zip(moved, before, strict=True):
            layer.momentum = momentum

    def save(self, path: str) -> None:
        """Writes the weights in their order, by name."""
        np.savez(path, **{w.name: w.data for w in self.model.weights})

    def predict(self) -> np.ndarray:
        """Probabilities (N, classes)."""
        return self.model.predict(self.x, batch_size=len(self.x), verbose=0)

    def train(self) -> float:
        """Forward, backward, an update; the loss before it."""
        return float(self.model.train_on_batch(self.x, self.y))

    def decay(self, share: float) -> None:
        """Each weight loses share * rate * weight a step."""
        self.model.optimizer.weight_decay = share

    def follow(self, x: np.ndarray, y: np.ndarray, rate: float) -> float:
        """A training step on this batch at this rate; the loss before it."""
        self.model.optimizer.learning_rate = rate
        return float(self.model.train_on_batch(x, y))

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """The share that is right."""
        return float((self.model.predict(x, batch_size=250, verbose=0).argmax(axis=1) == y).mean())

    def epoch(self, x: np.ndarray, y: np.ndarray, batch: int) -> float:
        """Once through in a random order, by the library's own loop; the mean loss."""
        return self.model.fit(x, y, batch_size=batch, verbose=0).history["loss"][0]


class Torch:
    """PyTorch, eager, channels_last. Its optimizer is the fused one of its three."""

    title, needs = "PyTorch", "torch"

    def __init__(self, network: Network, threads: int):
        import torch

        from benchmarks import torch_models

        torch.set_num_threads(threads)
        self.torch, self.models = torch, torch_models
        model = torch_models.build(network.name, network.input_shape[2], network.classes)
        self.model = model.to(memory_format=torch.channels_last)
        x, y = network.data()
        self.x, self.y = torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y)  # channels_last as it lies
        self.loss = torch.nn.CrossEntropyLoss()
        weights = [w for w in self.model.parameters() if w.requires_grad]
        self.optimizer = torch.optim.SGD(weights, network.rate, momentum=MOMENTUM, fused=True)

    def load(self, path: str) -> None:
        """Takes the weights that `Ours.save` wrote."""
        with np.load(path) as weights:
            self.models.load(self.model, dict(weights))

    def predict(self) -> np.ndarray:
        """Probabilities (N, classes)."""
        self.model.eval()
        with self.torch.inference_mode():
            return self.model(self.x).softmax(1).numpy()

    def train(self) -> float:
        """Forward, backward, an update; the loss before it."""
        self.model.train()
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return float(loss)

    def epoch(self, x: np.ndarray, y: np.ndarray, batch: int) -> float:
        """Once through in a random order, by the loop that its users write; the mean loss."""
        images, labels = self.torch.from_numpy(x).permute(0, 3, 1, 2), self.torch.from_numpy(y)
        self.model.train()
        total = 0.0
        for chosen in self.torch.randperm(len(images)).split(batch):
            self.optimizer.zero_grad()
            loss = self.loss(self.model(images[chosen]), labels[chosen])
            loss.backward()
            self.optimizer.step()
            total += float(loss) * len(chosen)
        return total / len(images)


class Keras:
    """Keras on TensorFlow, compiled into a graph."""

    title, needs, jit = "Keras", "tensorflow", False

    def __init__(self, network: Network, threads: int):
        os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.model = network.theirs()
        self.model.compile(
            keras.optimizers.SGD(network.rate, momentum=MOMENTUM),
            "sparse_categorical_crossentropy",
            jit_compile=self.jit,
        )
        x, y = network.data()
        self.x, self.y = tf.constant(x), tf.constant(y)
        self.forward = tf.function(lambda images: self.model(images, training=False), jit_compile=self.jit)

    def load(self, path: str) -> None:
        """Takes the weights that `Ours.save` wrote: they stand in Keras's order."""
        with np.load(path) as weights:
            self.model.set_weights([weights[name] for name in weights.files])

    def predict(self) -> np.ndarray:
        """Probabilities (N, classes). The function of the graph itself: predict_on_batch is never faster."""
        return self.forward(self.x).numpy()

    def train(self) -> float:
        """Forward, backward, an update; the loss before it."""
        return float(self.model.train_on_batch(self.x, self.y))

    def decay(self, share: float) -> None:
        """Each weight loses share * rate * weight a step."""
        self.model.optimizer.weight_decay = share

    def follow(self, x: np.ndarray, y: np.ndarray, rate: float) -> float:
        """A training step on this batch at this rate; the loss before it."""
        self.model.optimizer.learning_rate.assign(rate)
        return float(self.model.train_on_batch(x, y))

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """The share that is right."""
        return float((self.model.predict(x, batch_size=250, verbose=0).argmax(axis=1) == y).mean())

    def epoch(self, x: np.ndarray, y: np.ndarray, batch: int) -> float:
        """Once through in a random order, by the library's own loop; the mean loss."""
        return self.model.fit(x, y, batch_size=batch, verbose=0).history["loss"][0]


class KerasXLA(Keras):
    """Keras with jit_compile=True."""

    title, jit = "Keras XLA", True


SIDES: dict[str, Any] = {"ours": Ours, "torch": Torch, "keras": Keras, "keras-xla": KerasXLA}


def missing(side: str) -> str | None:
    """Why this side cannot be asked, or None."""
    return None if importlib.util.find_spec(SIDES[side].needs) else f"not installed ({INSTALL})"


def versions() -> dict[str, str]:
    """Of what takes part and is installed."""
    found = {"minicnn": minicnn.__version__}
    for name in ("numpy", "torch", "tensorflow-cpu", "tensorflow", "keras"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
