"""Images as blocks of 2x2 pixels, whose channels lie cell by cell: convolutions with a stride or a pooling of 2 between
them have stride 1. (N, 2H, 2W, C) <-> (N, H, W, 4C), copied two pixels at a time."""

import math

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run

PIECE = 1 << 17  # numbers of a piece


def blocks_of_pixels(x):
    """(N, 2H, 2W, C) -> (N, H, W, 4C)"""
    n, tall, wide, c = x.shape
    found = empty((n, tall // 2, wide // 2, 4 * c), x.dtype)
    _copy(_pairs(found, c), _rows(np.ascontiguousarray(x)))
    return found


def pixels_of_blocks(blocks):
    """(N, H, W, 4C) -> (N, 2H, 2W, C)"""
    (n, tall, wide, _), c = blocks.shape, blocks.shape[3] // 4
    found = empty((n, 2 * tall, 2 * wide, c), blocks.dtype)
    _copy(_rows(found), _pairs(np.ascontiguousarray(blocks), c))
    return found


def items(x):
    """x with the numbers of its last axis, side by side, as one item, which NumPy copies faster: (..., C) -> (...)"""
    return x.view(np.dtype((np.void, x.shape[-1] * x.itemsize)))[..., 0]


def _pairs(blocks, c: int):
    """The pairs of pixels of blocks: (N, H, W, 2)"""
    n, tall, wide, _ = blocks.shape
    return items(blocks.reshape(n, tall, wide, 2, 2 * c))


def _rows(x):
    """The same of an image."""
    n, tall, wide, c = x.shape
    return items(x.reshape(n, tall // 2, 2, wide // 2, 2 * c)).transpose(0, 1, 3, 2)


def _copy(target, source):
    each = math.prod(target.shape[1:]) * target.itemsize // 4
    run(lambda images: np.copyto(target[images], source[images]), image_spans(len(target), each, PIECE))
