"""Winograd's minimal convolution for 3x3 kernels of stride 1: F(2x2, 3x3) and F(4x4, 3x3), forward and both gradients.

Idea: an m x m tile of y needs t x t = (m+2) x (m+2) cells of x. Read as polynomials, their product is known from its
values at t points, so that each channel costs t*t multiplications a tile instead of 9*m*m: 2.25 (m = 2) or 4 (m = 4)
times fewer. Both transforms are small products along columns, then rows, and the middle step is t*t products:

    V = B^T d B    M[k] = V[k] @ U[k]    Y = A^T M A    U = G w G^T

d: (t, t, P, C) tiles   V: (t*t, P, C)   U: (t*t, C, F) in panels   M: (t*t, P, F)   Y: (m, m, P, F)
Source: Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308, sections 3 and 4. Points: `winograd_points.py`.
Error in float32, against the largest y, unit-variance data of 64 channels: 3e-7 (m = 2), 1.5e-6 (m = 4); direct 2e-7.
"""

import numpy as np

from minicnn.backend.cpu import winograd_few
from minicnn.backend.cpu.blocks import Blocks, turn
from minicnn.backend.cpu.choice import few_tiles, shared_out
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_bands, run, scratch, spans
from minicnn.backend.cpu.products import product_of_panels, sum_of_products
from minicnn.backend.cpu.winograd_kernel import COLUMNS, transform_kernel
from minicnn.backend.cpu.winograd_points import points
from minicnn.backend.cpu.winograd_tiles import Tiles, put

BLOCK_BYTES = 3 << 20  # tiles and their transforms that are worked on at a time
FEWEST = 128  # tiles of a block, so that U, read once a block, is used often enough
SUMMED, GROUPS = 1 << 13, 8  # cells of a kernel at most whose sums are kept side by side, and so many of them
SHARED_BYTES = 1 << 25  # transformed tiles that are kept for the gradient of the kernel


def convolve(x, w, pads, out, m: int, groups: int = 1, turned: bool = False, finish=None):
    """`conv2d` with a kernel, or a turned one, that is not transformed yet.   w: (3, 3, C/G, F)"""
    if groups == 1 and few_tiles(number(len(x), out, m), m, *w.shape[2:]):
        return winograd_few.conv2d(x, turn(w) if turned else w, pads, out, m, finish)
    return conv2d(x, transform_kernel(w, m, groups, turned), pads, out, m, finish)


def conv2d(x, u, pads, out, m: int, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on the rows of y that are done, while they are warm.

    x: (N, H, W, C)   u: of `transform_kernel`   pads: ((top, bottom), (left, right))   out: (OH, OW)
    -> (N, OH, OW, F)
    """
    p, (_, b, panels, k, width) = points(m), u.shape
    if b == 1 and shared_out(len(x), number(len(x), out, m), m, k, panels * width):
        return winograd_few.conv2d_of_panels(x, u, pads, out, m, finish)
    c, f, wide = b * k, b * panels * width, -(-out[1] // m)
    y = empty((x.shape[0], *out, f), u.dtype)
    tiles = Tiles(x, p.input, m, wide, pads, u.dtype)

    def work(block):
        images, rows = block
        span = slice(rows.start * m, min(rows.stop * m, out[0]))
        target = y[images, span]
        count = len(target) * (rows.stop - rows.start) * wide
        v = scratch("transformed", (p.t * p.t, count, c), u.dtype)
        tiles.transform(images, rows, v)
        products = scratch("tiles", (p.t * p.t, count, f), u.dtype)
        product_of_panels(by_block(v, b), u, by_block(products, b))
        put(products, p.output, target, wide)
        if finish is not None:
            finish(target, images, span)

    run(work, pieces_of(x.shape[0], out, m, max(c, f) * u.itemsize))
    return y


def by_block(x, b: int):
    """(t*t, P, C) as (t*t, B, P, C/B), a view."""
    return x.reshape(*x.shape[:2], b, -1).transpose(0, 2, 1, 3)


def weight_grad(x, dy, pads, m: int, groups: int = 1):
    """dw of `Backend.conv2d_weight_grad`: (3, 3, C/G, F) = G^T [sum over tiles of V[k]^T (A dy A^T)[k]] G.

    x: (N, H, W, C)   dy: (N, OH, OW, F)
    """
    if groups == 1 and few_tiles(number(len(x), dy.shape[1:3], m), m, x.shape[3], dy.shape[3]):
        return winograd_few.weight_grad(x, dy, pads, m)
    p, blocks = points(m), Blocks((3, 3, x.shape[3] // groups, dy.shape[3]), groups)
    wide, dtype = -(-dy.shape[2] // m), np.result_type(x, dy)
    pair = Tiles(x, p.input, m, wide, pads, dtype), Tiles(dy, p.upstream, m, wide, ((0, 0), (0, 0)), dtype)
    pieces = pieces_of(len(x), dy.shape[1:3], m, max(x.shape[3], dy.shape[3]) * dtype.itemsize)
    add_up = sums_by_blocks if blocks.shape[2] * blocks.shape[3] <= SUMMED else sums_by_products
    sums = add_up(pair, pieces, blocks).reshape(-1, p.t * p.t, blocks.count * blocks.shape[2] * blocks.shape[3])
    dw = empty((9, sums.shape[2]), dtype)

    def back(part):
        total = np.add.reduce(sums[:, :, part]) if len(sums) > 1 else sums[0][:, part]
        np.matmul(p.kernel_gradient, total, out=dw[:, part])

    run(back, spans(dw.shape[1], COLUMNS))
    dw = dw.reshape(3, 3, blocks.count, *blocks.shape[2:])
    return np.concatenate([blocks.own(dw[:, :, b]) for b in range(blocks.count)], axis=3) if groups > 1 else dw[:, :, 0]


def room(pair, count: int):
    """For V and A dy A^T of so many tiles, (t*t, P, C) and (t*t, P, F), in this thread's memory."""
    v, upstream = ((len(tiles.matrix) ** 2, count, tiles.c) for tiles in pair)
    return scratch("inputs", v, pair[0].dtype), scratch("upstream", upstream, pair[0].dtype)


def sums_by_blocks(pair, pieces, blocks: Blocks):
    """Sums over tiles, (groups, t*t, B, C/B, F/B), of small kernels: what is transformed is multiplied while warm.

    Blocks of tiles are shared out in GROUPS, each with sums of its own, so that their order is always the same.
    """
    squared, dtype = len(pair[0].matrix) ** 2, pair[0].dtype
    groups = [pieces[span] for span in spans(len(pieces), -(-len(pieces) // GROUPS))]
    sums = empty((len(groups), squared, blocks.count, *blocks.shape[2:]), dtype)

    def work(g):
        for i, (images, rows) in enumerate(groups[g]):
            v, upstream = room(pair, (images.stop - images.start) * (rows.stop - rows.start) * pair[0].wide)
            pair[0].transform(images, rows, v)
            pair[1].transform(images, rows, upstream)
            part = scratch("part", sums.shape[1:], dtype) if i else sums[g]
            sum_of_products(by_block(v, blocks.count), by_block(upstream, blocks.count), part)
            if i:
                np.add(sums[g], part, out=sums[g])

    run(work, range(len(groups)))
    return sums


def sums_by_products(pair, pieces, blocks: Blocks):
    """The same for large kernels, as one group: tiles are transformed some thousands at a time, in blocks; then each
    worker takes whole products of the t*t, so that every sum has one owner and one order."""
    squared, dtype = len(pair[0].matrix) ** 2, pair[0].dtype
    sums = empty((squared, blocks.count, *blocks.shape[2:]), dtype)
    bytes_of_a_tile = squared * (pair[0].c + pair[1].c) * dtype.itemsize
    for group in gathered(pieces, pair[0].wide, SHARED_BYTES // bytes_of_a_tile):
        count = group[-1][1].stop
        v, upstream = room(pair, count)

        def transform(piece, v=v, upstream=upstream):
            (images, rows), place = piece
            pair[0].transform(images, rows, v[:, place])
            pair[1].transform(images, rows, upstream[:, place])

        def multiply(k, v=v, upstream=upstream, first=group[0][0] == pieces[0]):
            inputs, outputs = by_block(v[k : k + 1], blocks.count)[0], by_block(upstream[k : k + 1], blocks.count)[0]
            if first:
                sum_of_products(inputs, outputs, sums[k])
                return
            part = sum_of_products(inputs, outputs, scratch("tiles", sums.shape[1:], dtype))
            np.add(sums[k], part, out=sums[k])

        run(transform, group)
        run(multiply, range(squared))
    return sums


def number(n: int, out, m: int) -> int:
    """Of tiles of n images."""
    return n * -(-out[0] // m) * -(-out[1] // m)


def pieces_of(n: int, out, m: int, bytes_of_a_cell: int) -> list[tuple[slice, slice]]:
    """Pieces of work: some rows of tiles of one image, or several images whole."""
    tall, wide = -(-out[0] // m), -(-out[1] // m)
    t = m + 2
    count = max(BLOCK_BYTES // (2 * t * t * bytes_of_a_cell), FEWEST)
    if count >= tall * wide:
        parts = max(round(n * tall * wide / count), 1)
        parts += parts % 2 if parts < 8 else 0  # two workers have equally much to do
        return [(images, slice(0, tall)) for images in spans(n, -(-n // parts))]
    return image_bands(n, tall, -(-tall * wide // count))


def gathered(pieces, wide: int, most: int):
    """Blocks in groups of at most `most` tiles (or one block), each block with the place of its tiles in the group."""
    group: list = []
    for images, rows in pieces:
        count = (images.stop - images.start) * (rows.stop - rows.start) * wide
        start = group[-1][1].stop if group else 0
        if group and start + count > most:
            yield group
            group, start = [], 0
        group.append(((images, rows), slice(start, start + count)))
    if group:
        yield group
