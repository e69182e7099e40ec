"""Products of tall, narrow matrices, cut into small ones.

OpenBLAS copies both sides of a product into an order of its own before it multiplies, except for small ones (rows *
depth * columns up to 10^6), for which newer versions have kernels that read the matrices where they lie
(`kernel/x86_64/sgemm_small_kernel_nn_skylakex.c`). Up to some hundred columns there is too little to do for each number
to pay for a copy: a stack of small products reaches 155 to 170 GFLOP/s on a core where a large one reaches 120 at 64 x
64, 142 at 128 x 128 and 138 at 64 x 256 (K x N). Pieces depend on shapes alone. Error: that of a product.
"""

from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import one_blas_thread, run, scratch, spans

SMALL = 10**6  # multiplications of a product that OpenBLAS takes as small
WIDEST, DEEPEST = 64, 320  # columns and depth, beyond which a sum of small products is no faster than a large one
FEW, SOME = 16, 64  # rows of a product that takes less time than reading its right side, and than turning that
SHORTEST = 16  # rows, below which a small one is not
SUMMED = 96, 256  # rows that are summed up in one small product, where so many may be: no fewer, no more
PANELS = 64, 96, 32  # columns of a right side kept in panels: what a small product reads lies together
NARROW, WIDE = 32, 96  # of such panels, where none of these divides all columns
TALLEST = 56  # rows of a product with a panel
BLOCK = 1 << 23  # multiplications of a piece of a matrix product
NARROWEST, COLUMNS, ROWS = 256, 2048, 256  # of a piece: columns at least, and where there are many; rows of a large b


def matmuls(pairs) -> list:
    """a @ b for pairs of matrices, each cut along the longer side of its result, all pieces shared out at once.

    (M, K), (K, N) -> (M, N)
    """
    found, pieces = [], []
    with one_blas_thread():
        for a, b in pairs:
            if a.shape[0] * b.size <= SMALL:
                found.append(np.matmul(a, b))
                continue
            y, multiply, parts = in_parts(a, b)
            found.append(y)
            pieces += [(multiply, part) for part in parts]
        run(lambda piece: piece[0](piece[1]), pieces)
    return found


def in_parts(a, b):
    """Room for a @ b, what computes a part of it, and the parts."""
    (m, k), n = a.shape, b.shape[1]
    y = empty((m, n), np.result_type(a, b))
    if m >= n:
        a = np.ascontiguousarray(a) if k < 64 else a  # few numbers, read once for each product
        small = k * n * SHORTEST <= SMALL and not is_transpose(a)
        multiply, least = (product, SHORTEST) if small else (np.matmul, ROWS)  # of a b that is packed for each piece
        return y, lambda rows: multiply(a[rows], b, y[rows]), spans(m, max(least, BLOCK // max(k * n, 1)))
    width = COLUMNS if n >= 2 * COLUMNS else max(-(-n // 4), NARROWEST)  # less would be read in snippets
    multiply = np.matmul
    if m <= FEW < k:
        multiply = few_rows
    elif m <= SOME and m * k * n >= 2 * BLOCK and is_transpose(b):
        multiply, width = from_the_right, max(width, 2 * NARROWEST)
    columns = spans(n, max(width, BLOCK // max(k * m, 1)))
    return y, lambda part: multiply(a, b[:, part], y[:, part]), columns


def is_transpose(a) -> bool:
    """Whether the numbers of a column lie side by side, and not those of a row."""
    return a.strides[0] < a.strides[1]


def from_the_right(a, b, out):
    """a @ b into out, for some rows and a large b that is a transpose: (b^T a^T)^T.

    The gradient of the input of a dense layer takes 0.65 to 0.85 of the time, up to 64 rows.
    """
    found = np.matmul(b.T, a.T, out=scratch("tile", out.T.shape, out.dtype))
    np.copyto(out, found.T)


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


def panel_width(n: int) -> int:
    """How many of n columns make a panel: best a multiple of 32 (two vectors), else their largest divisor up to WIDE,
    unless that is narrow. 48 and 40 columns reach 130 and 115 GFLOP/s on a core where 96 reach 160 and 80 150."""
    width = next((k for k in PANELS if n % k == 0), 0) or next(k for k in range(min(n, WIDE), 0, -1) if n % k == 0)
    return width if width >= NARROW else n


def in_panels(b, width: int):
    """A matrix cut into panels of columns, each on its own: (K, N) -> (N/width, K, width)"""
    panels = empty((b.shape[1] // width, len(b), width), b.dtype)
    np.copyto(panels, b.reshape(len(b), -1, width).swapaxes(0, 1))
    return panels


def product_of_panels(a, panels, out):
    """a @ b into out, where b is cut into J panels of columns: small products for sides of any size.

    a: (..., M, K)   panels: (..., J, K, N/J)   out: (..., M, N)
    """
    (m, k), (j, _, n) = a.shape[-2:], panels.shape[-3:]
    rows = height(m, SMALL // (k * n))
    if not rows:
        for i in range(j):
            np.matmul(a, panels[..., i, :, :], out=out[..., i * n : (i + 1) * n])
        return
    out = np.moveaxis(out.reshape(*out.shape[:-1], j, n), -2, -3)
    whole = m // rows * rows
    stack = m // rows, rows
    np.matmul(
        a[..., None, :whole, :].reshape(*a.shape[:-2], 1, *stack, k),
        panels[..., None, :, :],
        out=out[..., :whole, :].reshape(*out.shape[:-2], *stack, n),
    )
    if whole < m:
        np.matmul(a[..., None, whole:, :], panels, out=out[..., whole:, :])


@lru_cache(maxsize=4096)
def height(m: int, most: int) -> int:
    """Into pieces of how many rows m rows are cut, for small products of so many at most: as even as it goes, best
    without a rest, which reads the right side once more. 0 where they would be too short."""
    if most < min(m, SHORTEST):
        return 0
    most = min(most, TALLEST)
    count = -(-m // most)
    even = [m // i for i in range(count, 2 * count + 1) if m % i == 0]
    return even[0] if even else -(-m // count)


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
    most = min(SMALL // (k * n), SUMMED[1])
    rows = summed_rows(m, most) if most >= SUMMED[0] else max(m, 1)
    count = m // rows
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


@lru_cache(maxsize=4096)
def summed_rows(m: int, most: int) -> int:
    """Into sums of how many rows m rows are cut: best without a rest, which costs another product and a sum."""
    count = -(-m // most)
    return next((m // i for i in range(count, 2 * count) if m % i == 0), most // SHORTEST * SHORTEST)
