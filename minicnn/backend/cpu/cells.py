"""Images as blocks of 2x2 pixels, whose channels lie cell by cell: convolutions with a stride or a pooling of 2 between
them have stride 1. (N, 2H, 2W, C) <-> (N, H, W, 4C), copied two pixels at a time."""

from functools import lru_cache

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import in_images


def room_for_blocks(x):
    """Where the blocks of x go: (N, 2H, 2W, C) -> (N, H, W, 4C)"""
    n, tall, wide, c = x.shape
    return empty((n, tall // 2, wide // 2, 4 * c), x.dtype)


def room_for_pixels(blocks):
    """Where the pixels of blocks go: (N, H, W, 4C) -> (N, 2H, 2W, C)"""
    (n, tall, wide, _), c = blocks.shape, blocks.shape[3] // 4
    return empty((n, 2 * tall, 2 * wide, c), blocks.dtype)


def write_blocks(x, blocks) -> None:
    """Images as blocks, on this thread."""
    np.copyto(_pairs(blocks, x.shape[3]), _rows(x))


def write_pixels(blocks, x) -> None:
    """Blocks as images, on this thread."""
    np.copyto(_rows(x), _pairs(blocks, x.shape[3]))


def pixels_of_blocks(blocks):
    """(N, H, W, 4C) -> (N, 2H, 2W, C)"""
    blocks, found = np.ascontiguousarray(blocks), room_for_pixels(blocks)
    in_images(lambda images: write_pixels(blocks[images], found[images]), found)
    return found


def items(x):
    """x with the numbers of its last axis, side by side, as one item, which NumPy copies faster: (..., C) -> (...)"""
    return x.view(_item(x.shape[-1] * x.itemsize))[..., 0]


@lru_cache(maxsize=256)
def _item(size: int) -> np.dtype:
    return np.dtype((np.void, size))


def _pairs(blocks, c: int):
    """The pairs of pixels of blocks: (N, H, W, 2)"""
    n, tall, wide, _ = blocks.shape
    return items(blocks.reshape(n, tall, wide, 2, 2 * c))


def _rows(x):
    """The same of an image."""
    n, tall, wide, c = x.shape
    return items(x.reshape(n, tall // 2, 2, wide // 2, 2 * c)).transpose(0, 1, 3, 2)
