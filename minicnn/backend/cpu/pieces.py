"""Elementwise kernels on pieces of flat arrays that stay in the cache, all steps of a kernel on one before the next."""

import math

import numpy as np

from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, spans
from minicnn.backend.cpu.rows import constants, number_of_pieces

UPDATED = 3 << 15  # numbers of a piece of weights, to which gradients, slots and steps between belong
PLACED = 1 << 18  # numbers of a piece that is filled and written to
STEP = 1 << 10  # numbers of which a piece has a multiple, so that each begins with a line of the cache
BITS = {2: np.int16, 4: np.int32, 8: np.int64}  # whole numbers by their bytes


def cut(size: int, piece: int | None = None) -> tuple[slice, ...]:
    """A flat array in pieces of so many numbers, about."""
    return spans(size, -(-size // (number_of_pieces(size, piece) * STEP)) * STEP)


def relu(x):
    """max(x, 0)"""
    y = empty(x.shape, x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    run(lambda part: rectify(source[part], target[part]), cut(y.size))
    return y


def rectify(x, out):
    """max(x, 0) of a piece of a flat array into out."""
    return np.maximum(x, constants(0, len(x), x.dtype), out=out)


def relu_grad(dy, y):
    """dy where y, the output of a ReLU, is positive, else 0"""
    dx = empty(dy.shape, dy.dtype)
    upstream, kept, target = dy.reshape(-1), y.reshape(-1), dx.reshape(-1)
    run(lambda part: kept_where_positive(upstream[part], kept[part], target[part]), cut(dx.size))
    return dx


def kept_where_positive(dy, y, out) -> None:
    """dy where y, the output of a ReLU, is positive, else 0: the bits of dy times 1 or 0.

    The bits of a positive number are a positive integer. (y > 0 would have to become a float, in NumPy's buffer.)
    """
    if not dy.dtype == y.dtype == out.dtype:
        np.multiply(dy, y > 0, out=out)
        return
    dy, y, bits = (a.view(BITS[a.itemsize]) for a in (dy, y, out))
    np.minimum(y, constants(1, y.shape[-1], y.dtype), out=bits)
    np.multiply(bits, dy, out=bits)


def add(a, b, relu=False, overwrite=False):
    """[ReLU](a + b), written to a where that may be: a new array would have to come into the cache as well."""
    dtype = np.result_type(a, b)
    y = a if overwrite and a.dtype == dtype and a.flags.carray else empty(a.shape, dtype)
    left, right, target = a.reshape(-1), b.reshape(-1), y.reshape(-1)

    def work(part):
        np.add(left[part], right[part], out=target[part])
        if relu:
            rectify(target[part], target[part])

    run(work, cut(y.size))
    return y


def concatenate(xs, axis):
    """The arrays one after the other along an axis, some rows of each at a time."""
    sizes = [x.shape[axis] for x in xs]
    y = empty((*xs[0].shape[:axis], sum(sizes), *xs[0].shape[axis + 1 :]), np.result_type(*xs))
    target = as_rows(y, axis)
    sources = [as_rows(x, axis) for x in xs]
    run(lambda rows: np.concatenate([x[rows] for x in sources], axis=1, out=target[rows]), some_rows(target))
    return y


def split(y, sizes, axis):
    """The reverse, each part an array of its own: what works on it next would copy it alone, with one thread."""
    parts = [empty((*y.shape[:axis], size, *y.shape[axis + 1 :]), y.dtype) for size in sizes]
    whole, targets, sources, start = as_rows(y, axis), [as_rows(part, axis) for part in parts], [], 0
    for target in targets:
        sources.append(whole[:, start : start + target.shape[1]])
        start += target.shape[1]

    def work(rows):
        for source, target in zip(sources, targets, strict=True):
            np.copyto(target[rows], source[rows])

    run(work, some_rows(whole))
    return parts


def place(x, shape, key):
    """x at `key` in an array of zeros, some images at a time."""
    y = empty(shape, x.dtype)

    def work(images):
        part = y[images]
        part[...] = 0
        part[(slice(None), *key[1:])] = x[images]

    run(work, image_spans(len(y), y[0].size, PLACED))
    return y


def contiguous(x):
    """x as an array of its own: what works on it next would copy it alone, with one thread."""
    y = empty(x.shape, x.dtype)
    run(lambda part: np.copyto(y[part], x[part]), spans(len(x), -(-len(x) // number_of_pieces(x.size))))
    return y


def as_rows(x, axis):
    """A matrix whose rows hold the numbers of `axis` and those behind it."""
    return x.reshape(math.prod(x.shape[:axis]), -1)


def some_rows(matrix) -> tuple[slice, ...]:
    """Its rows in pieces, larger ones: they are read and written once."""
    return spans(len(matrix), -(-len(matrix) // number_of_pieces(matrix.size // 2)))


def number_by_number(tasks) -> None:
    """Pairs of a function and the arrays that it changes in place, all in pieces, shared out at once.

    Small arrays are the first piece together: to be called for each of them is what takes long.
    """
    small, pieces = [], []
    for work, arrays in tasks:
        size = arrays[0].size
        if size <= UPDATED or not all(a.flags.c_contiguous for a in arrays):
            small.append((work, arrays))
        else:
            flat = [a.reshape(-1) for a in arrays]
            pieces += [[(work, [a[part] for a in flat])] for part in cut(size, UPDATED)]

    def do(piece):
        for work, arrays in piece:
            work(*arrays)

    run(do, [small, *pieces] if small else pieces)
