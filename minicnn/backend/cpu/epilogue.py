"""What follows a convolution, done on each piece of y while it is warm: bias, scale and shift, residual, ReLU.

A piece is taken as a matrix of long rows (`rows.py`) with vectors as long: at 16 channels a bias then costs 0.13 ns a
number instead of 0.46, ReLU 0.13 instead of 0.23.
"""

import numpy as np

from minicnn.backend.cpu.rows import WIDE, constants, joined_pixels, tiled


def epilogue_on_tiles(bias, scale, shift, residual, relu):
    """`Backend.epilogue` as finish(tile, images, rows), which changes a piece of y in place; None for nothing to do."""
    given = [(step, v) for step, v in ((np.add, bias), (np.multiply, scale), (np.add, shift)) if v is not None]
    if not (given or relu or residual is not None):
        return None
    wide: dict[int, list] = {}  # the vectors by how many pixels are joined; workers that make the same do no harm

    def finish(tile, images, rows):
        if not tile.flags.c_contiguous:
            plain(tile, images, rows)
            return
        joined = joined_pixels(tile.size // tile.shape[-1], tile.shape[-1], WIDE)
        matrix = tile.reshape(-1, joined * tile.shape[-1])
        if joined not in wide:
            wide[joined] = [(step, tiled(vector, joined)) for step, vector in given]
        for step, vector in wide[joined]:
            step(matrix, vector, out=matrix)
        if residual is not None:
            np.add(matrix, residual[images, rows].reshape(matrix.shape), out=matrix)
        if relu:
            np.maximum(matrix, constants(0, matrix.shape[1], matrix.dtype), out=matrix)

    def plain(tile, images, rows):
        for step, vector in given:
            step(tile, vector, out=tile)
        if residual is not None:
            np.add(tile, residual[images, rows], out=tile)
        if relu:
            np.maximum(tile, 0, out=tile)

    return finish
