"""Which algorithm computes a convolution: by its shape and the settings alone, so that every run chooses the same.

The cost model counts the nanoseconds of one core (measured on AVX-512 cores whose large float32 products reach 150
GFLOP/s; only ratios matter). A number costs `move` to copy into a patch, less where many lie together; a product
reaches `rate`, which falls where it has few columns.

    direct    N*OH*OW * depth/k * (move(run) + 2*k*F / rate(k*F)),  depth = KH*run,  run = (KW + (k-1)*stride) * C
    winograd  tiles * (t*t*(C + F)*TRANSFORM + 2*t*t*C*F / small(C, width of a panel of F) + TILE)
              + reading of the transformed w + its transform
    rows      tiles of 4 x r * (6*K*SPREAD + 2*6*K*r*F / small(K, r*F) + 10*r*F*GATHER + CALL) + the same,  K = (r+2)*C
    lines     segments of T tiles of m: t*T*((MOVE + 2*L/RATE)*C + 2*C*F / small(C, F) + (MOVE + 2*m*T/RATE)*F)

Groups are counted as the blocks that they are merged into (`blocks.py`), each a convolution of its own.
k neighbours share a patch in a direct convolution. Each pass of a training step transforms w or sums up a
transform; a prediction has it already, and pays most of it for the memory that this takes.
"""

import math
from functools import lru_cache

import numpy as np

from minicnn.backend.cpu import lines
from minicnn.backend.cpu.blocks import Blocks, is_depthwise
from minicnn.backend.cpu.products import SHORTEST, SMALL, panel_width
from minicnn.backend.window import Window
from minicnn.config import config

MOVE = 0.4  # ns a number of a tile
RATE = 125.0  # operations a ns of a large product
MIDDLE = 0.85  # what the products of Winograd's middle step reach of that, unless they are small
TRANSFORM = 0.6  # ns a number of a transformed tile, forth or back
TILE = 800.0  # ns a tile: calls, and products too small to be quick
KERNEL = {2: 14.0, 4: 24.0}  # ns for each C*F to transform a kernel: t*t numbers are written
PREPARED = 0.75  # of that, where a kernel was transformed before
FEW, LARGE = 128, 1 << 20  # tiles at most, and numbers of a transformed kernel at least, for `winograd_few.py`
IN_CACHE = {2: 14.0, 4: 17.0}  # ns for each C*F there, reading and all
FEWER, HUGE = 48, 1 << 23  # tiles and numbers, where workers share out a transformed kernel that is in memory
ROWS, LINES = 20.0, 2.5  # the same for `narrow.py`, and for `lines.py` for each of K as well
READ, MOST_TILES = 0.4, 128  # ns to read a number of a transformed kernel, once for so many tiles
THINNEST = 8  # channels and filters below which the products of Winograd's middle step have nothing to multiply
TILES = {"winograd2": 2, "winograd4": 4}
SPREAD, GATHER, CALL = 0.3, 0.3, 30.0  # ns a number of a patch transformed and copied, of M and y, of a patch


def algorithm(x_shape, w_shape, window: Window, out, dtype, passes: float = 1.0) -> str:
    """Which of `config.ALGORITHMS` but "auto", or "lines", convolves x (N, H, W, C) with w (KH, KW, C/G, F).

    passes: how many transforms of a kernel to count.
    Winograd takes float32 alone (float64 is asked for where digits count), and no `precision="highest"`.
    """
    if dtype != np.float32 or config.precision == "highest" or config.conv == "direct":
        return "direct"
    return _chosen(tuple(x_shape), tuple(w_shape), window, tuple(out), passes, config.conv)


@lru_cache(maxsize=4096)
def _chosen(x_shape, w_shape, window: Window, out, passes: float, asked: str) -> str:
    """The same where algorithms that round are allowed; `asked`: which of them."""
    if lines.fits(w_shape, window):
        return _lines_or_direct(x_shape, w_shape, window, out, passes, asked)
    if not winograd_fits(w_shape, window):
        return "direct"
    if asked != "auto":
        return asked if asked in TILES or window.groups == 1 else "direct"
    return _quickest(x_shape, w_shape, window, out, passes)


def _lines_or_direct(x_shape, w_shape, window: Window, out, passes: float, asked: str) -> str:
    """The same for kernels that `lines.py` convolves, with some rows or columns at a time."""
    if asked != "auto":
        return "lines" if asked == "winograd4x1" else "direct"
    pixels, numbers = x_shape[0] * out[0] * out[1], math.prod(w_shape)
    quick = lines_cost(w_shape, pixels, out) + passes * LINES * numbers
    return "lines" if quick < pixels * direct_cost(Blocks(w_shape, 1), window, out) else "direct"


def _quickest(x_shape, w_shape, window: Window, out, passes: float) -> str:
    """The algorithm that costs least where all are possible."""
    blocks = Blocks(w_shape, window.groups)
    c, f = blocks.shape[2:]
    if min(c, f) < THINNEST or is_depthwise(w_shape, window.groups):
        return "direct"
    costs = {name: winograd_cost(m, x_shape[0], out, blocks, passes) for name, m in TILES.items()}
    costs["direct"] = x_shape[0] * out[0] * out[1] * direct_cost(blocks, window, out)
    if window.groups == 1:
        r = neighbours_of_rows(f)
        count = x_shape[0] * -(-out[0] // 4) * -(-out[1] // r)
        costs["winograd4x1"] = count * rows_cost(c, f, r) + passes * ROWS * r * c * f
        costs["winograd4x1"] += reading(6, (r + 2) * c, r * f, count)
    return min(costs, key=lambda name: costs[name])


def winograd_fits(w_shape, window: Window) -> bool:
    """Whether this is a 3x3 convolution of stride 1 without dilation."""
    return tuple(w_shape[:2]) == (3, 3) and window.strides == window.dilation == (1, 1)


def neighbours(w_shape, strides, width: int) -> int:
    """How many neighbours in a row of y share a patch: 1, 2, 4 or 8, a divisor of OW."""
    possible = [k for k in (1, 2, 4, 8) if width % k == 0]
    return min(possible, key=lambda k: patch_cost(w_shape, strides[1], k))


def direct_cost(blocks: Blocks, window: Window, out) -> float:
    """Nanoseconds of a pixel of y in a direct convolution. A block among others is copied tap by tap."""
    if blocks.count == 1:
        together = neighbours(blocks.shape, window.strides, out[1])
        return patch_cost(blocks.shape, window.strides[1], together)
    kh, kw, c, f = blocks.shape
    return blocks.count * kh * kw * patch_cost((1, 1, c, f), 1, 1)


def patch_cost(w_shape, stride: int, together: int) -> float:
    """Nanoseconds of a pixel of y where so many neighbours share a patch."""
    kh, kw, c, f = w_shape
    length = (kw + (together - 1) * stride) * c
    return kh * length * ((0.2 + 3.5 / length) / together + 2 * f / rate(together * f))


def winograd_cost(m: int, n: int, out, blocks: Blocks, passes: float) -> float:
    """Nanoseconds of F(m x m, 3 x 3), with so many transforms of the kernel."""
    t2, count = (m + 2) ** 2, n * -(-out[0] // m) * -(-out[1] // m)
    c, f = blocks.shape[2:]
    transforms = t2 * (c + f) * TRANSFORM
    middle = 2 * t2 * c * f / small_rate(c, panel_width(f))
    shared = passes < 1.0 and blocks.count == 1 and shared_out(n, count, m, c, f)
    kernel = reading(t2, c, f, count) * (0.5 if shared else 1.0) + passes * KERNEL[m] * c * f
    if passes == 1.0 and blocks.count == 1 and few_tiles(count, m, c, f):
        kernel = IN_CACHE[m] * c * f
    return count * (blocks.count * (transforms + middle) + TILE) + blocks.count * kernel


def few_tiles(count: int, m: int, c: int, f: int) -> bool:
    """Whether a transformed kernel, used for so many tiles, is better made in the cache piece by piece."""
    return count <= FEW and (m + 2) ** 2 * c * f >= LARGE


def shared_out(n: int, count: int, m: int, c: int, f: int) -> bool:
    """Whether workers share out a transformed kernel that is in memory, not the tiles: those of one image, or so few
    that each worker would take longer to read all of it."""
    return (n == 1 and few_tiles(count, m, c, f)) or (count <= FEWER and (m + 2) ** 2 * c * f >= HUGE)


def lines_cost(w_shape, pixels: int, out) -> float:
    """Nanoseconds of a convolution along lines of y, of size `out`."""
    along, (c, f) = lines.axis(w_shape), w_shape[2:]
    k, rows, length = w_shape[along - 1], w_shape[0] if along == 2 else 1, out[along - 1]
    m = lines.tile(k, length)
    tiles = -(-length // m)
    segments = -(-tiles // (lines.LONGEST // m))
    each = m * -(-tiles // segments)  # numbers of y in a segment
    products = (k + m - 1) * tiles * (1 + (rows - 1) / out[0])  # of some lines of padding as well
    forth, back = ((MOVE + 2 * cells / RATE) for cells in (min(each + k - 1, length), each))
    return pixels / length * products * (forth * c + 2 * rows * c * f / small_rate(rows * c, f) + back * f)


def neighbours_of_rows(f: int) -> int:
    """How many neighbours in a row of y share a patch in `narrow.py`: 1, 2 or 4, for products of about 32 columns."""
    return max(1, min(4, 32 // f))


def rows_cost(c: int, f: int, r: int) -> float:
    """Nanoseconds of a tile of 4 x r cells of y in `narrow.py`."""
    depth, columns = (r + 2) * c, r * f
    return 6 * depth * SPREAD + 12 * depth * columns / small_rate(depth, columns) + 10 * columns * GATHER + CALL


def reading(products: int, depth: int, columns: int, tiles: int) -> float:
    """Nanoseconds to read a transformed kernel, once for each block of tiles, where OpenBLAS repacks it."""
    if depth * columns * SHORTEST <= SMALL:
        return 0.0
    return -(-tiles // MOST_TILES) * products * depth * columns * READ


def small_rate(depth: int, columns: int) -> float:
    """Operations a nanosecond of a stack of products of such matrices, small where `products.py` can cut them."""
    small = depth * columns * SHORTEST <= SMALL
    return 1.4 * RATE * columns / (columns + 8) * depth / (depth + 20) if small else MIDDLE * rate(columns)


def rate(columns: int) -> float:
    """Operations a nanosecond of a matrix product with so many columns."""
    return RATE * columns / (columns + 10)
