"""The same bits for 1, 2 and 4 workers: every kind of convolution, updates of weights, and whole steps of networks."""

import numpy as np
import pytest

from minicnn import config, zoo
from minicnn.backend import CPU, Window
from minicnn.backend.cpu import parallel
from minicnn.training.optimizers import SGD

CONVOLUTIONS = [  # kernel, C, F, window
    ((3, 3), 16, 24, Window(pads="same", groups=4)),
    ((3, 3), 32, 32, Window((2, 2), "same", groups=2)),
    ((3, 3), 24, 24, Window(pads="same", groups=24)),
    ((5, 5), 24, 24, Window((2, 1), "same", groups=24)),
    ((3, 3), 16, 40, Window((2, 2), "same")),
    ((3, 3), 64, 64, Window(pads="same")),
    ((3, 3), 16, 24, Window(pads="same", dilation=(2, 2))),
    ((1, 1), 64, 48, Window()),
    ((1, 1), 64, 48, Window((2, 2))),
    ((1, 7), 24, 40, Window(pads="same")),
    ((5, 5), 16, 24, Window(pads="same")),
    ((7, 7), 3, 64, Window((2, 2), "same")),
]


def for_workers(monkeypatch, compute) -> list[list[bytes]]:
    """The bits of what `compute()` gives, a list of arrays, for 1, 2 and 4 workers."""
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(config.config, "threads", threads)
        found.append([np.ascontiguousarray(a).tobytes() for a in compute()])
    return found


@pytest.mark.parametrize(("kernel", "c", "f", "window"), CONVOLUTIONS)
def test_convolutions(monkeypatch, rng, kernel, c, f, window):
    x = rng.normal(size=(6, 40, 38, c)).astype("float32")
    w = rng.normal(size=(*kernel, c // window.groups, f)).astype("float32")
    residual = CPU.conv2d(x, w, window)

    def compute():
        y = CPU.conv2d(x, w, window, bias=w[0, 0, 0], residual=residual, relu=True)
        return y, CPU.conv2d_input_grad(y, w, x.shape, window), CPU.conv2d_weight_grad(x, y, w.shape, window)

    one, two, four = for_workers(monkeypatch, compute)
    assert one == two == four


@pytest.mark.parametrize(("shape", "kernel"), [
    ((6, 40, 38, 8), (3, 3, 8, 16)), ((64, 32, 32, 1), (5, 5, 1, 6)), ((64, 16, 16, 6), (5, 5, 6, 16)),
], ids=["apart", "planes", "blocks"])  # fmt: skip
def test_convolution_with_pooling(monkeypatch, rng, shape, kernel):
    x, w = rng.normal(size=shape).astype("float32"), rng.normal(size=kernel).astype("float32")
    window = Window(pads="same")

    def compute():
        y, kept = CPU.conv2d_pool(x, w, window, bias=w[0, 0, 0])
        return y, *CPU.conv2d_pool_grad(y, y, kept, x, w, window)

    one, two, four = for_workers(monkeypatch, compute)
    assert one == two == four


@pytest.mark.parametrize(
    ("kernel", "slots", "arguments"), [("sgd", 1, (0.1, 0.9, True)), ("adam", 2, (0.1, 0.9, 0.99, 1e-7))]
)
def test_updates_of_weights(monkeypatch, rng, kernel, slots, arguments):
    arrays = [np.abs(rng.normal(size=(700, 333))).astype("float32") for _ in range(2 + slots)]

    def compute():
        copies = [a.copy() for a in arrays]
        getattr(CPU, kernel)(*copies, *arguments)
        return copies

    one, two, four = for_workers(monkeypatch, compute)
    assert one == two == four


@pytest.mark.parametrize(
    ("name", "side"),
    [("resnet20", 32), ("resnet18", 64), pytest.param("vgg16_inception_resnet", 64, marks=pytest.mark.slow)],
)
def test_steps_of_a_network(monkeypatch, rng, name, side):
    """Losses, weights and predictions of two training steps."""
    x, labels = rng.normal(size=(8, side, side, 3)).astype("float32"), rng.integers(0, 10, 8)

    def compute():
        config.set_random_seed(3)
        model = zoo.build(name, input_shape=(side, side, 3), classes=10)
        model.compile(SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
        losses = [model.train_on_batch(x, labels) for _ in range(2)]
        return [np.array(losses), *(w.data for w in model.weights), model.predict(x, verbose=0)]

    one, two, four = for_workers(monkeypatch, compute)
    assert one == two == four


def test_large_sub_batches_one_by_one(monkeypatch):
    """Two at a time, what is left over with all workers; of large images none at the same time as another."""
    monkeypatch.setattr(config.config, "threads", 2)
    alone: list = []
    CPU.spread(lambda _: alone.append(parallel._local.busy), range(3), 1 << 20)
    CPU.spread(lambda _: alone.append(parallel._local.busy), range(2), 1 << 24)
    assert alone == [True, True, False, False, False]
