"""Pooling over windows. Global pooling is `Mean` or `Max` over the axes (1, 2)."""

from minicnn.backend import Window
from minicnn.ops.base import Op


class Pool2D(Op):
    """What max and average pooling share: a window of `size` = (KH, KW), its strides and pads."""

    fresh = True

    def __init__(self, size: tuple[int, int], window: Window | None = None):
        self.size, self.window = size, window or Window(strides=size)

    def check(self, x):
        """Raises ValueError unless x is (N, H, W, C)."""
        if x.ndim != 4:
            raise ValueError(f"{type(self).__name__}: expected x (N, H, W, C), got {x.shape}")


class MaxPool2D(Pool2D):
    """y[n,i,j,c] = the maximum of the window; dy goes to the first maximum in row-major order.

    Padding never wins, unless it is to hold zeros.   x: (N, H, W, C)   y: (N, OH, OW, C)
    """

    def __init__(self, size: tuple[int, int], window: Window | None = None, zeros: bool = False):
        super().__init__(size, window)
        self.zeros = zeros

    def forward(self, x):
        self.check(x)
        if not any(self.needs):
            return self.backend.max_pool(x, self.size, self.window, self.zeros)
        self.x_shape = x.shape
        y, self.winners = self.backend.max_pool_winners(x, self.size, self.window, self.zeros)
        return y

    def backward(self, dy):
        return (self.backend.max_pool_grad(dy, self.winners, self.x_shape, self.size, self.window),)


class AvgPool2D(Pool2D):
    """y[n,i,j,c] = the mean of the window's cells that are not padding.

    x: (N, H, W, C)   y: (N, OH, OW, C)
    """

    def forward(self, x):
        self.check(x)
        self.x_shape = x.shape
        return self.backend.avg_pool(x, self.size, self.window)

    def backward(self, dy):
        return (self.backend.avg_pool_grad(dy, self.x_shape, self.size, self.window),)
