"""Which algorithm computes a convolution: by its shape and the settings alone, so that every run chooses the same.

The cost model counts the nanoseconds of one core (measured on AVX-512 cores whose large float32 products reach 150
GFLOP/s; only ratios matter). `move` is a number copied into or out of patches or tiles, `RATE` what a product reaches,
which falls where it has few columns.

    direct    N*OH*OW * KH*KW*C * (move + 2*F / rate(F))
    winograd  tiles * (t*t*(C + F)*move + (2*t^4*C + 2*t*t*m*m*F) / RATE + 2*t*t*C*F / (MIDDLE * rate(F)) + TILE)
              + transform of w

A transform of w serves the forward pass and the gradient of the input, so each pays for half of it.
"""

import numpy as np

from minicnn.backend.window import Window
from minicnn.config import config

MOVE = 0.4  # ns a number
RATE = 125.0  # operations a ns of a large product
MIDDLE = 0.85  # what the t*t products of Winograd's middle step reach of that
TILE = 350.0  # ns a tile: calls
KERNEL = {2: 10.0, 4: 40.0}  # ns for each C*F to transform a kernel: t*t numbers are written
THINNEST = 8  # channels and filters below which the products of Winograd's middle step have nothing to multiply
TILES = {"winograd2": 2, "winograd4": 4}


def tile_size(x_shape, w_shape, window: Window, out, dtype) -> int:
    """m of F(m x m, 3 x 3), or 0 for a direct convolution of x (N, H, W, C) with w (KH, KW, C/G, F).

    Winograd takes float32 alone (float64 is asked for where digits count), and no `precision="highest"`.
    """
    possible = winograd_fits(w_shape, window) and dtype == np.float32 and config.precision != "highest"
    if not possible or config.conv == "direct":
        return 0
    if config.conv in TILES:
        return TILES[config.conv]
    c, f = w_shape[2:]
    if min(c, f) < THINNEST:
        return 0
    costs = {m: winograd_cost(m, x_shape[0], out, c, f) for m in (4, 2)}
    costs[0] = direct_cost(x_shape[0] * out[0] * out[1], 9 * c, f)
    return min(costs, key=lambda m: costs[m])


def winograd_fits(w_shape, window: Window) -> bool:
    """Whether this is a 3x3 convolution of stride 1, with neither groups nor dilation."""
    return w_shape[:2] == (3, 3) and window.strides == window.dilation == (1, 1) and window.groups == 1


def direct_cost(pixels: int, depth: int, f: int) -> float:
    """Nanoseconds of a direct convolution: `depth` = KH*KW*C numbers a patch."""
    return pixels * depth * (MOVE + 2 * f / rate(f))


def winograd_cost(m: int, n: int, out, c: int, f: int) -> float:
    """Nanoseconds of F(m x m, 3 x 3), half of the kernel's transform included."""
    t2, count = (m + 2) ** 2, n * -(-out[0] // m) * -(-out[1] // m)
    transforms = t2 * (c + f) * MOVE + 2 * t2 * (t2 * c + m * m * f) / RATE
    return count * (transforms + 2 * t2 * c * f / (MIDDLE * rate(f)) + TILE) + KERNEL[m] * c * f / 2


def rate(columns: int) -> float:
    """Operations a nanosecond of a matrix product with so many columns."""
    return RATE * columns / (columns + 6)
