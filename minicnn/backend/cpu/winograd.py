"""Winograd's minimal convolution for 3x3 kernels of stride 1: F(2x2, 3x3) and F(4x4, 3x3), forward and both gradients.

Idea: an m x m tile of y needs t x t = (m+2) x (m+2) cells of x. Read as polynomials, their product is known from its
values at t points, so that each channel costs t*t multiplications a tile instead of 9*m*m: 2.25 (m = 2) or 4 (m = 4)
times fewer. Both transforms are matrix products with a Kronecker square, and the middle step is t*t products:

    V = (B^T (x) B^T) d    M[k] = V[k] @ U[k]    Y = (A^T (x) A^T) M    U = (G (x) G) w

d: (P, t*t, C) tiles   V: (t*t, P, C)   U: (t*t, C, F)   M: (P, t*t, F)   Y: (P, m*m, F)
Source: Winograd 1980; Lavin & Gray 2015, arXiv:1509.09308, sections 3 and 4. Points: `winograd_points.py`.
Error in float32, against the largest y, unit-variance data of 64 channels: 3e-7 (m = 2), 1.5e-6 (m = 4); direct 2e-7.
"""

import numpy as np

from minicnn.backend.cpu.blocks import Blocks
from minicnn.backend.cpu.memory import empty
from minicnn.backend.cpu.parallel import image_spans, run, scratch, spans
from minicnn.backend.cpu.products import product, sum_of_products
from minicnn.backend.cpu.winograd_points import points

BLOCK_BYTES = 1 << 20  # tiles and their transforms that are worked on at a time
FEWEST = 128  # tiles of a block, so that U, read once a block, is used often enough
FEW, LARGE = 256, 1 << 22  # tiles at most, and bytes of U at least, for which U is read by one worker alone
COLUMNS = 2048  # of a kernel that are transformed at a time: a product small enough not to be packed
SUMMED, GROUPS = 1 << 13, 8  # cells of a kernel at most whose sums are kept side by side, and so many of them
SHARED_BYTES = 1 << 24  # transformed tiles that are kept for the gradient of the kernel


def transform_kernel(w, m: int, groups: int = 1):
    """U of a kernel: (3, 3, C/G, F) -> (t*t, B, C/B, F/B), as products of a few columns at a time.

    B blocks of groups are convolutions of their own, each with a kernel that is zero between its groups (`blocks.py`).
    """
    blocks = Blocks(w.shape, groups)
    flat = np.ascontiguousarray(blocks.kernels(w)).reshape(9, -1)
    g = points(m).kernel
    u = empty((len(g), flat.shape[1]), w.dtype)
    run(lambda part: np.matmul(g, flat[:, part], out=u[:, part]), spans(flat.shape[1], COLUMNS))
    u = u.reshape(len(g), blocks.shape[2], blocks.count, blocks.shape[3]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(u)


def conv2d(x, u, pads, out, m: int, finish=None):
    """y of `Backend.conv2d`; finish(tile, images, rows) works on the rows of y that are done, while they are warm.

    x: (N, H, W, C)   u: (t*t, B, C/B, F/B)   pads: ((top, bottom), (left, right))   out: (OH, OW)   -> (N, OH, OW, F)
    """
    p = points(m)
    b, c, f = u.shape[1], u.shape[1] * u.shape[2], u.shape[1] * u.shape[3]
    dtype, tall, wide = u.dtype, -(-out[0] // m), -(-out[1] // m)
    y = empty((x.shape[0], *out, f), dtype)
    if x.shape[0] * tall * wide <= FEW and u.nbytes >= LARGE:
        by_products(x, u, pads, y, m, finish)
        return y

    def work(block):
        images, rows = block
        span = slice(rows.start * m, min(rows.stop * m, out[0]))
        target = y[images, span]
        count = len(target) * (rows.stop - rows.start) * wide
        v = scratch("transformed", (p.t * p.t, count, c), dtype)
        band = cut_out(x[images], rows, wide, m, 2, (pads[0][0], pads[1][0]), dtype)
        np.matmul(p.input, tiles(band, m, p.t), out=v.transpose(1, 0, 2))
        products = scratch("tiles", (count, p.t * p.t, f), dtype)
        product(by_block(v, b), u, by_block(products.transpose(1, 0, 2), b))
        put(np.matmul(p.output, products, out=scratch("transformed", (count, m * m, f), dtype)), target, wide, m)
        if finish is not None:
            finish(target, images, span)

    run(work, pieces_of(x.shape[0], out, m, max(c, f) * u.itemsize))
    return y


def by_products(x, u, pads, y, m: int, finish):
    """The same for few tiles and a large U, which is read once: a worker takes whole products of the t*t."""
    p, (n, *out, f), (b, c) = points(m), y.shape, (u.shape[1], x.shape[3])
    tall, wide = -(-out[0] // m), -(-out[1] // m)
    v = scratch("inputs", (p.t * p.t, n * tall * wide, c), u.dtype)
    products = scratch("upstream", (n * tall * wide, p.t * p.t, f), u.dtype)

    def transform(images):
        band = cut_out(x[images], slice(0, tall), wide, m, 2, (pads[0][0], pads[1][0]), u.dtype)
        np.matmul(p.input, tiles(band, m, p.t), out=v[:, place_of(images)].transpose(1, 0, 2))

    def multiply(k):
        product(by_block(v[k : k + 1], b), u[k : k + 1], by_block(products[:, k : k + 1].transpose(1, 0, 2), b))

    def back(images):
        found = scratch("transformed", (len(y[images]) * tall * wide, m * m, f), u.dtype)
        put(np.matmul(p.output, products[place_of(images)], out=found), y[images], wide, m)
        if finish is not None:
            finish(y[images], images, slice(0, out[0]))

    def place_of(images):
        return slice(images.start * tall * wide, images.stop * tall * wide)

    parts = image_spans(n, p.t * p.t * tall * wide * (c + f) * u.itemsize, BLOCK_BYTES)
    run(transform, parts)
    run(multiply, range(p.t * p.t))
    run(back, parts)


def by_block(x, b: int):
    """(t*t, P, C) as (t*t, B, P, C/B), a view."""
    return x.reshape(*x.shape[:2], b, -1).transpose(0, 2, 1, 3)


def weight_grad(x, dy, pads, m: int, groups: int = 1):
    """dw of `Backend.conv2d_weight_grad`: (3, 3, C/G, F) = G^T [sum over tiles of V[k]^T (A dy A^T)[k]] G.

    x: (N, H, W, C)   dy: (N, OH, OW, F)
    """
    p, blocks = points(m), Blocks((3, 3, x.shape[3] // groups, dy.shape[3]), groups)
    add_up = sums_by_blocks if blocks.shape[2] * blocks.shape[3] <= SUMMED else sums_by_products
    sums = add_up(x, dy, pads, p, blocks)
    dtype, sums = sums.dtype, sums.reshape(p.t * p.t, -1)
    dw = empty((9, sums.shape[1]), dtype)
    run(lambda part: np.matmul(p.kernel_gradient, sums[:, part], out=dw[:, part]), spans(dw.shape[1], COLUMNS))
    dw = dw.reshape(3, 3, blocks.count, *blocks.shape[2:])
    return np.concatenate([blocks.own(dw[:, :, b]) for b in range(blocks.count)], axis=3) if groups > 1 else dw[:, :, 0]


def transform_pair(x, dy, rows, pads, p, v, upstream):
    """V and A dy A^T of some rows of tiles, written to v (t*t, P, C) and upstream (t*t, P, F)."""
    wide = -(-dy.shape[2] // p.m)
    band = cut_out(x, rows, wide, p.m, 2, (pads[0][0], pads[1][0]), v.dtype)
    np.matmul(p.input, tiles(band, p.m, p.t), out=v.transpose(1, 0, 2))
    band = cut_out(dy, rows, wide, p.m, 0, (0, 0), v.dtype)
    np.matmul(p.upstream, tiles(band, p.m, p.m), out=upstream.transpose(1, 0, 2))


def sums_by_blocks(x, dy, pads, p, blocks: Blocks):
    """The sums over tiles, (t*t, B, C/B, F/B), of small kernels: what is transformed is multiplied while it is warm.

    Blocks of tiles are shared out in GROUPS, each with sums of its own, so that their order is always the same.
    """
    squared, wide, dtype = p.t * p.t, -(-dy.shape[2] // p.m), np.result_type(x, dy)
    pieces = pieces_of(len(x), dy.shape[1:3], p.m, max(x.shape[3], dy.shape[3]) * dtype.itemsize)
    groups = [pieces[span] for span in spans(len(pieces), -(-len(pieces) // GROUPS))]
    sums = np.zeros((len(groups), squared, blocks.count, *blocks.shape[2:]), dtype)

    def work(g):
        part = scratch("part", sums.shape[1:], dtype)
        for images, rows in groups[g]:
            count = len(x[images]) * (rows.stop - rows.start) * wide
            v, upstream = (
                scratch(name, (squared, count, a.shape[3]), dtype) for name, a in (("inputs", x), ("upstream", dy))
            )
            transform_pair(x[images], dy[images], rows, pads, p, v, upstream)
            sum_of_products(by_block(v, blocks.count), by_block(upstream, blocks.count), part)
            np.add(sums[g], part, out=sums[g])

    run(work, range(len(groups)))
    return sums.sum(axis=0)


def sums_by_products(x, dy, pads, p, blocks: Blocks):
    """The same for large kernels: tiles are transformed some thousands at a time, in blocks; then each worker takes
    whole products of the t*t, so that every sum has one owner and one order."""
    (n, *out, f), c = dy.shape, x.shape[3]
    squared, wide, dtype = p.t * p.t, -(-out[1] // p.m), np.result_type(x, dy)
    pieces = pieces_of(n, out, p.m, max(c, f) * dtype.itemsize)
    sums = empty((squared, blocks.count, *blocks.shape[2:]), dtype)
    for group in gathered(pieces, wide, SHARED_BYTES // (squared * (c + f) * dtype.itemsize)):
        count = group[-1][1].stop
        v = scratch("inputs", (squared, count, c), dtype)
        upstream = scratch("upstream", (squared, count, f), dtype)

        def transform(piece, v=v, upstream=upstream):
            (images, rows), place = piece
            transform_pair(x[images], dy[images], rows, pads, p, v[:, place], upstream[:, place])

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


def pieces_of(n: int, out, m: int, bytes_of_a_cell: int) -> list[tuple[slice, slice]]:
    """Pieces of work: some rows of tiles of one image, or several images whole."""
    tall, wide = -(-out[0] // m), -(-out[1] // m)
    t = m + 2
    count = max(BLOCK_BYTES // (2 * t * t * bytes_of_a_cell), FEWEST)
    if count >= tall * wide:
        return [(images, slice(0, tall)) for images in image_spans(n, tall * wide, count)]
    bands = -(-tall * wide // count)
    return [(slice(i, i + 1), rows) for i in range(n) for rows in spans(tall, -(-tall // bands))]


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


def cut_out(x, rows, wide: int, m: int, more: int, pads, dtype):
    """What the rows `rows` of tiles read, with its padding, in this thread's memory: a padded copy that stays warm.

    x: (N', H, W, C)   -> (N', tall*m + more, wide*m + more, C), where `more` is how far tiles overlap
    """
    shape = (len(x), (rows.stop - rows.start) * m + more, wide * m + more, x.shape[3])
    band = scratch("band", shape, dtype)
    place(x, band, rows.start * m - pads[0], -pads[1])
    return band


def tiles(band, m: int, t: int):
    """The t x t tiles of a band, one every m cells: (P, t*t, C), in this thread's memory."""
    n, height, width, c = band.shape
    a, b, d, e = band.strides
    shape = (n, (height - t) // m + 1, (width - t) // m + 1, t, t, c)
    view = np.lib.stride_tricks.as_strided(band, shape, (a, b * m, d * m, b, d, e), writeable=False)
    copied = scratch("tiles", shape, band.dtype)
    np.copyto(copied, view)
    return copied.reshape(-1, t * t, c)


def place(x, band, top: int, left: int):
    """band[:, i, j] = x[:, top + i, left + j], zero where x has no such cell."""
    (h, w), (tall, wide) = x.shape[1:3], band.shape[1:3]
    first, last = max(-top, 0), min(h - top, tall)
    start, stop = max(-left, 0), min(w - left, wide)
    if last <= first or stop <= start:
        band[...] = 0
        return
    band[:, :first] = 0
    band[:, last:] = 0
    band[:, first:last, :start] = 0
    band[:, first:last, stop:] = 0
    band[:, first:last, start:stop] = x[:, top + first : top + last, left + start : left + stop]


def put(tiles, target, wide: int, m: int):
    """Writes tiles (P, m*m, F), `wide` in a row, to (N', rows, OW, F); what sticks out is left away."""
    n, rows, columns, f = target.shape
    tiles = tiles.reshape(n, -1, wide, m, m, f).transpose(0, 1, 3, 2, 4, 5)
    tall = tiles.shape[1]
    if (rows, columns) == (tall * m, wide * m):
        np.copyto(target.reshape(n, tall, m, wide, m, f), tiles)
        return
    whole = scratch("tiles", tiles.shape, tiles.dtype)
    np.copyto(whole, tiles)
    np.copyto(target, whole.reshape(n, tall * m, wide * m, f)[:, :rows, :columns])
