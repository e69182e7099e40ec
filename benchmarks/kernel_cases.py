"""The kernels that `python -m benchmarks kernels` measures, at shapes of the networks' layers, batch 8 (64 for 32x32).

A case has a function of no arguments for each side: minicnn's kernel, the reference kernel, and PyTorch's where it is
installed; and `exact`, the same in float64 by the reference kernel. All give NumPy arrays of one shape.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sides import missing
from minicnn.backend import CPU, Backend, Window
from minicnn.backend.cpu import choice

REFERENCE = Backend(np)
EPSILON = 1e-5

# side, channels, filters, kernel (a side, or its height and width), stride, images
CONVOLUTIONS = (
    (224, 64, 64, 3, 1, 8),
    (112, 128, 128, 3, 1, 8),
    (56, 64, 64, 3, 1, 8),
    (56, 256, 256, 3, 1, 8),
    (28, 128, 128, 3, 1, 8),
    (28, 512, 512, 3, 1, 8),
    (14, 256, 256, 3, 1, 8),
    (14, 512, 512, 3, 1, 8),
    (7, 512, 512, 3, 1, 8),
    (56, 128, 128, 3, 2, 8),
    (224, 3, 64, 7, 2, 8),
    (56, 64, 256, 1, 1, 8),
    (56, 256, 64, 1, 1, 8),
    (14, 1024, 256, 1, 1, 8),
    (56, 256, 512, 1, 2, 8),
    (17, 192, 192, (1, 7), 1, 8),
    (17, 192, 192, (7, 1), 1, 8),
    (8, 384, 384, (1, 3), 1, 8),
    (35, 48, 64, 5, 1, 8),
    (32, 16, 16, 3, 1, 64),
    (32, 1, 6, 5, 1, 64),
)
QUICK = CONVOLUTIONS[2:3] + CONVOLUTIONS[9:10] + CONVOLUTIONS[15:16] + CONVOLUTIONS[-2:]
NAMES = {"winograd2": "F(2x2)", "winograd4": "F(4x4)", "winograd4x1": "F(4), rows", "lines": "F(4), lines"}
NORMS = ((56, 256, 8), (14, 1024, 8), (32, 16, 64))  # side, channels, images
PRODUCTS = ((2048, 2048, 2048), (25088, 576, 64), (1568, 1024, 256), (8, 25088, 4096))  # M, K, N


@dataclass(frozen=True)
class Case:
    """A kernel at a shape. amount: operations, or bytes that must be read and written at least, in billions."""

    kernel: str
    shape: str
    algorithm: str
    unit: str
    amount: float
    ours: Callable[[], np.ndarray]
    reference: Callable[[], np.ndarray]
    exact: Callable[[], np.ndarray]
    torch: Callable[[], np.ndarray] | None
    compared: int | None = None  # how many of the first axis `exact` gives, None for all


def cases(kinds: list[str], quick: bool) -> Iterator[Case]:
    """All cases of these kinds, one after another: arrays of one are free when the next comes."""
    torch = None if missing("torch") else _torch()
    shapes = {"conv": QUICK if quick else CONVOLUTIONS, "norm": NORMS[-1:] if quick else NORMS,
              "pool": POOLS[-1:] if quick else POOLS, "matmul": PRODUCTS[-2:-1] if quick else PRODUCTS}  # fmt: skip
    for kind in kinds:
        for shape in shapes[kind]:
            yield from KINDS[kind](torch, *shape)


def _torch() -> Any:
    import torch

    return torch


def images(torch: Any, x: np.ndarray) -> Any:
    """(N, H, W, C) as PyTorch's (N, C, H, W) in channels_last, nothing copied."""
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def back(y: Any) -> np.ndarray:
    """The other way round."""
    return y.permute(0, 2, 3, 1).numpy()


def draw(*shape: int) -> np.ndarray:
    """Unit-variance numbers, the same for a shape in every run."""
    return np.random.default_rng(list(shape)).standard_normal(shape, dtype=np.float32)


def double(*arrays: np.ndarray) -> list[np.ndarray]:
    """In float64."""
    return [a.astype(np.float64) for a in arrays]


# Convolution ----------------------------------------------------------------------------------------------------------


def convolutions(torch: Any, side: int, c: int, f: int, k: int | tuple, stride: int, n: int) -> Iterator[Case]:
    """Forward and both gradients of one layer."""
    kh, kw = (k, k) if isinstance(k, int) else k
    window = Window((stride, stride), ((kh // 2, kh // 2), (kw // 2, kw // 2)))
    out = window.output_size((side, side), (kh, kw))
    x, w, dy = draw(n, side, side, c), draw(kh, kw, c, f), draw(n, *out, f)
    ways = {
        "forward": choice.algorithm(x.shape, w.shape, window, out, x.dtype),
        "input": choice.algorithm(dy.shape, (kh, kw, f, c), window, (side, side), x.dtype, passes=1.0),
        "kernel": choice.algorithm(x.shape, w.shape, window, out, x.dtype, passes=1.0),
    }
    names = {key: NAMES.get(way, "product" if kh == kw == 1 else "direct") for key, way in ways.items()}
    prepared = CPU.prepare_kernel(w, window, x.shape)
    theirs: dict[str, Any] = {}
    if torch:
        theirs = _torch_convolutions(torch, x, w, dy, stride, [kh // 2, kw // 2])
    operations = 2e-9 * n * out[0] * out[1] * kh * kw * c * f
    shape = f"{side}x{side} {c}-{f} {kh}x{kw}" + (f" /{stride}" if stride > 1 else "")

    def exact_weight_grad():
        one = (double(x[i : i + 1], dy[i : i + 1]) for i in range(n))
        return sum(REFERENCE.conv2d_weight_grad(*arrays, w.shape, window) for arrays in one)

    yield Case(
        "convolution", shape, names["forward"], "GFLOP/s", operations,
        lambda: CPU.conv2d(x, w, window, prepared=prepared),
        lambda: REFERENCE.conv2d(x, w, window),
        lambda: REFERENCE.conv2d(*double(x[:1], w), window), theirs.get("forward"), 1,
    )  # fmt: skip
    yield Case(
        "gradient of the input", shape, names["input"], "GFLOP/s", operations,
        lambda: CPU.conv2d_input_grad(dy, w, x.shape, window),
        lambda: REFERENCE.conv2d_input_grad(dy, w, x.shape, window),
        lambda: REFERENCE.conv2d_input_grad(*double(dy[:1], w), (1, *x.shape[1:]), window), theirs.get("input"),
        1,
    )  # fmt: skip
    yield Case(
        "gradient of the kernel", shape, names["kernel"], "GFLOP/s", operations,
        lambda: CPU.conv2d_weight_grad(x, dy, w.shape, window),
        lambda: REFERENCE.conv2d_weight_grad(x, dy, w.shape, window), exact_weight_grad, theirs.get("kernel"),
    )  # fmt: skip


def _torch_convolutions(torch: Any, x, w, dy, stride: int, pads: list[int]) -> dict[str, Callable[[], np.ndarray]]:
    xt, dyt = images(torch, x), images(torch, dy)
    wt = torch.from_numpy(np.ascontiguousarray(w.transpose(3, 2, 0, 1))).contiguous(memory_format=torch.channels_last)

    def gradients(*wanted: bool):
        return torch.ops.aten.convolution_backward(
            dyt, xt, wt, None, [stride] * 2, pads, [1, 1], False, [0, 0], 1, wanted
        )

    return {
        "forward": lambda: back(torch.nn.functional.conv2d(xt, wt, stride=stride, padding=pads)),
        "input": lambda: back(gradients(True, False, False)[0]),
        "kernel": lambda: gradients(False, True, False)[1].permute(2, 3, 1, 0).numpy(),
    }


# Batch norm, sum and ReLU ---------------------------------------------------------------------------------------------


def norms(torch: Any, side: int, c: int, n: int) -> Iterator[Case]:
    """Batch norm alone, and with the sum and ReLU of a residual block; forward and backward."""
    x, dy, r = draw(n, side, side, c), draw(n, side, side, c)[::-1].copy(), draw(n, side, side, c)[:, ::-1].copy()
    gamma, beta = 1 + 0.1 * draw(c), 0.1 * draw(c)[::-1].copy()
    shape, billion = f"{side}x{side} {c}", x.nbytes / 1e9

    def run(backend, residual, *arrays):
        x, gamma, beta, r = arrays
        return backend.batch_norm(
            x, *backend.channel_moments(x), gamma, beta, EPSILON, r if residual else None, residual
        )

    def grad(backend, residual, x, gamma, dy, mean, variance, y):
        if residual:
            return backend.batch_norm_relu_grad(dy, y, x, mean, variance, gamma, EPSILON, True)[0]
        return backend.batch_norm_grad(dy, x, mean, variance, gamma, EPSILON)[0]

    for residual, name in ((False, "batch norm"), (True, "batch norm + sum + ReLU")):
        y = run(REFERENCE, residual, *double(x, gamma, beta, r)).astype(np.float32)
        moments = REFERENCE.channel_moments(x.astype(np.float64))
        given = (x, gamma, dy, *(m.astype(np.float32) for m in moments), y)
        theirs = _torch_norms(torch, x, gamma, beta, dy, r if residual else None) if torch else {}
        yield Case(
            name, shape, "", "GB/s", billion * (4 if residual else 3),
            lambda residual=residual: run(CPU, residual, x, gamma, beta, r),
            lambda residual=residual: run(REFERENCE, residual, x, gamma, beta, r),
            lambda residual=residual: run(REFERENCE, residual, *double(x, gamma, beta, r)), theirs.get("forward"),
        )  # fmt: skip
        yield Case(
            f"{name}, gradient", shape, "", "GB/s", billion * (8 if residual else 5),
            lambda residual=residual, given=given: grad(CPU, residual, *given),
            lambda residual=residual, given=given: grad(REFERENCE, residual, *given),
            lambda residual=residual, given=given: grad(REFERENCE, residual, *double(*given)), theirs.get("backward"),
        )  # fmt: skip


def _torch_norms(torch: Any, x, gamma, beta, dy, r) -> dict[str, Callable[[], np.ndarray]]:
    xt, dyt, g, b = images(torch, x), images(torch, dy), torch.from_numpy(gamma), torch.from_numpy(beta)
    rt = None if r is None else images(torch, r)

    def forward():
        y, *saved = torch.ops.aten.native_batch_norm(xt, g, b, None, None, True, 0.1, EPSILON)
        return (y if rt is None else (y + rt).relu_()), saved

    y, saved = forward()

    def backward():
        dz = dyt if rt is None else torch.ops.aten.threshold_backward(dyt, y, 0)
        return torch.ops.aten.native_batch_norm_backward(dz, xt, g, None, None, *saved, True, EPSILON, [True] * 3)[0]

    return {"forward": lambda: back(forward()[0]), "backward": lambda: back(backward())}


# Pools and matrix products --------------------------------------------------------------------------------------------

POOLS = (("max", 224, 64, 2, 2, 8), ("max", 114, 64, 3, 2, 8), ("avg", 35, 288, 3, 1, 8))


def pools(torch: Any, kind: str, side: int, c: int, k: int, stride: int, n: int) -> Iterator[Case]:
    """A pool and its gradient; the average one pads, so that its size stays."""
    window, size, pad = Window((stride, stride), "same" if kind == "avg" else "valid"), (k, k), kind == "avg"
    x = draw(n, side, side, c)
    y = getattr(REFERENCE, f"{kind}_pool")(x, size, window)
    winners = REFERENCE.max_pool_winners(x, size, window)[1] if kind == "max" else None
    dy = draw(*y.shape)
    shape = f"{side}x{side} {c} {k}x{k} /{stride}"
    forward, backward = _torch_pools(torch, kind, x, dy, k, stride, int(pad)) if torch else (None, None)

    def run(backend, x):
        return getattr(backend, f"{kind}_pool")(x, size, window)

    def grad(backend, dy):
        if kind == "max":
            return backend.max_pool_grad(dy, winners, x.shape, size, window)
        return backend.avg_pool_grad(dy, x.shape, size, window)

    yield Case(
        f"{kind} pool", shape, "", "GB/s", (x.nbytes + y.nbytes) / 1e9,
        lambda: run(CPU, x), lambda: run(REFERENCE, x), lambda: run(REFERENCE, *double(x)), forward,
    )  # fmt: skip
    moved = x.nbytes + dy.nbytes + (winners.nbytes if kind == "max" else 0)
    yield Case(
        f"{kind} pool, gradient", shape, "", "GB/s", moved / 1e9,
        lambda: grad(CPU, dy), lambda: grad(REFERENCE, dy), lambda: grad(REFERENCE, *double(dy)), backward,
    )  # fmt: skip


def _torch_pools(torch: Any, kind: str, x, dy, k: int, stride: int, pad: int):
    xt, dyt, aten = images(torch, x), images(torch, dy), torch.ops.aten
    sizes = ([k, k], [stride, stride], [pad, pad])
    if kind == "avg":
        return (
            lambda: back(aten.avg_pool2d(xt, *sizes, False, False)),
            lambda: back(aten.avg_pool2d_backward(dyt, xt, *sizes, False, False, None)),
        )
    indices = aten.max_pool2d_with_indices(xt, *sizes)[1]
    return (
        lambda: back(aten.max_pool2d_with_indices(xt, *sizes)[0]),
        lambda: back(aten.max_pool2d_with_indices_backward(dyt, xt, *sizes, [1, 1], False, indices)),
    )


def products(torch: Any, m: int, k: int, n: int) -> Iterator[Case]:
    """a @ b.  a: (M, K)   b: (K, N)"""
    a, b = draw(m, k), draw(k, n)
    theirs = None
    if torch:
        at, bt = torch.from_numpy(a), torch.from_numpy(b)
        theirs = lambda: (at @ bt).numpy()  # noqa: E731
    part = 64
    yield Case(
        "matrix product", f"{m}x{k} {k}x{n}", "", "GFLOP/s", 2e-9 * m * k * n,
        lambda: CPU.matmul(a, b), lambda: REFERENCE.matmul(a, b), lambda: np.matmul(*double(a[:part], b)), theirs, part,
    )  # fmt: skip


KINDS = {"conv": convolutions, "norm": norms, "pool": pools, "matmul": products}
