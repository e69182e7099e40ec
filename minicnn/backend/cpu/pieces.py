"""Elementwise kernels on pieces of flat arrays that stay in the cache, all steps of a kernel on one before the next."""

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import run, scratch, spans
from minicnn.backend.cpu.rows import constants

PIECE = 1 << 16  # numbers of a piece


def relu(x):
    """max(x, 0)"""
    y = empty(x.shape, x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    run(lambda part: rectify(source[part], target[part]), spans(y.size, PIECE))
    return y


def rectify(x, out):
    """max(x, 0) of a piece of a flat array into out."""
    return np.maximum(x, constants(0, PIECE, x.dtype)[: len(x)], out=out)


def relu_grad(dy, y):
    """dy where y > 0, else 0"""
    dx = empty(dy.shape, dy.dtype)
    upstream, kept, target = dy.reshape(-1), y.reshape(-1), dx.reshape(-1)

    def work(part):
        positive = np.greater(kept[part], 0, out=scratch("positive", kept[part].shape, bool))
        np.multiply(upstream[part], positive, out=target[part])

    run(work, spans(dx.size, PIECE))
    return dx


def add(a, b, relu=False):
    """[ReLU](a + b)"""
    y = empty(a.shape, np.result_type(a, b))
    left, right, target = a.reshape(-1), b.reshape(-1), y.reshape(-1)

    def work(part):
        np.add(left[part], right[part], out=target[part])
        if relu:
            rectify(target[part], target[part])

    run(work, spans(y.size, PIECE))
    return y


def in_pieces(kernel, arrays, *arguments) -> None:
    """kernel(pieces of the arrays, *arguments), which works in place; an array may be None."""
    size = arrays[0].size
    if size <= PIECE or not all(a is None or a.flags.c_contiguous for a in arrays):
        kernel(*arrays, *arguments)
        return
    flat = [None if a is None else a.reshape(-1) for a in arrays]
    run(lambda part: kernel(*(None if a is None else a[part] for a in flat), *arguments), spans(size, PIECE))
