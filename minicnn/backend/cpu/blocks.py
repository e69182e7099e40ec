"""Groups of a convolution taken together, so that products are not too thin."""

import numpy as np

WIDTH = 16  # channels that a product should have


def is_depthwise(w_shape, groups: int) -> bool:
    """Whether each channel has one filter of its own."""
    return w_shape[2] == 1 and w_shape[3] == groups


def turn(w, groups: int = 1):
    """The kernel by which dy is convolved to dx, turned by 180 degrees: (KH, KW, C/G, F) -> (KH, KW, F/G, C)

    A view where there is one group.
    """
    kh, kw, c, f = w.shape
    parts = w[::-1, ::-1].reshape(kh, kw, c, groups, f // groups)
    return parts.transpose(0, 1, 4, 3, 2).reshape(kh, kw, f // groups, groups * c)


class Blocks:
    """Groups taken together: which channels and filters each block has, and its kernel."""

    def __init__(self, w_shape, groups: int):
        kh, kw, self.c, f = w_shape
        self.f = f // groups
        self.each = next(d for d in range(1, groups + 1) if groups % d == 0 and (d * self.c >= WIDTH or d == groups))
        self.count = groups // self.each
        self.shape = kh, kw, self.each * self.c, self.each * self.f

    def channels(self, b: int) -> tuple:
        """Those of x that block b reads, as an index."""
        return ..., slice(b * self.shape[2], (b + 1) * self.shape[2])

    def filters(self, b: int) -> tuple:
        """Those of y that block b writes, as an index."""
        return ..., slice(b * self.shape[3], (b + 1) * self.shape[3])

    def kernel(self, w, b: int):
        """(KH, KW, channels, filters), zero between groups."""
        kernel = np.zeros(self.shape, w.dtype)
        part = w[self.filters(b)]
        for i in range(self.each):
            own = slice(i * self.f, (i + 1) * self.f)
            kernel[:, :, i * self.c : (i + 1) * self.c, own] = part[..., own]
        return kernel

    def kernels(self, w):
        """Those of all blocks, side by side: (KH, KW, channels of a block, F)"""
        return (
            w
            if self.count == self.each == 1
            else np.concatenate([self.kernel(w, b) for b in range(self.count)], axis=3)
        )

    def own(self, kernel):
        """The groups' own cells of a block's kernel: (KH, KW, C/G, filters)"""
        parts = [kernel[:, :, i * self.c : (i + 1) * self.c, i * self.f : (i + 1) * self.f] for i in range(self.each)]
        return np.concatenate(parts, axis=3)
