"""Products of tall, narrow matrices, cut into small ones.

OpenBLAS copies both sides of a product into an order of its own before it multiplies, except for small ones (rows *
depth * columns up to 10^6), for which newer versions have kernels that read the matrices where they lie
(`kernel/x86_64/sgemm_small_kernel_nn_skylakex.c`). Up to some hundred columns there is too little to do for each number
to pay for a copy: a stack of small products reaches 155 to 170 GFLOP/s on a core where a large one reaches 120 at 64 x
64, 142 at 128 x 128 and 138 at 64 x 256 (K x N). Pieces depend on shapes alone. Error: that of a product.
"""

import numpy as np

from minicnn.backend.cpu.parallel import scratch

SMALL = 10**6  # multiplications of a product that OpenBLAS takes as small
WIDEST, DEEPEST = 64, 320  # columns and depth, beyond which a sum of small products is no faster than a large one
FEW = 16  # rows of a product that takes less time than reading its right side
SHORTEST = 16  # rows, below which a small one is not
SUMMED = 128, 256  # rows that are summed up in one small product: no fewer, no more


def product(a, b, out):
    """a @ b into out, stacks of matrices or one.   a: (..., M, K)   b: (..., K, N)   out: (..., M, N)"""
    (m, k), n = a.shape[-2:], b.shape[-1]
    rows = SMALL // (k * n) // SHORTEST * SHORTEST
    if not SHORTEST <= rows < m:
        return np.matmul(a, b, out=out)
    count = m // rows
    if count * rows < m:  # as even as it goes: the rest is one product more
        rows = -(-m // (count + 1) // SHORTEST) * SHORTEST
        count = m // rows
    whole = count * rows
    stack = (count, rows)
    np.matmul(
        a[..., :whole, :].reshape(*a.shape[:-2], *stack, k),
        b[..., None, :, :],
        out=out[..., :whole, :].reshape(*out.shape[:-2], *stack, n),
    )
    if whole < m:
        np.matmul(a[..., whole:, :], b, out=out[..., whole:, :])
    return out


def few_rows(a, b, out):
    """a @ b into out for few rows and a large b, which is read once, as it lies.   a: (M, K)   b: (K, N)   out: (M, N)

    A b that is a transpose is multiplied from its side; another one some rows at a time, which are added up.
    """
    (m, k), n = a.shape, b.shape[1]
    if b.strides[0] <= b.strides[1]:
        found = product(b.T, np.ascontiguousarray(a.T), scratch("tile", (n, m), out.dtype))
        np.copyto(out, found.T)
        return
    part = scratch("part", out.shape, out.dtype)
    deep = max(SMALL // (m * n), SHORTEST)
    for start in range(0, k, deep):
        target = part if start else out
        np.matmul(a[:, start : start + deep], b[start : start + deep], out=target)
        if start:
            np.add(out, part, out=out)


def sum_of_products(a, b, out):
    """a^T @ b into out, summed up some rows at a time.   a: (..., M, K)   b: (..., M, N)   out: (..., K, N)"""
    (m, k), n = a.shape[-2:], b.shape[-1]
    rows = min(SMALL // (k * n), SUMMED[1]) // SHORTEST * SHORTEST
    count = m // rows if rows >= SUMMED[0] else 0
    if n > WIDEST or k > DEEPEST or count < 2 or m * k * n <= SMALL:
        return np.matmul(np.swapaxes(a, -1, -2), b, out=out)
    whole = count * rows
    parts = scratch("sums", (*out.shape[:-2], count, k, n), out.dtype)
    stacks = (x[..., :whole, :].reshape(*x.shape[:-2], count, rows, x.shape[-1]) for x in (a, b))
    first, second = stacks
    np.matmul(np.swapaxes(first, -1, -2), second, out=parts)
    np.add.reduce(parts, axis=-3, out=out)
    if whole < m:
        rest = np.matmul(np.swapaxes(a[..., whole:, :], -1, -2), b[..., whole:, :])
        np.add(out, rest, out=out)
    return out
